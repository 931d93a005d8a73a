"""The numbers of the training report: what was measured, against standard training, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from goodgrain.checks import check_scores
from goodgrain.errors import InputError
from goodgrain.report.html import Block, Code, Fact, Facts, Table, Text
from goodgrain.report.train_facts import STANDARD, MethodFacts, TrainFacts

_FEW_OOD = 50  # images to measure responses and AUROC on


def student_interval(differences: ArrayLike) -> tuple[float, float]:
    """The 95% confidence interval of a mean, by Student's t.

    Args:
        differences: (r,) of independent repeats, at least two.

    Returns:
        Its two ends, in the unit of the differences: mean ± t(0.975, r - 1) * std / sqrt(r), std with r - 1.

    Raises:
        InputError: not finite (r,) numbers, or fewer than two.

    Example:
        >>> [round(end, 2) for end in student_interval([1.0, 2.0, 3.0])]  # 2 ± 4.303 / sqrt(3)
        [-0.48, 4.48]
    """
    x = check_scores(differences, name="differences")
    if len(x) < 2:
        raise InputError("1 difference has no spread, so it gives no interval. Give at least 2.")
    half = float(stats.t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x)))
    return float(x.mean()) - half, float(x.mean()) + half


def lead(facts: TrainFacts) -> str:
    """The one sentence that a hurried reader takes away.

    Args:
        facts: of the run.

    Returns:
        Plain text.

    Example:
        >>> method = MethodFacts(name="oat", score=[0.25])
        >>> lead(TrainFacts(name="toy", command="", method="oat", methods=[method]))
        'oat: test accuracy 25.0%.'
    """
    own = _named(facts, facts.method)
    if own is None:
        ranked = sorted(facts.candidates, key=lambda one: -one.shared)
        return f"Likeliest to help: {ranked[0].name}." if ranked else "Nothing was trained."
    parts = []
    if len(own.score):
        gain = _gain(facts, own)
        compared = "" if gain is None else f", {_compared(float(gain.mean()))}"
        parts.append(f"{facts.measure} {_mean(own.score, 100, '.1f', '%')}{compared}")
    if (times := _times_shorter(own, _named(facts, STANDARD))) is not None:
        parts.append(f"‖f(OOD)‖² {' '.join(_against(_typical(times)))} training")
    elif len(share := _ood_share(own)):
        parts.append(f"responds to OOD images with {share.mean():.0%} of its response to the target")
    return f"{own.name}: {'; '.join(parts) or 'was trained'}."


def brief(facts: TrainFacts) -> list[Block]:
    """The numbers that matter, what to make of them, and the command.

    Args:
        facts: of the run.

    Returns:
        Blocks of the page's first section.

    Example:
        >>> [block.kind for block in brief(TrainFacts(name="toy", command="goodgrain train toy"))]
        ['code']
    """
    own = _named(facts, facts.method)
    items = [] if own is None else _key_numbers(facts, own)
    if facts.rejected:
        items.append(Fact("Unusable files", f"{len(facts.rejected):,}", "listed below"))
    blocks: list[Block] = [Facts(items)] if items else []
    if own is not None and (gain := _gain(facts, own)) is not None:
        blocks.append(Text(_advice(gain)))
    if own is not None and _response(own, _named(facts, STANDARD)) is not None:
        blocks.append(Text(_explained(facts)))
    return [*blocks, Code(facts.command)]


def comparison(facts: TrainFacts) -> list[Block]:
    """A row per method: what it scored, and what its features do; then how to read that.

    Args:
        facts: of the run.

    Returns:
        Blocks; columns that nothing was measured for, and tables without a column, are left out.

    Example:
        >>> facts = TrainFacts(name="toy", command="", method="oat", methods=[MethodFacts(name="oat", score=[0.25])])
        >>> [table.rows for table in comparison(facts)]
        [[('oat', '25.0', '1')]]
    """
    gains = [_gain(facts, one) for one in facts.methods]
    scores = {
        f"{_capital(facts.measure)} (%)": [_mean(one.score, 100, ".1f") for one in facts.methods],
        "Over standard": ["" if gain is None else _mean(gain, 1, "+z.1f") for gain in gains],
        "Accuracy under PGD (%)": [_mean(one.attacked, 100, ".1f") for one in facts.methods],
        "Seeds": [str(len(one.score)) if len(one.score) else "" for one in facts.methods],
    }
    features = {
        "Class cosine": [_mean(one.between, 1, ".3f") for one in facts.methods],
        "‖f(target)‖²": [_size(one.activation) for one in facts.methods],
        "‖f(OOD)‖²": [_size(one.ood_activation) for one in facts.methods],
        "OOD / target (%)": [_mean(_ood_share(one), 100, ".0f") for one in facts.methods],
    }
    for detector in dict.fromkeys(name for one in facts.methods for name in one.auroc):
        features[f"AUROC {detector}"] = [_mean(one.auroc.get(detector, ()), 100, ".1f") for one in facts.methods]
    detected = any(len(one.auroc) for one in facts.methods)
    reading = _reading(facts, cosine=any(features["Class cosine"]), auroc=detected)
    return [
        *_table(facts, scores, "After the last epoch: mean ± standard deviation over seeds."),
        *_table(facts, features, f"What the features do, after the last epoch{_measured_on(facts)}."),
        *([Text(reading)] if reading else []),
    ]


def _table(facts: TrainFacts, columns: Mapping[str, Sequence[str]], caption: str) -> list[Block]:
    filled = {name: cells for name, cells in columns.items() if any(cells)}
    if not filled:
        return []
    rows = [(one.name, *(cells[i] or "—" for cells in filled.values())) for i, one in enumerate(facts.methods)]
    return [Table(("Method", *filled), rows, caption, frozenset(range(1, len(filled) + 1)))]


def _reading(facts: TrainFacts, *, cosine: bool, auroc: bool) -> str:
    """What the columns that need it mean."""
    told = []
    if any(len(one.attacked) for one in facts.methods):
        told.append(f"Accuracy under PGD: on {facts.attacked_images:,} test images after an attack of 100 steps.")
    if any(len(one.activation) or len(one.ood_activation) for one in facts.methods):
        over = f"the d = {facts.width:,} features" if facts.width else "the features"
        told.append(
            f"‖f‖²: squared length, a sum over {over} of an image; mean over images, geometric mean over seeds."
        )
    if any(len(_ood_share(one)) for one in facts.methods):
        told.append("OOD / target: ‖f(OOD)‖² as a share of ‖f(target)‖², seed by seed.")
    if cosine:
        told.append(
            "Class cosine: mean cosine between features of different classes; lower means easier to tell apart."
        )
    if auroc:
        told.append("AUROC (%): how well OOD images are told from the target's.")
    if facts.methods and 0 < len(facts.ood_ids) < _FEW_OOD:
        told.append(f"Careful: {len(facts.ood_ids)} OOD images are few, so AUROC and ‖f(OOD)‖² are rough.")
    return " ".join(told)


def _measured_on(facts: TrainFacts) -> str:
    """How many OOD images the numbers come from, and whether training saw them."""
    if not len(facts.ood_ids):
        return ""
    seen = "that training never saw" if facts.ood_held_back else "that training saw as well: too few to keep any back"
    return f", measured on {len(facts.ood_ids):,} OOD images {seen}"


def _explained(facts: TrainFacts) -> str:
    """What the number for the response is, in one sentence."""
    images = f"{len(facts.ood_ids):,} OOD images" if len(facts.ood_ids) else "OOD images"
    return (
        f"‖f(OOD)‖² is the squared length of the features that {images} get on average: the smaller, the less the "
        "model answers to what they show."
    )


def _named(facts: TrainFacts, name: str) -> MethodFacts | None:
    return next((one for one in facts.methods if one.name == name), None)


def _gain(facts: TrainFacts, one: MethodFacts) -> NDArray[np.float64] | None:
    """(r,) percentage points over standard training, repeat by repeat; None where there are no pairs of repeats."""
    standard = _named(facts, STANDARD)
    if standard is None or standard is one or not len(one.score) or len(standard.score) != len(one.score):
        return None
    return 100 * (np.asarray(one.score, dtype=np.float64) - np.asarray(standard.score, dtype=np.float64))


def _ood_share(one: MethodFacts) -> NDArray[np.float64]:
    """(r,) mean squared length on OOD images as a share of that on the target's, repeat by repeat; (0,) if unknown.

    One ratio of means would be that of the repeat with the longest features.
    """
    if not len(one.ood_activation) or not len(one.activation) or not min(one.activation) > 0:
        return np.zeros(0)
    return np.asarray(one.ood_activation, dtype=np.float64) / np.asarray(one.activation, dtype=np.float64)


def _times_shorter(own: MethodFacts, standard: MethodFacts | None) -> NDArray[np.float64] | None:
    """(r,) how many times ||f(OOD)||^2 of standard training is that of a method, repeat by repeat.

    None where there are no pairs of repeats, or nothing to divide.
    """
    if standard is None or standard is own or len(standard.ood_activation) != len(own.ood_activation):
        return None
    if not len(own.ood_activation) or min(*own.ood_activation, *standard.ood_activation) <= 0:
        return None
    return np.asarray(standard.ood_activation, dtype=np.float64) / np.asarray(own.ood_activation, dtype=np.float64)


def _against(times: float) -> tuple[str, str]:
    """A factor in words: how many times, and on which side of standard training."""
    size = max(times, 1 / times)
    shown = f"{size:.1f}" if round(size, 1) < 10 else f"{size:,.0f}"
    if shown == "1.0":
        return "level", "with standard"
    return f"{shown} times", "below standard" if times > 1 else "above standard"


def _response(own: MethodFacts, standard: MethodFacts | None) -> Fact | None:
    """The one number for how strongly a model answers OOD images: against standard training, or against the target."""
    times = _times_shorter(own, standard)
    if times is not None and standard is not None:
        size, side = _against(_typical(times))
        seeds = f"; {times.min():.3g} to {times.max():.3g} times by seed" if len(times) > 1 else ""
        return Fact(
            "‖f(OOD)‖²", size, f"{side}: {_size(own.ood_activation)}, standard {_size(standard.ood_activation)}{seeds}"
        )
    if len(share := _ood_share(own)):
        return Fact("‖f(OOD)‖²", f"{share.mean():.0%}", "of ‖f‖² on the target")
    return None


def _typical(values: Sequence[float] | NDArray[np.float64]) -> float:
    """The geometric mean over repeats: of ratios it is the ratio, and the repeat with the longest features counts once.

    0 where a value is 0.
    """
    x = np.asarray(values, dtype=np.float64)
    return float(np.exp(np.log(x).mean())) if x.min() > 0 else 0.0


def _key_numbers(facts: TrainFacts, own: MethodFacts) -> list[Fact]:
    weight = "" if own.weight is None else f"weight {own.weight:g}"
    items = [Fact("Method", own.name, ", ".join(filter(None, (facts.task, weight))))]
    if facts.target:
        items.append(Fact("Labelled images", f"{facts.target:,}"))
    if r := len(own.score):
        spread = f"± {100 * np.std(own.score, ddof=1):.1f}, {r} seeds" if r > 1 else "1 seed"
        items.append(Fact(_capital(facts.measure), f"{np.mean(own.score):.1%}", spread))
    if (gain := _gain(facts, own)) is not None:
        items.append(Fact("Over standard", f"{gain.mean():+z.1f}", f"points; better in {(gain > 0).sum()} of {r}"))
    if (response := _response(own, _named(facts, STANDARD))) is not None:
        items.append(response)
    return items


def _advice(gain: NDArray[np.float64]) -> str:
    """Whether the repeats tell a difference from luck."""
    if len(gain) == 1:
        return "One training of each says little about the difference: repeat with --repeats 3 or more to know."
    low, high = student_interval(gain)
    told = f"the difference to standard training lies between {low:+z.1f} and {high:+z.1f} points (95% interval)"
    if low > 0:
        return f"The OOD images help: {told}."
    if high < 0:
        return f"The OOD images harm: {told}. Use the standard model, or other OOD images."
    return f"No difference that these repeats could show: {told}. More repeats narrow it."


def _compared(points: float) -> str:
    if not round(points, 1):
        return "level with standard training"
    return f"{abs(points):.1f} points {'above' if points > 0 else 'below'} standard training"


def _mean(values: Sequence[float] | NDArray[np.float64], scale: float, form: str, unit: str = "") -> str:
    """Mean, and standard deviation over the repeats; empty without repeats."""
    if not len(values):
        return ""
    spread = f" ± {scale * np.std(values, ddof=1):{form.removeprefix('+z')}}" if len(values) > 1 else ""
    return f"{scale * np.mean(values):{form}}{unit}{spread}"


def _size(values: Sequence[float]) -> str:
    return f"{_typical(values):.3g}" if len(values) else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
