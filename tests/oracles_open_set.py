"""Slow and obvious versions of how many images an open-set pool takes from where."""

from fractions import Fraction


def ood_beside(own, share):
    """The count of OOD images whose share beside all IN images is nearest to the one asked for, the larger of two.

    Nearest in images: the count is compared with the exact number, which is no whole one.
    """
    exact = Fraction(str(share)) * own / (1 - Fraction(str(share)))
    return min(range(int(exact) + 2), key=lambda count: (abs(count - exact), -count))


def evenly(total, sizes):
    """One image at a time from whichever gave the fewest and has some left; of those the largest, then the last."""
    given = [0] * len(sizes)
    for _ in range(total):
        able = [place for place in range(len(sizes)) if given[place] < sizes[place]]
        place = min(able, key=lambda place: (given[place], -sizes[place], -place))
        given[place] += 1
    return given
