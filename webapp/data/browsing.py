"""Browsing over HTTP: rows of a version by their place, drawn, as fast as a person scrolls."""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from pipeline.data.mapped_rows import MappedRows
from pipeline.data.row_index import RowIndex
from pipeline.data.row_query import RowQuery, select_rows
from pipeline.errors import BadData
from store import datasets
from store.database import reading
from store.schema import DatasetVersion
from webapp.data.row_addresses import query_of
from webapp.data.row_indexes import IndexState, row_indexes
from webapp.data.uploads import ApiRoute
from webapp.data.views_filters import filters_view
from webapp.data.views_rows import list_row

MAX_PAGE_BYTES = 32_000_000
"""A page of rows ends early when their lines are longer than this; one row is always given."""
MAX_KEPT_SELECTIONS = 24

router = APIRouter(prefix="/api/datasets/{version_id}/browse", route_class=ApiRoute, include_in_schema=False)


@router.get("")
def browse(
    request: Request,
    version_id: int,
    first: int = Query(0, ge=0),
    limit: int = Query(20, ge=1, le=100),
    row: int | None = Query(None, ge=1),
) -> Any:
    """Rows from place `first` of those that the address asks for, or from where `row` (counted from 1) stands.

    Answers `matching` of `total` rows; or `building`, the share of an index that the search needs and that is being
    made.
    """
    version = _version(version_id)
    query = query_of(request.query_params.multi_items())
    chosen = _selection(version, query)
    if isinstance(chosen, IndexState):
        return {"building": chosen.share, "total": version.num_rows}
    matching = version.num_rows if chosen is None else len(chosen)
    is_missing = False
    if row is not None:
        first, is_missing = _place_of(row - 1, chosen, matching)
    wanted = range(first, min(first + limit, matching))
    numbers = list(wanted) if chosen is None else [int(number) for number in chosen[first : first + limit]]
    return {
        "total": version.num_rows,
        "matching": matching,
        "first": first,
        "is_missing": is_missing,
        "numbers": [number + 1 for number in numbers],
        "rows": _drawn(version, numbers),
    }


@router.get("/filters")
def show_filters(request: Request, version_id: int) -> Response:
    """The form of what this version can be filtered by; the index begins to be made."""
    version = _version(version_id)
    folder = datasets.folder_of(version)
    found = row_indexes().state(folder, text=True)
    index = RowIndex(folder)
    fields = index.fields() if index.has_columns else []
    query = query_of(request.query_params.multi_items())
    headers = {"x-index": found.state, "x-index-share": f"{found.share:.3f}"}
    return HTMLResponse(filters_view(version.kind, fields, query), headers=headers)


@router.get("/rows/{row}")
def show_row(version_id: int, row: int) -> Response:
    """One row (counted from 1) with its long texts."""
    version = _version(version_id)
    with MappedRows(datasets.rows_of(version).path) as rows:
        _require(row, len(rows))
        return HTMLResponse(list_row(orjson.loads(rows.line(row - 1)), version.id, row, is_whole=True))


@router.get("/rows/{row}/json")
def download_row(version_id: int, row: int) -> Response:
    """One row (counted from 1) as it is kept, however large."""
    version = _version(version_id)
    with MappedRows(datasets.rows_of(version).path) as rows:
        _require(row, len(rows))
        line = rows.line(row - 1)
    disposition = f'attachment; filename="row-{row}.json"'
    return Response(line, media_type="application/json", headers={"content-disposition": disposition})


def _version(version_id: int) -> DatasetVersion:
    with reading() as session:
        return datasets.get_version(session, version_id)


def _require(row: int, count: int) -> None:
    if not 1 <= row <= count:
        raise BadData(f"There is no row {row:,}.", f"The dataset has rows 1 to {count:,}.")


def _drawn(version: DatasetVersion, numbers: list[int]) -> list[str]:
    drawn: list[str] = []
    num_bytes = 0
    with MappedRows(datasets.rows_of(version).path) as rows:
        for number in numbers:
            line = rows.line(number)
            num_bytes += len(line)
            if drawn and num_bytes > MAX_PAGE_BYTES:
                break
            drawn.append(list_row(orjson.loads(line), version.id, number + 1))
    return drawn


def _place_of(number: int, chosen: np.ndarray | None, matching: int) -> tuple[int, bool]:
    """Where a row stands, and whether it is missing; where it is missing, the next one does instead."""
    if chosen is None:
        return max(0, min(number, matching - 1)), number >= matching
    found = np.flatnonzero(chosen == number)
    if len(found):
        return int(found[0]), False
    return min(int(np.searchsorted(chosen, number)), max(0, matching - 1)), True


# ---------------------------------------------------------------------------------------------------------- selections


class _Selections:
    """The latest selections, kept so that scrolling through a million matches searches for them once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: OrderedDict[tuple[str, RowQuery], np.ndarray] = OrderedDict()

    def get(self, key: tuple[str, RowQuery]) -> np.ndarray | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def keep(self, key: tuple[str, RowQuery], chosen: np.ndarray) -> None:
        with self._lock:
            self._kept[key] = chosen
            while len(self._kept) > MAX_KEPT_SELECTIONS:
                self._kept.popitem(last=False)


@lru_cache(maxsize=1)
def _selections() -> _Selections:
    return _Selections()


def _selection(version: DatasetVersion, query: RowQuery) -> np.ndarray | IndexState | None:
    """The numbers of the rows that are wanted; None for all of them in order; or how far the index is."""
    if query.takes_all:
        return None
    known = _selections().get((version.sha256, query))
    if known is not None:
        return known
    index = row_indexes().require(datasets.folder_of(version), text=query.needs_text)
    if isinstance(index, IndexState):
        return index
    others: dict[int, RowIndex] = {}
    for other_id in filter(None, (query.within, query.beyond)):
        other = row_indexes().require(datasets.folder_of(_version(other_id)))
        if isinstance(other, IndexState):
            return other
        others[other_id] = other
    chosen = select_rows(index, query, others)
    _selections().keep((version.sha256, query), chosen)
    return chosen
