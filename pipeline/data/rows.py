"""Rows on disk: JSON lines with an index of where each begins, so that any page of a million rows is read at once."""

from __future__ import annotations

import hashlib
import struct
import sys
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from pipeline.errors import BadData

_OFFSET = struct.Struct("<Q")
_FLUSH_BYTES = 1 << 20


def index_path(path: Path) -> Path:
    """Where the index of a file of rows lies: `rows.index` for `rows.jsonl`."""
    return path.with_suffix(".index")


class RowFile:
    """A file of rows, by number from 0.

    Raises:
        BadData: if the file or its index is missing, or they do not belong together.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._size = path.stat().st_size
            index_size = index_path(path).stat().st_size
        except FileNotFoundError as error:
            raise BadData(f"The rows at {error.filename} are not there.", "Import the file again.") from error
        self._count = index_size // _OFFSET.size

    def __len__(self) -> int:
        return self._count

    def read(self, offset: int, limit: int) -> list[dict[str, Any]]:
        """At most `limit` rows from number `offset` on; fewer at the end, none beyond it."""
        first, last = max(0, offset), min(self._count, offset + limit)
        if first >= last:
            return []
        begin, end = self._begin_of(first), self._begin_of(last)
        with self.path.open("rb") as file:
            file.seek(begin)
            data = file.read(end - begin)
        return [orjson.loads(line) for line in data.splitlines() if line]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with self.path.open("rb") as file:
            for line in file:
                yield orjson.loads(line)

    def _begin_of(self, number: int) -> int:
        if number == self._count:
            return self._size
        with index_path(self.path).open("rb") as file:
            file.seek(number * _OFFSET.size)
            begin: int = _OFFSET.unpack(file.read(_OFFSET.size))[0]
        return begin


class RowWriter:
    """Writes rows, their index and the SHA-256 of their bytes in one pass; use it in a `with` statement."""

    def __init__(self, path: Path) -> None:
        self._rows = path.open("xb")
        self._index = index_path(path).open("xb")
        self._digest = hashlib.sha256()
        self._lines: list[bytes] = []
        self._begins = array("Q")
        self._pending_bytes = 0
        self.size_bytes = 0
        self.count = 0

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._rows, self._index:
            if error is None:
                self._flush()

    def write(self, row: dict[str, Any]) -> None:
        """Append one row.

        Raises:
            TypeError: if it holds what JSON cannot, such as half a surrogate pair; nothing is written then.
        """
        line = orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
        self._begins.append(self.size_bytes)
        self._lines.append(line)
        self.count += 1
        self.size_bytes += len(line)
        self._pending_bytes += len(line)
        if self._pending_bytes > _FLUSH_BYTES:
            self._flush()

    def extend(self, data: bytes, sizes: Sequence[int]) -> None:
        """Append lines that are written already: their bytes one after another, and the size of each."""
        self._flush()
        self._digest.update(data)
        self._rows.write(data)
        self._begins = array("Q", accumulate(sizes, initial=self.size_bytes))
        self.size_bytes = self._begins.pop()
        self.count += len(sizes)
        self._flush()

    def hexdigest(self) -> str:
        """The SHA-256 of everything written."""
        self._flush()
        return self._digest.hexdigest()

    def _flush(self) -> None:
        data = b"".join(self._lines)
        self._digest.update(data)
        self._rows.write(data)
        if sys.byteorder == "big":
            self._begins.byteswap()
        self._index.write(self._begins.tobytes())
        self._lines, self._begins, self._pending_bytes = [], array("Q"), 0
