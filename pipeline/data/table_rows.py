"""Table rows: CSV and TSV with a header line, Parquet and Arrow."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.data.raw import MAX_ROW_BYTES, TOO_LONG, BadRow, RawRow
from pipeline.errors import BadData

_BATCH_ROWS = 1024


def read_csv(stream: io.BufferedReader, delimiter: str) -> Iterator[RawRow | BadRow]:
    """The rows under the header line; a row's number is that of the line on which it begins."""
    csv.field_size_limit(MAX_ROW_BYTES)
    lines = _Lines(stream)
    records = csv.reader(lines, delimiter=delimiter, strict=True)
    columns = _header(records)
    while True:
        number = lines.count + 1
        try:
            record = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadRow(number, "not a valid CSV row", str(error), lines.latest[:2000])
            continue
        if lines.take_overlong():
            yield BadRow(number, TOO_LONG, "", lines.latest[:2000])
        elif len(record) == len(columns):
            yield RawRow(number, dict(zip(columns, record, strict=True)))
        elif record:
            detail = f"{len(record)} where the header has {len(columns)}"
            yield BadRow(
                number, "the row has a different number of fields than the header", detail, lines.latest[:2000]
            )


def _header(records: Iterator[list[str]]) -> list[str]:
    try:
        columns = [column.strip() for column in next(records, [])]
    except csv.Error as error:
        raise BadData(f"The header line is not valid CSV: {error}.", "Mend the first line and upload again.") from error
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        raise BadData(
            f"The header names the column {twice[0]!r} more than once.", "Give each column a name of its own."
        )
    return columns


class _Lines:
    """Lines for the CSV reader, counted, and cut where they are longer than a row may be."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._is_overlong = False
        self.count = 0
        self.latest = ""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._stream.readline(MAX_ROW_BYTES + 1)
        if not line:
            raise StopIteration
        self.count += 1
        if len(line) > MAX_ROW_BYTES and not line.endswith(b"\n"):
            self._is_overlong = True
            while (rest := self._stream.readline(1 << 20)) and not rest.endswith(b"\n"):
                pass
            line = line[:2000] + b"\n"
        self.latest = line.decode("utf-8", "surrogateescape")
        return self.latest

    def take_overlong(self) -> bool:
        was_overlong, self._is_overlong = self._is_overlong, False
        return was_overlong


def read_parquet(path: Path) -> Iterator[RawRow]:
    import pyarrow as pa
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield from _rows_of(file.iter_batches(batch_size=_BATCH_ROWS))
    except (pa.ArrowException, OSError) as error:
        raise _damaged("Parquet", error) from error


def read_arrow(path: Path) -> Iterator[RawRow]:
    """An Arrow file (Feather 2) or stream, as `datasets` saves them."""
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source:
            if path.open("rb").read(6) == b"ARROW1":
                reader = pa.ipc.open_file(source)
                yield from _rows_of(reader.get_batch(index) for index in range(reader.num_record_batches))
            else:
                yield from _rows_of(iter(pa.ipc.open_stream(source)))
    except (pa.ArrowException, OSError) as error:
        raise _damaged("Arrow", error) from error


def _rows_of(batches: Iterator[Any]) -> Iterator[RawRow]:
    number = 0
    for batch in batches:
        for start in range(0, batch.num_rows, _BATCH_ROWS):
            for value in batch.slice(start, _BATCH_ROWS).to_pylist():
                number += 1
                yield RawRow(number, value)


def _damaged(what: str, error: Exception) -> BadData:
    return BadData(
        f"The {what} file cannot be read: {str(error)[:200]}.", "Export or download it again, then upload it."
    )
