"""Figures say what they are, in as many digits as mean something."""

from datetime import UTC, datetime, timedelta

import pytest

from webapp.formatting import ago, compact, counted, duration, file_size, label_of, number, when

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0, "0"),
        (12345, "12\u202f345"),
        (1.23456, "1.23"),
        (0.5, "0.500"),
        (-0.867, "-0.867"),
        (0.00021349, "2.13e-4"),
        (4321.7, "4\u202f322"),
        (99.96, "100"),
    ],
)
def test_numbers_have_three_digits_that_mean_something(value: float | None, words: str) -> None:
    assert number(value) == words


def test_counts_are_short_and_keep_their_noun() -> None:
    assert compact(29_400_000) == "29.4\u00a0M"
    assert compact(7_620_000_000) == "7.62\u00a0B"
    assert counted(1, "row") == "1 row"
    assert counted(999, "row") == "999 rows"


def test_sizes_have_units() -> None:
    assert file_size(512) == "512\u00a0B"
    assert file_size(58_900_000) == "58.9\u00a0MB"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.214, "0.210\u00a0s"),
        (48.2, "48\u00a0s"),
        (200, "3\u00a0min 20\u00a0s"),
        (7500, "2\u00a0h 5\u00a0min"),
        (3600, "1\u00a0h"),
    ],
)
def test_durations_have_at_most_two_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_moments_are_relative_for_a_week_and_dates_after_that() -> None:
    assert ago(NOW - timedelta(minutes=3), NOW) == "3\u00a0min ago"
    assert ago(NOW - timedelta(days=8), NOW) == "26 Apr 2026"
    assert 'title="2026-05-04 12:00:00 UTC"' in when(NOW, NOW)


def test_a_field_name_becomes_words() -> None:
    assert label_of("learning_rate") == "Learning rate"
    assert label_of("num_epochs") == "Epochs"
