"""Mapped rows: any rows of a file, in any order, without opening it for each."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import orjson

from pipeline.data.rows import RowFile, index_path


class MappedRows:
    """A file of rows, mapped into memory; use it in a `with` statement.

    Raises:
        BadData: if the file or its index is missing.
    """

    def __init__(self, path: Path) -> None:
        self._count = len(RowFile(path))
        self._file = path.open("rb")
        self._data = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) if self._count else b""
        self._begins = np.fromfile(index_path(path), np.dtype("<u8"))

    def __enter__(self) -> MappedRows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(self._data, mmap.mmap):
            self._data.close()
        self._file.close()

    def __len__(self) -> int:
        return self._count

    def line(self, number: int) -> bytes:
        """The JSON of a row, with its line break."""
        end = self._begins[number + 1] if number + 1 < self._count else len(self._data)
        return self._data[self._begins[number] : end]

    def rows(self, numbers: Iterable[int]) -> Iterator[dict[str, Any]]:
        for number in numbers:
            yield orjson.loads(self.line(number))
