"""Attempts: how a worker claims a job, keeps it, reports on it and ends it.

A claim raises the job's epoch and gives it a lease by the database's clock. Every write of an attempt carries the epoch
under which it claimed the job; once another claim has raised it, the write is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute, Session

from pipeline.context import StopReason
from pipeline.errors import HoneError
from pipeline.events import Checkpointed, LogLine, Metrics, Numbered, Phase, Progress, Sample
from pipeline.model_folder import ModelManifest
from pipeline.recipes import get_recipe
from pipeline.spec import DatasetRef, ModelRef
from store import fleet, models, slots
from store.schema import (
    Attempt,
    DatasetVersion,
    Job,
    JobState,
    LogEntry,
    Metric,
    Model,
    SampleText,
    database_now,
    utc_now,
)
from store.settings import settings
from store.waiting import is_due, num_due, order, queue_state

MOST_LOST_ATTEMPTS = 3
"""A job whose workers died this often is not tried again by itself."""


class StaleAttempt(Exception):
    """The attempt no longer owns its job: it was taken over, or stopped. It must write nothing more."""


class LostWorker(HoneError):
    kind = "lost"


@dataclass(frozen=True)
class Claim:
    """What a worker needs to know of the job that it claimed."""

    job_id: int
    epoch: int
    name: str
    recipe: str
    spec: dict[str, Any]
    """The spec with folders and paths in the place of ids."""
    slot_ids: tuple[str, ...]
    endpoint_ids: tuple[int, ...] = ()
    """The servers elsewhere that the spec names models of; where they are and their keys are in no spec."""


def claim(
    session: Session, *, worker_id: str, worker_name: str, free: Mapping[str, str], most_slots: int
) -> Claim | None:
    """Take the best job that is due, with its devices; None where there is none. Two workers never get the same one.

    Args:
        free: The worker's devices that run nothing, as name by slot.
        most_slots: How many devices the worker has in all. For the best job that these could run, free ones are saved
            up, so that jobs for one device do not keep a job for several from ever starting.
    """
    if queue_state(session).is_paused or fleet.is_draining(session, worker_id):
        return None
    best = session.execute(
        select(Job.id, Job.num_slots)
        .where(is_due(), Job.num_slots <= most_slots)
        .order_by(*order())
        .limit(1)
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if best is None:
        return None
    slot_ids = slots.lock_free(session, list(free))[: best.num_slots]
    if len(slot_ids) < best.num_slots:
        return None
    epoch = session.scalar(
        update(Job)
        .where(Job.id == best.id, Job.state == JobState.QUEUED)
        .values(
            state=JobState.RUNNING,
            epoch=Job.epoch + 1,
            worker_id=worker_id,
            lease_expires_at=database_now() + settings().lease_seconds,
            stop_requested=None,
            phase="Starting",
            started_at=func.coalesce(Job.started_at, utc_now()),
            first_step_at=None,
        )
        .returning(Job.epoch)
    )
    if epoch is None:
        return None
    slots.hold_for_job(session, slot_ids, best.id, epoch)
    job = session.get_one(Job, best.id, populate_existing=True)
    device = ", ".join(sorted({free[slot_id] for slot_id in slot_ids}))
    count = f"{len(slot_ids)} × " if len(slot_ids) > 1 else ""
    session.add(Attempt(job_id=job.id, epoch=job.epoch, worker_name=worker_name, device=f"{count}{device}"[:80]))
    spec, endpoint_ids = _runnable_spec(session, job)
    return Claim(job.id, job.epoch, job.name, job.recipe, spec, tuple(slot_ids), endpoint_ids)


def renew(session: Session, job_id: int, epoch: int) -> StopReason | None:
    """Keep the lease; returns whether a person asked the job to stop.

    Raises:
        StaleAttempt: if the job belongs to another attempt by now.
    """
    row = session.execute(
        update(Job)
        .where(*_owned(job_id, epoch))
        .values(lease_expires_at=database_now() + settings().lease_seconds)
        .returning(Job.stop_requested)
    ).one_or_none()
    if row is None:
        raise StaleAttempt(f"job {job_id} is no longer held under epoch {epoch}")
    slots.renew_for_job(session, job_id, epoch)
    return cast(StopReason | None, row[0])


def record_events(session: Session, job_id: int, epoch: int, events: Sequence[Numbered]) -> None:
    """Copy an attempt's events into the record, each once, however often they are sent.

    Raises:
        StaleAttempt: if the job belongs to another attempt by now.
    """
    attempt = session.get_one(Attempt, (job_id, epoch))
    news = [numbered for numbered in events if numbered.seq > attempt.last_seq]
    job = session.scalar(select(Job).where(*_owned(job_id, epoch)).with_for_update())
    if job is None:
        raise StaleAttempt(f"job {job_id} is no longer held under epoch {epoch}")
    metrics: list[dict[str, Any]] = []
    for numbered in news:
        place = {"job_id": job_id, "epoch": epoch, "seq": numbered.seq}
        at = datetime.fromtimestamp(numbered.at, UTC)
        match numbered.event:
            case Phase(name=phase):
                job.phase = phase
            case Progress(step=step, total_steps=total_steps, unit=unit):
                if job.first_step_at is None:
                    job.first_step_at, job.first_step = at, step
                job.step, job.total_steps, job.unit = step, total_steps, unit
            case Metrics(step=step, values=values):
                metrics += [
                    {"job_id": job_id, "epoch": epoch, "name": name, "step": step, "value": value}
                    for name, value in values.items()
                ]
            case LogLine(level=level, text=line):
                session.add(LogEntry(**place, at=at, level=level, text=line))
            case Sample(step=step, prompt=prompt, text=answer):
                session.add(SampleText(**place, step=step, prompt=prompt, text=answer))
            case Checkpointed(step=step):
                session.add(LogEntry(**place, at=at, level="info", text=f"Saved a checkpoint at step {step}."))
    if metrics:
        dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
        session.execute(dialect.insert(Metric).on_conflict_do_nothing(), metrics)
    if news:
        attempt.last_seq = news[-1].seq


def succeed(
    session: Session,
    job_id: int,
    epoch: int,
    *,
    summary: Mapping[str, Any],
    model_folder: str | None = None,
    manifest: ModelManifest | None = None,
) -> Model | None:
    """End a job well and, in the same transaction, register the model that it made.

    Raises:
        StaleAttempt: if the job belongs to another attempt by now.
    """
    _end(session, job_id, epoch, JobState.SUCCEEDED, outcome="succeeded", summary=dict(summary))
    if model_folder is None or manifest is None:
        return None
    return models.add_made_model(session, session.get_one(Job, job_id), model_folder, manifest)


def fail(session: Session, job_id: int, epoch: int, error: HoneError) -> None:
    """End a job with the reason for a person. Raises StaleAttempt as `succeed` does."""
    _end(
        session,
        job_id,
        epoch,
        JobState.FAILED,
        outcome=error.kind,
        error_kind=error.kind,
        error_message=error.message,
        error_advice=error.advice,
    )


def stopped(session: Session, job_id: int, epoch: int, reason: StopReason) -> None:
    """End an attempt that stopped because a person asked. Raises StaleAttempt as `succeed` does."""
    state = JobState.CANCELLED if reason == "cancel" else JobState.PAUSED
    _end(session, job_id, epoch, state, outcome=state.value)


def release(session: Session, job_id: int, epoch: int) -> None:
    """Give a job back to the queue, because its worker shuts down. Raises StaleAttempt as `succeed` does."""
    _end(session, job_id, epoch, JobState.QUEUED, outcome="released", finished_at=None)


def lose(session: Session, job_id: int, epoch: int, error: HoneError) -> None:
    """Record that an attempt died without a word: back to the queue, or to `failed` when that happened too often.

    Raises StaleAttempt as `succeed` does.
    """
    num_failures = 1 + (session.scalar(select(Job.num_failures).where(Job.id == job_id)) or 0)
    if num_failures >= MOST_LOST_ATTEMPTS:
        fail(session, job_id, epoch, error)
        return
    _end(session, job_id, epoch, JobState.QUEUED, outcome=error.kind, finished_at=None, num_failures=num_failures)


def leftovers(session: Session, folders: Sequence[str], kept: InstrumentedAttribute[Any]) -> list[str]:
    """Those of the folders `<job>-<epoch>` that no row names and none will: their attempts have ended without one.

    Args:
        kept: The column that names the folders to be kept.
    """
    places = [tuple(map(int, folder.split("-"))) for folder in folders]
    ended = session.execute(
        select(Attempt.job_id, Attempt.epoch).where(
            tuple_(Attempt.job_id, Attempt.epoch).in_(places), Attempt.outcome.is_not(None)
        )
    )
    unnamed = [f"{job_id}-{epoch}" for job_id, epoch in ended]
    # Asked for after the ends, never before: an end and its name are committed together, and PostgreSQL shows each
    # statement what is committed by then. The other way round, what is registered in between would be taken for left.
    named = set(session.scalars(select(kept).where(kept.in_(unnamed))))
    return [folder for folder in unnamed if folder not in named]


def sweep(session: Session) -> int:
    """Give jobs whose lease ran out back to the queue; returns how many a free worker could take now."""
    expired = session.execute(
        select(Job.id, Job.epoch, Job.stop_requested)
        .where(Job.state == JobState.RUNNING, Job.lease_expires_at < database_now())
        .with_for_update(skip_locked=True)
    ).all()
    for job_id, epoch, stop_requested in expired:
        if stop_requested is not None:
            stopped(session, job_id, epoch, cast(StopReason, stop_requested))
            continue
        lose(
            session,
            job_id,
            epoch,
            LostWorker(
                f"The worker stopped answering {MOST_LOST_ATTEMPTS} times.",
                "Look at the last log lines and at the machine's memory, then retry: it goes on from its checkpoint.",
            ),
        )
    fleet.forget_silent(session)
    return num_due(session)


def _runnable_spec(session: Session, job: Job) -> tuple[dict[str, Any], tuple[int, ...]]:
    """The spec with folders in the place of ids, and the endpoints that answer for models of it."""
    spec_class = get_recipe(job.recipe).spec
    spec = dict(job.spec)
    endpoint_ids: set[int] = set()
    for field, info in spec_class.model_fields.items():
        value = spec.get(field)
        if not value:
            continue
        if any(isinstance(marker, ModelRef) for marker in info.metadata):
            model = _model(session, job, field)
            if model.endpoint_id is None:
                spec[field] = models.location_of(model)
            else:
                spec[field] = f"endpoint:{model.endpoint_id}#{model.source}"
                endpoint_ids.add(model.endpoint_id)
        elif any(isinstance(marker, DatasetRef) for marker in info.metadata):
            is_one = isinstance(value, str)
            paths = [_rows_path(session, name) for name in ([value] if is_one else value)]
            spec[field] = paths[0] if is_one else paths
    return spec, tuple(sorted(endpoint_ids))


def _rows_path(session: Session, name: str) -> str:
    version = session.get_one(DatasetVersion, int(name.removeprefix("dataset:")))
    return str(settings().datasets_folder / version.sha256 / "rows.jsonl")


def _model(session: Session, job: Job, field: str) -> Model:
    """The model that a field names; that of a job is, from now on, the model that the job has made."""
    value = job.spec[field]
    if value.startswith("job:"):
        before = session.get_one(Job, int(value.removeprefix("job:")))
        assert before.model is not None, "a job that has succeeded has made its model"
        value = f"model:{before.model.id}"
        job.spec = job.spec | {field: value}
        job.parent_model_id = before.model.id
    return session.get_one(Model, int(value.removeprefix("model:")))


def _owned(job_id: int, epoch: int) -> tuple[Any, ...]:
    return Job.id == job_id, Job.epoch == epoch, Job.state == JobState.RUNNING


def _end(session: Session, job_id: int, epoch: int, state: JobState, *, outcome: str, **values: Any) -> None:
    values = {"finished_at": utc_now(), "stop_requested": None, "worker_id": None, "lease_expires_at": None} | values
    ended = session.scalar(update(Job).where(*_owned(job_id, epoch)).values(state=state, **values).returning(Job.id))
    if ended is None:
        raise StaleAttempt(f"job {job_id} is no longer held under epoch {epoch}")
    attempt = session.get_one(Attempt, (job_id, epoch))
    attempt.ended_at, attempt.outcome = utc_now(), outcome
    slots.release_of_job(session, job_id, epoch)
