"""Schema: the tables, one class each. What may be done with their rows is in the module of each noun."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.sql.functions import FunctionElement


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, always aware and in UTC, also on SQLite, which keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class database_now(FunctionElement[float]):
    """Seconds since 1970 by the database's clock: the one clock that all workers share."""

    type = Float()
    inherit_cache = True


@compiles(database_now, "sqlite")
def _now_on_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_now, "postgresql")
def _now_on_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


def utc_now() -> datetime:
    return datetime.now(UTC)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime, dict[str, Any]: JSON, list[Any]: JSON}


class Person(Base):
    """Somebody who uses Hone, known by a random cookie whose SHA-256 is kept here."""

    __tablename__ = "people"

    id: Mapped[int] = mapped_column(primary_key=True)
    token_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(80))
    link_id: Mapped[int | None]
    """The voting link that somebody came by who only votes; None for one of the team."""
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Dataset(Base):
    """A named set of rows; what it holds is in its versions."""

    __tablename__ = "datasets"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(120), unique=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    deleted_at: Mapped[datetime | None]

    versions: Mapped[list[DatasetVersion]] = relationship(back_populates="dataset", order_by="DatasetVersion.number")


class DatasetVersion(Base):
    """Immutable rows, named by the SHA-256 of their bytes; they lie in `datasets/<sha256>/rows.jsonl`."""

    __tablename__ = "dataset_versions"
    __table_args__ = (UniqueConstraint("dataset_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"), index=True)
    number: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    kind: Mapped[str] = mapped_column(String(20))
    """text, instruction, preference or unpaired."""
    format: Mapped[str] = mapped_column(String(60))
    num_rows: Mapped[int]
    num_rejected: Mapped[int] = mapped_column(default=0)
    size_bytes: Mapped[int]
    source_name: Mapped[str] = mapped_column(String(300), default="")
    provenance: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)

    dataset: Mapped[Dataset] = relationship(back_populates="versions")


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


class Endpoint(Base):
    """A server elsewhere that speaks OpenAI's protocol."""

    __tablename__ = "endpoints"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(120), unique=True)
    base_url: Mapped[str] = mapped_column(String(500))
    encrypted_key: Mapped[str | None] = mapped_column(Text)
    """Its key, encrypted with a secret that is not in the database."""
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    deleted_at: Mapped[datetime | None]


class ApiKey(Base):
    """A key to the inference server's `/v1`, of which only the SHA-256 is kept."""

    __tablename__ = "api_keys"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    key_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


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


class Conversation(Base):
    """A playground conversation: one list of turns, answered by the models of its columns."""

    __tablename__ = "conversations"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    model_ids: Mapped[list[Any]] = mapped_column(default=list)
    """Model ids, one a column."""
    settings: Mapped[dict[str, Any]] = mapped_column(default=dict)
    branched_from_id: Mapped[str | None] = mapped_column(String(32))
    """The conversation whose first turns it shares, where somebody changed one of its turns."""
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now, index=True)
    deleted_at: Mapped[datetime | None]

    turns: Mapped[list[Turn]] = relationship(order_by="Turn.number", back_populates="conversation")


class Turn(Base):
    __tablename__ = "turns"
    __table_args__ = (UniqueConstraint("conversation_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id"))
    number: Mapped[int]
    prompt: Mapped[str] = mapped_column(Text)

    conversation: Mapped[Conversation] = relationship(back_populates="turns")
    answers: Mapped[list[Answer]] = relationship(order_by="Answer.column", back_populates="turn")


class Answer(Base):
    __tablename__ = "answers"
    __table_args__ = (UniqueConstraint("turn_id", "column"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"))
    column: Mapped[int]
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    text: Mapped[str] = mapped_column(Text, default="")
    state: Mapped[str] = mapped_column(String(20), default="waiting")
    """waiting (with the text that it is to be carried on from, if any), streaming, finished, stopped or failed."""
    error: Mapped[str | None] = mapped_column(Text)
    stats: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """seconds_to_first_token, tokens_per_second, num_prompt_tokens, num_tokens, finish_reason."""

    turn: Mapped[Turn] = relationship(back_populates="answers")
    model: Mapped[Model] = relationship()


class Preset(Base):
    """Settings of a playground conversation under a name, to be used again: system prompt, sampling, examples."""

    __tablename__ = "presets"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    settings: Mapped[dict[str, Any]]
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    deleted_at: Mapped[datetime | None]


class Battle(Base):
    """Two models' answers to one prompt, shown without their names."""

    __tablename__ = "battles"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"), index=True)
    messages: Mapped[list[Any]]
    """The conversation both models answer; its last message is the prompt."""
    model_a_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    model_b_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    answer_a: Mapped[str | None] = mapped_column(Text)
    answer_b: Mapped[str | None] = mapped_column(Text)
    finish_a: Mapped[str | None] = mapped_column(String(20))
    finish_b: Mapped[str | None] = mapped_column(String(20))
    settings: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Sampling settings and the seed of each side."""
    draw: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """How the pair was drawn: policy, probability, seed."""
    provenance: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    """Of each side, the hashes of its weights and of its chat template."""
    tags: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
    """What the prompt is about, as its prompt set says."""
    prompt_version_id: Mapped[int | None] = mapped_column(index=True)
    """The dataset version that the prompt is of, where it is of one, and its row there, from 0."""
    prompt_row: Mapped[int | None]
    repeat_of_id: Mapped[str | None] = mapped_column(String(32), index=True)
    """The battle whose answers are shown again: to somebody else, or, with its sides swapped, to the same person."""
    state: Mapped[str] = mapped_column(String(20), default="preparing")
    """preparing, ready, voted or failed."""
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)
    revealed_at: Mapped[datetime | None]

    model_a: Mapped[Model] = relationship(foreign_keys=[model_a_id])
    model_b: Mapped[Model] = relationship(foreign_keys=[model_b_id])
    votes: Mapped[list[Vote]] = relationship(back_populates="battle")


class Vote(Base):
    """One person's judgement of one battle."""

    __tablename__ = "votes"
    __table_args__ = (UniqueConstraint("battle_id", "person_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    battle_id: Mapped[str] = mapped_column(ForeignKey("battles.id"))
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"), index=True)
    outcome: Mapped[str] = mapped_column(String(10))
    """a, b, both_good, both_bad, tie (of earlier days) or skip."""
    strength: Mapped[int | None]
    """How much better: 1 slightly, 2 clearly; None where nothing was said or neither is better."""
    reasons: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
    comment: Mapped[str | None] = mapped_column(Text)
    changes: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
    """Earlier and refused outcomes: {outcome, at, is_after_reveal}, the oldest first."""
    uncounted_because: Mapped[str | None] = mapped_column(String(200))
    """Why the vote is kept but not counted; None for a vote that counts."""
    seconds: Mapped[float | None]
    """Time from seeing both answers to the vote."""
    created_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)

    battle: Mapped[Battle] = relationship(back_populates="votes")


class VotingLink(Base):
    """A public address where colleagues vote without an account; whoever has the link may, until it is revoked."""

    __tablename__ = "voting_links"

    id: Mapped[int] = mapped_column(primary_key=True)
    token_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(80))
    prompt_version_id: Mapped[int | None]
    """The prompt set whose prepared answers are voted on; None for the prompts that ship with Hone."""
    model_ids: Mapped[list[Any]] = mapped_column(default=list)
    """The models that meet; empty for all."""
    votes_an_hour: Mapped[int] = mapped_column(default=120)
    """The most that one voter may give."""
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    revoked_at: Mapped[datetime | None]


class PreparedAnswer(Base):
    """What a model answered to a prompt of a prompt set, written by a job before anybody votes."""

    __tablename__ = "prepared_answers"
    __table_args__ = (UniqueConstraint("prompt_version_id", "row", "model_id", "settings_sha256"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    prompt_version_id: Mapped[int] = mapped_column(ForeignKey("dataset_versions.id"))
    row: Mapped[int]
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"), index=True)
    settings_sha256: Mapped[str] = mapped_column(String(64))
    """Of the sampling settings: only answers that were drawn alike are set against each other."""
    settings: Mapped[dict[str, Any]] = mapped_column(default=dict)
    seed: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    finish_reason: Mapped[str] = mapped_column(String(20))
    provenance: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """The hashes of the model's weights and of its chat template."""
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
