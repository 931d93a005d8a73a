"""Timing of two sides in turn."""

import statistics
import time


def in_turn(runs, **sides):
    """Median seconds of each side, taken in turn so that a drift of the machine meets all of them."""
    seconds = {name: [] for name in sides}
    for _ in range(runs):
        for name, work in sides.items():
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}
