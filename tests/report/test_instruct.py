"""What the report of an instruction selection says: numbers that a reader can check by hand."""

import re

import numpy as np
import pytest
from tests.report.instruct_toys import NASTY, N, make
from tests.report.reading import figures, headings, table, texts, titles

from goodgrain.errors import InputError
from goodgrain.report.html import Row
from goodgrain.report.instruct import Answers, Cost, Other, instruct_report

SECTIONS = (
    "In brief",
    "What was kept, and what was dropped",
    "Clusters",
    "The teacher",
    "Hallucinated responses",
    "Beside other methods",
    "Lengths",
    "Copies",
    "Rows that cannot be used",
    "Settings",
)


def searched(page):
    """What the table of rows is filled from."""
    return next(found for found in figures(page) if "rows" in found)


def facts_of(page):
    """Label -> (number, note) of the numbers in brief."""
    found = re.findall(r"<dt>(.*?)</dt><dd>(.*?)(?: <small>(.*?)</small>)?</dd>", page)
    return {label: (number, note) for label, number, note in found}


def test_every_section_shows_what_it_has():
    page = instruct_report(make())
    assert headings(page) == SECTIONS
    assert titles(page) == ["Rows", "The map", "Sizes", "Where the winners stood", "The request", "The response"]
    assert "FP-Instruction keeps 10 of 40 instructions. Hallucinated responses: 25.0% before, 10.0% among" in page


def test_sections_without_content_are_left_out():
    bare = make(
        teacher="", command="", settings=[], rows=[], words={}, sizes=np.zeros(0, int), answers=None, cost=None,
        points=np.zeros((0, 2)), point_rows=np.zeros(0, int), point_texts=[], exact_copies=0, near_copies=0, copies=[],
        hallucinated=None, ours=None, others=[], problems=[],
    )  # fmt: skip
    page = instruct_report(bare)
    assert headings(page) == ("In brief", "Lengths")
    assert facts_of(page) == {
        "Rows read": ("40", "all can be used"),
        "Kept": ("10", "25.0% of 40"),
        "Dropped": ("30", ""),
    }


def test_the_numbers_that_matter_by_hand():
    assert facts_of(instruct_report(make())) == {
        "Rows read": ("41", "1 cannot be used"),
        "Kept": ("10", "25.0% of 40"),
        "Dropped": ("30", ""),
        "Hallucinated": ("10.0%", "25.0% before"),
        "Clusters": ("10", "of 4.0 rows on average"),
        "Copies": ("1", "exact; 2 near"),
        "Spent": ("$0.25", "at most $0.0020 lost; cap $5.00"),
        "Calls": ("13", "1,234 tokens"),
        "Unreadable answers": ("1", "3 at first; 2 cut"),
    }


@pytest.mark.parametrize(
    ("spent", "said", "exact"),
    [
        (None, "not known", "not known: no prices were given"),
        (0.0004, "under $0.01", "$0.0004"),
        (0.0, "$0.00", "$0.0000"),
        (1234.5, "$1,234.50", "$1,234.50"),
    ],
)
def test_money_is_rough_in_brief_and_exact_below(spent, said, exact):
    page = instruct_report(make(cost=Cost(13, 1200, 34, spent)))
    assert facts_of(page)["Spent"] == (said, "")
    assert table(page, "What it took, earlier tries included.")[-2:] == [("spent", exact), ("cap", "none")]


def test_what_the_teacher_took_and_how_it_answered():
    page = instruct_report(make())
    assert table(page, "What it took, earlier tries included.")[1:] == [
        ("calls", "13"),
        ("tokens of prompts", "1,200"),
        ("tokens of answers", "34"),
        ("spent", "$0.2500"),
        ("at most lost in calls that broke off", "$0.0020"),
        ("cap", "$5.00"),
    ]
    assert table(page, "What became of the clusters.")[1:] == [
        ("ranked", "9", "the best row is kept"),
        ("medoid", "1", "no answer could be read, and the row nearest to the center is kept"),
    ]
    assert [row[1] for row in table(page, "How the teacher answered.")[1:]] == ["3", "1", "2"]


def test_an_offline_baseline_has_no_answers_to_misread():
    none = np.zeros(0, dtype=np.int64)
    teacher = "length, an offline baseline"
    page = instruct_report(make(teacher=teacher, cost=None, answers=Answers({"ranked": 10}, 0, 0, 0, none, none)))
    assert "The teacher is length, an offline baseline." in page
    assert "How the teacher answered." not in page
    assert "Where the winners stood" not in titles(page)
    assert "Unreadable answers" not in facts_of(page)


def test_rows_are_embedded_with_verdict_and_words():
    found = searched(instruct_report(make()))
    assert len(found["rows"]) == N
    assert found["rows"][5] == [0, 1, 2, "Request 5?", "Response 5.", "why 5", "id-5"]
    assert found["words"]["1"] == ["words on 1"]


def test_a_long_text_is_cut_and_says_so():
    row = Row(True, 0, 1, "q" * 1501, "r" * 1500, "", "id")
    one, *_ = searched(instruct_report(make(rows=[row], words={0: ["w" * 9000]})))["rows"]
    assert one[3] == "q" * 1500 + " … (cut here; the data has the whole text)"
    assert one[4] == "r" * 1500


def test_a_row_of_a_megabyte_costs_kilobytes():
    small, long = "a", "\u202e<&" * 350_000
    pair = [Row(True, 0, 1, text, text, text, "id") for text in (small, long)]
    sizes = [len(instruct_report(make(rows=[row], copies=[(row.why, "b", 0.9)])).encode()) for row in pair]
    assert sizes[1] - sizes[0] < 100_000


def test_a_sample_of_rows_says_what_it_is():
    assert "Every row with the verdict on it." in instruct_report(make())
    part = make().rows[:8]
    drawn = "8 of 40 rows, whole clusters drawn at random; selection.parquet has all."
    assert drawn in instruct_report(make(rows=part))
    free = make(rows=part, sizes=np.zeros(0, dtype=np.int64), answers=None)
    page = instruct_report(free)
    assert "8 of 40 rows, drawn at random; selection.parquet has all." in page
    assert 'name="group"' not in page


def test_hallucinated_rows_are_counted_and_compared_with_chance():
    # Of 40 rows 10, of the 10 kept 1, so of the 30 dropped 9; 2 sqrt(1/4 3/4 / 10 * 30 / 39) = 0.240.
    page = instruct_report(make())
    assert table(page, "By the labels that came with the data.")[1:] == [
        ("all", "40", "10", "25.0%"),
        ("kept", "10", "1", "10.0%"),
        ("dropped", "30", "9", "30.0%"),
    ]
    assert "Keeping 10 rows at random would leave 25.0% of them hallucinated, give or take 24.0%" in page


def test_keeping_every_row_drops_none_to_count():
    page = instruct_report(make(kept=np.ones(N, dtype=bool), hallucinated=(0.25, 0.25)))
    assert [row[0] for row in table(page, "By the labels that came with the data.")[1:]] == ["all", "kept"]


def test_a_teacher_that_drops_all_leaves_a_page():
    page = instruct_report(make(kept=np.zeros(N, dtype=bool), hallucinated=None))
    assert "keeps 0 of 40" in page
    assert "On average 30 characters before; the longest 1% are drawn at the end." in page


def test_other_methods_stand_below_this_run():
    caption = "less is more diverse."
    assert table(instruct_report(make()), caption) == [
        ("Method", "Kept", "Shared", "Hallucinated", "Distance"),
        ("FP-Instruction", "10", "10", "10.0%", "0.500"),
        ("random", "10", "3", "30.0%", "0.750"),
        ("a list", "8", "2", "-", "-"),
    ]
    plain = make(ours=Other("mine", 10, 10), others=[Other("random", 10, 3)])
    assert table(instruct_report(plain), "rows that this run keeps too.")[0] == ("Method", "Kept", "Shared")


def test_lengths_before_and_after():
    # Requests are 10..49 characters long, those kept 10, 14, ..., 46.
    page = instruct_report(make())
    assert "On average 30 characters before and 28 after" in page
    counts = [found for found in figures(page) if "characters of the response" in texts_of(found)]
    assert [sum(bar[0] for bar in trace["customdata"]) for trace in counts[0]["data"]] == [40, 10]


def texts_of(figure):
    return set(texts(figure["layout"])) if "layout" in figure else set()


def test_copies_are_told_apart():
    page = instruct_report(make())
    assert "spaces aside: 1. Rows that are nearly the same by their embeddings: 2." in page
    assert [row[2:] for row in table(page, "Some pairs, the most alike first.")[1:]] == [
        ("1.000", "exact"),
        ("0.960", "near"),
    ]


def test_a_hundred_problems_stand_for_all():
    page = instruct_report(make(problems=[(i, "no text") for i in range(101)]))
    assert "101 rows of the file are left out; problems.parquet has all." in page
    assert len(table(page, "The first 100.")) == 101


def test_the_same_facts_make_the_same_text():
    assert instruct_report(make()) == instruct_report(make())


def test_the_map_says_how_many_rows_it_shows():
    assert "Each point is one of 20 rows drawn at random" in instruct_report(make())


def test_a_page_says_whether_places_matter():
    def said(won, expected):
        answers = Answers({}, 0, 0, 0, np.array(won), np.array(expected))
        return instruct_report(make(answers=answers))

    assert "within chance (chi-square 0.2, degrees of freedom 1, p 0.655)." in said([11, 9], [10.0, 10.0])
    beyond = "beyond chance (chi-square 20.0, degrees of freedom 1, p less than 0.001): the teacher goes by the place"
    assert beyond in said([20, 0], [10.0, 10.0])
    assert "There are too few winners to tell whether places matter." in said([3, 0], [1.5, 1.5])


def test_embedded_rows_come_back_as_they_were():
    rows = [Row(True, 0, 1, text, text, text, text) for text in NASTY]
    page = instruct_report(make(rows=rows))
    embedded = [row[3:] for row in searched(page)["rows"]]
    assert embedded == [[text] * 4 for text in NASTY]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"kept": np.zeros(0, dtype=bool)}, "kept is empty: at least one row is needed."),
        ({"lengths": np.zeros((3, 2))}, "lengths has 3 rows, but there are 40 examples. Give one row per example."),
        ({"points": np.full((20, 2), np.nan)}, "points has NaN or infinite values in 20 of 20 rows"),
        ({"point_rows": np.arange(19)}, "point_rows has 19 rows, but there are 20 examples."),
        ({"point_rows": np.arange(21, 41)}, "point_rows should be 0..39; 40 is not."),
        ({"point_texts": ["a"]}, "point_texts has 1 rows, but there are 20 examples."),
        ({"kept": np.zeros(3, dtype=bool), "lengths": np.zeros((3, 2)), "points": np.zeros((0, 2)),
          "point_rows": np.zeros(0, int)}, "rows lists 40 rows, but there are 3. List each at most once."),
        ({"hallucinated": (0.1, 1.5)}, "hallucinated should be two shares in 0..1; (0.1, 1.5) came."),
    ],
)  # fmt: skip
def test_facts_that_contradict_each_other_are_refused(changes, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        make(**changes)


@pytest.mark.parametrize(
    ("won", "expected", "sentence"),
    [
        ([1, 2], [3.0], "expected has 1 rows, but there are 2 examples."),
        ([-1, 2], [0.5, 0.5], "won and expected should be counts: 0 or more."),
    ],
)
def test_counts_that_do_not_fit_are_refused(won, expected, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        Answers({}, 0, 0, 0, np.array(won), np.array(expected))
