"""Row index: what a million rows are searched, filtered, sorted and compared by; it can be made anew at any time.

    browsing-1/columns/     one number a row: length, turns, flags, hashes; which rows have which tag and `meta`
    browsing-1/text.db      every word of every row (SQLite's FTS5, without the text itself)

Each part is written aside and renamed, so that a part which is there is whole.
"""

from __future__ import annotations

import shutil
import sqlite3
from array import array
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel

from pipeline.data.row_hashes import prompt_hash, row_hash
from pipeline.data.rows import RowFile
from pipeline.data.searchable import searchable_text
from pipeline.model_folder import write_atomically

HAS_SYSTEM, HAS_TOOLS, HAS_REASONING, IS_GOOD = 1, 2, 4, 8
"""Bits of a row's flags; the last is the label of an unpaired row."""
MAX_VALUES = 1_000
"""A field with more different values than this cannot be filtered by value."""
MAX_FIELDS = 60
_FOLDER = "browsing-1"
_PROGRESS_ROWS = 2_000
_COLUMNS_SHARE = 0.2
"""Of the time that the whole index takes, what the columns take."""


class Field(BaseModel):
    """Something that rows can be filtered by: `tags`, or a field of `meta` such as `meta.source`."""

    name: str
    kind: Literal["values", "numbers"]
    values: list[str] = []
    """The commonest first."""
    counts: list[int] = []
    least: float = 0.0
    most: float = 0.0


class RowIndex:
    """The index of a version's rows, as far as it is made. Arrays have one element a row and stay on disk."""

    def __init__(self, rows_folder: Path) -> None:
        self.folder = rows_folder / _FOLDER

    @property
    def has_columns(self) -> bool:
        return (self.folder / "columns").is_dir()

    @property
    def has_text(self) -> bool:
        return (self.folder / "text.db").is_file()

    def column(self, name: Literal["characters", "turns", "flags", "row_hashes", "prompt_hashes"]) -> np.ndarray:
        """Shape (rows,)."""
        return np.load(self.folder / "columns" / f"{name}.npy", mmap_mode="r")

    def fields(self) -> list[Field]:
        data = (self.folder / "columns" / "fields.json").read_bytes()
        return _Fields.model_validate_json(data).fields

    def rows_with(self, name: str, value: str) -> np.ndarray:
        """The numbers of the rows, in order, whose field has a value; none where no row has it."""
        for place, field in enumerate(self.fields()):
            if field.name == name and value in field.values:
                ends = np.cumsum(field.counts)
                which = field.values.index(value)
                stored = np.load(self.folder / "columns" / f"field-{place}.npy", mmap_mode="r")
                return stored[ends[which] - field.counts[which] : ends[which]]
        return np.empty(0, np.uint32)

    def numbers_of(self, name: str) -> np.ndarray | None:
        """The numbers that rows have in a field, NaN where they have none; None where it holds no numbers."""
        for place, field in enumerate(self.fields()):
            if field.name == name and field.kind == "numbers":
                return np.load(self.folder / "columns" / f"field-{place}.npy", mmap_mode="r")
        return None

    def matches(self, term: str) -> np.ndarray:
        """The numbers of the rows that hold what an FTS5 expression asks for."""
        with closing(sqlite3.connect(f"file:{self.folder / 'text.db'}?mode=ro&immutable=1", uri=True)) as text:
            # One text of all numbers: a million of them one by one take three times as long.
            found = text.execute("SELECT group_concat(rowid) FROM words WHERE words MATCH ?", (term,)).fetchone()[0]
        return np.fromstring(found or "", np.uint32, sep=",")


class _Fields(BaseModel):
    fields: list[Field]


def stand_in(hashes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which of the hashes stand among the others too; shape (hashes,)."""
    if not len(others):
        return np.zeros(len(hashes), bool)
    ordered = np.sort(others)
    places = np.searchsorted(ordered, hashes)
    return ordered[np.minimum(places, len(ordered) - 1)] == hashes


def build_index(rows_folder: Path, on_progress: Callable[[float], None] = lambda share: None) -> None:
    """Make what is missing of the index; what another build left half-made is removed.

    Args:
        on_progress: Told which share of the work is done.
    """
    index = RowIndex(rows_folder)
    index.folder.mkdir(exist_ok=True)
    for leftover in index.folder.glob("*.part"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    rows = RowFile(rows_folder / "rows.jsonl")
    if not index.has_columns:
        part = index.folder / "columns.part"
        part.mkdir()
        _write_columns(rows, part, lambda share: on_progress(share * _COLUMNS_SHARE))
        part.rename(index.folder / "columns")
    if not index.has_text:
        part = index.folder / "text.part"
        _write_text(rows, part, lambda share: on_progress(_COLUMNS_SHARE + share * (1 - _COLUMNS_SHARE)))
        part.rename(index.folder / "text.db")


# ------------------------------------------------------------------------------------------------------------- columns


def _write_columns(rows: RowFile, folder: Path, on_progress: Callable[[float], None]) -> None:
    characters, turns, flags = array("Q"), array("I"), array("B")
    row_hashes, prompt_hashes = array("Q"), array("Q")
    fields = _FieldsOfRows()
    for number, row in _told(rows, on_progress):
        length, num_turns, flag = _measures(row)
        characters.append(length)
        turns.append(num_turns)
        flags.append(flag)
        row_hashes.append(row_hash(row))
        prompt_hashes.append(prompt_hash(row))
        if "tags" in row or "meta" in row:
            fields.add(number, row)
    np.save(folder / "characters.npy", np.frombuffer(characters, np.uint64))
    np.save(folder / "turns.npy", np.frombuffer(turns, np.uint32))
    np.save(folder / "flags.npy", np.frombuffer(flags, np.uint8))
    np.save(folder / "row_hashes.npy", np.frombuffer(row_hashes, np.uint64))
    np.save(folder / "prompt_hashes.npy", np.frombuffer(prompt_hashes, np.uint64))
    fields.write(folder, len(characters))


def _measures(row: dict[str, Any]) -> tuple[int, int, int]:
    """Characters of all texts, turns (system prompts are none), flags."""
    if "text" in row:
        return len(row["text"]), 0, 0
    parts = [row.get(key) or () for key in ("messages", "prompt", "chosen", "rejected", "completion")]
    length = sum(len(m["content"] or "") + len(m.get("reasoning_content") or "") for part in parts for m in part)
    said = parts[0] or [*parts[1], *(parts[2] or parts[4])]
    flag = (
        HAS_SYSTEM * (said[0]["role"] == "system")
        | HAS_TOOLS * ("tools" in row or any("tool_calls" in m for part in parts for m in part))
        | HAS_REASONING * any("reasoning_content" in m for part in parts for m in part)
        | IS_GOOD * (row.get("label") is True)
    )
    return length, sum(m["role"] != "system" for m in said), flag


class _FieldsOfRows:
    """Which rows have which tags and which values of `meta`, gathered row by row."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, array[int]]] = {}
        self._numbers: dict[str, tuple[array[int], array[float]]] = {}
        self._too_many: set[str] = set()

    def add(self, number: int, row: dict[str, Any]) -> None:
        for tag in dict.fromkeys(row.get("tags") or ()):
            self._add_value("tags", str(tag), number)
        for name, value in _flat("meta", row.get("meta")):
            if isinstance(value, bool):
                self._add_value(name, str(value).lower(), number)
            elif isinstance(value, int | float):
                self._add_number(name, value, number)
            elif isinstance(value, str) and len(value) <= 200:
                self._add_value(name, value, number)

    def _add_value(self, name: str, value: str, number: int) -> None:
        if name in self._too_many:
            return
        values = self._rows.setdefault(name, {})
        values.setdefault(value, array("I")).append(number)
        if len(values) > MAX_VALUES or len(self._rows) > MAX_FIELDS:
            self._too_many.add(name)
            del self._rows[name]

    def _add_number(self, name: str, value: float, number: int) -> None:
        if name not in self._numbers and len(self._numbers) >= MAX_FIELDS:
            return
        rows, values = self._numbers.setdefault(name, (array("I"), array("d")))
        rows.append(number)
        with suppress(OverflowError):  # a whole number beyond any float
            values.append(value)
            return
        rows.pop()

    def write(self, folder: Path, num_rows: int) -> None:
        fields: list[Field] = []
        for name, rows_of in self._rows.items():
            ordered = sorted(rows_of.items(), key=lambda item: (-len(item[1]), item[0]))
            np.save(
                folder / f"field-{len(fields)}.npy", np.concatenate([np.frombuffer(r, np.uint32) for _, r in ordered])
            )
            counts = [len(rows) for _, rows in ordered]
            fields.append(Field(name=name, kind="values", values=[value for value, _ in ordered], counts=counts))
        for name, (rows, values) in self._numbers.items():
            if not rows:
                continue
            whole = np.full(num_rows, np.nan)
            whole[np.frombuffer(rows, np.uint32)] = np.frombuffer(values, np.float64)
            np.save(folder / f"field-{len(fields)}.npy", whole)
            fields.append(Field(name=name, kind="numbers", least=min(values), most=max(values)))
        write_atomically(folder / "fields.json", _Fields(fields=fields).model_dump_json().encode())


def _flat(name: str, value: Any, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Names and plain values of an object, two levels deep: `meta.generator.model`."""
    if isinstance(value, dict) and depth < 3:
        for key, inner in value.items():
            yield from _flat(f"{name}.{str(key)[:60]}", inner, depth + 1)
    elif depth:
        yield name, value


# ---------------------------------------------------------------------------------------------------------------- text


def _write_text(rows: RowFile, path: Path, on_progress: Callable[[float], None]) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as text:
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", "cache_size=-64000"):
            text.execute(f"PRAGMA {pragma}")
        text.execute(
            "CREATE VIRTUAL TABLE words USING fts5(text, content='', columnsize=0, "
            "tokenize='unicode61 remove_diacritics 2')"
        )
        text.execute("BEGIN")
        text.executemany(
            "INSERT INTO words(rowid, text) VALUES (?, ?)",
            ((number, searchable_text(row)) for number, row in _told(rows, on_progress)),
        )
        text.execute("COMMIT")


def _told(rows: RowFile, on_progress: Callable[[float], None]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, row in enumerate(rows):
        if number % _PROGRESS_ROWS == 0:
            on_progress(number / len(rows))
        yield number, row
    on_progress(1.0)
