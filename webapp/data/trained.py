"""Trained: what training makes of rows, as the inference server's tokenizers and the reports on lengths tell it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session

from pipeline.errors import BadModel, HoneError
from pipeline.training.lengths import COLUMNS, REPORT_FILE, Lengths, figures, read_numbers
from pipeline.training.rows import RowKind
from store import data_reports, datasets, jobs
from store.schema import ACTIVE_STATES, DatasetVersion, Job, Model
from webapp.inference_client import own_server

RECIPE = "lengths"
NUM_SAMPLED = 64
MOST_LOOKED_AT_BYTES = 2_000_000
"""A longer row is not shown token by token: it would be hundreds of thousands of them."""
TOKENIZER_FILES = ("tokenizer.json", "chat_template.jinja")


class NotShown(HoneError):
    """A row cannot be shown as it is trained."""

    kind = "not_shown"


class TrainedToken(BaseModel):
    """See `pipeline.training.preview.TrainedToken`."""

    model_config = ConfigDict(frozen=True)

    id: int
    text: str
    is_special: bool
    is_trained: bool
    is_cut: bool


class TrainedSequence(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: Literal["Conversation", "Chosen", "Rejected", "Document"]
    tokens: tuple[TrainedToken, ...]


class TrainedRow(BaseModel):
    """See `pipeline.training.preview.TrainedRow`."""

    model_config = ConfigDict(frozen=True)

    recipe: str
    max_length: int
    context_length: int | None
    has_template: bool
    is_left_out: bool
    sequences: tuple[TrainedSequence, ...]


class SampledNumbers(BaseModel):
    kind: RowKind
    max_length: int
    context_length: int | None
    numbers: list[list[int]]


@dataclass(frozen=True)
class Measured:
    """The lengths of rows: of all, or of some that were drawn to estimate by.

    Args:
        num_rows: How many rows there are in all.
        context_length: What the model reads at once, in tokens, where that is known.
    """

    lengths: Lengths
    num_rows: int
    context_length: int | None

    @property
    def is_whole(self) -> bool:
        return len(self.lengths) == self.num_rows


# ------------------------------------------------------------------------------------------------ asked of the server


async def trained_row(model: Model, row: dict[str, Any], *, max_length: int) -> TrainedRow:
    """A row as a model would be trained on it.

    Args:
        max_length: In tokens; 0 is what training takes by default.

    Raises:
        NotShown: if the server cannot be reached, or refuses; or the row is too long to look at.
        BadModel: if the model has no tokenizer here.
    """
    size = len(json.dumps(row))
    if size > MOST_LOOKED_AT_BYTES:
        raise NotShown(
            f"The row holds {size / 1e6:.0f} MB of text, too much to be shown token by token.",
            "Measure the lengths: that counts its tokens.",
        )
    body = {"model": require_tokenizer(model).name, "row": row, "max_length": max_length}
    return await own_server().ask_for(TrainedRow, "/hone/trained", body, fault=NotShown)


async def sampled(model: Model, version: DatasetVersion, *, max_length: int) -> Measured:
    """The lengths of a few rows, evenly spread over a version.

    Raises:
        HoneError: like `trained_row`.
    """
    file = datasets.rows_of(version)
    places = np.unique(np.linspace(0, len(file) - 1, NUM_SAMPLED).astype(int)).tolist()
    rows = [row for place in places for row in file.read(place, 1)]
    body = {"model": require_tokenizer(model).name, "rows": rows, "max_length": max_length}
    told = await own_server().ask_for(SampledNumbers, "/hone/lengths", body, fault=NotShown)
    numbers = np.array(told.numbers, np.uint32).reshape(len(rows), len(COLUMNS[told.kind]))
    return Measured(Lengths(told.kind, numbers), version.num_rows, told.context_length)


def require_tokenizer(model: Model) -> Model:
    """Raises:
    BadModel: if the model is answered for by an endpoint, so that its tokenizer is not here.
    """
    if model.endpoint_id is not None:
        raise BadModel(
            f"{model.name} is answered by an endpoint, so its tokenizer is not here and it cannot be trained.",
            "Choose a model whose weights Hone has.",
        )
    return model


# --------------------------------------------------------------------------------------------------------- reports


@dataclass(frozen=True)
class LengthsReport:
    """A report on lengths that is there: its folder and what `lengths.json` says."""

    folder: Path
    told: dict[str, Any]
    job_id: int

    @property
    def kind(self) -> RowKind:
        kind: RowKind = self.told["kind"]
        return kind

    def lengths(self) -> Lengths:
        return read_numbers(self.folder, self.kind)

    def measured(self) -> Measured:
        return Measured(self.lengths(), self.told["rows"], self.told["context_length"])

    def at(self, max_length: int) -> dict[str, Any]:
        """The figures of training at a length, which need not be among those that were written down."""
        known: dict[str, Any] | None = self.told["at"].get(str(max_length))
        return known or _figures(self.folder, self.kind, max_length, self.told["batch_size"])


@lru_cache(maxsize=64)
def _figures(folder: Path, kind: RowKind, max_length: int, batch_size: int) -> dict[str, Any]:
    return figures(read_numbers(folder, kind), max_length, batch_size=batch_size)


def report_for(session: Session, version: DatasetVersion, model: Model) -> LengthsReport | None:
    """The newest report on a version whose tokenizer is the model's: its own, or one with the same files."""
    for report in data_reports.list_reports(session, version.id):
        if report.recipe != RECIPE or report.model_id is None:
            continue
        measured_with = session.get(Model, report.model_id)
        if report.model_id != model.id and (measured_with is None or not share_tokenizer(measured_with, model)):
            continue
        folder = data_reports.folder_of_report(report)
        try:
            told = json.loads((folder / REPORT_FILE).read_bytes())
        except (OSError, ValueError):  # gone or damaged: as if it had never been made
            continue
        return LengthsReport(folder, told, report.job_id)
    return None


def share_tokenizer(one: Model, other: Model) -> bool:
    """Whether two models cut text into the same tokens and lay conversations out alike, as the hashes of files tell."""
    files, others = ((model.manifest or {}).get("files", {}) for model in (one, other))
    return TOKENIZER_FILES[0] in files and all(files.get(name) == others.get(name) for name in TOKENIZER_FILES)


def last_job(session: Session, version: DatasetVersion, model: Model) -> Job | None:
    """The job that measures, or was the last to measure, a version with a model's tokenizer."""
    for states in (ACTIVE_STATES, ()):
        found, _ = jobs.list_jobs(session, states=states, recipe=RECIPE, limit=50)
        for job in found:
            if job.parent_model_id == model.id and version.id in [one.id for one in job.datasets]:
                return job
    return None


# ------------------------------------------------------------------------------------------------------ choosing rows


def longest_row(version: DatasetVersion, report: LengthsReport | None) -> int:
    """The number, from 1, of the row with most tokens; where they are not counted, of that with most bytes."""
    if report is not None:
        return int(report.lengths().whole.argmax()) + 1
    begins = np.fromfile(datasets.folder_of(version) / "rows.index", "<u8")
    return int(np.diff([*begins, version.size_bytes]).argmax()) + 1


def cut_rows(report: LengthsReport, max_length: int) -> Sequence[int]:
    """The numbers, from 1, of the rows that lose tokens at a length."""
    numbers: list[int] = (report.lengths().fitted(max_length).is_cut.nonzero()[0] + 1).tolist()
    return numbers
