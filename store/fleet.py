"""The fleet: which worker processes are there, with which devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from store.schema import Worker, database_now
from store.settings import settings


def beat(session: Session, *, worker_id: str, name: str, slots: int, devices: list[Any]) -> None:
    """Say that a worker is there."""
    beat = session.execute(
        update(Worker).where(Worker.id == worker_id).values(heartbeat_at=database_now(), devices=devices)
    )
    if beat.rowcount == 0:  # type: ignore[attr-defined]
        session.execute(
            insert(Worker).values(id=worker_id, name=name, slots=slots, devices=devices, heartbeat_at=database_now())
        )


def leave(session: Session, worker_id: str) -> None:
    session.execute(delete(Worker).where(Worker.id == worker_id))


def live_workers(session: Session) -> Sequence[Worker]:
    """Workers that were heard of within a lease."""
    return session.scalars(
        select(Worker)
        .where(Worker.heartbeat_at > database_now() - settings().lease_seconds)
        .order_by(Worker.name, Worker.id)
    ).all()
