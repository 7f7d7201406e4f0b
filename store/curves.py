"""Curves: a job's numbers over its steps, thinned in the database, so that a long run is looked at like a short one.

The steps of a series fall into at most `MOST_BUCKETS` buckets of equal width. Of each bucket the first, the last, the
lowest and the highest point are kept (M4: Jugel et al., VLDB 2014), so that a line through them shows every spike, even
one of a single step. All other rows stay in the database: to fetch half a million of them would hold up every other
thread of the process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, Select, bindparam, exists, func, or_, select, union
from sqlalchemy.orm import Session, aliased

from store.schema import Job, Metric

Point = tuple[int, float]

MOST_BUCKETS = 256


@dataclass(frozen=True)
class Curve:
    """One series, thinned: at most four points of each bucket of `width` steps, in order of step."""

    width: int
    points: Sequence[Point]
    written_to: int
    """The last step that the present attempt has written: nothing changes any more before its bucket."""


@dataclass(frozen=True)
class Curves:
    """A job's series by their names, as they stood while its epoch was this one."""

    epoch: int
    by_name: Mapping[str, Curve]

    @property
    def points(self) -> dict[str, Sequence[Point]]:
        return {name: curve.points for name, curve in self.by_name.items()}


def read_curves(session: Session, job_id: int, *, names: Sequence[str] = (), known: Curves | None = None) -> Curves:
    """A job's series (all, or those in `names`); after a resume the newer attempt's value of a step counts.

    Args:
        known: What was read before: as long as the same attempt goes on, only the buckets that it has written to since
            are read again. This relies on steps that come in their order; when the job has ended, read without it.
    """
    epoch = session.scalar(select(Job.epoch).where(Job.id == job_id)) or 0
    before = known.by_name if known is not None and known.epoch == epoch else {}
    return Curves(
        epoch,
        {
            extent.name: _read(session, job_id, epoch, extent, before.get(extent.name))
            for extent in _extents(session, job_id, epoch)
            if not names or extent.name in names
        },
    )


def width_for(last_step: int) -> int:
    """Steps a bucket for a series that has come as far as `last_step`.

    It is a power of two, so that each two buckets become one when a run outgrows them; and one step as long as a whole
    series has no more points than are kept of a long one.

    >>> width_for(1023), width_for(1024), width_for(200_000)
    (1, 8, 1024)
    """
    return 1 if last_step < 4 * MOST_BUCKETS else 1 << (last_step // MOST_BUCKETS).bit_length()


def thin(points: Sequence[Point], width: int) -> list[Point]:
    """The first, the last, the lowest and the highest point of each bucket of `width` steps."""
    kept: list[Point] = []
    for _, group in groupby(points, key=lambda point: point[0] // width):
        bucket = list(group)
        lowest, highest = min(bucket, key=lambda point: point[1]), max(bucket, key=lambda point: point[1])
        kept += sorted({bucket[0], lowest, highest, bucket[-1]})
    return kept


class _Extent(NamedTuple):
    """How far a series goes: to its last step, and to the last that the present attempt has written, if any."""

    name: str
    last: int
    written_to: int | None


def _extents(session: Session, job_id: int, epoch: int) -> Iterator[_Extent]:
    """The extents of all series of a job, by a few seeks in the primary key instead of a scan of all rows."""
    of_job = Metric.job_id == job_id
    names = select(func.min(Metric.name).label("name")).where(of_job).cte("names", recursive=True)
    next_name = select(func.min(Metric.name)).where(of_job, Metric.name > names.c.name).scalar_subquery()
    names = names.union_all(select(next_name).where(names.c.name.is_not(None)))

    def last_step(*conditions: ColumnElement[bool]) -> Any:
        found = select(func.max(Metric.step)).where(of_job, Metric.name == names.c.name, *conditions)
        return found.correlate(names).scalar_subquery()

    rows = session.execute(
        select(names.c.name, last_step(), last_step(Metric.epoch == epoch)).where(names.c.name.is_not(None))
    )
    return (_Extent(*row) for row in rows)


def _read(session: Session, job_id: int, epoch: int, extent: _Extent, known: Curve | None) -> Curve:
    """A series to its present end; of one that is known already only the buckets that may have changed."""
    written_to = extent.written_to or 0
    if known is None:
        known = Curve(width=1, points=(), written_to=0)
    elif known.written_to == written_to:
        return known
    width = width_for(extent.last)
    start = known.written_to // width * width
    older = [point for point in known.points if point[0] < start]
    if width != known.width:
        older = thin(older, width)
    return Curve(width, older + _points(session, job_id, epoch, extent, start=start, width=width), written_to)


def _points(session: Session, job_id: int, epoch: int, extent: _Extent, *, start: int, width: int) -> list[Point]:
    """The points to keep of the buckets from the step `start` on."""
    series = {"job_id": job_id, "name": extent.name, "last": extent.last, "epoch": epoch}
    rows = session.execute(_every_row() if width == 1 else _kept_rows(), series | {"start": start, "width": width})
    return [(step, value) for step, value in rows]


# The statements below are made once, because to make one takes longer than to run it.

_OF_SERIES = (Metric.job_id == bindparam("job_id"), Metric.name == bindparam("name"))


@lru_cache(maxsize=1)
def _every_row() -> Select:
    """The rows of a series that count, from the step `start` on."""
    rows = select(Metric.step, Metric.value).where(*_OF_SERIES, Metric.step >= bindparam("start"), _counts())
    return rows.order_by(Metric.step)


@lru_cache(maxsize=1)
def _kept_rows() -> Select:
    """Those of them that are the first, the last, the lowest or the highest of their bucket of `width` steps."""
    width = bindparam("width", type_=Integer)
    buckets = select(bindparam("start", type_=Integer).label("start")).cte("buckets", recursive=True)
    next_start = buckets.c.start + width
    buckets = buckets.union_all(select(next_start).where(next_start <= bindparam("last", type_=Integer)))
    inside = Metric.step.between(buckets.c.start, buckets.c.start + width - 1)

    def first_by(*order: Any) -> Any:
        step = select(Metric.step).where(*_OF_SERIES, inside, _counts()).order_by(*order).limit(1)
        return select(step.correlate(buckets).scalar_subquery()).select_from(buckets)

    steps = union(
        first_by(Metric.step),
        first_by(Metric.step.desc()),
        first_by(Metric.value, Metric.step),
        first_by(Metric.value.desc(), Metric.step),
    )
    return _every_row().where(Metric.step.in_(steps))


@lru_cache(maxsize=1)
def _counts() -> ColumnElement[bool]:
    """Whether a row counts: no later attempt has written the same step.

    To look for a later row is what costs most, so it is asked only where there may be one: not of the rows of the
    present attempt, and not before the step to which the first resume went back.
    """
    later = (Metric.step >= bindparam("start"), Metric.epoch > 1)
    resumed_at = func.coalesce(func.min(Metric.step), bindparam("last", type_=Integer) + 1).label("step")
    resumed = select(resumed_at).where(*_OF_SERIES, *later).cte("resumed")
    newer = aliased(Metric)
    is_overtaken = exists().where(
        newer.job_id == Metric.job_id, newer.name == Metric.name, newer.step == Metric.step, newer.epoch > Metric.epoch
    )
    before_resume = Metric.step < select(resumed.c.step).scalar_subquery()
    return or_(Metric.epoch == bindparam("epoch"), before_resume, ~is_overtaken)
