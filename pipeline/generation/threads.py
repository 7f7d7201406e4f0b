"""Threads: over how many processors a step of decoding is spread, which is measured on the weights themselves.

A step is a hundred small products, each of which ends in the threads' waiting for each other. On two processors that
cost more than it brought, by half, for a model of 30 million parameters (`bench/RESULTS.md`); for a large one it pays.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

NUM_STEPS = 7
SLOW_STEP_SECONDS = 0.25
"""A step that takes as long is one of large products, which every thread helps with; to measure it would be slow."""


def fastest_num_threads(
    step: Callable[[], object],
    most: int,
    set_num_threads: Callable[[int], object],
    clock: Callable[[], float] = time.perf_counter,
) -> int:
    """The number of threads, `most` or a half or a quarter of it and so on, with which a step takes the least time.

    Args:
        step: Does one step.
        set_num_threads: Says how many threads the next step has.
    """

    def seconds_of_a_step() -> float:
        started = clock()
        step()
        return clock() - started

    best, best_seconds, number = most, float("inf"), most
    while number >= 1:
        set_num_threads(number)
        if seconds_of_a_step() > SLOW_STEP_SECONDS:  # also what warms up
            break
        seconds = statistics.median(seconds_of_a_step() for _ in range(NUM_STEPS))
        if seconds < best_seconds:
            best, best_seconds = number, seconds
        number //= 2
    return best
