"""Workers, the devices that jobs hold, and the queue as a whole."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, false
from sqlalchemy.orm import Mapped, mapped_column

from store.schema.base import Base, utc_now


class Worker(Base):
    """A worker process that has said it is there."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(120))
    machine: Mapped[str] = mapped_column(String(120), default="", server_default="")
    slots: Mapped[int]
    devices: Mapped[list[Any]] = mapped_column(default=list)
    is_draining: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Takes no new job; what runs on it runs to its end."""
    started_at: Mapped[datetime] = mapped_column(default=utc_now)
    heartbeat_at: Mapped[float]
    """Seconds since 1970 by the database's clock."""


class Slot(Base):
    """What holds a device: a GPU, by its UUID, or a share of a worker's processor. Free where its lease has run out."""

    __tablename__ = "slots"

    id: Mapped[str] = mapped_column(String(120), primary_key=True)
    """The GPU's UUID, or `<worker id>/cpu-<number>`."""
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"), index=True)
    epoch: Mapped[int | None]
    holder: Mapped[str | None] = mapped_column(String(40))
    """The inference server that holds it, where no job does."""
    lease_expires_at: Mapped[float] = mapped_column(default=0.0)
    """Seconds since 1970 by the database's clock."""


class QueueState(Base):
    """One row: whether workers take jobs from the queue at all."""

    __tablename__ = "queue_state"

    id: Mapped[int] = mapped_column(primary_key=True)
    is_paused: Mapped[bool] = mapped_column(default=False)
    changed_by_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    changed_at: Mapped[datetime] = mapped_column(default=utc_now)
