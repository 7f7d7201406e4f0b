"""Hub uploads: a dataset fetched by its id becomes an upload like any other, with the commit that it was fetched at."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import orjson

from pipeline.data.hub import HubOrigin, checked_id
from pipeline.errors import HoneError
from pipeline.model_folder import write_atomically
from store.settings import settings
from webapp.data.upload_folders import ImportFailure, Upload, as_error, clean_name
from webapp.formatting import file_size

_LOOK_SECONDS = 0.5


def fetch(dataset: str, *, config: str = "", split: str = "", revision: str = "") -> Iterator[str | Upload]:
    """Fetch a dataset; yields how far that is in words, and last the upload. What is given up halfway leaves nothing.

    Raises:
        HoneError: if the hub cannot be reached, has no such dataset, or it does not fit.
    """
    wanted = checked_id(dataset)
    upload_id = secrets.token_hex(16)
    folder = settings().uploads_folder / upload_id
    folder.mkdir(parents=True, mode=0o700)
    try:
        yield f"Asking the hub for {wanted}…"
        command = [sys.executable, "-m", "pipeline.data.hub", wanted, str(folder / "content")]
        command += [
            f"--{name}={value.strip()}"
            for name, value in (("config", config), ("split", split), ("revision", revision))
            if value.strip()
        ]
        origin = yield from _follow([*command, f"--max-bytes={int(settings().max_upload_gb * 1e9)}"], folder)
        yield "Checking what came…"
        yield _finish(upload_id, folder, origin)
    except BaseException:  # also a browser that went away
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _follow(command: list[str], folder: Path) -> Generator[str, None, HubOrigin]:
    """Run the fetching process to its end, and kill it if nobody waits for it any more; returns the origin."""
    said = folder / "fetching.jsonl"
    with said.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.DEVNULL, env=_environment()
        )
    try:
        while process.poll() is None:
            time.sleep(_LOOK_SECONDS)
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            yield f"Fetching: {file_size(size)} so far…"
    finally:
        process.kill()
        process.wait()
    messages = {message.pop("type"): message for message in map(orjson.loads, said.read_bytes().splitlines())}
    said.unlink()
    if "fetched" not in messages:
        lost = ImportFailure(message="The download ended without a word.", advice="Try again.")
        raise as_error(ImportFailure.model_validate(messages["failed"]) if "failed" in messages else lost)
    return HubOrigin.model_validate(messages["found"])


def _finish(upload_id: str, folder: Path, origin: HubOrigin) -> Upload:
    content = folder / "content"
    if not content.stat().st_size:
        raise HoneError(f"The files of {origin.dataset} are empty.", "Choose another split.")
    with content.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    upload = Upload(
        id=upload_id,
        name=clean_name(origin.file_name),
        size_bytes=content.stat().st_size,
        sha256=sha256,
        hub=origin,
    )
    write_atomically(folder / "upload.json", upload.model_dump_json().encode())
    return upload


def _environment() -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[2])
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
