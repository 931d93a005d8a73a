"""What answers mean: a corpus worked out by hand, and what holds for any text."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from goodgrain.errors import InputError
from goodgrain.teacher import Ranking, combine_rankings, parse_ranking
from oracles_teacher import borda, written

CUT = "the answer was cut off."
NO_RANKING = "the answer holds no ranking."
NO_ORDER = "the answer names several instructions but ranks none."
LIST = "the answer lists instructions without ranking them."
OTHER_FORM = "the ranking goes on in a form that was not asked for."
BOTH = "the answer ranks instructions and then says none."

# answer, n, order as written (1-based), ties (1-based)
WELL_FORMED = [
    ("[3] > [1] > [2]", 3, [3, 1, 2], []),
    ("[3]>[1]>[2]", 3, [3, 1, 2], []),
    ("  [3]  >  [1]\t>\u00a0[2]  \n", 3, [3, 1, 2], []),
    ("[ 3 ] > [01] > [2]", 3, [3, 1, 2], []),
    ("[3] >> [1] > [2]", 3, [3, 1, 2], []),
    ("[2] > [1]", 3, [2, 1], []),
    ("[1]", 1, [1], []),
    ("[2]", 3, [2], []),
    ("[3] = [1] > [2]", 3, [3, 1, 2], [[3, 1]]),
    ("[1] = [2] = [3]", 3, [1, 2, 3], [[1, 2, 3]]),
    ("[4] > [2] = [3] > [1] == [5]", 5, [4, 2, 3, 1, 5], [[2, 3], [1, 5]]),
    ("[10] > [9] > [1]", 10, [10, 9, 1], []),
    ("Ranking: [3] > [1] > [2]", 3, [3, 1, 2], []),
    ("Sure! Here is my ranking:\n\n[3] > [1] > [2]\n\nLet me know if you need more.", 3, [3, 1, 2], []),
    ("The final ranking is [3] > [1] > [2].", 3, [3, 1, 2], []),
    ("**[3]** > **[1]** > **[2]**", 3, [3, 1, 2], []),
    ("`[3] > [1] > [2]`", 3, [3, 1, 2], []),
    ("```\n[3] > [1] > [2]\n```", 3, [3, 1, 2], []),
    ("\\boxed{[3] > [1] > [2]}", 3, [3, 1, 2], []),
    ("$\\[3\\] > \\[1\\] > \\[2\\]$", 3, [3, 1, 2], []),
    ("<answer>[3] > [1] > [2]</answer>", 3, [3, 1, 2], []),
    ("<answer>[2]</answer>", 3, [2], []),
    ("> [3] > [1] > [2]", 3, [3, 1, 2], []),
    ("Ranking => [3] > [1]", 3, [3, 1], []),
    ('"[3] > [1] > [2]"', 3, [3, 1, 2], []),
    ('{"ranking": "[3] > [1] > [2]"}', 3, [3, 1, 2], []),
    ("[3] > [1] >\n[2]", 3, [3, 1, 2], []),
    ("[1] > [2] > [3]\nOn reflection:\n[3] > [1]", 3, [3, 1], []),
    ("First [1] > [2], but better [2] > [1]", 2, [2, 1], []),
    ("[1] > [2]\r\n[2] > [1]\r\n", 2, [2, 1], []),
    ("At first [1] > [2] > [3], yet [1] and [3] are wrong.\nAnswer: [2]", 3, [2], []),
    ("[3] > [1]\n[2] is not factual: Paris is not in Italy.", 3, [3, 1], []),
    ("[3] > [1]\nDropped: [2]", 3, [3, 1], []),
    ("[3] > [1]\nDropped instructions: [2], [4]", 4, [3, 1], []),
    ("[3] > [1] (I left out [2])", 3, [3, 1], []),
    ("[3] > [1], [2] is dropped", 3, [3, 1], []),
    ("[3] > [1]\nDropped: none", 3, [3, 1], []),
    ("Dropped [2] as it is wrong: [3] > [1]", 3, [3, 1], []),
    ("Only [2] is factual.", 3, [2], []),
    ("[2] is best; I repeat, [2] is best", 3, [2], []),
    ("Final answer: **[2]**.", 3, [2], []),
    ("[1]: fine\n[2]: made up\n[3]: fine\n\n[3] > [1]", 3, [3, 1], []),
    ("1. [3] is clear.\n2. 12 > 7 and 5 = 5.\n\n[1] > [3]", 3, [1, 3], []),
    ("There are 3 instructions; 1 > 2.\n[2] > [1]", 3, [2, 1], []),
    ("<think>[1] > [2]</think>[2] > [1]", 2, [2, 1], []),
    ("<think>\n[1] is wrong\n</think>\n\n[2]", 2, [2], []),
    ("<THINKING a='b'>[1] > [2]</Thinking> [2] > [1]", 2, [2, 1], []),
    ("[1] > [2] was my first thought.</think>[2] > [1]", 2, [2, 1], []),
    ("<think>a<think>b</think>[1]</think>[2] > [1]", 2, [2, 1], []),
    ("[2] > [1]<think>but perhaps [1] > [2]", 2, [2, 1], []),
    ("<reasoning>[1]</reasoning><answer>[2] > [1]</answer>", 2, [2, 1], []),
    ("\uff3b1\uff3d > \uff3b2\uff3d was quoted.\n[2] > [1]", 2, [2, 1], []),
    ("排名 [2] > [1]", 2, [2, 1], []),
    ("[2] > [1] 🎉", 2, [2, 1], []),
    ("none of the above matters: [2] > [1]", 2, [2, 1], []),
]

NONE = [
    ("none", 3),
    ("None.", 3),
    ("NONE", 1),
    ("[none]", 2),
    ("**None**", 2),
    ("Answer: none", 2),
    ("None of them.", 2),
    ("None of the instructions", 2),
    ("[1] is wrong, [2] is made up.\n\nnone", 2),
    ("<think>[1] > [2]</think>\nnone", 2),
]

MALFORMED = [
    ("", 3, NO_RANKING),
    ("   \n", 3, NO_RANKING),
    ("I cannot rank these.", 3, NO_RANKING),
    ("3 > 1 > 2", 3, NO_RANKING),
    ("(3) > (1) > (2)", 3, NO_RANKING),
    ("[] > []", 3, NO_RANKING),
    ("[a] > [b]", 2, NO_RANKING),
    ("[-1] > [1.5]", 2, NO_RANKING),
    ("\uff3b3\uff3d > \uff3b1\uff3d", 3, NO_RANKING),
    ("None of them are wrong.", 3, NO_RANKING),
    ("There is nonetheless no answer", 3, NO_RANKING),
    ("Dropped: [2]", 3, NO_RANKING),
    ("Dropped: none", 3, NO_RANKING),
    ("<think>[3] > [1]", 3, NO_RANKING),
    ("<think>[3] > [1]</think>", 3, NO_RANKING),
    ("[3] > [1]</think>", 3, NO_RANKING),
    ("[3], [1], [2]", 3, NO_ORDER),
    ("[3] is better than [1]", 3, NO_ORDER),
    ("1. [3]\n2. [1]\n3. [2]", 3, NO_ORDER),
    ("[3] -> [1] -> [2]", 3, NO_ORDER),
    ("[3]\n[1]\n[2]", 3, LIST),
    ("- [3]\n- [1]", 3, LIST),
    ("[3] > 1 > [2]", 3, OTHER_FORM),
    ("[3] > [2] > 1", 3, OTHER_FORM),
    ("1 > [3] > [2]", 3, OTHER_FORM),
    ("[3] > [1], [2]", 3, OTHER_FORM),
    ("[3] > [1] and [2]", 3, OTHER_FORM),
    ("[2] and [3] > [1]", 3, OTHER_FORM),
    ("[3] > [1] >= [2]", 3, OTHER_FORM),
    ("[3] > [1] < [2]", 3, OTHER_FORM),
    ("[3] > [1] \u2248 [2]", 3, OTHER_FORM),
    ("[3] > [1] > the others", 3, OTHER_FORM),
    ("[1] > [2]\nnone", 2, BOTH),
    ("[3] > [1] >", 3, CUT),
    ("[3] > [1] > [", 3, CUT),
    ("[3] > [1] > [2", 3, CUT),
    ("[3] > [1] > ...", 3, CUT),
    ("[3] > [1] =\n", 3, CUT),
    ("[3", 3, CUT),
]


def zero_based(groups):
    return tuple(tuple(number - 1 for number in group) for group in groups)


@pytest.mark.parametrize(("text", "n", "order", "ties"), WELL_FORMED)
def test_well_formed(text, n, order, ties):
    dropped = tuple(p for p in range(n) if p + 1 not in order)
    assert parse_ranking(text, n) == Ranking(*zero_based([order]), zero_based(ties), dropped)


@pytest.mark.parametrize(("text", "n"), NONE)
def test_none_is_said(text, n):
    assert parse_ranking(text, n) == Ranking(dropped=tuple(range(n)))


@pytest.mark.parametrize(("text", "n", "problem"), MALFORMED)
def test_malformed(text, n, problem):
    found = parse_ranking(text, n)
    assert found == Ranking(problems=(problem,))
    assert found.malformed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1] > [2] > [1]", Ranking((0, 1), (), (2,), ("[1] comes twice; its first place counts.",))),
        ("[1] = [1] > [3]", Ranking((0, 2), (), (1,), ("[1] comes twice; its first place counts.",))),
        ("[2] > [3] = [2] = [1]", Ranking((1, 2, 0), ((2, 0),), (), ("[2] comes twice; its first place counts.",))),
        ("[3] > [7] > [1]", Ranking((2, 0), (), (1,), ("1 of the numbers are outside of [1] to [3].",))),
        ("[0] > [2] > [1]", Ranking((1, 0), (), (2,), ("1 of the numbers are outside of [1] to [3].",))),
        ("[1] = [9] = [2]", Ranking((0, 1), ((0, 1),), (2,), ("1 of the numbers are outside of [1] to [3].",))),
        ("[4] > [5]", Ranking(problems=("2 of the numbers are outside of [1] to [3].",))),
        (f"[{'9' * 9000}] > [2]", Ranking((1,), (), (0, 2), ("1 of the numbers are outside of [1] to [3].",))),
    ],
)
def test_repeated_and_foreign_numbers_are_told(text, expected):
    assert parse_ranking(text, 3) == expected


def test_an_answer_that_the_server_cut_drops_nothing():
    assert parse_ranking("[3] > [1]", 3, truncated=True) == Ranking(problems=(CUT,))
    assert parse_ranking("none", 3, truncated=True) == Ranking(problems=(CUT,))


def test_n_has_to_be_a_count():
    with pytest.raises(InputError, match="n should be a whole number, at least 1; 0 came"):
        parse_ranking("[1]", 0)


PIECES = st.sampled_from(
    [
        "[1]",
        "[2]",
        "[3]",
        "[9]",
        "[",
        "]",
        " > ",
        "=",
        ">",
        "\n",
        "<think>",
        "</think>",
        "none",
        "Dropped: ",
        "and",
        "x",
    ]
)


@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=14).map("".join)), st.integers(1, 4), st.booleans())
@example("[\u0661] > [2]", 2, False)
def test_never_raises_and_never_invents(text, n, truncated):
    found = parse_ranking(text, n, truncated=truncated)
    if found.malformed:
        assert found == Ranking(problems=found.problems)
        assert found.problems
    else:
        assert sorted(found.order + found.dropped) == list(range(n))
        assert all(f"[{position + 1}]" in text for position in found.order)
    for tie in found.ties:
        start = found.order.index(tie[0])
        assert len(tie) > 1
        assert found.order[start : start + len(tie)] == tie


@st.composite
def groupings(draw, n=None):
    """(groups of equals best first, dropped, n)."""
    n = n or draw(st.integers(1, 9))
    shuffled = draw(st.permutations(range(n)))
    kept = draw(st.integers(1, n))
    cuts = sorted(draw(st.sets(st.integers(1, kept - 1)))) if kept > 1 else []
    bounds = [0, *cuts, kept]
    groups = [shuffled[a:b] for a, b in itertools.pairwise(bounds)]
    return groups, sorted(shuffled[kept:]), n


PROSE = st.sampled_from(["", "Here is my ranking.\n", "<think>[1] = [2]</think>", "[1] has a flaw.\n", "1 > 2\n"])


@given(groupings(), PROSE, st.sampled_from(["", ".", "\nI hope that this helps.", "\n[1] was hard to place."]))
def test_every_well_formed_chain_comes_back(problem, before, after):
    groups, dropped, n = problem
    found = parse_ranking(before + written(groups) + after, n)
    assert found.order == tuple(position for group in groups for position in group)
    assert found.ties == tuple(tuple(group) for group in groups if len(group) > 1)
    assert found.dropped == tuple(dropped)
    assert not found.problems


@pytest.mark.parametrize(
    "piece", ["[", "[1]", "[1] > ", "<think>", "</think>", "> ", " ", "\n", "none ", "[1] and ", "* "]
)
def test_long_answers_are_read_at_once(piece):
    parse_ranking(piece * 20_000, 3)


# --- combination


def ranking_of(groups, dropped):
    order = tuple(position for group in groups for position in group)
    return Ranking(order, tuple(tuple(group) for group in groups if len(group) > 1), tuple(dropped))


def test_borda_by_hand():
    # a > b > c gives 2, 1, 0; b > a > c gives 1, 2, 0; c > b > a gives 0, 1, 2: sums 3, 4, 2.
    votes = [Ranking((0, 1, 2)), Ranking((1, 0, 2)), Ranking((2, 1, 0))]
    assert combine_rankings(votes, 3) == Ranking((1, 0, 2))


def test_dropped_by_more_than_half():
    votes = [Ranking((0, 1)), Ranking((1,), dropped=(0,)), Ranking((1,), dropped=(0,))]
    assert combine_rankings(votes, 2) == Ranking((1,), dropped=(0,))
    # Half is not more than half: each has one point, and 1 was never dropped.
    assert combine_rankings(votes[:2], 2) == Ranking((1, 0), ((1, 0),))


def test_malformed_rankings_have_no_vote():
    bad = Ranking(problems=("cut.",))
    assert combine_rankings([bad, Ranking((1, 0))], 2) == Ranking((1, 0), problems=("cut.",))
    assert combine_rankings([bad, bad], 2) == bad


@given(st.integers(2, 6).flatmap(lambda n: st.lists(groupings(n), min_size=1, max_size=5)))
def test_borda_equals_the_count_by_pairs(problems):
    n = problems[0][2]
    votes = [(groups, dropped) for groups, dropped, _ in problems]
    found = combine_rankings([ranking_of(*vote) for vote in votes], n)
    points = borda(votes, n)
    assert sorted(found.order + found.dropped) == list(range(n))
    assert [points[p] for p in found.order] == sorted((points[p] for p in found.order), reverse=True)
    together = {p: tie for tie in found.ties for p in tie}
    for one, other in itertools.pairwise(found.order):
        assert (points[one] == points[other]) == (together.get(one, one) == together.get(other, other))
    assert found.dropped == tuple(p for p in range(n) if sum(p in dropped for _, dropped in votes) > len(votes) / 2)


@given(groupings())
def test_one_vote_is_its_own_combination(problem):
    groups, dropped, n = problem
    found = combine_rankings([ranking_of(groups, dropped)], n)
    assert [set(group) for group in groups] == [
        set(g) for g in dict.fromkeys(next((t for t in found.ties if p in t), (p,)) for p in found.order)
    ]
    assert found.dropped == tuple(dropped)


def test_what_cannot_be_combined():
    with pytest.raises(InputError, match="there is no ranking to combine"):
        combine_rankings([], 2)
    with pytest.raises(InputError, match=r"should rank or drop each of 0\.\.2 once"):
        combine_rankings([Ranking((0, 1))], 3)
