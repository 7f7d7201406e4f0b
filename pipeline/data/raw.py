"""Raw rows: what a reader yields for each row of a file, good or bad."""

from __future__ import annotations

from typing import Any, NamedTuple

MAX_ROW_BYTES = 32 << 20
"""The largest row that is read; a longer one is rejected without being held in memory."""

TOO_LONG = f"the row is longer than {MAX_ROW_BYTES >> 20} MB"


class RawRow(NamedTuple):
    """A row as its file has it; `number` counts lines or rows from 1 (see `FileShape.counted_in`)."""

    number: int
    value: dict[str, Any]


class BadRow(NamedTuple):
    """A row that could not be read: the reason in a few words, its particulars, and the beginning of what was there."""

    number: int
    reason: str
    detail: str
    excerpt: str


def excerpt_of(data: bytes, limit: int = 2000) -> str:
    return data[:limit].decode("utf-8", "replace").strip()


def printable(text: str) -> str:
    """Text that can be written as UTF-8, whatever was in it."""
    return text.encode("utf-8", "replace").decode("utf-8")
