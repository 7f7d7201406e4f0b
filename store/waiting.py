"""Waiting: which jobs wait for a worker, in which order, and which of them are due."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, tuple_
from sqlalchemy.orm import Session, aliased

from store import fleet
from store.schema import Job, JobState, QueueState


def is_due() -> ColumnElement[bool]:
    """As a condition on `Job`: it waits, and is not held until another job has succeeded."""
    before = aliased(Job)
    has_succeeded = select(before.id).where(before.id == Job.after_job_id, before.state == JobState.SUCCEEDED).exists()
    return and_(Job.state == JobState.QUEUED, or_(Job.after_job_id.is_(None), has_succeeded))


def order() -> tuple[Any, ...]:
    """The order of the queue: higher priority first, then by position."""
    return Job.priority.desc(), Job.position, Job.id


def waiting_ids(session: Session) -> list[int]:
    """The waiting jobs, held ones among them, the next to run first."""
    return list(session.scalars(select(Job.id).where(Job.state == JobState.QUEUED).order_by(*order())))


def num_due(session: Session) -> int:
    """How many jobs a free worker could take now."""
    if queue_state(session).is_paused:
        return 0
    return session.scalar(select(func.count()).select_from(Job).where(is_due())) or 0


@dataclass(frozen=True)
class Prospect:
    """What a waiting job has before it.

    Args:
        num_ahead: Jobs that a worker takes before it.
        is_paused: Whether the queue is.
        most_slots: Devices of the largest worker that takes jobs.
    """

    num_ahead: int
    is_paused: bool
    most_slots: int


def prospect_of(session: Session, job: Job) -> Prospect:
    return Prospect(num_ahead(session, job), queue_state(session).is_paused, fleet.most_slots(session))


def prospect_of_new(session: Session) -> Prospect:
    """What a job would have before it that is asked for now."""
    due = session.scalar(select(func.count()).select_from(Job).where(is_due())) or 0
    return Prospect(due, queue_state(session).is_paused, fleet.most_slots(session))


def num_ahead(session: Session, job: Job) -> int:
    if job.state != JobState.QUEUED:
        return 0
    comes_first = or_(
        Job.priority > job.priority,
        and_(Job.priority == job.priority, tuple_(Job.position, Job.id) < tuple_(job.position, job.id)),
    )
    return session.scalar(select(func.count()).select_from(Job).where(is_due(), comes_first)) or 0


def queue_state(session: Session) -> QueueState:
    """Whether the queue is paused, since when and by whom."""
    return session.get(QueueState, 1) or QueueState(id=1, is_paused=False)
