"""What a selection of instructions shows: what was kept, what was dropped and why, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from goodgrain.report.html import Block, Code, Fact, Facts, Figure, Row, Search, Section, Table, Text, render
from goodgrain.report.instruct_facts import Answers, Cost, InstructFacts, Other
from goodgrain.report.instruct_plots import (
    beginning,
    cluster_map,
    cluster_sizes,
    position_bias,
    random_spread,
    winning_places,
)
from goodgrain.report.plots import histogram

__all__ = ["Answers", "Cost", "InstructFacts", "Other", "instruct_report"]

_LONGEST = 1500  # characters of a listed text: the page has to stay small enough to be opened
_CELL = 200
_PROBLEMS = 100
_SURE = 0.01  # a chi-square test that is less likely by chance speaks of bias
_STATES = {
    "ranked": "the best row is kept",
    "dropped": "the teacher left out every row, and none is kept",
    "medoid": "no answer could be read, and the row nearest to the center is kept",
    "skipped": "no answer could be read, and none is kept",
}


def instruct_report(facts: InstructFacts) -> str:
    """The report of a selection of instructions as one self-contained HTML page.

    Args:
        facts: what was found; sections without content are left out.

    Returns:
        HTML; same facts, same text.

    Example:
        >>> from goodgrain.report.html import Row
        >>> one = Row(True, 0, 1, "2 + 2?", "4", "ranked first of 2", "a")
        >>> two = Row(False, 0, 2, "2 + 2?", "<5>", "ranked 2 of 2", "b")
        >>> none, pairs = np.zeros(0, dtype=np.int64), np.zeros((0, 2))
        >>> facts = InstructFacts("sums", "FP-Instruction", "", "", [], np.array([True, False]), [one, two], {},
        ...                       np.array([2]), None, None, np.array([[6, 1], [6, 3]]), pairs, none, [])
        >>> page = instruct_report(facts)
        >>> "FP-Instruction keeps 1 of 2 instructions." in page, "<5>" in page
        (True, False)
    """
    parts = (
        ("In brief", _brief(facts)),
        ("What was kept, and what was dropped", _search(facts)),
        ("Clusters", _clusters(facts)),
        ("The teacher", _teacher(facts)),
        ("Hallucinated responses", _hallucinated(facts)),
        ("Beside other methods", _others(facts)),
        ("Lengths", _lengths(facts)),
        ("Copies", _copies(facts)),
        ("Rows that cannot be used", _problems(facts)),
        ("Settings", [Table(("Setting", "Value"), facts.settings, "All that was asked.")] if facts.settings else []),
    )
    lead = f"{facts.method} keeps {facts.kept.sum():,} of {len(facts.kept):,} instructions."
    if facts.hallucinated is not None:
        before, after = facts.hallucinated
        lead += f" Hallucinated responses: {before:.1%} before, {after:.1%} among those kept."
    sections = [Section(title, blocks) for title, blocks in parts if blocks]
    return render(f"Instruction report: {facts.name}", lead, sections)


def _brief(facts: InstructFacts) -> list[Block]:
    n, kept, unusable = len(facts.kept), int(facts.kept.sum()), len(facts.problems)
    items = [
        Fact("Rows read", f"{n + unusable:,}", f"{unusable:,} cannot be used" if unusable else "all can be used"),
        Fact("Kept", f"{kept:,}", f"{kept / n:.1%} of {n:,}"),
        Fact("Dropped", f"{n - kept:,}"),
    ]
    if facts.hallucinated is not None:
        items.append(Fact("Hallucinated", f"{facts.hallucinated[1]:.1%}", f"{facts.hallucinated[0]:.1%} before"))
    if len(facts.sizes):
        items.append(Fact("Clusters", f"{len(facts.sizes):,}", f"of {facts.sizes.mean():.1f} rows on average"))
    if facts.exact_copies or facts.near_copies:
        items.append(Fact("Copies", f"{facts.exact_copies:,}", f"exact; {facts.near_copies:,} near"))
    cost, answers = facts.cost, facts.answers
    if cost is not None:
        limits = [f"at most {_money(cost.lost_usd)} lost"] if cost.lost_usd else []
        limits += [] if cost.budget_usd is None else [f"cap {_money(cost.budget_usd)}"]
        items.append(Fact("Spent", _roughly(cost.spent_usd), "; ".join(limits)))
        items.append(Fact("Calls", f"{cost.calls:,}", f"{cost.input_tokens + cost.output_tokens:,} tokens"))
    if answers is not None and _was_asked(answers):
        unread = f"{answers.malformed_at_first:,} at first; {answers.truncated:,} cut"
        items.append(Fact("Unreadable answers", f"{answers.malformed:,}", unread))
    blocks: list[Block] = [Facts(items)]
    if facts.teacher:
        blocks.append(Text(f"The teacher is {facts.teacher}."))
    return [*blocks, Code(facts.command)] if facts.command else blocks


def _was_asked(answers: Answers) -> bool:
    """Whether somebody answered in words; an offline baseline cannot be misread."""
    return bool(answers.won.sum() or answers.malformed)


def _money(dollars: float) -> str:
    return f"${dollars:,.4f}" if dollars < 1 else f"${dollars:,.2f}"


def _roughly(dollars: float | None) -> str:
    if dollars is None:
        return "not known"
    return "under $0.01" if 0 < dollars < 0.01 else f"${dollars:,.2f}"


def _search(facts: InstructFacts) -> list[Block]:
    if not facts.rows:
        return []
    caption = "Every row with the verdict on it."
    if len(facts.rows) < len(facts.kept):
        drawn = "whole clusters drawn at random" if len(facts.sizes) else "drawn at random"
        caption = f"{len(facts.rows):,} of {len(facts.kept):,} rows, {drawn}; selection.parquet has all."
    caption += " Long texts unfold."
    if len(facts.sizes):
        caption += " Type a cluster's number to see its rows by rank."
    rows = [_short(row) for row in facts.rows]
    words = {group: [_cut(one) for one in said] for group, said in facts.words.items()}
    return [Search("Rows", caption, rows, words, bool(len(facts.sizes)))]


def _short(row: Row) -> Row:
    return replace(row, request=_cut(row.request), response=_cut(row.response), why=_cut(row.why))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " … (cut here; the data has the whole text)"


def _clusters(facts: InstructFacts) -> list[Block]:
    blocks: list[Block] = []
    m = len(facts.points)
    if m:
        drawn = "Each point is a row" if m == len(facts.kept) else f"Each point is one of {m:,} rows drawn at random"
        figure = cluster_map(facts.points, facts.kept[facts.point_rows], facts.point_texts)
        said = f"{drawn}, near rows like it (the two main directions of the embeddings). Point at one to read it."
        blocks.append(Figure(figure, "The map", said))
    if len(facts.sizes):
        said = "How many clusters there are of each size; of each, one row at most is kept."
        blocks.append(Figure(cluster_sizes(facts.sizes), "Sizes", said))
    return blocks


def _teacher(facts: InstructFacts) -> list[Block]:
    blocks: list[Block] = []
    cost, answers = facts.cost, facts.answers
    if cost is not None:
        rows = [
            ("calls", f"{cost.calls:,}"),
            ("tokens of prompts", f"{cost.input_tokens:,}"),
            ("tokens of answers", f"{cost.output_tokens:,}"),
            ("spent", "not known: no prices were given" if cost.spent_usd is None else _money(cost.spent_usd)),
        ]
        rows += [] if cost.lost_usd is None else [("at most lost in calls that broke off", _money(cost.lost_usd))]
        rows += [("cap", "none" if cost.budget_usd is None else _money(cost.budget_usd))]
        blocks.append(Table(("What", "How much"), rows, "What it took, earlier tries included.", frozenset({1})))
    if answers is None:
        return blocks
    states = [(name, f"{count:,}", _STATES.get(name, "")) for name, count in answers.states.items()]
    blocks.append(Table(("Clusters", "Count", "Meaning"), states, "What became of the clusters.", frozenset({1})))
    if _was_asked(answers):
        read = [
            ("not readable at first, and asked for again", f"{answers.malformed_at_first:,}"),
            ("not readable then either", f"{answers.malformed:,}"),
            ("of all these, cut by the server", f"{answers.truncated:,}"),
        ]
        blocks.append(Table(("Answers", "Count"), read, "How the teacher answered.", frozenset({1})))
    if answers.won.sum():
        said = "How often the best row was shown at each place of the prompt, and how often it would have been if "
        said += f"places did not matter. {_bias(answers)}"
        blocks.append(Figure(winning_places(answers.won, answers.expected), "Where the winners stood", said))
    return blocks


def _bias(answers: Answers) -> str:
    found = position_bias(answers.won, answers.expected)
    if found is None:
        return "There are too few winners to tell whether places matter."
    chance = "less than 0.001" if found.p < 0.001 else f"{found.p:.3f}"
    test = f"chi-square {found.statistic:.1f}, degrees of freedom {found.freedom}, p {chance}"
    if found.p >= _SURE:
        return f"The difference is within chance ({test})."
    return f"The difference is beyond chance ({test}): the teacher goes by the place too. More permutations help."


def _hallucinated(facts: InstructFacts) -> list[Block]:
    if facts.hallucinated is None:
        return []
    n, kept = len(facts.kept), int(facts.kept.sum())
    before, after = facts.hallucinated
    found, left = round(before * n), round(after * kept)
    counts = [("all", n, found), ("kept", kept, left), ("dropped", n - kept, found - left)]
    rows = [(name, f"{rows:,}", f"{bad:,}", f"{bad / rows:.1%}") for name, rows, bad in counts if rows]
    spread = 2 * random_spread(before, n, kept)
    said = f"Keeping {kept:,} rows at random would leave {before:.1%} of them hallucinated, give or take {spread:.1%} "
    said += "(two standard deviations)."
    header = ("Rows", "Count", "Hallucinated", "Share")
    return [Table(header, rows, "By the labels that came with the data.", frozenset({1, 2, 3})), Text(said)]


def _others(facts: InstructFacts) -> list[Block]:
    if not facts.others or facts.ours is None:
        return []
    methods = (facts.ours, *facts.others)
    known = any(one.hallucinated is not None for one in methods)
    far = any(one.distance is not None for one in methods)
    header = ["Method", "Kept", "Shared"] + ["Hallucinated"] * known + ["Distance"] * far
    rows = [
        [one.name, f"{one.kept:,}", f"{one.shared:,}"]
        + [_or_dash(one.hallucinated, ".1%")] * known
        + [_or_dash(one.distance, ".3f")] * far
        for one in methods
    ]
    said = "The first is this run. Shared: rows that this run keeps too."
    said += " Hallucinated: share of the kept." if known else ""
    said += " Distance: of all rows to the nearest kept one, on average; less is more diverse." if far else ""
    return [Table(header, rows, said, frozenset(range(1, len(header))))]


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _lengths(facts: InstructFacts) -> list[Block]:
    blocks: list[Block] = []
    for column, name in enumerate(("request", "response")):
        lengths = facts.lengths[:, column]
        drawn = np.minimum(lengths, np.quantile(lengths, 0.99))
        said = f"On average {lengths.mean():,.0f} characters before"
        said += f" and {lengths[facts.kept].mean():,.0f} after" if facts.kept.any() else ""
        said += "; the longest 1% are drawn at the end."
        figure = histogram({"all": drawn, "kept": drawn[facts.kept]}, unit=f"characters of the {name}")
        blocks.append(Figure(figure, f"The {name}", said))
    return blocks


def _copies(facts: InstructFacts) -> list[Block]:
    if not facts.exact_copies and not facts.near_copies:
        return []
    said = f"Rows that say the same as an earlier one, spaces aside: {facts.exact_copies:,}. "
    said += f"Rows that are nearly the same by their embeddings: {facts.near_copies:,}."
    rows = [
        (beginning(copy, _CELL), beginning(original, _CELL), f"{like:.3f}", _kind(copy, original))
        for copy, original, like in facts.copies
    ]
    header = ("Row", "Repeats", "Likeness", "Copy")
    return _with_table(said, header, rows, "Some pairs, the most alike first.", {2, 3})


def _kind(copy: str, original: str) -> str:
    return "exact" if copy.split() == original.split() else "near"


def _problems(facts: InstructFacts) -> list[Block]:
    if not facts.problems:
        return []
    rows = [(f"{row:,}", beginning(reason, _CELL)) for row, reason in facts.problems[:_PROBLEMS]]
    said = f"{len(facts.problems):,} rows of the file are left out; problems.parquet has all."
    shown = "All of them." if len(rows) == len(facts.problems) else f"The first {_PROBLEMS}."
    return _with_table(said, ("Row of the file", "Why"), rows, shown, {0})


def _with_table(
    said: str, header: Sequence[str], rows: Sequence[Sequence[str]], caption: str, numbers: set[int]
) -> list[Block]:
    return [Text(said), Table(header, rows, caption, frozenset(numbers))] if rows else [Text(said)]
