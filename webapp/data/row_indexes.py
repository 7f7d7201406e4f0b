"""Row indexes of this server: made once for each version, each in a child process that ends with the server."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from functools import lru_cache
from pathlib import Path
from typing import Literal

import orjson
from pydantic import BaseModel, ConfigDict

from pipeline.data.row_index import RowIndex
from pipeline.errors import BadData

ROOT = Path(__file__).resolve().parents[2]


class IndexState(BaseModel):
    """How far an index is; `ready` says that everything that was asked for can be answered."""

    model_config = ConfigDict(frozen=True)

    state: Literal["ready", "building", "failed"]
    share: float = 0.0
    error: str = ""


class _Build:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.share = 0.0


class RowIndexes:
    """At most one build a version at a time; a version whose build failed is tried again when asked for anew."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._builds: dict[Path, _Build] = {}
        self._failures: dict[Path, str] = {}

    def state(self, rows_folder: Path, *, text: bool = True) -> IndexState:
        """Where the index of a version stands; the build begins if it is missing.

        Args:
            text: Whether its words are needed too, which take the longest.
        """
        index = RowIndex(rows_folder)
        if index.has_columns and (index.has_text or not text):
            if not index.has_text:
                self._begin(rows_folder)
            return IndexState(state="ready", share=1.0)
        with self._lock:
            failure = self._failures.pop(rows_folder, "")
        if failure:
            return IndexState(state="failed", error=failure)
        return IndexState(state="building", share=self._begin(rows_folder).share)

    def require(self, rows_folder: Path, *, text: bool = False) -> RowIndex | IndexState:
        """The index if it can answer, else how far it is.

        Raises:
            BadData: if it cannot be made.
        """
        found = self.state(rows_folder, text=text)
        if found.state == "failed":
            raise BadData("The index of these rows could not be made.", found.error or "Try again.")
        return RowIndex(rows_folder) if found.state == "ready" else found

    def stop(self, rows_folder: Path) -> None:
        """End the build of a version, if there is one, and wait until its process is gone."""
        with self._lock:
            build = self._builds.pop(rows_folder, None)
        if build is not None:
            build.process.kill()
            build.process.wait()

    def _begin(self, rows_folder: Path) -> _Build:
        with self._lock:
            build = self._builds.get(rows_folder)
            if build is not None:
                return build
            build = _Build(_launch(rows_folder))
            self._builds[rows_folder] = build
        threading.Thread(target=self._follow, args=(rows_folder, build), name="row-index", daemon=True).start()
        return build

    def _follow(self, rows_folder: Path, build: _Build) -> None:
        failure = "The index's process ended without a word; perhaps memory or disk ran out."
        with build.process as process:
            assert process.stdout is not None
            for line in process.stdout:
                message = orjson.loads(line)
                match message["type"]:
                    case "progress":
                        build.share = message["share"]
                    case "failed":
                        failure = f"{message['message']} {message['advice']}".strip()
                    case "built":
                        failure = ""
        with self._lock:
            if self._builds.pop(rows_folder, None) is build and failure:
                self._failures[rows_folder] = failure


def _launch(rows_folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.data.indexing", str(rows_folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))},
    )


@lru_cache(maxsize=1)
def row_indexes() -> RowIndexes:
    """The indexes of this process."""
    return RowIndexes()
