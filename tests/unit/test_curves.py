"""A thinned curve shows what all of its rows would: every spike, both ends, and after a resume the newer attempt."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from sqlalchemy import insert, update

from store.curves import MOST_BUCKETS, Curves, Point, read_curves, thin, width_for
from store.database import reading, writing
from store.schema import Job, Metric

JOB = 7


@pytest.fixture(autouse=True)
def job(home: Path) -> None:
    with writing() as session:
        session.add(Job(id=JOB, name="long", recipe="sft", spec={}, epoch=1))


def write(points: Iterable[Point], *, epoch: int = 1, name: str = "loss") -> None:
    rows = [{"job_id": JOB, "name": name, "step": step, "epoch": epoch, "value": value} for step, value in points]
    with writing() as session:
        session.execute(insert(Metric), rows)
        session.execute(update(Job).where(Job.id == JOB).values(epoch=epoch))


def read(known: Curves | None = None, names: Sequence[str] = ()) -> Curves:
    with reading() as session:
        return read_curves(session, JOB, names=names, known=known)


def noise(first: int, last: int, seed: int = 1) -> list[Point]:
    drawn = random.Random(seed)
    return [(step, drawn.choice((0.5, drawn.random()))) for step in range(first, last + 1)]


def test_a_spike_of_one_step_in_two_hundred_thousand_is_kept_with_both_ends() -> None:
    points = [(step, 1.0) for step in range(1, 200_001)]
    points[123_456] = (123_457, 9.0)
    points[54_320] = (54_321, -9.0)
    write(points)
    kept = read().points["loss"]
    assert len(kept) <= 4 * MOST_BUCKETS
    assert {(1, 1.0), (54_321, -9.0), (123_457, 9.0), (200_000, 1.0)} <= set(kept)
    assert [step for step, _ in kept] == sorted({step for step, _ in kept})


def test_a_short_series_is_kept_whole() -> None:
    write(noise(1, 1000))
    assert read().points["loss"] == noise(1, 1000)


def test_each_bucket_keeps_its_first_last_lowest_and_highest() -> None:
    bucket = [(8, 5.0), (9, 7.0), (10, 1.0), (11, 7.0), (12, 1.0), (13, 4.0), (14, 6.0), (15, 5.0)]
    assert thin([*bucket, (16, 3.0)], 8) == [(8, 5.0), (9, 7.0), (10, 1.0), (15, 5.0), (16, 3.0)]


@pytest.mark.parametrize("last", [255, 1023, 1024, 5000, 1_000_000])
def test_a_series_has_at_most_four_points_for_each_bucket(last: int) -> None:
    width = width_for(last)
    assert min(last // width + 1, last + 1) * min(width, 4) <= 4 * MOST_BUCKETS


def test_the_database_keeps_what_thinning_all_rows_that_count_would() -> None:
    write(noise(1, 3000))
    write(noise(2500, 4000, seed=2), epoch=2)
    write(noise(3700, 3900, seed=3), epoch=3)
    counting = dict(noise(1, 3000)) | dict(noise(2500, 4000, seed=2)) | dict(noise(3700, 3900, seed=3))
    assert read().points["loss"] == thin(sorted(counting.items()), width_for(4000))


def test_what_is_read_on_is_the_same_as_what_is_read_anew() -> None:
    known = None
    for last in range(400, 4001, 400):  # across several widths of bucket
        write(noise(1, 4000)[last - 400 : last])
        known = read(known)
        assert known.points == read().points
    assert known is not None
    write(noise(3500, 3600, seed=2), epoch=2)
    for last in (3700, 4100, 5000):
        known = read(known)
        assert known.points == read().points
        write(noise(last - 99, last, seed=last), epoch=2)
    assert read(known).points == read().points


def test_reading_on_leaves_a_series_alone_that_has_no_news() -> None:
    write(noise(1, 2000))
    write(noise(1, 2000), name="eval_loss")
    known = read()
    write([(2001, 3.0)])
    news = read(known)
    assert news.by_name["eval_loss"] is known.by_name["eval_loss"]
    assert news.points["loss"][-1] == (2001, 3.0)


def test_only_the_named_series_are_read() -> None:
    write([(1, 1.0)])
    write([(1, 2.0)], name="learning_rate")
    assert read(names=["learning_rate"]).points == {"learning_rate": [(1, 2.0)]}


def test_a_job_that_has_reported_nothing_has_no_series() -> None:
    assert read().points == {}
