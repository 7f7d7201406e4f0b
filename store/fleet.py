"""The fleet: which worker processes are there, with which devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from store import slots
from store.schema import Worker, database_now
from store.settings import settings

SECONDS_REMEMBERED = 3600
"""How long a worker that fell silent is still shown."""


def beat(session: Session, *, worker_id: str, name: str, machine: str, devices: list[Any]) -> None:
    """Say that a worker is there, with its devices, each under the id of its slot."""
    slots.offer(session, [device["id"] for device in devices])
    beat = session.execute(
        update(Worker).where(Worker.id == worker_id).values(heartbeat_at=database_now(), devices=devices)
    )
    if beat.rowcount == 0:  # type: ignore[attr-defined]
        session.execute(
            insert(Worker).values(
                id=worker_id,
                name=name,
                machine=machine,
                slots=len(devices),
                devices=devices,
                heartbeat_at=database_now(),
            )
        )


def leave(session: Session, worker_id: str) -> None:
    """Say that a worker goes, in good order."""
    session.execute(delete(Worker).where(Worker.id == worker_id))
    slots.forget(session, worker_id)


def is_draining(session: Session, worker_id: str) -> bool:
    return bool(session.scalar(select(Worker.is_draining).where(Worker.id == worker_id)))


def forget_silent(session: Session) -> None:
    """Forget the workers that were not heard of for an hour."""
    silent = session.scalars(select(Worker.id).where(Worker.heartbeat_at < database_now() - SECONDS_REMEMBERED))
    for worker_id in silent.all():
        leave(session, worker_id)


def live_workers(session: Session) -> Sequence[Worker]:
    """Workers that were heard of within a lease."""
    return session.scalars(
        select(Worker)
        .where(Worker.heartbeat_at > database_now() - settings().lease_seconds)
        .order_by(Worker.name, Worker.id)
    ).all()


def most_slots(session: Session) -> int:
    """The devices of the largest worker that takes jobs: a job that needs more waits for ever."""
    return max((worker.slots for worker in live_workers(session) if not worker.is_draining), default=0)


def known_workers(session: Session) -> Sequence[tuple[Worker, float]]:
    """Every worker that is there or fell silent not long ago, with the seconds since its last heartbeat."""
    silence = (database_now() - Worker.heartbeat_at).label("silence")
    rows = session.execute(select(Worker, silence).order_by(Worker.machine, Worker.name, Worker.id))
    return [(worker, max(0.0, seconds)) for worker, seconds in rows]
