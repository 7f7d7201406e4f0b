"""Converting: raw rows become lines of canonical rows, with a word on every row that is not there as it was.

Most rows need nothing: they are parsed, normalised and written together. What fails that way is looked at alone, mended
where that is possible, and refused with a reason where it is not.
"""

from __future__ import annotations

import json
import secrets
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from pydantic import BaseModel

from pipeline.data.formats import Mapping
from pipeline.data.json_rows import is_written_with, num_keys, parse_row
from pipeline.data.mending import HALF_PAIR, mender
from pipeline.data.messages import RowFault
from pipeline.data.normalising import normaliser
from pipeline.data.raw import MAX_ROW_BYTES, TOO_LONG, BadRow, RawRow, excerpt_of, printable

MAX_EXCERPT_CHARACTERS = 2000
NOT_UTF8 = "the text is not valid UTF-8"
NOT_JSON = "the row holds a value that JSON cannot"
_TOGETHER = 128
"""Lines that are parsed together; a bad one among them costs the others a second look."""
_ESCAPED_CONTROL = b"\\u00"


class Rejection(BaseModel):
    """A row that was not taken: its number in the file, why, and the beginning of what was there."""

    row: int
    reason: str
    detail: str = ""
    raw: str | None = None


class Repair(BaseModel):
    """A row that was taken after something was mended in it: its number in the file, where it is now, and how."""

    row: int
    kept_as: int
    """Its number among the rows that were taken, from 1."""
    repairs: list[str]


@dataclass
class Batch:
    """What became of some raw rows that follow each other."""

    num_raw: int = 0
    pieces: list[bytes] = field(default_factory=list)
    """Canonical rows, one a line; joined, they are all of them."""
    sizes: array[int] = field(default_factory=lambda: array("L"))
    """The length of each line in bytes."""
    rejected: list[Rejection] = field(default_factory=list)
    repaired: list[Repair] = field(default_factory=list)

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)


class Converter:
    """Makes canonical rows of the raw rows of one file.

    Args:
        mapping: Which column holds what.
        is_text: Whether the file is text that was decoded here: half a surrogate pair is then a byte that is no UTF-8.
    """

    def __init__(self, mapping: Mapping, *, is_text: bool = False) -> None:
        self._normalise: Callable[[dict[str, Any]], dict[str, Any]] = normaliser(mapping)
        self._mend = mender(mapping)
        self._is_text = is_text

    def lines(self, block: bytes) -> Batch:
        """Convert whole lines of JSON; rows are numbered by line, from 1."""
        batch = Batch()
        lines = block.split(b"\n")
        if not lines[-1]:
            lines.pop()
        for start in range(0, len(lines), _TOGETHER):
            some = lines[start : start + _TOGETHER]
            values = _parse_together(some)
            if values is not None:
                self._take_together(values, start + 1, batch)
            else:
                self._take(_parse_each(some, start + 1), batch)
        batch.num_raw = len(lines)
        return batch

    def rows(self, raw: Sequence[RawRow | BadRow]) -> Batch:
        """Convert rows that have their numbers already."""
        batch = Batch(num_raw=len(raw))
        self._take(raw, batch)
        return batch

    def one(self, item: RawRow) -> tuple[bytes, tuple[str, ...]] | Rejection:
        """The line of one row with the kinds of its repairs, or why it cannot be used."""
        try:
            line = self._line(item.value)
            if _ESCAPED_CONTROL not in line:
                return line, ()
            fault: RowFault | None = None
        except (RowFault, TypeError) as error:
            fault = _as_fault(error)
        value, repairs = self._mend(item.value)
        if self._is_text and HALF_PAIR in repairs:
            return _refused(item, RowFault(NOT_UTF8))
        if not repairs and fault is not None:
            return _refused(item, fault)
        try:
            return self._line(value), repairs
        except (RowFault, TypeError) as error:
            return _refused(item, _as_fault(error))

    def _line(self, value: dict[str, Any]) -> bytes:
        return orjson.dumps(self._normalise(value), option=orjson.OPT_APPEND_NEWLINE)

    def _take_together(self, values: list[dict[str, Any]], first_number: int, batch: Batch) -> None:
        normalise, dumps, newline = self._normalise, orjson.dumps, orjson.OPT_APPEND_NEWLINE
        try:
            lines = [dumps(normalise(value), option=newline) for value in values]
        except (RowFault, TypeError):
            self._take(_numbered(values, first_number), batch)
            return
        data = b"".join(lines)
        if _ESCAPED_CONTROL in data:
            self._take(_numbered(values, first_number), batch)
            return
        batch.pieces.append(data)
        batch.sizes.extend(map(len, lines))

    def _take(self, raw: Iterable[RawRow | BadRow], batch: Batch) -> None:
        for item in raw:
            outcome = self.one(item) if isinstance(item, RawRow) else unreadable(item)
            if isinstance(outcome, Rejection):
                batch.rejected.append(outcome)
                continue
            line, repairs = outcome
            batch.pieces.append(line)
            batch.sizes.append(len(line))
            if repairs:
                batch.repaired.append(Repair(row=item.number, kept_as=len(batch.sizes), repairs=list(repairs)))


def _numbered(values: list[dict[str, Any]], first_number: int) -> Iterable[RawRow]:
    return (RawRow(number, value) for number, value in enumerate(values, first_number))


def unreadable(item: BadRow) -> Rejection:
    return Rejection(
        row=item.number,
        reason=printable(item.reason),
        detail=printable(item.detail),
        raw=printable(item.excerpt[:MAX_EXCERPT_CHARACTERS]),
    )


def _parse_together(lines: list[bytes]) -> list[dict[str, Any]] | None:
    """The objects of some lines, parsed in one go; None where one of them may not be what it seems.

    Between the lines stands a number that nobody can foresee: a line with half an object, or with two, is noticed.
    """
    mark = secrets.randbits(62)
    data = b"[%b]" % (b",%d," % mark).join(lines)
    try:
        values = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    rows: list[dict[str, Any]] = values[::2]
    if len(rows) != len(lines) or values[1::2].count(mark) != len(lines) - 1 or set(map(type, rows)) != {dict}:
        return None
    is_flat = data.count(b"{") == len(rows)
    expected = sum(map(len, rows)) if is_flat else sum(map(num_keys, rows))
    if len(data) > MAX_ROW_BYTES and max(map(len, lines)) > MAX_ROW_BYTES:
        return None
    return rows if is_written_with(data, expected) else None


def _parse_each(lines: list[bytes], first_number: int) -> Iterable[RawRow | BadRow]:
    for number, line in enumerate(lines, first_number):
        if len(line) > MAX_ROW_BYTES:
            yield BadRow(number, TOO_LONG, "", excerpt_of(line))
        elif line and not line.isspace():
            yield parse_row(number, line)


def _as_fault(error: RowFault | TypeError) -> RowFault:
    if isinstance(error, RowFault):
        return error
    said = str(error)
    return RowFault(NOT_UTF8 if "surrogates" in said or "UTF-8" in said else NOT_JSON, said)


def _refused(item: RawRow, fault: RowFault) -> Rejection:
    raw = printable(json.dumps(item.value, ensure_ascii=False, default=str)[:MAX_EXCERPT_CHARACTERS])
    return Rejection(row=item.number, reason=printable(fault.reason), detail=printable(fault.detail), raw=raw)
