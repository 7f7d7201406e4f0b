"""Importing: one pass over a file that keeps every good row and says of every other why not."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict

from pipeline.data.formats import CANONICAL_MAPPINGS, Kind, Mapping, recognise, suggest
from pipeline.data.messages import RowFault
from pipeline.data.normalising import Normaliser, normaliser
from pipeline.data.raw import BadRow, RawRow
from pipeline.data.reading import RawFile, open_raw
from pipeline.data.rows import RowWriter
from pipeline.errors import BadData
from pipeline.model_folder import write_atomically

NUM_PREVIEW_ROWS = 20
MAX_EXCERPT_CHARACTERS = 2000
MAX_EXCERPTS = 10_000
"""Rejected rows after these are still listed with number and reason, but without what was in them."""
MAX_LISTED_REASONS = 50
_PROGRESS_SECONDS = 0.2
_NOT_UTF8 = "the text is not valid UTF-8"


class Rejection(BaseModel):
    """A row that was not taken: its number in the file, why, and the beginning of what was there."""

    row: int
    reason: str
    detail: str = ""
    raw: str | None = None


class Inspection(BaseModel):
    """What the first rows of a file tell."""

    model_config = ConfigDict(frozen=True)

    name: str
    size_bytes: int
    file_format: str
    """How it is written down, such as "JSON lines, gzip"."""
    counted_in: str
    format: str | None
    """The name of its columns' format, or None where a person must say which column holds what."""
    mapping: Mapping | None
    suggestion: Mapping | None
    columns: list[str]
    raw_rows: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    """The canonical rows that `mapping` makes of the first raw ones."""
    rejected: list[Rejection]

    @property
    def kind(self) -> Kind | None:
        return self.mapping.kind if self.mapping else None


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
    num_rejected: int
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


def inspect_file(path: Path, name: str, mapping: Mapping | None = None) -> Inspection:
    """Look at the beginning of a file, without reading the rest.

    Raises:
        BadData: if it holds nothing that could be rows.
    """
    raw = open_raw(path, name)
    found = _first_rows(raw)
    good = [item for item in found if isinstance(item, RawRow)]
    if not good:
        raise _no_readable_row(name, [item for item in found if isinstance(item, BadRow)], raw.shape.counted_in)
    columns = _columns_of(good)
    known = recognise(columns)
    mapping = mapping or (known.mapping if known else None)
    rejected = [_unreadable(item) for item in found if isinstance(item, BadRow)]
    rows: list[dict[str, Any]] = []
    if mapping:
        normalise = normaliser(mapping)
        for item in good[:NUM_PREVIEW_ROWS]:
            outcome = _normalised(item, normalise)
            if isinstance(outcome, Rejection):
                rejected.append(outcome)
            else:
                rows.append(outcome)
    return Inspection(
        name=name,
        size_bytes=raw.size_bytes,
        file_format=raw.shape.title,
        counted_in=raw.shape.counted_in,
        format=_format_name(mapping, columns) if mapping else None,
        mapping=mapping,
        suggestion=None if known else suggest(columns),
        columns=columns,
        raw_rows=[_shortened(item.value) for item in good[:NUM_PREVIEW_ROWS]],
        rows=rows,
        rejected=sorted(rejected, key=lambda rejection: rejection.row),
    )


def _no_readable_row(name: str, found: list[BadRow], counted_in: str) -> BadData:
    if not found:
        return BadData(f"“{name}” has no rows.", "Check that the file was written whole, and upload it again.")
    first = found[0]
    detail = f" ({first.detail})" if first.detail else ""
    return BadData(
        f"No row at the beginning of “{name}” can be read; {counted_in} {first.number}: {first.reason}{detail}.",
        "Save it as UTF-8 text in the format that its name says, and upload it again.",
    )


def import_file(
    path: Path,
    name: str,
    out: Path,
    *,
    mapping: Mapping | None = None,
    on_progress: Callable[[ImportProgress], None] = lambda progress: None,
) -> ImportReport:
    """Read a file once and write the new folder `out`: `rows.jsonl`, `rejected.jsonl`, their indexes, `report.json`.

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
    columns = _columns_of([item for item in _first_rows(raw) if isinstance(item, RawRow)])
    source = _Source(
        name=name,
        file_format=raw.shape.title,
        counted_in=raw.shape.counted_in,
        columns=columns,
        mapping=mapping or _recognised(columns, name),
    )

    def tell(rows: RowWriter, rejected: RowWriter) -> None:
        on_progress(
            ImportProgress(
                bytes_read=raw.bytes_read, total_bytes=raw.size_bytes, num_rows=rows.count, num_rejected=rejected.count
            )
        )

    return _write(raw.rows(), source, out, tell)


def import_rows(rows: Iterable[dict[str, Any] | BadRow], name: str, out: Path, *, kind: Kind) -> ImportReport:
    """Write rows that a program made, already canonical, as `import_file` writes those of a file.

    What the program has dropped itself it hands over as a `BadRow`, which is listed with the rejected.

    Raises:
        BadData: if not one of them can be used.
    """
    raw = (row if isinstance(row, BadRow) else RawRow(number, row) for number, row in enumerate(rows, 1))
    source = _Source(name=name, file_format="rows", counted_in="row", columns=[], mapping=CANONICAL_MAPPINGS[kind])
    return _write(raw, source, out, lambda rows, rejected: None)


@dataclass(frozen=True)
class _Source:
    """What is known of the raw rows before they are read."""

    name: str
    file_format: str
    counted_in: str
    columns: list[str]
    mapping: Mapping


def _write(
    raw: Iterable[RawRow | BadRow], source: _Source, out: Path, tell: Callable[[RowWriter, RowWriter], None]
) -> ImportReport:
    started = time.monotonic()
    out.mkdir(parents=True)
    with RowWriter(out / "rows.jsonl") as rows, RowWriter(out / "rejected.jsonl") as rejected:
        reasons = _copy(raw, normaliser(source.mapping), rows, rejected, tell)
        sha256 = rows.hexdigest()
    if not rows.count:
        raise BadData(
            f"None of the {rejected.count:,} rows of “{source.name[:80]}” can be used: {_in_words(reasons)}.",
            "Check that the columns are mapped as they should be, or mend the file.",
        )
    report = ImportReport(
        name=source.name,
        file_format=source.file_format,
        counted_in=source.counted_in,
        format=_format_name(source.mapping, source.columns),
        kind=source.mapping.kind,
        mapping=source.mapping,
        unused_columns=[column for column in source.columns if column not in source.mapping.columns.values()],
        num_rows=rows.count,
        num_rejected=rejected.count,
        reasons=dict(reasons.most_common(MAX_LISTED_REASONS)),
        sha256=sha256,
        size_bytes=rows.size_bytes,
        seconds=round(time.monotonic() - started, 3),
    )
    write_atomically(out / "report.json", report.model_dump_json(indent=2).encode())
    return report


def _copy(
    raw: Iterable[RawRow | BadRow],
    normalise: Normaliser,
    rows: RowWriter,
    rejected: RowWriter,
    tell: Callable[[RowWriter, RowWriter], None],
) -> Counter[str]:
    """Send each raw row to the rows or to the rejected; returns how often each reason was given."""
    reasons: Counter[str] = Counter()
    next_progress = time.monotonic() + _PROGRESS_SECONDS
    for count, item in enumerate(raw):
        try:
            if isinstance(item, RawRow):
                rows.write(normalise(item.value))
            else:
                _reject(rejected, _unreadable(item), reasons)
        except (RowFault, TypeError) as error:
            _reject(rejected, _refused(item, error), reasons)
        if count % 256 == 0 and time.monotonic() > next_progress:
            next_progress = time.monotonic() + _PROGRESS_SECONDS
            tell(rows, rejected)
    tell(rows, rejected)
    return reasons


def _reject(rejected: RowWriter, rejection: Rejection, reasons: Counter[str]) -> None:
    if rejected.count >= MAX_EXCERPTS:
        rejection = rejection.model_copy(update={"raw": None})
    rejected.write(rejection.model_dump())
    if rejection.reason in reasons or len(reasons) < 10 * MAX_LISTED_REASONS:
        reasons[rejection.reason] += 1
    else:
        reasons["other reasons"] += 1


def _normalised(item: RawRow, normalise: Normaliser) -> dict[str, Any] | Rejection:
    try:
        row = normalise(item.value)
        orjson.dumps(row)
    except (RowFault, TypeError) as error:
        return _refused(item, error)
    return row


def _refused(item: RawRow | BadRow, error: RowFault | TypeError) -> Rejection:
    raw = _json_excerpt(item.value) if isinstance(item, RawRow) else item.excerpt
    if isinstance(error, RowFault):
        return Rejection(row=item.number, reason=_printable(error.reason), detail=_printable(error.detail), raw=raw)
    return Rejection(row=item.number, reason=_NOT_UTF8, detail=str(error), raw=raw)


def _unreadable(item: BadRow) -> Rejection:
    return Rejection(
        row=item.number,
        reason=_printable(item.reason),
        detail=_printable(item.detail),
        raw=_printable(item.excerpt[:MAX_EXCERPT_CHARACTERS]),
    )


def _json_excerpt(value: dict[str, Any]) -> str:
    return _printable(json.dumps(value, ensure_ascii=False, default=str)[:MAX_EXCERPT_CHARACTERS])


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _shortened(value: Any) -> Any:
    """A raw value fit for a preview: long text cut, and what JSON cannot hold shown as text."""
    if isinstance(value, str):
        return _printable(value if len(value) <= MAX_EXCERPT_CHARACTERS else f"{value[:MAX_EXCERPT_CHARACTERS]}…")
    if isinstance(value, dict):
        return {_printable(str(key)): _shortened(item) for key, item in list(value.items())[:100]}
    if isinstance(value, list):
        return [_shortened(item) for item in value[:100]]
    return value if value is None or isinstance(value, bool | int | float) else _printable(str(value))[:200]


def _first_rows(raw: RawFile) -> list[RawRow | BadRow]:
    """Rows enough to know the columns: until `NUM_PREVIEW_ROWS` good ones, or a hundred in all."""
    found: list[RawRow | BadRow] = []
    num_good = 0
    for item in raw.rows():
        found.append(item)
        num_good += isinstance(item, RawRow)
        if num_good >= NUM_PREVIEW_ROWS or len(found) >= 100:
            break
    return found


def _columns_of(rows: list[RawRow]) -> list[str]:
    return list(dict.fromkeys(_printable(str(key)) for row in rows for key in row.value))


def _recognised(columns: list[str], name: str) -> Mapping:
    known = recognise(columns)
    if known is None:
        shown = ", ".join(f"`{column[:40]}`" for column in columns[:12]) or "none"
        raise BadData(
            f"The columns of “{name[:80]}” are not of a format that Hone knows: {shown}.",
            "Say which column holds what.",
        )
    return known.mapping


def _format_name(mapping: Mapping, columns: list[str]) -> str:
    known = recognise(columns or mapping.columns.values())
    return known.name if known and known.mapping == mapping else "mapped columns"


def _in_words(reasons: Counter[str]) -> str:
    return "; ".join(f"{reason} ({count:,})" for reason, count in reasons.most_common(3)) or "there are none"
