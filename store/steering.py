"""Steering: what people do to the queue: its order, what waits for what, and whether it moves at all."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline.errors import BadSpec
from pipeline.recipes import get_recipe
from pipeline.spec import ModelRef
from store.jobs import get_job
from store.schema import Job, JobState, QueueState, Worker, utc_now
from store.waiting import waiting_ids

PRIORITIES = {"high": 1, "normal": 0, "low": -1}


def set_priority(session: Session, job_id: int, priority: int) -> Job:
    """Put a waiting job among those of a priority, behind what waits there already."""
    job = _waiting(session, job_id)
    if job.priority != priority:
        job.priority = priority
        job.position = _last_position(session, priority) + 1
    return job


def move(session: Session, job_id: int, where: Literal["up", "down", "first", "last"]) -> Job:
    """Move a waiting job by one place, or to an end of the queue."""
    _waiting(session, job_id)
    order = waiting_ids(session)
    at = order.index(job_id)
    place = {"up": max(at - 1, 0), "down": min(at + 1, len(order) - 1), "first": 0, "last": len(order) - 1}[where]
    return move_to(session, job_id, place)


def move_beside(session: Session, job_id: int, side: Literal["before", "after"], other_id: int) -> Job:
    """Move a waiting job to the place before or after another waiting one."""
    _waiting(session, other_id)
    if other_id == job_id:
        return _waiting(session, job_id)
    others = [other for other in waiting_ids(session) if other != job_id]
    return move_to(session, job_id, others.index(other_id) + (side == "after"))


def move_to(session: Session, job_id: int, place: int) -> Job:
    """Move a waiting job to a place of the queue, 0 being the next to run; it takes the priority of where it lands."""
    job = _waiting(session, job_id)
    others = [other for other in waiting_ids(session) if other != job_id]
    place = min(max(place, 0), len(others))
    before = session.get_one(Job, others[place - 1]) if place else None
    after = session.get_one(Job, others[place]) if place < len(others) else None
    if before is None and after is None:
        return job
    if before is None or after is None or before.priority != after.priority:
        # At an end of the jobs of one priority; between two it joins the one that it comes from, or else the upper.
        neighbour = after if before is None or (after is not None and after.priority == job.priority) else before
        assert neighbour is not None
        job.priority = neighbour.priority
        job.position = neighbour.position + (-1 if neighbour is after else 1)
        return job
    job.priority = before.priority
    if after.position - before.position < _LEAST_GAP:
        _spread_out(session, before.priority)
    job.position = (before.position + after.position) / 2
    return job


def let_go(session: Session, job_id: int) -> Job:
    """No longer hold a job until another has succeeded.

    Raises:
        BadSpec: if it trains what the other makes, so that it cannot go before.
    """
    job = _waiting(session, job_id)
    if job.after_job_id is not None and needs_model_of(job, job.after_job_id):
        raise BadSpec(
            f"{job.name} starts from the model that job {job.after_job_id} makes.",
            "Retry that job, or take this one out of the queue and start it from another model.",
        )
    job.after_job_id = None
    return job


def needs_model_of(job: Job, other_id: int) -> bool:
    """Whether a job starts from the model that another is to make."""
    fields = get_recipe(job.recipe).spec.model_fields
    references = [name for name, info in fields.items() if any(isinstance(mark, ModelRef) for mark in info.metadata)]
    return f"job:{other_id}" in [job.spec.get(name) for name in references]


def pause_queue(session: Session, person_id: int | None) -> None:
    """Let no worker take a job; what runs goes on."""
    _set_paused(session, True, person_id)


def resume_queue(session: Session, person_id: int | None) -> None:
    _set_paused(session, False, person_id)


def drain(session: Session, worker_id: str, *, is_draining: bool) -> Worker:
    """Let a worker take no new job, or take some again.

    Raises:
        BadSpec: if there is no such worker any more.
    """
    worker = session.get(Worker, worker_id)
    if worker is None:
        raise BadSpec("That worker is gone.", "Load the page again to see those that are there.")
    worker.is_draining = is_draining
    return worker


_LEAST_GAP = 1e-6


def _waiting(session: Session, job_id: int) -> Job:
    job = get_job(session, job_id)
    if job.state != JobState.QUEUED:
        raise BadSpec(f"{job.name} is {job.state}.", "Only a job that waits in the queue has a place in it.")
    return job


def _last_position(session: Session, priority: int) -> float:
    return session.scalar(select(func.max(Job.position)).where(Job.priority == priority)) or 0.0


def _spread_out(session: Session, priority: int) -> None:
    """Give the waiting jobs of a priority whole numbers again, after so many moves that no gap is left."""
    waiting = session.scalars(
        select(Job).where(Job.state == JobState.QUEUED, Job.priority == priority).order_by(Job.position, Job.id)
    )
    for number, job in enumerate(waiting.all()):
        job.position = float(number)
    session.flush()


def _set_paused(session: Session, is_paused: bool, person_id: int | None) -> None:
    session.merge(QueueState(id=1, is_paused=is_paused, changed_by_id=person_id, changed_at=utc_now()))
