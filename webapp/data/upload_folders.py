"""Upload folders: a file on its way in, from the first byte to the import that can be kept.

An upload is a folder `uploads/<random id>/`, and its files are its state, so that it survives a restart:

    content          the bytes as they came (`content.part` while they come)
    upload.json      its name, size and hash; written last, so that an upload without it is none
    import/          the whole import of the file (`import.part/` while it runs)
    error.json       why the import failed
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import AsyncIterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Literal

import orjson
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool

from pipeline.data.formats import Mapping
from pipeline.data.hub import HubOrigin
from pipeline.data.importing import ImportProgress, ImportReport
from pipeline.data.inspecting import Inspection, inspect_file
from pipeline.errors import BadData, DiskFull, HoneError
from pipeline.model_folder import write_atomically
from store.datasets import read_report
from store.settings import settings
from webapp.formatting import file_size

RESERVED_BYTES = 256 << 20
"""Disk space that an upload leaves free, for the database and the jobs."""
WRITE_BYTES = 4 << 20
STALE_SECONDS = 24 * 3600
MAX_SHOWN_NAME = 120
_ID = re.compile(r"[0-9a-f]{32}")


class NoSuchUpload(BadData):
    kind = "no_such_upload"


class Upload(BaseModel):
    """A file that arrived whole."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    size_bytes: int
    sha256: str
    hub: HubOrigin | None = None
    """Where on the hub it was fetched, if it was."""

    @property
    def folder(self) -> Path:
        return settings().uploads_folder / self.id

    @property
    def content(self) -> Path:
        return self.folder / "content"

    @property
    def import_folder(self) -> Path:
        return self.folder / "import"


class ImportFailure(BaseModel):
    kind: str = "bad_data"
    message: str
    advice: str = ""


class ImportStatus(BaseModel):
    """Where the import of an upload stands."""

    state: Literal["waiting", "importing", "imported", "failed"]
    progress: ImportProgress | None = None
    seconds: float = 0.0
    """How long the import has been running."""
    report: ImportReport | None = None
    error: ImportFailure | None = None


def clean_name(name: str) -> str:
    """A file name fit to be shown: its last part, without control, direction and other unseen characters."""
    last = PurePosixPath(name.replace("\\", "/")).name
    seen = "".join(c for c in unicodedata.normalize("NFC", last) if unicodedata.category(c)[0] not in "CZ" or c == " ")
    if len(seen) > MAX_SHOWN_NAME:
        endings = "".join(PurePosixPath(seen).suffixes[-2:])[-20:]
        seen = f"{seen[: MAX_SHOWN_NAME - len(endings) - 1]}…{endings}"
    return seen.strip(" .") or "unnamed"


async def receive(chunks: AsyncIterator[bytes], *, name: str, size_bytes: int | None) -> Upload:
    """Write what a browser sends straight to disk; an upload that breaks off leaves nothing.

    Args:
        chunks: The bytes.
        name: What the browser calls the file.
        size_bytes: How many are announced, or None where that is not known.

    Raises:
        BadData: if there are none, too many, or fewer than announced.
        DiskFull: if there is no room for them.
    """
    if size_bytes is not None:
        _check_size(size_bytes)
        _check_room(size_bytes)
    upload_id = secrets.token_hex(16)
    folder = settings().uploads_folder / upload_id
    folder.mkdir(parents=True, mode=0o700)
    try:
        upload = await _write(chunks, folder, upload_id, clean_name(name), size_bytes)
        write_atomically(folder / "upload.json", upload.model_dump_json().encode())
    except BaseException:  # also a browser that went away: nothing of it stays
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return upload


async def _write(
    chunks: AsyncIterator[bytes], folder: Path, upload_id: str, name: str, announced: int | None
) -> Upload:
    digest = hashlib.sha256()
    size = 0
    pending: list[bytes] = []
    pending_bytes = 0

    def flush() -> None:
        data = b"".join(pending)
        digest.update(data)
        _check_room(len(data))
        file.write(data)

    with (folder / "content.part").open("xb", buffering=0) as file:
        async for chunk in chunks:
            pending.append(chunk)
            pending_bytes += len(chunk)
            size += len(chunk)
            if pending_bytes >= WRITE_BYTES:
                _check_size(size)
                await run_in_threadpool(flush)
                pending, pending_bytes = [], 0
        await run_in_threadpool(flush)
    if announced is not None and size != announced:
        raise BadData(f"{size:,} of {announced:,} bytes of “{name}” arrived.", "Upload it again.")
    if size == 0:
        raise BadData(f"“{name}” is empty: 0 bytes.", "Check that the file was written whole, and upload it again.")
    (folder / "content.part").rename(folder / "content")
    return Upload(id=upload_id, name=name, size_bytes=size, sha256=digest.hexdigest())


def find_upload(upload_id: str) -> Upload:
    """Raises:
    NoSuchUpload: if it never was, or it was kept or discarded since.
    """
    path = settings().uploads_folder / upload_id / "upload.json"
    if not _ID.fullmatch(upload_id) or not path.is_file():
        raise NoSuchUpload("This upload is no longer there.", "It was kept or discarded: upload the file again.")
    return Upload.model_validate_json(path.read_bytes())


def inspect(upload: Upload, mapping: Mapping | None = None) -> Inspection:
    """Look at the beginning of an upload; the latest looks are remembered.

    Raises:
        BadData: if it holds nothing that could be rows.
    """
    return _inspect(upload, mapping.model_dump_json() if mapping else "")


@lru_cache(maxsize=16)
def _inspect(upload: Upload, mapping_json: str) -> Inspection:
    mapping = Mapping.model_validate_json(mapping_json) if mapping_json else None
    return inspect_file(upload.content, upload.name, mapping)


def discard(upload: Upload) -> None:
    """Stop the upload's import, if it runs, and remove everything of it."""
    imports().stop(upload)
    shutil.rmtree(upload.folder, ignore_errors=True)


def remove_stale_uploads() -> None:
    """Remove what broke off when the server last ended, and what nobody has kept for a day; call it at the start."""
    root = settings().uploads_folder
    for folder in root.iterdir() if root.is_dir() else ():
        is_whole = (folder / "upload.json").is_file()
        if not is_whole or time.time() - folder.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _check_size(size_bytes: int) -> None:
    limit = int(settings().max_upload_gb * 1e9)
    if size_bytes > limit:
        raise BadData(
            f"The file has {file_size(size_bytes)}; this server takes at most {file_size(limit)}.",
            "Split it, compress it (.gz or .zst), or ask for HONE_MAX_UPLOAD_GB to be raised.",
        )


def _check_room(size_bytes: int) -> None:
    home = settings().home
    home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(home).free
    if free < size_bytes + RESERVED_BYTES:
        raise DiskFull(
            f"The disk has {file_size(free)} free; {file_size(size_bytes)} more would fill it.",
            "Free some space in the data folder, then upload again.",
        )


# ------------------------------------------------------------------------------------------------------------ imports


class _Running:
    """An import at work in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.started = time.monotonic()
        self.progress: ImportProgress | None = None
        self.is_stopped = False


class Imports:
    """The imports of this server: at most one an upload, each in a child process that ends with the server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}

    def start(self, upload: Upload, mapping: Mapping | None = None) -> None:
        """Import an upload, again from the start if that was done before; a second press while it runs does nothing."""
        with self._lock:
            if upload.id in self._running:
                return
            for leftover in ("import", "import.part"):
                shutil.rmtree(upload.folder / leftover, ignore_errors=True)
            (upload.folder / "error.json").unlink(missing_ok=True)
            running = _Running(self._launch(upload, mapping))
            self._running[upload.id] = running
        threading.Thread(
            target=self._follow, args=(upload, running), name=f"import-{upload.id[:8]}", daemon=True
        ).start()

    def status(self, upload: Upload) -> ImportStatus:
        with self._lock:
            running = self._running.get(upload.id)
        if running is not None:
            elapsed = time.monotonic() - running.started
            return ImportStatus(state="importing", progress=running.progress, seconds=elapsed)
        if (upload.import_folder / "report.json").is_file():
            return ImportStatus(state="imported", report=read_report(upload.import_folder))
        error = upload.folder / "error.json"
        if error.is_file():
            return ImportStatus(state="failed", error=ImportFailure.model_validate_json(error.read_bytes()))
        return ImportStatus(state="waiting")

    def stop(self, upload: Upload) -> None:
        """End the upload's import and wait until its process is gone."""
        with self._lock:
            running = self._running.get(upload.id)
        if running is not None:
            running.is_stopped = True
            running.process.kill()
            running.process.wait()

    def _launch(self, upload: Upload, mapping: Mapping | None) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "pipeline.data", str(upload.content), str(upload.folder / "import.part")]
        command += [f"--name={upload.name}", *([f"--mapping={mapping.model_dump_json()}"] if mapping else [])]
        root = str(Path(__file__).resolve().parents[2])
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))},
        )

    def _follow(self, upload: Upload, running: _Running) -> None:
        """Take in what the child says until it ends, and put its result, or its error, in place."""
        failure: ImportFailure | None = None
        is_whole = False
        with running.process as process:
            assert process.stdout is not None
            assert process.stderr is not None
            for line in process.stdout:
                message = orjson.loads(line)
                match message.pop("type"):
                    case "progress":
                        running.progress = ImportProgress.model_validate(message)
                    case "failed":
                        failure = ImportFailure.model_validate(message)
                    case "imported":
                        is_whole = True
            trace = process.stderr.read()[-2000:].decode("utf-8", "replace")
        with self._lock:
            if is_whole:
                (upload.folder / "import.part").rename(upload.import_folder)
            elif not running.is_stopped:
                told = failure or ImportFailure(
                    kind="error",
                    message=f"The import ended without a word (exit code {process.returncode}).",
                    advice=f"Perhaps the machine ran out of memory. {trace}".strip(),
                )
                shutil.rmtree(upload.folder / "import.part", ignore_errors=True)
                write_atomically(upload.folder / "error.json", told.model_dump_json().encode())
            del self._running[upload.id]


@lru_cache(maxsize=1)
def imports() -> Imports:
    """The imports of this process."""
    return Imports()


def as_error(failure: ImportFailure) -> HoneError:
    """The failure of a child as the error that a page draws."""
    return BadData(failure.message, failure.advice)
