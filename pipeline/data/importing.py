"""Importing: one pass over a file that keeps every good row and says of every other why not."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from pipeline.data.blocks import convert_blocks, num_workers_for
from pipeline.data.converting import Batch, Converter, Rejection
from pipeline.data.formats import CANONICAL_MAPPINGS, Kind, Mapping, recognise
from pipeline.data.inspecting import columns_of, first_rows, format_name
from pipeline.data.raw import BadRow, RawRow
from pipeline.data.reading import DECODED, RawFile, open_raw
from pipeline.data.rows import RowWriter
from pipeline.errors import BadData
from pipeline.model_folder import write_atomically
from pipeline.pace import Pace

MAX_EXCERPTS = 10_000
"""Rejected rows after these are still listed with number and reason, but without what was in them."""
MAX_LISTED_REASONS = 50
_BATCH_ROWS = 256
_PROGRESS_SECONDS = 0.2


class ImportReport(BaseModel):
    """What became of every row of a file."""

    model_config = ConfigDict(frozen=True)

    name: str
    file_format: str
    counted_in: str
    format: str
    kind: Kind
    mapping: Mapping
    unused_columns: list[str]
    num_rows: int
    num_repaired: int = 0
    """Rows among them that were taken after something was mended in them."""
    num_rejected: int
    repairs: dict[str, int] = {}
    """How many rows were mended in each way, the commonest first."""
    reasons: dict[str, int]
    """How many rows were rejected for each reason, the commonest first."""
    sha256: str
    size_bytes: int
    seconds: float


class ImportProgress(BaseModel):
    """How far an import is."""

    model_config = ConfigDict(frozen=True)

    bytes_read: int
    total_bytes: int
    num_rows: int
    num_rejected: int


def import_file(
    path: Path,
    name: str,
    out: Path,
    *,
    mapping: Mapping | None = None,
    on_progress: Callable[[ImportProgress], None] = lambda progress: None,
) -> ImportReport:
    """Read a file once and write the new folder `out`: rows, rejected, repaired, their indexes, report.

    Args:
        path: The file.
        name: What its owner calls it.
        out: A folder that does not exist yet; without a `report.json` in it, it is not a whole import.
        mapping: Which column holds what; without it, the columns must be of a known format.
        on_progress: Told how far the import is, a few times a second.

    Raises:
        BadData: if the file is damaged, its columns are not known, or not one row of it can be used.
    """
    raw = open_raw(path, name)
    first = [item for item in first_rows(raw) if isinstance(item, RawRow)]
    columns = columns_of(first)
    source = _Source(
        name=name,
        file_format=raw.shape.title,
        counted_in=raw.shape.counted_in,
        columns=columns,
        mapping=mapping or _recognised(columns, first, name),
    )

    def tell(outcome: _Outcome) -> None:
        on_progress(
            ImportProgress(
                bytes_read=raw.bytes_read,
                total_bytes=raw.size_bytes,
                num_rows=outcome.rows.count,
                num_rejected=outcome.rejected.count,
            )
        )

    return _write(_batches(raw, source.mapping), source, out, tell)


def import_rows(rows: Iterable[dict[str, Any] | BadRow], name: str, out: Path, *, kind: Kind) -> ImportReport:
    """Write rows that a program made, already canonical, as `import_file` writes those of a file.

    What the program has dropped itself it hands over as a `BadRow`, which is listed with the rejected.

    Raises:
        BadData: if not one of them can be used.
    """
    raw = (row if isinstance(row, BadRow) else RawRow(number, row) for number, row in enumerate(rows, 1))
    source = _Source(name=name, file_format="rows", counted_in="row", columns=[], mapping=CANONICAL_MAPPINGS[kind])
    batches = _batches_of_rows(raw, Converter(source.mapping))
    return _write(batches, source, out, lambda outcome: None)


@dataclass(frozen=True)
class _Source:
    """What is known of the raw rows before they are read."""

    name: str
    file_format: str
    counted_in: str
    columns: list[str]
    mapping: Mapping


def _write(
    batches: Iterable[tuple[int, Batch]], source: _Source, out: Path, tell: Callable[[_Outcome], None]
) -> ImportReport:
    started = time.monotonic()
    out.mkdir(parents=True)
    with (
        RowWriter(out / "rows.jsonl") as rows,
        RowWriter(out / "rejected.jsonl") as rejected,
        RowWriter(out / "repaired.jsonl") as repaired,
    ):
        outcome = _Outcome(rows, rejected, repaired)
        pace = Pace(_PROGRESS_SECONDS)
        for first_number, batch in batches:
            outcome.add(batch, first_number=first_number)
            if pace.is_due():
                tell(outcome)
        tell(outcome)
        sha256 = rows.hexdigest()
    if not rows.count:
        raise BadData(
            f"None of the {rejected.count:,} rows of “{source.name[:80]}” can be used: {_in_words(outcome.reasons)}.",
            "Check that the columns are mapped as they should be, or mend the file.",
        )
    report = ImportReport(
        name=source.name,
        file_format=source.file_format,
        counted_in=source.counted_in,
        format=format_name(source.mapping, source.columns),
        kind=source.mapping.kind,
        mapping=source.mapping,
        unused_columns=_unused(source),
        num_rows=rows.count,
        num_repaired=repaired.count,
        num_rejected=rejected.count,
        repairs=dict(outcome.repairs.most_common()),
        reasons=dict(outcome.reasons.most_common(MAX_LISTED_REASONS)),
        sha256=sha256,
        size_bytes=rows.size_bytes,
        seconds=round(time.monotonic() - started, 3),
    )
    write_atomically(out / "report.json", report.model_dump_json(indent=2).encode())
    return report


def _unused(source: _Source) -> list[str]:
    kept_beside = {"meta", "tags"} if source.mapping.kind == "instruction" else {"meta"}
    return [column for column in source.columns if column not in {*source.mapping.columns.values(), *kept_beside}]


class _Outcome:
    """The files of an import as they grow, and the sums that its report gives."""

    def __init__(self, rows: RowWriter, rejected: RowWriter, repaired: RowWriter) -> None:
        self.rows, self.rejected, self.repaired = rows, rejected, repaired
        self.reasons: Counter[str] = Counter()
        self.repairs: Counter[str] = Counter()

    def add(self, batch: Batch, *, first_number: int) -> None:
        """Append what became of some raw rows; `first_number` is added to their numbers."""
        for repair in batch.repaired:
            self.repairs.update(repair.repairs)
            placed = {"row": first_number + repair.row, "kept_as": self.rows.count + repair.kept_as}
            self.repaired.write(placed | {"repairs": repair.repairs})
        self.rows.extend(batch.data, batch.sizes)
        for rejection in batch.rejected:
            self._reject(rejection, first_number)

    def _reject(self, rejection: Rejection, first_number: int) -> None:
        raw = rejection.raw if self.rejected.count < MAX_EXCERPTS else None
        self.rejected.write(rejection.model_dump() | {"row": first_number + rejection.row, "raw": raw})
        is_listed = rejection.reason in self.reasons or len(self.reasons) < 10 * MAX_LISTED_REASONS
        self.reasons[rejection.reason if is_listed else "other reasons"] += 1


def _batches(raw: RawFile, mapping: Mapping) -> Iterator[tuple[int, Batch]]:
    """What becomes of a file's rows, a batch at a time, each with the number of rows before it."""
    converter = Converter(mapping, is_text=raw.shape.syntax in DECODED)
    if raw.shape.syntax != "json_lines":
        yield from _batches_of_rows(raw.rows(), converter)
        return
    num_before = 0
    for batch in convert_blocks(raw.blocks(), converter, num_workers_for(raw.size_bytes)):
        yield num_before, batch
        num_before += batch.num_raw


def _batches_of_rows(rows: Iterable[RawRow | BadRow], converter: Converter) -> Iterator[tuple[int, Batch]]:
    waiting = iter(rows)
    while some := list(islice(waiting, _BATCH_ROWS)):
        yield 0, converter.rows(some)


def _recognised(columns: list[str], rows: list[RawRow], name: str) -> Mapping:
    known = recognise(columns, [row.value for row in rows])
    if known is None:
        shown = ", ".join(f"`{column[:40]}`" for column in columns[:12]) or "none"
        raise BadData(
            f"The columns of “{name[:80]}” are not of a format that Hone knows: {shown}.",
            "Say which column holds what.",
        )
    return known.mapping


def _in_words(reasons: Counter[str]) -> str:
    return "; ".join(f"{reason} ({count:,})" for reason, count in reasons.most_common(3)) or "there are none"
