"""Row queries: which rows of a version a person wants to see, and in which order."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from pipeline.data.row_index import HAS_REASONING, HAS_SYSTEM, HAS_TOOLS, IS_GOOD, RowIndex, stand_in
from pipeline.data.searchable import terms_of

Order = Literal["original", "longest", "shortest", "most_turns", "fewest_turns"]
YesNo = Literal["", "yes", "no"]


class RowQuery(BaseModel):
    """What an address says of the rows that are wanted; every part that is left open takes all rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    words: str = Field(default="", max_length=400)
    """See `pipeline.data.searchable.terms_of`."""
    min_turns: int | None = Field(default=None, ge=0, le=10**9)
    max_turns: int | None = Field(default=None, ge=0, le=10**9)
    min_characters: int | None = Field(default=None, ge=0, le=10**15)
    max_characters: int | None = Field(default=None, ge=0, le=10**15)
    system: YesNo = ""
    tools: YesNo = ""
    reasoning: YesNo = ""
    label: Literal["", "good", "bad"] = ""
    values: tuple[tuple[str, str], ...] = ()
    """Names of fields (`tags`, `meta.source`) and the value that rows must have there."""
    ranges: tuple[tuple[str, float | None, float | None], ...] = ()
    """Names of fields of numbers, with the least and the most."""
    only: tuple[int, ...] = ()
    """Numbers of rows, from 0, that alone are looked at."""
    within: int | None = None
    """Another version: only rows that it has too."""
    beyond: int | None = None
    """Another version: only rows that it has not."""
    order: Order = "original"

    @property
    def takes_all(self) -> bool:
        """Whether no index is needed: every row, in its place."""
        return self == RowQuery()

    @property
    def needs_text(self) -> bool:
        return bool(self.words.strip())


def select_rows(index: RowIndex, query: RowQuery, others: dict[int, RowIndex] | None = None) -> np.ndarray:
    """The numbers of the rows that a query wants, in its order; shape (matches,).

    Args:
        others: The indexes of the versions that the query names.

    Raises:
        BadData: if the search holds no word.
    """
    mask = np.ones(len(index.column("turns")), bool)
    _keep_range(mask, index.column("turns"), query.min_turns, query.max_turns)
    _keep_range(mask, index.column("characters"), query.min_characters, query.max_characters)
    wishes = ((query.system, HAS_SYSTEM), (query.tools, HAS_TOOLS), (query.reasoning, HAS_REASONING))
    for wish, bit in (*wishes, ({"good": "yes", "bad": "no"}.get(query.label, ""), IS_GOOD)):
        if wish:
            mask &= ((index.column("flags") & bit) > 0) == (wish == "yes")
    for name, value in query.values:
        mask &= _mask_of(index.rows_with(name, value), len(mask))
    for name, least, most in query.ranges:
        numbers = index.numbers_of(name)
        mask &= False if numbers is None else ~np.isnan(numbers)
        if numbers is not None:
            _keep_range(mask, numbers, least, most)
    if query.only:
        mask &= _mask_of(np.array([row for row in query.only if 0 <= row < len(mask)], np.int64), len(mask))
    for other, is_wanted in ((query.within, True), (query.beyond, False)):
        if other is not None:
            hashes = (others or {})[other].column("row_hashes")
            mask &= stand_in(index.column("row_hashes"), hashes) == is_wanted
    if query.needs_text:
        _keep_words(mask, index, query.words)
    return _ordered(index, np.flatnonzero(mask), query.order).astype(np.uint32)


def _keep_range(mask: np.ndarray, values: np.ndarray, least: float | None, most: float | None) -> None:
    if least is not None:
        mask &= values >= least
    if most is not None:
        mask &= values <= most


def _keep_words(mask: np.ndarray, index: RowIndex, words: str) -> None:
    wanted, unwanted = terms_of(words.strip())
    if wanted:
        mask &= _mask_of(index.matches(" AND ".join(wanted)), len(mask))
    for term in unwanted:
        mask &= ~_mask_of(index.matches(term), len(mask))


def _mask_of(numbers: np.ndarray, count: int) -> np.ndarray:
    mask = np.zeros(count, bool)
    mask[numbers] = True
    return mask


def _ordered(index: RowIndex, numbers: np.ndarray, order: Order) -> np.ndarray:
    """Rows of one length or number of turns keep the order in which they stand."""
    if order == "original":
        return numbers
    column = index.column("characters" if order in ("longest", "shortest") else "turns")
    keys = column[numbers].astype(np.int64)
    return numbers[np.argsort(keys if order in ("shortest", "fewest_turns") else -keys, kind="stable")]
