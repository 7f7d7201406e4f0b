"""Row addresses: which rows are wanted, as the query of a URL, and back."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlencode

from pydantic import ValidationError

from pipeline.data.row_query import RowQuery
from pipeline.errors import BadData

_PLAIN = {
    "q": "words",
    "min_turns": "min_turns",
    "max_turns": "max_turns",
    "min_length": "min_characters",
    "max_length": "max_characters",
    "system": "system",
    "tools": "tools",
    "reasoning": "reasoning",
    "label": "label",
    "sort": "order",
    "in": "within",
    "not_in": "beyond",
}
"""Names in the address, and the parts of a query that they set."""
MAX_ONLY = 10_000


def query_of(parameters: Iterable[tuple[str, str]]) -> RowQuery:
    """The rows that an address asks for; what it leaves open or empty takes all.

    `is.<field>=value` asks for a value of `tags` or of `meta`, `from.<field>` and `to.<field>` for numbers,
    `rows=3,17` for these alone, as people count. Parameters that say something else are passed over.

    Raises:
        BadData: with what was received, if one of them cannot be meant.
    """
    plain: dict[str, object] = {}
    values: list[tuple[str, str]] = []
    bounds: dict[str, dict[str, float]] = {}
    for name, value in parameters:
        end, _, field = name.partition(".")
        if not value.strip():
            continue
        if name in _PLAIN:
            plain[_PLAIN[name]] = value
        elif name == "rows":
            plain["only"] = _numbers(value)
        elif end == "is" and field:
            values.append((field, value))
        elif end in ("from", "to") and field:
            bounds.setdefault(field, {})[end] = _number(name, value)
    ranges = tuple((field, ends.get("from"), ends.get("to")) for field, ends in bounds.items())
    try:
        return RowQuery.model_validate(plain | {"values": tuple(values), "ranges": ranges})
    except ValidationError as error:
        fault = error.errors()[0]
        name = next((short for short, part in _PLAIN.items() if part == fault["loc"][0]), str(fault["loc"][0]))
        received = str(plain.get(str(fault["loc"][0]), ""))[:80]
        raise BadData(f"`{name}` is “{received}”: {fault['msg']}.", "Clear the filters and set them anew.") from error


def rows_address(version_id: int, **parameters: object) -> str:
    """The address of rows of a version, such as `rows_address(3, not_in=2)`."""
    return f"/dataset?{urlencode({'id': version_id} | {k: v for k, v in parameters.items() if v not in (None, '')})}"


def _numbers(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if len(parts) > MAX_ONLY or not all(part.isdecimal() and len(part) < 18 for part in parts):
        raise BadData(f"`rows` is “{text[:80]}”.", f"Name up to {MAX_ONLY:,} row numbers, such as rows=3,17.")
    return tuple(int(part) - 1 for part in parts)


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise BadData(f"`{name}` is “{text[:80]}”, not a number.", "Give a number, such as 0.8.") from error
