"""Example: the first row that a job will train on, token by token, and the lengths of a few to estimate by."""

from __future__ import annotations

from collections import OrderedDict
from html import escape
from typing import Any
from urllib.parse import urlencode

from pipeline.errors import HoneError
from pipeline.spec import Spec
from pipeline.training.rows import held_out_of
from pipeline.training.settings import TrainingSpec
from store import datasets
from store.database import reading
from store.schema import DatasetVersion, Model
from webapp.data.trained import Measured, sampled, trained_row
from webapp.data.views_trained import trained_row_view
from webapp.formatting import number
from webapp.jobs.outlook import dataset_of, start_model
from webapp.shell import error_block, link_button

MOST_KEPT = 64
MOST_SHOWN_CHARACTERS = 600
_samples: OrderedDict[tuple[int, int, int], Measured] = OrderedDict()
"""By model, version and length: neither of the first two ever changes."""


async def sample_of(spec: Spec) -> Measured | None:
    """The lengths of some rows that a job would read, or None where they cannot be had now."""
    found = _inputs(spec)
    if found is None:
        return None
    model, version = found
    length: int = getattr(spec, "max_length", 0)
    key = (model.id, version.id, length)
    try:
        if key not in _samples:
            _samples[key] = await sampled(model, version, max_length=length)
            while len(_samples) > MOST_KEPT:
                _samples.popitem(last=False)
        return _samples[key]
    except HoneError:  # what is wrong is said where the example would be
        return None


async def example_view(spec: Spec) -> str:
    """The first row that the job trains on, or why it cannot be shown."""
    if not isinstance(spec, TrainingSpec):
        return ""
    with reading() as session:
        version = dataset_of(session, spec)
    if version is None or not version.num_rows:
        return ""
    place = _first_trained(version, spec)
    (row,) = datasets.rows_of(version).read(place, 1)
    if version.kind == "text":
        return _document(version, row, place)
    try:
        found = _inputs(spec)
        if found is None:
            return _quiet("The model is not here yet, so its tokenizer is not known: the example is shown once it is.")
        model, _ = found
        length: int = getattr(spec, "max_length", 0)
        shown = trained_row_view(await trained_row(model, row, max_length=length))
    except HoneError as error:
        return error_block(error)
    address = urlencode({"id": version.id, "model": model.id, "length": length, "row": place + 1})
    return _head(f"Row {number(place + 1)}", link_button("See any row", f"/trained?{address}", slim=True)) + shown


def _inputs(spec: Spec) -> tuple[Model, DatasetVersion] | None:
    """The model and the rows of a spec, where both are there."""
    with reading() as session:
        model, version = start_model(session, spec), dataset_of(session, spec)
    return (model, version) if model is not None and version is not None else None


def _first_trained(version: DatasetVersion, spec: TrainingSpec) -> int:
    """The number, from 0, of the first row that is not held out."""
    held_out = held_out_of(version.num_rows, spec.held_out_share, spec.seed)
    return next((place for place in range(version.num_rows) if place not in held_out), 0)


def _document(version: DatasetVersion, row: dict[str, Any], place: int) -> str:
    text = escape(row["text"][:MOST_SHOWN_CHARACTERS]) + ("…" if len(row["text"]) > MOST_SHOWN_CHARACTERS else "")
    see = link_button("See any row", f"/trained?id={version.id}&row={place + 1}", slim=True)
    return (
        _head(f"Row {number(place + 1)}", see)
        + f'<div class="h-tt"><span class="h-tt-run h-tt-trained"><b>trained</b><span>{text}</span></span></div>'
        + _quiet("All of a text is trained. The tokenizer is learnt from it first, so its tokens are not known yet.")
    )


def _head(words: str, action: str) -> str:
    return f'<div class="h-line h-apart h-tt-head"><span class="h-quiet">{words}</span>{action}</div>'


def _quiet(words: str) -> str:
    return f'<p class="h-quiet h-small">{escape(words)}</p>'
