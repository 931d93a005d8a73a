"""Slow and obvious versions of how OOD images are shared out and drawn."""

from fractions import Fraction


def apportion(total, shares):
    """One image at a time to whoever is farthest below its exact share, the earlier one of equals."""
    exact = [Fraction(total) * share / sum(shares) for share in shares]
    given = [0] * len(shares)
    for _ in range(total):
        below = [want - have for want, have in zip(exact, given, strict=True)]
        given[below.index(max(below))] += 1
    return given


def largest_total(sizes, shares):
    """Count up as long as nobody's exact share is more than there is."""
    total = 0
    while all(Fraction(total + 1) * share / sum(shares) <= size for size, share in zip(sizes, shares, strict=True)):
        total += 1
    return total
