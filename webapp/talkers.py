"""Talkers: everything that can be talked to — models, those of endpoints, and checkpoints of jobs that are not over."""

from __future__ import annotations

from sqlalchemy.orm import Session

from pipeline.errors import BadModel
from store import checkpoints, endpoints, models
from store.checkpoints import Checkpoint
from store.database import reading
from store.schema import JobState, Model

_CHECKPOINT = "checkpoint"


def choices(session: Session) -> list[tuple[str, str]]:
    """Words and value of each, for a picker: checkpoints, endpoints' models, Hone's own with the newest last."""
    every = models.list_models(session)
    names = {endpoint.id: endpoint.name for endpoint in endpoints.list_endpoints(session)}
    kept = {(model.checkpoint_job_id, model.checkpoint_step) for model in every}
    training = [
        (_words(one), f"{_CHECKPOINT}:{one.job_id}:{one.step}")
        for one in checkpoints.list_checkpoints(session)
        if (one.job_id, one.step) not in kept
    ]
    elsewhere = [
        (f"{model.name} · {names.get(model.endpoint_id, 'endpoint')}", str(model.id))
        for model in every
        if model.endpoint_id is not None
    ]
    return [*training, *elsewhere, *((model.name, str(model.id)) for model in every if model.endpoint_id is None)]


def model_of(value: str) -> Model:
    """The model that a picker's value names; a checkpoint that is chosen is kept. Call it outside a transaction.

    Raises:
        BadModel: if it is no longer there.
    """
    match str(value).split(":"):
        case [number] if number.isdecimal():
            with reading() as session:
                return models.get_model(session, int(number))
        case [word, job_id, step] if word == _CHECKPOINT and job_id.isdecimal() and step.isdecimal():
            return checkpoints.keep_checkpoint(int(job_id), int(step))
    raise BadModel(f"{value!r} names no model.", "Choose one from the list.")


def _words(checkpoint: Checkpoint) -> str:
    """`sft-7 · step 200 of 600 (running)`."""
    of = f" of {checkpoint.total_steps}" if checkpoint.total_steps else ""
    state = "paused" if checkpoint.state == JobState.PAUSED else "running"
    return f"{checkpoint.job_name} · step {checkpoint.step}{of} ({state})"
