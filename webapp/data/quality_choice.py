"""Choice: which rows of an inspected dataset are to be left out, as somebody has ticked; it lives in the address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import numpy as np
import numpy.typing as npt

from pipeline.quality.findings import KINDS, rows_of_finding

MOST_SINGLE_ROWS = 300
"""Single rows that an address can carry; beyond them whole findings are to be ticked."""
ROWS_A_PAGE = 10


@dataclass(frozen=True)
class Choice:
    """What is ticked and what is open.

    Args:
        kinds: Findings of which every row is left out,
        kept: but for these rows,
        added: and beside them these.
        open: The finding whose rows are shown, or nothing.
        start: The first of its rows on show, from 0.
    """

    kinds: frozenset[str] = frozenset()
    kept: frozenset[int] = frozenset()
    added: frozenset[int] = frozenset()
    open: str = ""
    start: int = 0

    def told(self, command: Sequence[str], *, is_left_out: bool = False) -> Choice:
        """The choice after a button was pressed; what cannot be understood changes nothing.

        Args:
            is_left_out: Whether the row that the command names is left out so far.
        """
        match command:
            case ["kind", kind] if kind in KINDS:
                return replace(self, kinds=self.kinds ^ {kind})
            case ["row", row] if row.isdecimal() and len(row) < 12:
                return self._with_row(int(row), is_left_out=is_left_out)
            case ["open", kind] if kind in KINDS:
                return replace(self, open="" if kind == self.open else kind, start=0)
            case ["page", start] if start.isdecimal() and len(start) < 12:
                return replace(self, start=int(start))
            case ["none"]:
                return Choice(open=self.open, start=self.start)
        return self

    def _with_row(self, row: int, *, is_left_out: bool) -> Choice:
        if is_left_out:
            return (
                replace(self, added=self.added - {row}) if row in self.added else replace(self, kept=self.kept | {row})
            )
        if row in self.kept:
            return replace(self, kept=self.kept - {row})
        return replace(self, added=self.added | {row})

    @property
    def has_room(self) -> bool:
        return len(self.kept) + len(self.added) < MOST_SINGLE_ROWS


def rows_left_out(folder: Path, choice: Choice, found: Sequence[str], num_rows: int) -> npt.NDArray[np.int64]:
    """The numbers of the rows that a choice leaves out, ascending.

    Args:
        folder: The report's.
        found: The kinds of its findings: a ticked one that it does not have leaves nothing out.
        num_rows: Of the dataset; a number beyond is no row.
    """
    is_out = np.zeros(num_rows, np.bool_)
    for kind in choice.kinds & set(found):
        is_out[rows_of_finding(folder, kind)] = True
    for rows, value in ((choice.kept, False), (choice.added, True)):
        is_out[[row for row in rows if row < num_rows]] = value
    return np.flatnonzero(is_out)


def as_address(choice: Choice) -> str:
    """A choice as the part of an address, without what is empty."""
    values = {
        "leave": ",".join(sorted(choice.kinds)),
        "keep": ",".join(map(str, sorted(choice.kept))),
        "also": ",".join(map(str, sorted(choice.added))),
        "open": choice.open,
        "from": str(choice.start or ""),
    }
    return urlencode({name: value for name, value in values.items() if value}, safe=",")


def from_address(query: str | Mapping[str, str]) -> Choice:
    """The choice that an address names; whatever in it is none is left aside."""
    given = dict(parse_qsl(query[:20_000])) if isinstance(query, str) else query
    start = given.get("from", "")
    return Choice(
        kinds=frozenset(kind for kind in given.get("leave", "").split(",") if kind in KINDS),
        kept=_numbers(given.get("keep", "")),
        added=_numbers(given.get("also", "")),
        open=given["open"] if given.get("open") in KINDS else "",
        start=int(start) if start.isdecimal() and len(start) < 12 else 0,
    )


def _numbers(listed: str) -> frozenset[int]:
    parts = [part for part in listed.split(",") if part.isdecimal() and len(part) < 12]
    return frozenset(map(int, parts[:MOST_SINGLE_ROWS]))
