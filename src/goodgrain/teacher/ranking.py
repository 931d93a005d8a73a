"""What a teacher's answer means: `[3] > [1] = [2]`, best first, the others dropped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from goodgrain.checks import check_count
from goodgrain.errors import InputError

_ID = r"\[\s*[0-9]+\s*\]"
_SPACE = r"[^\S\n]*"  # within a line
_CHAIN = re.compile(rf"{_ID}(?:{_SPACE}(?:>+|=+)\s*{_ID})*")  # after a link, the chain may go on in the next line
_TAG = re.compile(r"<(/?)(?:think|thinking|thought|reasoning|analysis|reflection|scratchpad)\b[^<>]*>", re.IGNORECASE)
_MARKUP = re.compile(r"[*_`$\\]")
_CUT = re.compile(r"(?:\[\s*[0-9]*|\]\s*[>=]+[\s.…]*)$")
_LABEL = r"(?:final|ranking|ranked|rank|answer|output|result|order|keep|kept|best|winner|only|the|my|is|so)"
_LABELS = re.compile(rf"\W*(?:{_LABEL}\b\W*)*", re.IGNORECASE)
_NONE = re.compile(
    rf"\W*(?:{_LABEL}\b\W*)*none(?:\s+of\s+(?:them|these|those|the\s+(?:above|instructions)))?\W*", re.IGNORECASE
)
_SET_ASIDE = re.compile(
    r"\W*(?:drop|dropped|exclude|excluded|remove|removed|omit|omitted|discarded|rejected|unranked|non-?factual)\b"
    r"(?:\W+\w+){0,3}\W*",
    re.IGNORECASE,
)
_JOINT = r"(?:[^\w\s\[\]()<>\"'.:;]|and\b|or\b)"
# A chain that goes on in a form that was not asked for must not pass for a shorter one: `[3] > 1`, `[3] > [1], [2]`.
_LINK_AFTER = re.compile(rf"{_SPACE}(?:>|<(?![/A-Za-z])|=(?!\s*[A-Za-z]))")
_LINK_BEFORE = re.compile(rf"[0-9\]]{_SPACE}[>=<]+{_SPACE}$")
_JOINED_AFTER = re.compile(rf"{_SPACE}{_JOINT}[^\w\n\[\](]*{_ID}[^\w\n\[]*$")
_JOINED_BEFORE = re.compile(rf"{_ID}{_SPACE}{_JOINT}{_SPACE}$")
_NEAR = 200  # characters of a line beside a chain that are looked at
_SIGHT = 40  # of these, where another number may be joined to it


@dataclass(frozen=True)
class Ranking:
    """An order of n instructions by their 0-based positions.

    Args:
        order: best first, flat.
        ties: the groups of equals within the order, each in the order written.
        dropped: what the teacher left out, ascending.
        problems: sentences about what was wrong with the answer; of a malformed one, why.

    Example:
        >>> Ranking(order=(2, 0), dropped=(1,)).malformed
        False
    """

    order: tuple[int, ...] = ()
    ties: tuple[tuple[int, ...], ...] = ()
    dropped: tuple[int, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def malformed(self) -> bool:
        """Whether the answer says nothing: neither an order nor that all are dropped."""
        return not self.order and not self.dropped

    def renamed(self, names: Sequence[int]) -> Ranking:
        """The same ranking with names[p] for position p, as from the order shown back to the order of the rows."""
        ties = tuple(tuple(names[p] for p in tie) for tie in self.ties)
        dropped = tuple(sorted(names[p] for p in self.dropped))
        return Ranking(tuple(names[p] for p in self.order), ties, dropped, self.problems)


def parse_ranking(text: str, n: int, *, truncated: bool = False) -> Ranking:
    """Read a teacher's answer of the form `[3] > [1] = [2]` (section 6.3.2, figure 6.3).

    The last chain counts: bracketed numbers joined by `>` or, between equals, `=`. A number on its own is a chain of
    one where it stands alone in its line or where the answer names no other. Prose, reasoning blocks (`<think>`,
    closed or not) and lines such as "Dropped: [2]" are passed over. Left out of the chain means dropped; that all are
    dropped must be said: a line "none". Of a number that comes twice the first place counts; a number out of range
    is left out; both are told in `problems`. An answer that was cut off drops nothing: it is malformed, like one
    without a chain or with a chain that goes on in another form (`[3] > 1`): no order, nothing dropped.

    Args:
        text: the answer, any text.
        n: how many instructions were shown as [1] to [n].
        truncated: the server said that it cut the answer (finish reason "length").

    Returns:
        Ranking of 0-based positions.

    Raises:
        InputError: n is no whole number of at least 1.

    Example:
        >>> parse_ranking("<think>[1] looks wrong</think>Ranking: [3] > [2]", 3)
        Ranking(order=(2, 1), ties=(), dropped=(0,), problems=())
    """
    n = check_count("n", n)
    answer = _MARKUP.sub("", without_reasoning(text))
    if truncated or _CUT.search(answer.rstrip()[-100:]):
        return Ranking(problems=("the answer was cut off.",))
    chain = _last_chain(answer)
    if isinstance(chain, Ranking):
        return chain
    return _read(chain, n) if chain else Ranking(dropped=tuple(range(n)))


def without_reasoning(text: str) -> str:
    """The text outside of reasoning blocks; nothing counts after one without an end, or before one without a start."""
    kept: list[str] = []
    start, inside = 0, False
    for tag in _TAG.finditer(text):
        if not tag[1]:
            if not inside:
                kept.append(text[start : tag.start()])
            inside = True
            continue
        if not inside:
            kept.clear()
        start, inside = tag.end(), False
    return "".join(kept) if inside else "".join(kept) + text[start:]


def _last_chain(answer: str) -> str | Ranking:
    """The chain that counts; "" where the answer says that none is left; a malformed ranking where it says neither."""
    found: list[tuple[str, int, bool]] = []  # text, end, broken
    mentioned: dict[int, str] = {}
    for match in _CHAIN.finditer(answer):
        chain, lone = match[0], _is_lone(match[0])
        before = answer[max(0, match.start() - _NEAR) : match.start()].rpartition("\n")[2]
        after = answer[match.end() : match.end() + _NEAR].partition("\n")[0]
        if _SET_ASIDE.fullmatch(before):
            continue
        broken = bool(_LINK_AFTER.match(after) or _LINK_BEFORE.search(before[-_SIGHT:]))
        if not lone:
            broken |= bool(_JOINED_AFTER.match(after) or _JOINED_BEFORE.search(before[-_SIGHT:]))
        if broken or not lone or (_LABELS.fullmatch(before) and _LABELS.fullmatch(after)):
            found.append((chain, match.end(), broken))
        else:
            mentioned[_numbers(chain)[0]] = chain
    none_at = _line_that_says_none(answer)
    if not found:
        if none_at is not None:
            return ""
        if len(mentioned) == 1:
            return next(iter(mentioned.values()))
        said = "names several instructions but ranks none" if mentioned else "holds no ranking"
        return Ranking(problems=(f"the answer {said}.",))
    chain, end, broken = found[-1]
    if broken:
        return Ranking(problems=("the ranking goes on in a form that was not asked for.",))
    if none_at is not None and none_at >= end:
        return Ranking(problems=("the answer ranks instructions and then says none.",))
    if _is_lone(chain) and len(found) > 1 and _is_lone(found[-2][0]) and _numbers(found[-2][0]) != _numbers(chain):
        return Ranking(problems=("the answer lists instructions without ranking them.",))
    return chain


def _is_lone(chain: str) -> bool:
    return chain.count("[") == 1


def _numbers(chain: str) -> list[int]:
    """The numbers as written; one of very many digits as 0, which is out of range like itself."""
    digits = [number.lstrip("0") for number in re.findall(r"[0-9]+", chain)]
    return [int(number) if 0 < len(number) < 10 else 0 for number in digits]


def _line_that_says_none(answer: str) -> int | None:
    """Where the last line begins that holds nothing but "none"; None where no line does."""
    at, last = 0, None
    for line in answer.split("\n"):
        if _NONE.fullmatch(line) and not _SET_ASIDE.fullmatch(line):
            last = at
        at += len(line) + 1
    return last


def _read(chain: str, n: int) -> Ranking:
    order: list[int] = []
    ties: list[tuple[int, ...]] = []
    repeated: list[int] = []
    outside = 0
    for group in re.split(">+", chain):
        equals: list[int] = []
        for number in _numbers(group):
            if not 1 <= number <= n:
                outside += 1
            elif number - 1 in order:
                repeated.append(number)
            else:
                order.append(number - 1)
                equals.append(number - 1)
        if len(equals) > 1:
            ties.append(tuple(equals))
    problems = [f"[{number}] comes twice; its first place counts." for number in dict.fromkeys(repeated)]
    if outside:
        problems.append(f"{outside} of the numbers are outside of [1] to [{n}].")
    if not order:
        return Ranking(problems=tuple(problems))
    ranked = set(order)
    dropped = tuple(position for position in range(n) if position not in ranked)
    return Ranking(tuple(order), tuple(ties), dropped, tuple(problems))


def combine_rankings(rankings: Sequence[Ranking], n: int) -> Ranking:
    """One ranking of several by Borda count: a point for each instruction ranked below, half a point for each equal.

    What a ranking drops stands below all that it ranks, equal among itself. What more than half of them drop is
    dropped. Malformed rankings have no vote. Equal points are a tie: what was dropped less often comes first, then the
    lower position.

    Args:
        rankings: of the same n instructions, each over 0..n-1.
        n: how many instructions there are.

    Returns:
        Ranking; malformed where all are, with their problems.

    Raises:
        InputError: no ranking, or one that does not rank or drop each of 0..n-1 once.

    Example:
        >>> combine_rankings([Ranking((0, 1), dropped=(2,)), Ranking((1, 0, 2)), Ranking((1, 2, 0))], 3)
        Ranking(order=(1, 0, 2), ties=(), dropped=(), problems=())
    """
    n = check_count("n", n)
    votes = [ranking for ranking in rankings if not ranking.malformed]
    if not rankings:
        raise InputError("there is no ranking to combine. Give at least one.")
    for vote in votes:
        if sorted(vote.order + vote.dropped) != list(range(n)):
            raise InputError(f"a ranking should rank or drop each of 0..{n - 1} once; {vote} does not.")
    problems = tuple(dict.fromkeys(problem for ranking in rankings for problem in ranking.problems))
    if not votes:
        return Ranking(problems=problems)
    points = [0] * n  # doubled, so that halves are whole
    for vote in votes:
        below = n
        for level in _levels(vote):
            below -= len(level)
            for position in level:
                points[position] += 2 * below + len(level) - 1
    drops = [sum(position in vote.dropped for vote in votes) for position in range(n)]
    kept = [position for position in range(n) if 2 * drops[position] <= len(votes)]
    order = tuple(sorted(kept, key=lambda position: (-points[position], drops[position], position)))
    groups: dict[int, list[int]] = {}
    for position in order:
        groups.setdefault(points[position], []).append(position)
    ties = tuple(tuple(group) for group in groups.values() if len(group) > 1)
    return Ranking(order, ties, tuple(p for p in range(n) if p not in order), problems)


def _levels(ranking: Ranking) -> list[tuple[int, ...]]:
    """Groups of equals, best first; what was dropped is the last."""
    tie_of = {position: tie for tie in ranking.ties for position in tie}
    levels = list(dict.fromkeys(tie_of.get(position, (position,)) for position in ranking.order))
    return [*levels, ranking.dropped] if ranking.dropped else levels
