"""Slots: which device is held by whom, so that two jobs, or a job and the playground, never share a GPU.

A slot is a GPU, by its UUID, or a share of a worker's processor. Whoever holds it renews its lease; a slot whose lease
has run out is free, so that a holder that dies gives back what it held.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from store.schema import Job, JobState, Slot, database_now
from store.settings import settings


def offer(session: Session, slot_ids: Sequence[str]) -> None:
    """Make slots known that were not known before."""
    if not slot_ids:
        return
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    session.execute(
        dialect.insert(Slot).on_conflict_do_nothing(),
        [{"id": slot_id, "lease_expires_at": 0.0} for slot_id in sorted(slot_ids)],
    )


def lock_free(session: Session, slot_ids: Sequence[str]) -> list[str]:
    """Those of the slots that nobody holds; nobody else can take them before this transaction ends."""
    free = session.scalars(
        select(Slot.id)
        .where(Slot.id.in_(slot_ids), Slot.lease_expires_at < database_now())
        .order_by(Slot.id)
        .with_for_update(skip_locked=True)
    )
    return list(free)


def hold_for_job(session: Session, slot_ids: Sequence[str], job_id: int, epoch: int) -> None:
    """Give locked slots to an attempt, for as long as its lease."""
    _hold(session, slot_ids, job_id=job_id, epoch=epoch, holder=None)


def renew_for_job(session: Session, job_id: int, epoch: int) -> None:
    session.execute(
        update(Slot).where(Slot.job_id == job_id, Slot.epoch == epoch).values(lease_expires_at=_lease_end())
    )


def release_of_job(session: Session, job_id: int, epoch: int) -> None:
    session.execute(update(Slot).where(Slot.job_id == job_id, Slot.epoch == epoch).values(**_FREE))


def hold_for_chat(session: Session, slot_ids: Sequence[str], holder: str) -> str | None:
    """Take, or keep, one of the slots for an inference server; None while jobs hold all of them."""
    kept = session.scalar(
        update(Slot)
        .where(Slot.holder == holder, Slot.lease_expires_at > database_now())
        .values(lease_expires_at=_lease_end())
        .returning(Slot.id)
    )
    if kept is not None:
        return kept
    free = lock_free(session, slot_ids)
    if not free:
        return None
    _hold(session, free[:1], job_id=None, epoch=None, holder=holder)
    return free[0]


def release_of_chat(session: Session, holder: str) -> None:
    session.execute(update(Slot).where(Slot.holder == holder).values(**_FREE))


def holders(session: Session) -> dict[str, tuple[Job | None, str | None]]:
    """Every held slot, with the job or the inference server that holds it."""
    rows = session.execute(
        select(Slot.id, Job, Slot.holder)
        .outerjoin(Job, Slot.job_id == Job.id)
        .where(Slot.lease_expires_at > database_now())
    )
    return {slot_id: (job, holder) for slot_id, job, holder in rows}


def forget(session: Session, worker_id: str) -> None:
    """Remove the shares of the processor of a worker that is gone, unless a job still holds them."""
    is_held = select(Job.id).where(Job.id == Slot.job_id, Job.state == JobState.RUNNING).exists()
    session.execute(delete(Slot).where(Slot.id.startswith(f"{worker_id}/"), ~is_held))


_FREE: dict[str, Any] = {"job_id": None, "epoch": None, "holder": None, "lease_expires_at": 0.0}


def _hold(session: Session, slot_ids: Sequence[str], **holder: Any) -> None:
    session.execute(update(Slot).where(Slot.id.in_(slot_ids)).values(**holder, lease_expires_at=_lease_end()))


def _lease_end() -> Any:
    return database_now() + settings().lease_seconds
