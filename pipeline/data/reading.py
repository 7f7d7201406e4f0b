"""Reading: the raw rows of a file, one at a time, each with its number; a bad one is reported and passed over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.data.blocks import LineBlock, line_blocks
from pipeline.data.json_rows import read_elements, read_lines
from pipeline.data.raw import BadRow, RawRow
from pipeline.data.sniffing import FileShape, sniff
from pipeline.data.table_rows import read_arrow, read_csv, read_parquet
from pipeline.data.text_rows import read_documents, read_text
from pipeline.data.unpacking import Unpacked, unpack

DECODED = ("csv", "text", "documents")
"""Syntaxes whose bytes are decoded here: a byte that is no UTF-8 is half a surrogate pair in their rows."""


class RawFile:
    """A file whose shape is known and whose rows can be streamed, as often as wanted."""

    def __init__(self, path: Path, shape: FileShape) -> None:
        self.path = path
        self.shape = shape
        self.size_bytes = path.stat().st_size
        self._position: Callable[[], int] = lambda: 0

    @property
    def bytes_read(self) -> int:
        """How much of the file the present pass has read; tables of columns do not say, and stay at 0."""
        return self._position()

    def rows(self) -> Iterator[RawRow | BadRow]:
        """One pass over the file in bounded memory.

        Raises:
            BadData: if the file as a whole turns out to be damaged.
        """
        if self.shape.syntax == "parquet":
            yield from read_parquet(self.path)
        elif self.shape.syntax == "arrow":
            yield from read_arrow(self.path)
        elif self.shape.syntax == "documents":
            yield from read_documents(self.path)
        else:
            with unpack(self.path) as unpacked:
                self._position = lambda: unpacked.packed_position
                try:
                    yield from self._streamed_rows(unpacked)
                finally:
                    self._position = lambda: self.size_bytes

    def blocks(self) -> Iterator[LineBlock]:
        """One pass over a file of JSON lines, in blocks of them.

        Raises:
            BadData: if the file as a whole turns out to be damaged.
        """
        with unpack(self.path) as unpacked:
            self._position = lambda: unpacked.packed_position
            try:
                yield from line_blocks(unpacked.stream)
            finally:
                self._position = lambda: self.size_bytes

    def _streamed_rows(self, unpacked: Unpacked) -> Iterator[RawRow | BadRow]:
        match self.shape.syntax:
            case "json_array":
                return read_elements(unpacked.stream, in_array=True)
            case "json_values":
                return read_elements(unpacked.stream, in_array=False)
            case "json_lines":
                return read_lines(unpacked.stream)
            case "csv":
                return read_csv(unpacked.stream, self.shape.delimiter)
            case _:
                return read_text(unpacked.stream)


def open_raw(path: Path, name: str) -> RawFile:
    """Find out what a file is.

    Raises:
        BadData: if it holds nothing that could be rows (see `sniff`).
    """
    return RawFile(path, sniff(path, name))
