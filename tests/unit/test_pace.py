"""Pace: a word is due once its time has passed, and not before."""

from __future__ import annotations

from pipeline.pace import Pace


def test_a_word_is_due_only_when_its_time_has_passed() -> None:
    hourly, steady = Pace(seconds=3600), Pace(seconds=0)
    assert [hourly.is_due(), hourly.is_due()] == [False, False]
    assert [steady.is_due(), steady.is_due()] == [True, True]
    steady._seconds = 3600
    assert not steady.is_due(), "the clock starts anew at each word"
