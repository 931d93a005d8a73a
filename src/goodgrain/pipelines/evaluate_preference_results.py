"""From verdicts to the files of a comparison: metrics, annotations in alpaca_eval's form, a report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from goodgrain.data.alpaca_eval import Annotation, MatchedOutputs, write_annotations
from goodgrain.metrics.preference import LOSS, TIE, WIN, PreferenceRates, preference_rates
from goodgrain.report.preference import JudgedPair, PreferenceFacts, preference_report
from goodgrain.run import RunFolder
from goodgrain.teacher.judging import STATES, Judgement, Judgements
from goodgrain.teacher.verdicts import Outcome

_POINTS: dict[Outcome, int] = {"win": WIN, "tie": TIE, "loss": LOSS}
_PREFERENCE: dict[Outcome | None, float | None] = {"win": 2, "tie": 1.5, "loss": 1, None: None}  # ours is output_2
_STATES_IN_WORDS = {
    "agreed": "both orders give the same verdict",
    "disagreed": "the two orders disagree: a tie",
    "identical": "the same answer twice: a tie that nobody was asked about",
    "malformed": "left out: a verdict could not be read, twice",
    "failed": "left out: no answer; the same command asks again",
}
_SHOWN = 20  # pairs of each table


@dataclass(frozen=True, eq=False)
class Comparison:
    """All that a comparison found out.

    Args:
        matched: the pairs, and the questions that only one model answered.
        judgements: one for each pair.
        judge: who judged, in words.
        annotator: the judge's name for the annotations.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        cost: what the judge took; None where that is not known.
    """

    matched: MatchedOutputs
    judgements: Judgements
    judge: str
    annotator: str
    resamples: int
    seed: int
    cost: Mapping[str, Any] | None

    @property
    def names(self) -> tuple[str, str]:
        """Our model's name and theirs, told apart."""
        ours, theirs = (one.generator for one in self.matched.pairs[0])
        ours, theirs = ours or "ours", theirs or "theirs"
        return (ours, theirs) if ours != theirs else (f"{ours} (ours)", f"{theirs} (theirs)")

    @property
    def rates(self) -> PreferenceRates | None:
        """Over all pairs with an outcome."""
        return self._rates(self.judgements.pairs)

    @property
    def parts(self) -> dict[str, PreferenceRates]:
        """The same for each part of the evaluation set."""
        rooms: dict[str, list[Judgement]] = {}
        for (ours, _), judged in zip(self.matched.pairs, self.judgements.pairs, strict=True):
            rooms.setdefault(ours.dataset, []).append(judged)
        found = ((name, self._rates(rooms[name])) for name in sorted(rooms))
        return {name: rates for name, rates in found if rates is not None}

    def rates_in_order(self, order: int) -> PreferenceRates | None:
        """What one order alone would say (0: ours first, 1: theirs first), of pairs with two readable verdicts."""
        read = (pair for pair in self.judgements.pairs if pair.outcome is not None)
        return self._of(pair.orders[order] for pair in read)

    def _rates(self, judged: Iterable[Judgement]) -> PreferenceRates | None:
        return self._of(pair.outcome for pair in judged)

    def _of(self, outcomes: Iterable[Outcome | None]) -> PreferenceRates | None:
        points = [_POINTS[outcome] for outcome in outcomes if outcome is not None]
        return preference_rates(points, resamples=self.resamples, seed=self.seed) if points else None

    @property
    def lengths(self) -> tuple[float, float]:
        """Mean characters of our answers and of theirs."""
        pairs = self.matched.pairs
        ours = sum(len(one.output) for one, _ in pairs) / len(pairs)
        return ours, sum(len(other.output) for _, other in pairs) / len(pairs)

    @property
    def first_place(self) -> float | None:
        """Of the verdicts that prefer one response, the share that prefers the one shown first."""
        first, second = self.judgements.first_place_wins, self.judgements.second_place_wins
        return first / (first + second) if first + second else None


def write_comparison(run: RunFolder, found: Comparison) -> dict[str, Any]:
    """Write annotations.json, metrics.json and report.html, and return the metrics."""
    run.write("annotations.json", lambda path: write_annotations(path, _annotations(found)))
    metrics = measure(found)
    run.write_text("metrics.json", json.dumps(metrics, indent=2) + "\n")  # ASCII: names may hold what has no UTF-8
    run.write_text("report.html", preference_report(_facts(run, found)))
    return metrics


def measure(found: Comparison) -> dict[str, Any]:
    """What metrics.json holds: every pair is counted once under "pairs"; shares and rates are those of our model."""
    rates, judged = found.rates, found.judgements
    alone = [found.rates_in_order(order) for order in (0, 1)]
    return {
        "ours": found.names[0],
        "theirs": found.names[1],
        "judge": found.judge,
        "questions": len(judged.pairs),
        "judged": rates.n if rates else 0,
        **_shares(rates),
        "pairs": {state: judged.count(state) for state in STATES},
        "position": {
            "first_place_wins": judged.first_place_wins,
            "second_place_wins": judged.second_place_wins,
            "first_place_share": found.first_place,
            "win_rate_ours_first": alone[0].win_rate if alone[0] else None,
            "win_rate_theirs_first": alone[1].win_rate if alone[1] else None,
        },
        "answers": {
            "malformed_at_first": judged.malformed_at_first,
            "malformed": judged.malformed,
            "truncated": judged.truncated,
        },
        "datasets": {name: {"judged": part.n, **_shares(part)} for name, part in found.parts.items()},
        "unmatched": {"only_ours": len(found.matched.only_ours), "only_theirs": len(found.matched.only_theirs)},
        "mean_characters": dict(zip(("ours", "theirs"), found.lengths, strict=True)),
        "cost": found.cost,
    }


def _shares(rates: PreferenceRates | None) -> dict[str, dict[str, float] | None]:
    names = ("win", "tie", "loss", "win_rate")
    if rates is None:
        return dict.fromkeys(names)
    ends = {name: getattr(rates, f"{name}_interval") for name in names}
    return {name: {"share": getattr(rates, name), "low": ends[name][0], "high": ends[name][1]} for name in names}


def _annotations(found: Comparison) -> list[Annotation]:
    ours_name, theirs_name = found.names
    return [
        Annotation(
            instruction=ours.instruction,
            output_1=theirs.output,
            generator_1=theirs_name,
            output_2=ours.output,
            generator_2=ours_name,
            annotator=found.annotator,
            preference=_PREFERENCE[judged.outcome],
            dataset=ours.dataset,
            raw_completions=judged.words,
        )
        for (ours, theirs), judged in zip(found.matched.pairs, found.judgements.pairs, strict=True)
    ]


def _facts(run: RunFolder, found: Comparison) -> PreferenceFacts:
    tables: dict[str, list[JudgedPair]] = {"win": [], "loss": [], "disagreed": [], "left out": []}
    for (ours, theirs), judged in zip(found.matched.pairs, found.judgements.pairs, strict=True):
        kind = "left out" if judged.outcome is None else judged.outcome if judged.state == "agreed" else judged.state
        room = tables.get(kind)
        if room is not None and len(room) < _SHOWN:
            room.append(JudgedPair(ours.instruction, ours.output, theirs.output, judged.words))
    ours_name, theirs_name = found.names
    unmatched = [(text, ours_name) for text in found.matched.only_ours]
    unmatched += [(text, theirs_name) for text in found.matched.only_theirs]
    return PreferenceFacts(
        ours=ours_name,
        theirs=theirs_name,
        judge=found.judge,
        rates=found.rates,
        parts=list(found.parts.items()),
        counts={_STATES_IN_WORDS[state]: found.judgements.count(state) for state in STATES},
        questions=len(found.judgements.pairs),
        first_place=found.first_place,
        lengths=found.lengths,
        wins=tables["win"],
        losses=tables["loss"],
        disagreements=tables["disagreed"],
        left_out=tables["left out"],
        unmatched=unmatched[:_SHOWN],
        settings=_settings(run.config),
        cost=_cost_in_words(found.cost),
    )


def _settings(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for name, value in config.items():
        if isinstance(value, Mapping):
            rows += [(f"{name}: {inner}", text) for inner, text in _settings(value)]
        else:
            rows.append((name, "; ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return rows


def _cost_in_words(cost: Mapping[str, Any] | None) -> str:
    if cost is None:
        return ""
    money = "" if cost["spent_usd"] is None else f", ${cost['spent_usd']:.4f}"
    return (
        f"The judge took {cost['paid_calls']:,} calls, {cost['input_tokens']:,} tokens in and "
        f"{cost['output_tokens']:,} out{money}."
    )
