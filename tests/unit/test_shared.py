"""What many ask for at once is made once, and never older than what this process has written."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from store.database import writing
from store.schema import Person
from webapp.shared import Shared

FOR_EVER = 3600.0


class Counter:
    """Counts how often it was made; what was made before is handed in."""

    def __init__(self) -> None:
        self.handed: list[int | None] = []

    def make(self, before: int | None) -> int:
        self.handed.append(before)
        return len(self.handed)


def test_what_is_young_enough_is_not_made_again() -> None:
    shared, counter = Shared[int](FOR_EVER), Counter()
    assert [shared.get("k", counter.make) for _ in range(3)] == [1, 1, 1]
    assert shared.get("other", counter.make) == 2


def test_what_is_too_old_is_made_from_what_it_was() -> None:
    shared, counter = Shared[int](0.0), Counter()
    assert [shared.get("k", counter.make) for _ in range(3)] == [1, 2, 3]
    assert counter.handed == [None, 1, 2]


@pytest.mark.usefixtures("home")
def test_what_this_process_writes_is_seen_at_once() -> None:
    shared, counter = Shared[int](FOR_EVER), Counter()
    shared.get("k", counter.make)
    with writing() as session:
        session.add(Person(name="Ada", token_sha256="a" * 64))
    assert shared.get("k", counter.make) == 2


@pytest.mark.usefixtures("home")
def test_what_was_written_while_it_was_made_is_not_missed() -> None:
    shared, counter = Shared[int](FOR_EVER), Counter()

    def make_while_somebody_writes(before: int | None) -> int:
        with writing() as session:
            session.add(Person(name="Ada", token_sha256="a" * 64))
        return counter.make(before)

    shared.get("k", make_while_somebody_writes)
    assert shared.get("k", counter.make) == 2


def test_of_many_who_ask_at_once_one_makes_it_and_the_others_wait() -> None:
    shared, counter = Shared[int](FOR_EVER), Counter()
    all_ask = threading.Barrier(8)

    def ask(number: int) -> int:
        all_ask.wait()
        return shared.get("k", counter.make)

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(ask, range(8))) == [1] * 8


def test_an_error_is_told_and_not_kept() -> None:
    shared, counter = Shared[int](FOR_EVER), Counter()

    def fail(before: int | None) -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        shared.get("k", fail)
    assert shared.get("k", counter.make) == 1


def test_what_was_asked_for_longest_ago_is_let_go() -> None:
    shared, counter = Shared[int](FOR_EVER, most=2), Counter()
    for key in ("a", "b", "a", "c"):
        shared.get(key, counter.make)
    assert [shared.get(key, counter.make) for key in ("a", "c", "b")] == [1, 3, 4]
