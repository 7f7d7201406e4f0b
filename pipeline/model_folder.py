"""Model folders: a model on disk with `hone.json` beside its weights, which says what it is and what it stands on.

A folder is one of

    full        every weight, in Hugging Face's layout (`config.json`, `*.safetensors`, tokenizer files)
    adapter     a LoRA adapter in peft's layout, with the tokenizer, on the base that `hone.json` names
    quantized   bitsandbytes weights in Hugging Face's layout
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from pipeline.errors import BadModel

MANIFEST_NAME = "hone.json"
ModelKind = Literal["full", "adapter", "quantized"]


class ModelManifest(BaseModel):
    """What `hone.json` holds.

    `base` is the model an adapter stands on: a path relative to the folder (so that a moved data folder still works),
    or a Hugging Face id. `files` maps each file's name to its SHA-256; a folder without a manifest is not a result.
    """

    format: Literal[1] = 1
    kind: ModelKind
    base: str | None = None
    recipe: str
    spec: dict[str, Any]
    num_parameters: int
    size_bytes: int
    chat_template_sha256: str | None = None
    versions: dict[str, str] = {}
    hardware: str = ""
    files: dict[str, str] = {}


def write_manifest(folder: Path, manifest: ModelManifest) -> ModelManifest:
    """Hash every file of `folder` and write its manifest last, so that a manifest means a whole folder."""
    files = {
        path.relative_to(folder).as_posix(): sha256_of_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST_NAME
    }
    whole = manifest.model_copy(update={"files": files})
    write_atomically(folder / MANIFEST_NAME, whole.model_dump_json(indent=2).encode())
    return whole


def read_manifest(folder: Path) -> ModelManifest | None:
    """The folder's manifest, or None where the folder did not come from Hone.

    Raises:
        BadModel: if a manifest is there but cannot be read.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        return None
    try:
        return ModelManifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BadModel(
            f"{path} is damaged: {error.errors()[0]['msg']}.", "Restore the folder or train again."
        ) from error


def base_of(folder: Path) -> Path | str | None:
    """Where the base of an adapter folder is: a folder, a Hugging Face id, or None for a model of its own."""
    manifest = read_manifest(folder)
    name = manifest.base if manifest else _base_named_by_peft(folder)
    if name is None:
        return None
    local = (folder / name).resolve()
    return local if local.is_dir() else name


def relative_base(folder: Path, base: Path | str) -> str:
    """How `folder`'s manifest should name `base`."""
    return os.path.relpath(base, folder) if Path(base).is_dir() else str(base)


def sha256_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is either whole or absent, even when the power goes."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _base_named_by_peft(folder: Path) -> str | None:
    path = folder / "adapter_config.json"
    if not path.is_file():
        return None
    name: str | None = json.loads(path.read_text(encoding="utf-8")).get("base_model_name_or_path")
    return name
