"""Row parts: the texts of a canonical row that a person may edit, each under the place where it stands."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.errors import BadData

_SIDES = {"messages": "", "prompt": "", "chosen": "Chosen", "rejected": "Rejected", "completion": "Answer"}
_TEXTS = {"content": "", "reasoning_content": "reasoning"}
LABEL = "label"
"""The place of the judgement of an unpaired row, which is true or false and no text."""


@dataclass(frozen=True)
class RowPart:
    """A text of a row.

    Args:
        place: Where it stands, such as `messages.1.content`.
        title: What a person reads above it.
    """

    place: str
    title: str
    text: str


def parts_of(row: Mapping[str, Any]) -> list[RowPart]:
    """Every text of a row, in its order; calls of tools are left as they are."""
    return list(_parts(row))


def with_texts(row: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
    """The row with other texts in these places.

    Raises:
        BadData: if the row has no text in one of them.
    """
    known = {part.place for part in parts_of(row)}
    edited: dict[str, Any] = copy.deepcopy(dict(row))
    for place, text in texts.items():
        if place not in known:
            raise BadData(f"The row has no text at {place[:60]!r}.", "Reload the page: the row may have changed.")
        *way, last = place.split(".")
        at: Any = edited
        for step in way:
            at = at[int(step) if isinstance(at, list) else step]
        at[last] = text == "true" if place == LABEL else text
    return edited


def _parts(row: Mapping[str, Any]) -> Iterator[RowPart]:
    if "text" in row:
        yield RowPart("text", "Text", row["text"])
    for side, title in _SIDES.items():
        for number, message in enumerate(row.get(side, ())):
            for key, more in _TEXTS.items():
                if message.get(key):
                    role = message["role"].capitalize()
                    words = f"{title} · {role}" if title and len(row[side]) > 1 else title or role
                    yield RowPart(f"{side}.{number}.{key}", f"{words} {more}".strip(), message[key])
    if LABEL in row:
        yield RowPart(LABEL, "Judgement", "true" if row[LABEL] else "false")
