"""Inspecting: what the first rows of a file tell, before anything of it is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict

from pipeline.data.converting import MAX_EXCERPT_CHARACTERS, Converter, Rejection, unreadable
from pipeline.data.formats import Kind, Mapping, recognise, suggest
from pipeline.data.raw import BadRow, RawRow, printable
from pipeline.data.reading import DECODED, RawFile, open_raw
from pipeline.errors import BadData

NUM_PREVIEW_ROWS = 20


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
    num_repaired: int = 0
    rejected: list[Rejection]

    @property
    def kind(self) -> Kind | None:
        return self.mapping.kind if self.mapping else None


def inspect_file(path: Path, name: str, mapping: Mapping | None = None) -> Inspection:
    """Look at the beginning of a file, without reading the rest.

    Raises:
        BadData: if it holds nothing that could be rows.
    """
    raw = open_raw(path, name)
    found = first_rows(raw)
    good = [item for item in found if isinstance(item, RawRow)]
    if not good:
        raise _no_readable_row(name, [item for item in found if isinstance(item, BadRow)], raw.shape.counted_in)
    columns = columns_of(good)
    known = recognise(columns, [item.value for item in good])
    mapping = mapping or (known.mapping if known else None)
    rejected = [unreadable(item) for item in found if isinstance(item, BadRow)]
    rows: list[dict[str, Any]] = []
    num_repaired = 0
    if mapping:
        converter = Converter(mapping, is_text=raw.shape.syntax in DECODED)
        for item in good[:NUM_PREVIEW_ROWS]:
            outcome = converter.one(item)
            if isinstance(outcome, Rejection):
                rejected.append(outcome)
            else:
                rows.append(orjson.loads(outcome[0]))
                num_repaired += bool(outcome[1])
    return Inspection(
        name=name,
        size_bytes=raw.size_bytes,
        file_format=raw.shape.title,
        counted_in=raw.shape.counted_in,
        format=format_name(mapping, columns) if mapping else None,
        mapping=mapping,
        suggestion=None if known else suggest(columns),
        columns=columns,
        raw_rows=[_shortened(item.value) for item in good[:NUM_PREVIEW_ROWS]],
        rows=rows,
        num_repaired=num_repaired,
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


def first_rows(raw: RawFile) -> list[RawRow | BadRow]:
    """Rows enough to know the columns: until `NUM_PREVIEW_ROWS` good ones, or a hundred in all."""
    found: list[RawRow | BadRow] = []
    num_good = 0
    for item in raw.rows():
        found.append(item)
        num_good += isinstance(item, RawRow)
        if num_good >= NUM_PREVIEW_ROWS or len(found) >= 100:
            break
    return found


def columns_of(rows: list[RawRow]) -> list[str]:
    return list(dict.fromkeys(printable(str(key)) for row in rows for key in row.value))


def format_name(mapping: Mapping, columns: list[str]) -> str:
    known = recognise(columns or mapping.columns.values())
    return known.name if known and known.mapping == mapping else "mapped columns"


def _shortened(value: Any) -> Any:
    """A raw value fit for a preview: long text cut, and what JSON cannot hold shown as text."""
    if isinstance(value, str):
        return printable(value if len(value) <= MAX_EXCERPT_CHARACTERS else f"{value[:MAX_EXCERPT_CHARACTERS]}…")
    if isinstance(value, dict):
        return {printable(str(key)): _shortened(item) for key, item in list(value.items())[:100]}
    if isinstance(value, list):
        return [_shortened(item) for item in value[:100]]
    return value if value is None or isinstance(value, bool | int | float) else printable(str(value))[:200]
