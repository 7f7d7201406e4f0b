"""The number of threads of a decode step is the one with which it is fastest, and large models keep all."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pipeline.generation.threads import fastest_num_threads


class Machine:
    """A clock that a step moves on by as much as it takes with the threads that it has."""

    def __init__(self, seconds: Mapping[int, float]) -> None:
        self.seconds = seconds
        self.now = 0.0
        self.num_threads = 0
        self.tried: list[int] = []

    def set_num_threads(self, number: int) -> None:
        self.num_threads = number
        self.tried.append(number)

    def step(self) -> None:
        self.now += self.seconds[self.num_threads]

    def choose(self, most: int) -> int:
        return fastest_num_threads(self.step, most, self.set_num_threads, clock=lambda: self.now)


@pytest.mark.parametrize(
    ("seconds", "fastest"),
    [
        ({8: 0.04, 4: 0.02, 2: 0.01, 1: 0.02}, 2),
        ({8: 0.01, 4: 0.02, 2: 0.03, 1: 0.05}, 8),
        ({8: 0.09, 4: 0.04, 2: 0.03, 1: 0.01}, 1),
    ],
)
def test_the_fastest_number_of_threads_is_chosen(seconds: Mapping[int, float], fastest: int) -> None:
    assert Machine(seconds).choose(most=8) == fastest


def test_a_large_model_keeps_all_threads_and_is_not_measured_with_fewer() -> None:
    machine = Machine({8: 3.0})
    assert machine.choose(most=8) == 8
    assert machine.tried == [8]


def test_a_number_with_which_steps_become_slow_ends_the_search() -> None:
    assert Machine({4: 0.2, 2: 0.3}).choose(most=4) == 4
