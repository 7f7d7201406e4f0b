"""Checkpoints: whole or absent. Each is written aside, hashed, flushed to disk, and only then given its name."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from pipeline.model_folder import sha256_of_file, write_atomically

HASHES_NAME = "hashes.json"
WRITING_NAME = "writing"
NUM_KEPT = 2

_NAME = re.compile(r"checkpoint-(\d+)")


def writing_folder(checkpoints: Path) -> Path:
    """Where the trainer writes a checkpoint before it is published; what an earlier crash left there is removed."""
    folder = checkpoints / WRITING_NAME
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def publish(written: Path, checkpoints: Path) -> Path:
    """Make `written` the newest checkpoint, and keep the last two.

    Every file is flushed to disk before the rename, and its hash recorded, so that a checkpoint with its name is whole.
    """
    hashes = {}
    for path in sorted(path for path in written.rglob("*") if path.is_file()):
        hashes[path.relative_to(written).as_posix()] = sha256_of_file(path)
        _flush_to_disk(path)
    write_atomically(written / HASHES_NAME, json.dumps(hashes).encode())
    published = checkpoints / written.name
    shutil.rmtree(published, ignore_errors=True)
    written.rename(published)
    _flush_to_disk(checkpoints)
    for old in published_in(checkpoints)[NUM_KEPT:]:
        shutil.rmtree(old)
    return published


def latest_whole(checkpoints: Path, warn: Callable[[str], None]) -> Path | None:
    """The newest checkpoint whose files are all as they were written; damaged ones are skipped with a warning."""
    for folder in published_in(checkpoints):
        fault = _fault_of(folder)
        if fault is None:
            return folder
        warn(f"{folder.name} is damaged ({fault}) and is skipped.")
    return None


def published_in(checkpoints: Path) -> list[Path]:
    """The checkpoints of a folder, the newest first; none where there is no such folder."""
    if not checkpoints.is_dir():
        return []
    found = [path for path in checkpoints.iterdir() if path.is_dir() and _NAME.fullmatch(path.name)]
    return sorted(found, key=step_of, reverse=True)


def checkpoint_of(step: int, folder: Path) -> Path:
    """The checkpoint of `step` in `folder`, whether it is published or still being written."""
    return folder / f"checkpoint-{step}"


def step_of(checkpoint: Path) -> int:
    match = _NAME.fullmatch(checkpoint.name)
    assert match is not None
    return int(match[1])


def _fault_of(folder: Path) -> str | None:
    try:
        hashes = json.loads((folder / HASHES_NAME).read_bytes())
    except (OSError, json.JSONDecodeError):
        return "it has no list of hashes"
    for name, expected in hashes.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if sha256_of_file(path) != expected:
            return f"{name} is not as it was written"
    return None


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
