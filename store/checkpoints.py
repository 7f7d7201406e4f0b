"""Checkpoints: those of jobs that are not over, and how one is kept as a model to be talked to meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pipeline.errors import BadModel
from pipeline.model_folder import ModelManifest, relative_base, sha256_of_file, write_atomically, write_manifest
from pipeline.training.checkpoints import HASHES_NAME, checkpoint_of, published_in, step_of
from store import models
from store.database import reading, writing
from store.schema import Job, JobState, Model
from store.settings import settings

UNFINISHED = (JobState.RUNNING, JobState.PAUSED)

_SUFFIXES = {".safetensors", ".json", ".jinja", ".txt", ".model"}
_OF_TRAINING = {"trainer_state.json", HASHES_NAME}
"""What lies beside the weights and is of no use to who only loads them; the optimizer's files have other endings."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of a job, as far as training had come with it."""

    job_id: int
    job_name: str
    state: JobState
    step: int
    total_steps: int


def list_checkpoints(session: Session) -> list[Checkpoint]:
    """The checkpoints of running and paused jobs that could be kept now, the oldest first."""
    jobs = session.scalars(select(Job).where(Job.state.in_(UNFINISHED)).order_by(Job.id)).all()
    return [
        Checkpoint(job.id, job.name, job.state, step_of(folder), job.total_steps)
        for job in jobs
        for folder in reversed(published_in(_checkpoints_of(job.id)))
        if _has_weights(folder)
    ]


def find_kept(session: Session, job_id: int, step: int) -> Model | None:
    query = select(Model).where(Model.checkpoint_job_id == job_id, Model.checkpoint_step == step)
    return session.scalar(query.where(Model.deleted_at.is_(None)))


def keep_checkpoint(job_id: int, step: int) -> Model:
    """Make a model of a checkpoint, which training will soon replace; the same checkpoint gives the same model.

    Weights are linked, not copied, where the disk allows it. It opens transactions of its own: none is held while
    gigabytes are hashed.

    Raises:
        BadModel: if the checkpoint is no longer there, is damaged, or holds no weights that can be loaded alone.
    """
    with reading() as session:
        known = find_kept(session, job_id, step)
        job = session.get(Job, job_id)
        parent = job.parent_model if job is not None else None
        base = models.base_of_made(session, parent)
    if known is not None:
        return known
    if job is None:
        raise BadModel(f"There is no job {job_id}.", "Choose another model.")
    source = checkpoint_of(step, _checkpoints_of(job_id))
    folder = settings().models_folder / f"{job_id}-checkpoint-{step}"
    making = folder.with_name(f".making-{folder.name}-{os.urandom(4).hex()}")
    making.mkdir(parents=True)
    try:
        manifest = _make_folder(job, source, making, base)
        with writing() as session:
            return find_kept(session, job_id, step) or _register(session, job, step, making, folder, manifest, base)
    except IntegrityError:
        with reading() as session:  # another press of the same button was first, and took the name
            known = find_kept(session, job_id, step)
        if known is None:
            raise
        return known
    except FileNotFoundError as error:
        raise BadModel(
            f"The checkpoint of step {step} of {job.name} is gone: a newer one has taken its place.",
            "Load the page again and choose one that is there now.",
        ) from error
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _register(
    session: Session, job: Job, step: int, making: Path, folder: Path, manifest: ModelManifest, base: Model | None
) -> Model:
    """The row and the folder's name in one transaction: `folder` has no row, so what lies there was left by a crash."""
    model = Model(
        name=models.free_name(session, f"{job.name}-step-{step}"),
        kind=manifest.kind,
        folder=folder.name,
        parent_id=job.parent_model_id,
        base_id=base.id if base is not None and manifest.kind == "adapter" else None,
        checkpoint_job_id=job.id,
        checkpoint_step=step,
        num_parameters=manifest.num_parameters,
        size_bytes=manifest.size_bytes,
        manifest=manifest.model_dump(mode="json"),
    )
    session.add(model)
    session.flush()
    shutil.rmtree(folder, ignore_errors=True)
    making.rename(folder)
    return model


def _make_folder(job: Job, source: Path, folder: Path, base: Model | None) -> ModelManifest:
    """Bring what is needed to load it from `source` into `folder`, and close it with its manifest.

    Raises:
        FileNotFoundError: if the checkpoint is taken away meanwhile.
        BadModel: if it is damaged, or cannot be loaded alone.
    """
    hashes: dict[str, str] = json.loads((source / HASHES_NAME).read_bytes())
    names = [name for name in hashes if _is_needed(name)]
    if not any(name.endswith(".safetensors") for name in names):
        raise BadModel(
            f"{source.name} of {job.name} holds only shares of the weights, one of each of its processes.",
            "Wait for the job's end: its result is a whole model.",
        )
    for name in names:
        _link_or_copy(source / name, folder / name)
    damaged = [name for name in names if sha256_of_file(folder / name) != hashes[name]]
    if damaged:
        raise BadModel(
            f"{source.name} of {job.name} is damaged: {damaged[0]} is not as it was written.", "Choose another."
        )
    is_adapter = "adapter_config.json" in names
    base_location = models.location_of(base) if is_adapter and base is not None else None
    base_name = relative_base(folder, base_location) if base_location is not None else None
    if is_adapter:
        _name_base(folder / "adapter_config.json", base_name)
    weights = sorted(folder.glob("*.safetensors"))
    beneath = (base.num_parameters or 0) if is_adapter and base is not None else 0
    template = folder / "chat_template.jinja"
    return write_manifest(
        folder,
        ModelManifest(
            kind="adapter" if is_adapter else "full",
            base=base_name,
            recipe=job.recipe,
            spec=job.spec,
            num_parameters=beneath + sum(map(_num_weights, weights)),
            size_bytes=sum(path.stat().st_size for path in weights),
            chat_template_sha256=sha256_of_file(template) if template.is_file() else None,
        ),
    )


def _checkpoints_of(job_id: int) -> Path:
    return settings().jobs_folder / str(job_id) / "checkpoints"


def _is_needed(name: str) -> bool:
    return "/" not in name and Path(name).suffix in _SUFFIXES and name not in _OF_TRAINING


def _has_weights(folder: Path) -> bool:
    try:
        names = json.loads((folder / HASHES_NAME).read_bytes())
    except (OSError, ValueError):  # taken away meanwhile, or damaged
        return False
    return any(name.endswith(".safetensors") and _is_needed(name) for name in names)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another disk, or one that knows no links
        shutil.copyfile(source, target)


def _name_base(config_path: Path, base: str | None) -> None:
    """Written anew, not changed in place: the file is the checkpoint's too."""
    config = json.loads(config_path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base
    write_atomically(config_path, json.dumps(config, indent=2, sort_keys=True).encode())


def _num_weights(path: Path) -> int:
    """How many numbers a safetensors file holds, by its header alone (length as 8 bytes, then JSON)."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return sum(prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
