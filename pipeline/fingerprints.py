"""Fingerprints: which weights and which chat template wrote an answer, as hashes that outlive names and folders."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline.model_folder import ModelManifest, base_of, read_manifest, sha256_of_file

Fingerprint = dict[str, str]
"""`weights_sha256`, `chat_template_sha256`, and of an adapter `base_sha256`; of what has no folder here, `source`."""


def fingerprint_of(location: str) -> Fingerprint:
    """The fingerprint of a model folder; of a Hugging Face id or another server's model, its name is all there is.

    Hone's own folders are read from their manifest; of any other, the files are hashed once, and anew when they change.
    """
    folder = Path(location)
    if not folder.is_dir():
        return {"source": location}
    found = {"weights_sha256": _weights_of(folder)}
    if template := _template_of(folder):
        found["chat_template_sha256"] = template
    base = base_of(folder)
    if isinstance(base, Path):
        found["base_sha256"] = _weights_of(base)
    elif base is not None:
        found["base"] = base
    return found


def _weights_of(folder: Path) -> str:
    """One hash over the names and hashes of all safetensors files."""
    manifest = read_manifest(folder)
    if manifest is not None:
        hashes = {name: digest for name, digest in manifest.files.items() if name.endswith(".safetensors")}
    else:
        hashes = {path.name: _hash_of_file(path) for path in folder.glob("*.safetensors")}
    listed = "".join(f"{name}:{hashes[name]}\n" for name in sorted(hashes))
    return hashlib.sha256(listed.encode()).hexdigest()


def _template_of(folder: Path) -> str | None:
    manifest: ModelManifest | None = read_manifest(folder)
    if manifest is not None:
        return manifest.chat_template_sha256
    template = _template_text(folder)
    return hashlib.sha256(template.encode()).hexdigest() if template else None


def _template_text(folder: Path) -> str:
    own_file = folder / "chat_template.jinja"
    if own_file.is_file():
        return own_file.read_text(encoding="utf-8")
    config = folder / "tokenizer_config.json"
    if not config.is_file():
        return ""
    template: Any = json.loads(config.read_text(encoding="utf-8")).get("chat_template")
    return template if isinstance(template, str) else json.dumps(template, sort_keys=True) if template else ""


def _hash_of_file(path: Path) -> str:
    there = path.stat()
    return _hash_of_version(path, there.st_size, there.st_mtime_ns)


@lru_cache(maxsize=256)
def _hash_of_version(path: Path, size_bytes: int, changed_at_ns: int) -> str:
    """Weights may be many gigabytes: they are read again only when the file has changed."""
    return sha256_of_file(path)
