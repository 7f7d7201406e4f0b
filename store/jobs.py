"""Jobs: what people ask for, and what became of it. What a worker does with a job is in `store.attempts`.

Where people steer the queue is in `store.steering`.

             submit            claim              finish
(nothing) ─────────► queued ─────────► running ─────────► succeeded / failed / cancelled / paused
                       ▲                  │
                       └── release, sweep ┘        resume, retry: paused / failed / cancelled ──► queued
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, joinedload, selectinload

from pipeline.context import StopReason
from pipeline.errors import BadModel, BadSpec, HoneError
from pipeline.recipes import get_recipe
from pipeline.spec import DatasetRef, Fault, ModelRef, Spec, SpecFaults, validate_spec
from store import curves, models
from store.schema import (
    ACTIVE_STATES,
    DatasetVersion,
    Job,
    JobState,
    LogEntry,
    Model,
    SampleText,
    utc_now,
)

# ---------------------------------------------------------------------------------------------- asking for work


def submit(
    session: Session,
    recipe_name: str,
    values: Mapping[str, Any],
    *,
    name: str = "",
    person_id: int | None = None,
    idempotency_key: str | None = None,
    after_job_id: int | None = None,
) -> Job:
    """Ask for a job.

    Args:
        values: The spec's fields; a model is `model:<id>`, `job:<id>` (the model that the job makes), a folder or a
            Hugging Face id, a dataset `dataset:<id>`.
        name: What the job and the model that it makes are called; empty for the recipe's name and a number.
        idempotency_key: The same key always gives the same job, however often it is sent.
        after_job_id: Hold it until that job has succeeded; a spec that starts from a job's model is held anyway.

    Raises:
        SpecFaults: with everything that is wrong with the values.
    """
    known = _job_of_key(session, idempotency_key)
    if known is not None:
        return known
    try:
        with session.begin_nested():
            return _add_job(session, recipe_name, values, name, person_id, idempotency_key, after_job_id)
    except (IntegrityError, SpecFaults):
        # Another press of the same button may have been recorded since: it took the key, and the name with it.
        known = _job_of_key(session, idempotency_key)
        if known is None:
            raise
        return known


def _add_job(
    session: Session,
    recipe_name: str,
    values: Mapping[str, Any],
    name: str,
    person_id: int | None,
    idempotency_key: str | None,
    after_job_id: int | None,
) -> Job:
    recipe = get_recipe(recipe_name)
    name = name.strip()
    faults: list[Fault] = []
    if name and (reason := models.check_free_name(session, name)) is not None:
        faults.append(Fault("name", f"{reason} (received {name!r})"))
    try:
        spec = validate_spec(recipe.spec, values)
    except SpecFaults as error:
        raise SpecFaults([*faults, *error.faults]) from error
    inputs = _find_inputs(session, spec)
    if faults or inputs.faults:
        raise SpecFaults([*faults, *inputs.faults])

    job = Job(
        name=name,
        recipe=recipe_name,
        spec=spec.model_dump(mode="json") | inputs.stored_values,
        idempotency_key=idempotency_key,
        num_slots=spec.num_slots,
        after_job_id=inputs.after_job_id or after_job_id,
        parent_model_id=inputs.models[0].id if inputs.models else None,
        created_by_id=person_id,
        datasets=inputs.datasets,
    )
    session.add(job)
    session.flush()
    job.position = float(job.id)
    job.name = name or models.free_name(session, f"{recipe_name}-{job.id}")
    return job


def request_stop(session: Session, job_id: int, reason: StopReason) -> Job:
    """Cancel or pause: at once where the job waits, at its next step where it runs.

    Raises:
        BadSpec: if the job has already ended.
    """
    job = _held_job(session, job_id)
    if job.state == JobState.QUEUED:
        job.state = JobState.CANCELLED if reason == "cancel" else JobState.PAUSED
        job.finished_at = utc_now()
    elif job.state == JobState.RUNNING:
        job.stop_requested = reason
    elif job.state == JobState.PAUSED and reason == "cancel":
        job.state = JobState.CANCELLED
    else:
        raise BadSpec(f"{job.name} is {job.state} already.", "There is nothing left to stop.")
    return job


def retry(session: Session, job_id: int) -> Job:
    """Queue a job that was paused, cancelled or failed once more: it goes on from its last checkpoint.

    Raises:
        BadSpec: if the job waits, runs or has succeeded, or its model or data are gone.
    """
    job = _held_job(session, job_id)
    if job.state not in (JobState.PAUSED, JobState.CANCELLED, JobState.FAILED):
        raise BadSpec(f"{job.name} is {job.state}.", "Only a paused, cancelled or failed job can go on.")
    faults = _find_inputs(session, validate_spec(get_recipe(job.recipe).spec, job.spec)).faults
    if faults:
        raise SpecFaults(faults)
    job.state = JobState.QUEUED
    job.num_failures = 0
    job.stop_requested = None
    job.finished_at = job.error_kind = job.error_message = job.error_advice = None
    return job


def can_halve_batch(job: Job) -> bool:
    """Whether a job ended for want of memory and computes on more than one sequence at once."""
    return (
        job.state == JobState.FAILED
        and job.error_kind in ("out_of_memory", "killed")
        and job.spec.get("batch_size", 1) > 1
        and "gradient_accumulation" in job.spec
    )


def retry_with_half_the_batch(session: Session, job_id: int) -> Job:
    """Queue a job that ran out of memory again, with half the batch (or less) and more accumulation: the same steps.

    Raises:
        BadSpec: if that is not why it ended, or its batch is one sequence already.
    """
    job = get_job(session, job_id)
    if not can_halve_batch(job):
        raise BadSpec(f"The batch of {job.name} cannot be halved.", "Run it again with changes instead.")
    sequences = job.spec["batch_size"] * job.spec["gradient_accumulation"]
    batch_size = next(size for size in range(job.spec["batch_size"] // 2, 0, -1) if sequences % size == 0)
    retry(session, job_id)
    job.spec = job.spec | {"batch_size": batch_size, "gradient_accumulation": sequences // batch_size}
    return job


# --------------------------------------------------------------------------------------------------------- reading


def get_job(session: Session, job_id: int) -> Job:
    """Raises:
    BadSpec: if there is no such job.
    """
    job = session.get(Job, job_id)
    if job is None:
        raise BadSpec(f"There is no job {job_id}.", "See all jobs on the Jobs page.")
    return job


def load_job(session: Session, job_id: int) -> Job:
    """A job with everything that its page shows. Raises BadSpec as `get_job` does."""
    get_job(session, job_id)
    return session.scalars(
        select(Job)
        .where(Job.id == job_id)
        .options(
            joinedload(Job.model),
            joinedload(Job.parent_model),
            joinedload(Job.after_job),
            joinedload(Job.created_by),
            selectinload(Job.datasets).joinedload(DatasetVersion.dataset),
            selectinload(Job.attempts),
        )
    ).one()


def list_jobs(
    session: Session,
    *,
    states: Sequence[JobState] = (),
    recipe: str | None = None,
    search: str = "",
    limit: int = 50,
    offset: int = 0,
) -> tuple[Sequence[Job], int]:
    """One page of jobs, and how many there are: what runs first, then what waits in its order, then the newest."""
    query = select(Job)
    if states:
        query = query.where(Job.state.in_(states))
    if recipe:
        query = query.where(Job.recipe == recipe)
    if search:
        query = query.where(Job.name.icontains(search, autoescape=True))
    total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    running_first = text("CASE jobs.state WHEN 'running' THEN 0 WHEN 'queued' THEN 1 ELSE 2 END")
    waiting_order = text("CASE WHEN jobs.state = 'queued' THEN -jobs.priority END")
    waiting_position = text("CASE WHEN jobs.state = 'queued' THEN jobs.position END")
    order = (running_first, waiting_order, waiting_position, Job.id.desc())
    # The order is found in an index alone; only the rows of the page are read whole.
    on_page = query.with_only_columns(Job.id).order_by(*order).limit(limit).offset(offset).correlate(None)
    page = (
        select(Job)
        .where(Job.id.in_(on_page))
        .options(
            joinedload(Job.created_by),
            joinedload(Job.model).defer(Model.manifest),
            joinedload(Job.parent_model).defer(Model.manifest),
            joinedload(Job.after_job),
            selectinload(Job.datasets).joinedload(DatasetVersion.dataset),
        )
        .order_by(*order)
    )
    return session.scalars(page).all(), total


def count_by_state(session: Session) -> dict[JobState, int]:
    counted = session.execute(select(Job.state, func.count()).group_by(Job.state)).all()
    counts = {JobState(state): int(number) for state, number in counted}
    return {state: counts.get(state, 0) for state in JobState}


def has_active(session: Session) -> bool:
    return session.scalar(select(Job.id).where(Job.state.in_(ACTIVE_STATES)).limit(1)) is not None


def metrics(session: Session, job_id: int, names: Sequence[str] = ()) -> dict[str, Sequence[curves.Point]]:
    """The series of a job (all, or those in `names`) as (step, value) in order of step, thinned by `store.curves`."""
    return curves.read_curves(session, job_id, names=names).points


def log_lines(
    session: Session, job_id: int, *, search: str = "", limit: int = 1000, end: Literal["first", "last"] = "last"
) -> list[LogEntry]:
    """Lines of a job's log in order, at most `limit` of them from its end (or its beginning)."""
    query = select(LogEntry).where(LogEntry.job_id == job_id)
    if search:
        query = query.where(LogEntry.text.icontains(search, autoescape=True))
    order = (LogEntry.epoch, LogEntry.seq)
    if end == "first":
        return list(session.scalars(query.order_by(*order).limit(limit)))
    newest = session.scalars(query.order_by(*(column.desc() for column in order)).limit(limit))
    return list(reversed(newest.all()))


def samples(session: Session, job_id: int, *, limit: int = 60) -> list[SampleText]:
    """What the model answered while it was trained, the latest first."""
    query = select(SampleText).where(SampleText.job_id == job_id)
    return list(session.scalars(query.order_by(SampleText.epoch.desc(), SampleText.seq.desc()).limit(limit)))


# --------------------------------------------------------------------------------------------------------- helpers


@dataclass
class _Inputs:
    models: list[Model]
    datasets: list[DatasetVersion]
    stored_values: dict[str, str]
    faults: list[Fault]
    after_job_id: int | None = None
    """The job whose model is needed, where that is still to be made."""


def _held_job(session: Session, job_id: int) -> Job:
    """A job whose state nobody else changes before this transaction ends: no worker claims it, none ends it.

    Raises:
        BadSpec: if there is no such job.
    """
    job = get_job(session, job_id)
    session.refresh(job, with_for_update=True)
    return job


def _job_of_key(session: Session, idempotency_key: str | None) -> Job | None:
    if idempotency_key is None:
        return None
    return session.scalar(select(Job).where(Job.idempotency_key == idempotency_key))


def _find_inputs(session: Session, spec: Spec) -> _Inputs:
    """The rows that a spec's references name; a model given by folder or Hugging Face id is registered."""
    inputs = _Inputs([], [], {}, [])
    for field, info in type(spec).model_fields.items():
        value = getattr(spec, field)
        if not value:
            continue
        for marker in info.metadata:
            try:
                if isinstance(marker, ModelRef):
                    model = _find_model(session, value)
                    if model is None:
                        inputs.after_job_id = int(value.removeprefix("job:"))
                        continue
                    if not marker.takes_endpoints:
                        models.require_weights(model)
                    inputs.models.append(model)
                    inputs.stored_values[field] = f"model:{model.id}"
                elif isinstance(marker, DatasetRef):
                    for name in [value] if isinstance(value, str) else value:
                        version = _find_dataset(session, name, marker.kinds)
                        if version in inputs.datasets:
                            raise BadSpec(
                                f"{version.dataset.name} version {version.number} is named twice.",
                                "Name each version once.",
                            )
                        inputs.datasets.append(version)
            except HoneError as error:
                inputs.faults.append(Fault(field, str(error)))
    return inputs


def _find_model(session: Session, value: str) -> Model | None:
    """The model that a reference names; None where a job has still to make it."""
    if value.startswith("job:"):
        return _model_of_job(session, value)
    if not value.startswith("model:"):
        return models.register_external(session, value)
    number = value.removeprefix("model:")
    if not number.isdecimal():
        raise BadModel(f"{value!r} names no model.", "A model is named as model:<number>.")
    return models.get_model(session, int(number))


def _model_of_job(session: Session, value: str) -> Model | None:
    number = value.removeprefix("job:")
    job = session.get(Job, int(number)) if number.isdecimal() else None
    if job is None:
        raise BadModel(f"{value!r} names no job.", "The model that a job makes is named as job:<number>.")
    if get_recipe(job.recipe).produces != "model":
        raise BadModel(f"{job.name} makes no model.", "Choose a job that trains one.")
    if job.state != JobState.SUCCEEDED:
        return None
    if job.model is None:
        raise BadModel(f"The model that {job.name} made is gone.", "Choose another.")
    return models.get_model(session, job.model.id)


def _find_dataset(session: Session, value: str, kinds: tuple[str, ...]) -> DatasetVersion:
    number = value.removeprefix("dataset:")
    version = session.get(DatasetVersion, int(number)) if number.isdecimal() else None
    if version is None or version.deleted_at is not None or version.dataset.deleted_at is not None:
        raise BadSpec(f"There is no dataset {value!r}.", "It may have been deleted: choose another on the Data page.")
    if version.kind not in kinds:
        raise BadSpec(
            f"{version.dataset.name} holds {version.kind} rows; this needs {' or '.join(kinds)} rows.",
            "Choose another dataset.",
        )
    return version
