"""Rows: reading the canonical `rows.jsonl` of a dataset, and holding some of them back to measure with."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import BadData

MOST_HELD_OUT, FEW_ROWS = 256, 10

RowKind = Literal["text", "instruction", "preference", "unpaired"]
Row = dict[str, Any]

MARKS: dict[RowKind, frozenset[str]] = {
    "text": frozenset({"text"}),
    "instruction": frozenset({"messages"}),
    "preference": frozenset({"prompt", "chosen", "rejected"}),
    "unpaired": frozenset({"prompt", "completion", "label"}),
}
"""The fields that every row of a kind has."""


@dataclass(frozen=True)
class Split:
    """Rows to train on and rows held back, chosen by seed and never both."""

    train: list[Row]
    held_out: list[Row]


def read_rows(path: str | Path, *kinds: RowKind) -> list[Row]:
    """Read every row of a local canonical file, all of one kind.

    Raises:
        BadData: if there is no such file, it has no rows, or a row is not of one of `kinds`.
    """
    return list(stream_rows(path, *kinds))


def stream_rows(path: str | Path, *kinds: RowKind) -> Iterator[Row]:
    """The same, one row after the other."""
    file = Path(path)
    if not file.is_file():
        raise BadData(f"There is no dataset file at {path}.", "Choose a dataset from the list, or a rows.jsonl file.")
    kind: RowKind | None = None
    with file.open(encoding="utf-8") as lines:
        parsed = (_parse(line, number, file) for number, line in enumerate(lines, start=1) if line.strip())
        for number, row in enumerate(parsed, start=1):
            kind = kind or _first_kind(row, kinds, file)
            if not row.keys() >= MARKS[kind]:
                raise BadData(
                    f"Row {number} of {file.name} is not a {kind} row (fields: {', '.join(sorted(row))}).",
                    "All rows of a dataset are of one kind; mend the row or leave it out.",
                )
            yield row
    if kind is None:
        raise BadData(f"{file.name} has no rows.", "Choose a dataset with at least one row.")


def _first_kind(row: Row, kinds: tuple[RowKind, ...], file: Path) -> RowKind:
    kind = kind_of(row)
    if kind is None or kind not in kinds:
        raise BadData(
            f"{file.name} holds {kind or 'unknown'} rows (fields: {', '.join(sorted(row))}).",
            f"This recipe needs {' or '.join(kinds)} rows.",
        )
    return kind


def kind_of(row: Row) -> RowKind | None:
    return next((kind for kind, fields in MARKS.items() if row.keys() >= fields), None)


def num_held_out(num_rows: int, share: float, *, most: int = MOST_HELD_OUT) -> int:
    """How many rows a share holds back: `most` at most, and at least one where there are ten rows or more."""
    least = 1 if share and num_rows >= FEW_ROWS else 0
    return min(most, max(least, round(num_rows * share)))


def held_out_of(num_rows: int, share: float, seed: int, *, most: int = MOST_HELD_OUT) -> set[int]:
    """The numbers, from 0, of the rows that are held back."""
    return set(random.Random(seed).sample(range(num_rows), num_held_out(num_rows, share, most=most)))


def split_rows(rows: list[Row], *, held_out_share: float, seed: int, most_held_out: int = MOST_HELD_OUT) -> Split:
    """Hold back a share of the rows, as many as `num_held_out` says.

    Raises:
        BadData: if nothing would be left to train on.
    """
    num_back = num_held_out(len(rows), held_out_share, most=most_held_out)
    if num_back >= len(rows):
        raise BadData(
            f"There are {len(rows)} rows and {num_back} would be held back: none is left to train on.",
            "Add rows, or set the held-out share to 0.",
        )
    held_out = held_out_of(len(rows), held_out_share, seed, most=most_held_out)
    return Split(
        train=[row for index, row in enumerate(rows) if index not in held_out],
        held_out=[rows[index] for index in sorted(held_out)],
    )


def _parse(line: str, number: int, file: Path) -> Row:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise BadData(f"Line {number} of {file.name} is not JSON: {error.msg}.", "Import the file again.") from error
    if not isinstance(row, dict):
        raise BadData(f"Line {number} of {file.name} is {type(row).__name__}, not an object.", "Import the file again.")
    return row
