"""Models: what was made, from what, and where it lies."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session, joinedload

from pipeline.errors import BadModel
from pipeline.model_folder import ModelManifest, base_of, read_manifest
from store.schema import ACTIVE_STATES, DatasetVersion, Job, Model, utc_now
from store.settings import settings

HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def list_models(session: Session) -> Sequence[Model]:
    """Every model that is not deleted, the oldest first, with parent, base and job at hand."""
    query = select(Model).where(Model.deleted_at.is_(None)).order_by(Model.id)
    with_job = joinedload(Model.job).selectinload(Job.datasets).joinedload(DatasetVersion.dataset)
    return session.scalars(query.options(joinedload(Model.parent), joinedload(Model.base), with_job)).all()


def list_own_models(session: Session) -> list[Model]:
    """The models whose weights Hone can load: what can be trained from, quantized and served by its own server."""
    return [model for model in list_models(session) if model.endpoint_id is None]


def get_model(session: Session, model_id: int) -> Model:
    """Raises:
    BadModel: if there is no such model, or it was deleted.
    """
    model = session.get(Model, model_id)
    if model is None or model.deleted_at is not None:
        raise BadModel(f"There is no model {model_id}.", "It may have been deleted: choose another on the Models page.")
    return model


def load_model(session: Session, model_id: int) -> Model:
    """A model, also a deleted one, with its parent, base and job.

    Raises:
        BadModel: if there never was such a model.
    """
    query = select(Model).where(Model.id == model_id)
    model = session.scalar(query.options(joinedload(Model.parent), joinedload(Model.base), joinedload(Model.job)))
    if model is None:
        raise BadModel(f"There is no model {model_id}.", "Choose another on the Models page.")
    return model


def ancestors_of(session: Session, model: Model) -> list[Model]:
    """From the first base to the model itself."""
    chain = [model]
    while chain[0].parent_id is not None:
        chain.insert(0, load_model(session, chain[0].parent_id))
    return chain


def find_model(session: Session, name: str) -> Model | None:
    return session.scalar(select(Model).where(Model.name == name, Model.deleted_at.is_(None)))


def location_of(model: Model) -> str:
    """What to load it from: its folder, or the Hugging Face id of a model that lies elsewhere.

    Raises:
        BadModel: if its weights are another server's.
    """
    require_weights(model)
    if model.folder is not None:
        return str(settings().models_folder / model.folder)
    assert model.source is not None, "a model has a folder or a source"
    return model.source


def require_weights(model: Model) -> None:
    """Raises:
    BadModel: if the weights are another server's, so that nothing can be made from them here.
    """
    if model.endpoint_id is not None:
        raise BadModel(
            f"{model.name} is answered by an endpoint, so its weights are not here.",
            "Chat with it or compare it; to train, quantize or export, choose a model whose weights Hone has.",
        )


def add_made_model(session: Session, job: Job, folder: str, manifest: ModelManifest) -> Model:
    """Register what a job made and published under `models/<folder>`."""
    parent = job.parent_model
    base = base_of_made(session, parent) if manifest.kind == "adapter" else None
    model = Model(
        name=free_name(session, job.name),
        kind=manifest.kind,
        folder=folder,
        parent_id=parent.id if parent else None,
        base_id=base.id if base else None,
        job_id=job.id,
        num_parameters=manifest.num_parameters,
        size_bytes=manifest.size_bytes,
        manifest=manifest.model_dump(mode="json"),
    )
    session.add(model)
    session.flush()
    return model


def register_external(session: Session, source: str, name: str | None = None) -> Model:
    """Register a model that Hone did not make: a local folder or a Hugging Face id.

    Raises:
        BadModel: if `source` is neither, or the folder holds no model, or the name is taken.
    """
    source = source.strip()
    known = session.scalar(select(Model).where(Model.source == source, Model.deleted_at.is_(None)))
    if known is not None:
        return known
    folder = Path(source).expanduser()
    manifest = None
    if folder.is_dir():
        manifest = _check_model_folder(folder)
        source = str(folder.resolve())
    elif not HUB_ID.fullmatch(source):
        raise BadModel(
            f"{source[:200]!r} is neither a folder on this machine nor a Hugging Face id.",
            "Give the full path of a folder that holds config.json, or an id such as Qwen/Qwen3-0.6B.",
        )
    model = Model(
        name=free_name(session, clean_name(name or folder.name)),
        kind=_kind_of_folder(folder, manifest),
        source=source,
        num_parameters=manifest.num_parameters if manifest else None,
        size_bytes=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        if folder.is_dir()
        else None,
        manifest=manifest.model_dump(mode="json") if manifest else {},
    )
    session.add(model)
    session.flush()
    return model


def delete_model(session: Session, model_id: int) -> None:
    """Take a model off the lists and its files off the disk; its row stays for the lineage of others.

    Raises:
        BadModel: while a job or another model needs it.
    """
    model = get_model(session, model_id)
    users = uses_of(session, model)
    if users:
        raise BadModel(f"{model.name} is still needed by {', '.join(users)}.", "Delete or finish those first.")
    model.deleted_at = utc_now()
    model.name = f"{model.name} (deleted {model.id})"
    if model.folder is not None:
        shutil.rmtree(settings().models_folder / model.folder, ignore_errors=True)


def uses_of(session: Session, model: Model) -> list[str]:
    """Names of what would break without the model: adapters that stand on it, and jobs that are to start from it."""
    adapters = session.scalars(select(Model.name).where(Model.base_id == model.id, Model.deleted_at.is_(None)))
    jobs = session.scalars(select(Job.name).where(Job.parent_model_id == model.id, Job.state.in_(ACTIVE_STATES)))
    return [*adapters, *jobs]


def check_free_name(session: Session, name: str) -> str | None:
    """Why a new model cannot have this name, or None if it can."""
    if not NAME.fullmatch(name):
        return "must be 1 to 80 letters, digits, dots, dashes and underscores, and begin with a letter or digit"
    taken = session.scalar(
        select(func.count()).where(
            or_(
                select(Model.id).where(Model.name == name).exists(),
                select(Job.id).where(Job.name == name, Job.state.in_(ACTIVE_STATES)).exists(),
            )
        )
    )
    return "is taken by another model or job" if taken else None


def free_name(session: Session, wanted: str) -> str:
    """`wanted`, or `wanted-2`, `wanted-3` and so on where it is taken."""
    taken = set(session.scalars(select(Model.name).where(Model.name.startswith(wanted, autoescape=True))))
    candidates = [wanted, *(f"{wanted}-{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in candidates if name not in taken)


def base_of_made(session: Session, parent: Model | None) -> Model | None:
    """What an adapter stands on that is trained from `parent`: its base where it is an adapter itself."""
    if parent is None:
        return None
    return session.get(Model, parent.base_id) if parent.base_id is not None else parent


def _check_model_folder(folder: Path) -> ModelManifest | None:
    if not (folder / "config.json").is_file() and not (folder / "adapter_config.json").is_file():
        raise BadModel(
            f"The folder {folder} holds no model: there is neither config.json nor adapter_config.json in it.",
            "Give the folder that holds a model in Hugging Face's layout.",
        )
    if not any(folder.glob("*.safetensors")):
        raise BadModel(
            f"The folder {folder} holds no safetensors file.",
            "Convert the weights to safetensors: pickled weights can run code and are not loaded.",
        )
    if (folder / "adapter_config.json").is_file() and base_of(folder) is None:
        raise BadModel(f"The adapter in {folder} does not name its base.", "Merge it into its base first.")
    return read_manifest(folder)


def _kind_of_folder(folder: Path, manifest: ModelManifest | None) -> str:
    if manifest is not None:
        return manifest.kind
    return "adapter" if (folder / "adapter_config.json").is_file() else "full"


def clean_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:80] or "model"
