"""Slow and obvious versions of what the teacher's room computes."""

import itertools


def written(groups):
    """Groups of equals, best first, as a teacher should write them: [[2], [0, 1]] -> "[3] > [1] = [2]"."""
    return " > ".join(" = ".join(f"[{position + 1}]" for position in group) for group in groups)


def borda(votes, n):
    """Points of each position over (groups, dropped) votes, by comparing each pair in each vote."""
    points = [0.0] * n
    for groups, dropped in votes:
        level = {position: depth for depth, group in enumerate([*groups, dropped]) for position in group}
        for one, other in itertools.permutations(range(n), 2):
            points[one] += 1.0 if level[one] < level[other] else 0.5 if level[one] == level[other] else 0.0
    return points


def sent_within_a_minute(times, now):
    """How many of the times lie less than a minute back."""
    return sum(1 for time in times if now - 60 < time <= now)
