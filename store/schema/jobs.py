"""Jobs and the models that they make, their attempts, and what these reported."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from store.schema.base import Base, utc_now

if TYPE_CHECKING:
    from store.schema.data import DatasetVersion
    from store.schema.people import Person


class Model(Base):
    """A model that can be chatted with and trained from."""

    __tablename__ = "models"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(120), unique=True)
    kind: Mapped[str] = mapped_column(String(20))
    """full, adapter or quantized (see `pipeline.model_folder`); or endpoint, whose weights are another server's."""
    folder: Mapped[str | None] = mapped_column(String(500))
    """Name of its folder under `models/`; None for a model that lies elsewhere."""
    source: Mapped[str | None] = mapped_column(String(500))
    """Hugging Face id or local folder of a model that Hone did not make; of an endpoint, the model's name there."""
    endpoint_id: Mapped[int | None]
    """The server that answers for it, where Hone does not."""
    checkpoint_job_id: Mapped[int | None] = mapped_column(index=True)
    checkpoint_step: Mapped[int | None]
    """The job, and its step, of which it is a checkpoint, kept to be talked to."""
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"), index=True)
    """The model it was trained or quantized from."""
    base_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    """The model whose weights an adapter needs."""
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"), unique=True)
    num_parameters: Mapped[int | None]
    size_bytes: Mapped[int | None]
    manifest: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    deleted_at: Mapped[datetime | None]

    parent: Mapped[Model | None] = relationship(foreign_keys=[parent_id], remote_side=[id])
    base: Mapped[Model | None] = relationship(foreign_keys=[base_id], remote_side=[id])
    job: Mapped[Job | None] = relationship(foreign_keys=[job_id], back_populates="model")


class JobState(StrEnum):
    QUEUED = "queued"
    """Waits for a worker; also after a crash, until it is resumed."""
    RUNNING = "running"
    """A worker holds its lease."""
    PAUSED = "paused"
    """Stopped by a person, with its checkpoint, to go on later."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    """Stopped by a person for good; its checkpoint is kept."""


ACTIVE_STATES = (JobState.QUEUED, JobState.RUNNING)


class Job(Base):
    """One request to run a spec."""

    __tablename__ = "jobs"
    __table_args__ = (Index("ix_jobs_queue", "state", "priority", "position"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(120))
    recipe: Mapped[str] = mapped_column(String(40), index=True)
    spec: Mapped[dict[str, Any]]
    """The recipe's fields, with `model:<id>` and `dataset:<id>` for what the store keeps."""
    state: Mapped[JobState] = mapped_column(String(20), default=JobState.QUEUED)
    priority: Mapped[int] = mapped_column(default=0)
    """Higher runs first."""
    position: Mapped[float] = mapped_column(default=0.0)
    """Order among jobs of one priority: lower runs first."""
    idempotency_key: Mapped[str | None] = mapped_column(String(80), unique=True)
    num_slots: Mapped[int] = mapped_column(default=1, server_default="1")
    """How many devices it runs on at once."""
    after_job_id: Mapped[int | None] = mapped_column(index=True)
    """Held in the queue until that job has succeeded."""
    parent_model_id: Mapped[int | None] = mapped_column(ForeignKey("models.id", use_alter=True))
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)

    epoch: Mapped[int] = mapped_column(default=0)
    """Fencing number: raised at each claim; a write that carries an older one is refused."""
    worker_id: Mapped[str | None] = mapped_column(String(40))
    lease_expires_at: Mapped[float | None]
    """Seconds since 1970 by the database's clock."""
    num_failures: Mapped[int] = mapped_column(default=0)
    """Attempts that died without a word of their own."""
    stop_requested: Mapped[str | None] = mapped_column(String(10))
    """`cancel` or `pause`, until the worker has done it."""

    phase: Mapped[str] = mapped_column(String(80), default="")
    step: Mapped[int] = mapped_column(default=0)
    total_steps: Mapped[int] = mapped_column(default=0)
    unit: Mapped[str] = mapped_column(String(20), default="steps")
    started_at: Mapped[datetime | None]
    first_step_at: Mapped[datetime | None]
    """When the present attempt reported its first step: time left is counted from there."""
    first_step: Mapped[int] = mapped_column(default=0)
    finished_at: Mapped[datetime | None]
    error_kind: Mapped[str | None] = mapped_column(String(40))
    error_message: Mapped[str | None] = mapped_column(Text)
    error_advice: Mapped[str | None] = mapped_column(Text)
    summary: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """The recipe's closing figures."""

    after_job: Mapped[Job | None] = relationship(
        primaryjoin="foreign(Job.after_job_id) == remote(Job.id)", viewonly=True
    )
    model: Mapped[Model | None] = relationship(foreign_keys=[Model.job_id], back_populates="job")
    parent_model: Mapped[Model | None] = relationship(foreign_keys=[parent_model_id])
    created_by: Mapped[Person | None] = relationship()
    datasets: Mapped[list[DatasetVersion]] = relationship(secondary="job_datasets")
    attempts: Mapped[list[Attempt]] = relationship(order_by="Attempt.epoch", back_populates="job")


class JobDataset(Base):
    """Which dataset versions a job reads."""

    __tablename__ = "job_datasets"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    dataset_version_id: Mapped[int] = mapped_column(ForeignKey("dataset_versions.id"), primary_key=True, index=True)


class Attempt(Base):
    """One try at a job, by one worker, under one fencing number."""

    __tablename__ = "attempts"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    worker_name: Mapped[str] = mapped_column(String(120))
    device: Mapped[str] = mapped_column(String(80), default="")
    started_at: Mapped[datetime] = mapped_column(default=utc_now)
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str | None] = mapped_column(String(40))
    """succeeded, cancelled, paused, lost, or the kind of its error."""
    last_seq: Mapped[int] = mapped_column(default=0)
    """The last event of its that is in the database."""

    job: Mapped[Job] = relationship(back_populates="attempts")


class Metric(Base):
    """One number of one step. After a resume, the row of the highest epoch counts."""

    __tablename__ = "metrics"
    __table_args__ = {"sqlite_with_rowid": False}

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[float]


class LogEntry(Base):
    __tablename__ = "log_entries"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    level: Mapped[str] = mapped_column(String(10))
    text: Mapped[str] = mapped_column(Text)


class SampleText(Base):
    """What a model in training answered to a prompt at a step."""

    __tablename__ = "samples"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int]
    prompt: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
