"""Outlook: what a job will do, said before it is started, from its settings and the lengths of its rows.

Where every row was measured (`pipeline.recipes.lengths`), it is exact; where only some were, an estimate; else a bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

from sqlalchemy.orm import Session

from pipeline.errors import BadSpec
from pipeline.spec import DatasetRef, ModelRef, Spec
from pipeline.training.rows import num_held_out
from pipeline.training.settings import FineTuneSpec, TrainingSpec, usual_length
from store import datasets, jobs, models, waiting
from store.schema import DatasetVersion, Model
from store.waiting import Prospect
from webapp.data.trained import Measured, report_for
from webapp.data.views_trained import percent
from webapp.formatting import compact, counted, number
from webapp.shell import chip, facts

BYTES_A_TOKEN = 3.5
"""English text in the tokenizer of a small model: good to about a fifth."""


@dataclass(frozen=True)
class Steps:
    """How long a training job will be."""

    num: int
    epochs: float
    num_sequences_each: int
    precision: Literal["", "about", "at most"]
    """Text is cut into blocks of tokens only when the job runs; how short rows are packed rests on their lengths."""


@dataclass(frozen=True)
class Fitted:
    """What training gets of the rows that it trains on, at its maximum length.

    Args:
        num_kept: Rows of which something is left to learn from.
        num_sequences: What an epoch is made of: those rows, or what they are packed into.
        num_tokens: What an epoch reads, padding aside.
        num_looked_at: Rows that were measured; where these are not all, every figure is an estimate.
        num_refused: Rows that the chat template refuses: a job would fail at the first.
    """

    max_length: int
    num_kept: int
    num_sequences: int
    num_tokens: int
    cut_share: float
    left_out_share: float
    num_looked_at: int
    is_whole: bool
    num_refused: int


@dataclass(frozen=True)
class Outlook:
    """A job to be; what is not known before it runs, or does not apply, is None."""

    model: str | None
    dataset: DatasetVersion | None
    held_out_rows: int | None
    steps: Steps | None
    fitted: Fitted | None
    measure_at: str
    """Address of the page that measures the lengths of the rows."""
    num_slots: int
    prospect: Prospect


def outlook_of(session: Session, spec: Spec, sample: Measured | None = None) -> Outlook:
    """What `spec` would do.

    Args:
        sample: Lengths of some of its rows, to estimate by where not all were measured.

    Raises:
        HoneError: where the settings name a model or data that is not there.
    """
    model, version = _reference(spec, ModelRef), dataset_of(session, spec)
    held_out, steps, fitted = None, None, None
    if isinstance(spec, TrainingSpec) and version is not None:
        held_out = num_held_out(version.num_rows, spec.held_out_share)
        measured = _measured(session, spec, version) or sample
        if isinstance(spec, FineTuneSpec) and measured is not None:
            fitted = fitted_of(spec, measured)
        steps = steps_of(spec, version, fitted)
    return Outlook(
        model=_model_in_words(session, model.value) if model else None,
        dataset=version,
        held_out_rows=held_out,
        steps=steps,
        fitted=fitted,
        measure_at=_where_to_measure(session, spec, version),
        num_slots=spec.num_slots,
        prospect=waiting.prospect_of_new(session),
    )


def _measured(session: Session, spec: Spec, version: DatasetVersion) -> Measured | None:
    """The lengths of every row in the tokens of the model that the job starts from, where they were counted."""
    model = start_model(session, spec)
    report = report_for(session, version, model) if model else None
    return report.measured() if report else None


def start_model(session: Session, spec: Spec) -> Model | None:
    """The model that a job starts from, where it is there already.

    Raises:
        HoneError: if it was deleted.
    """
    reference = _reference(spec, ModelRef)
    if reference is None or not reference.value.startswith("model:"):
        return None
    return models.get_model(session, _number_in(reference.value, "model"))


def _where_to_measure(session: Session, spec: Spec, version: DatasetVersion | None) -> str:
    model = start_model(session, spec)
    if model is None or version is None:
        return ""
    return f"/trained?id={version.id}&model={model.id}&length={getattr(spec, 'max_length', 0)}"


def dataset_of(session: Session, spec: Spec) -> DatasetVersion | None:
    """The rows that a job reads.

    Raises:
        HoneError: if they are not there, or are of another kind.
    """
    dataset = _reference(spec, DatasetRef)
    return _dataset(session, dataset.value, dataset.marker.kinds) if dataset else None


def fitted_of(spec: FineTuneSpec, measured: Measured) -> Fitted:
    """What the job makes of the rows that it trains on: counted where all were measured, else scaled up."""
    num_trained = measured.num_rows - num_held_out(measured.num_rows, spec.held_out_share)
    lengths = measured.lengths
    if measured.is_whole:
        lengths = lengths.trained_on(spec.held_out_share, spec.seed)
    fit = lengths.fitted(spec.max_length or usual_length(measured.context_length))
    scale = num_trained / max(len(lengths), 1)
    num_kept = round(scale * int(fit.is_kept.sum()))
    num_sequences = num_kept
    if getattr(spec, "packing", False):
        num_sequences = fit.num_packed() if measured.is_whole else fit.packed_estimate(num_kept)
    return Fitted(
        max_length=fit.max_length,
        num_kept=num_kept,
        num_sequences=num_sequences,
        num_tokens=round(scale * fit.num_tokens),
        cut_share=float(fit.is_cut.mean()) if len(lengths) else 0.0,
        left_out_share=1 - float(fit.is_kept.mean()) if len(lengths) else 0.0,
        num_looked_at=len(measured.lengths),
        is_whole=measured.is_whole,
        num_refused=int(measured.lengths.is_refused.sum()),
    )


def steps_of(spec: TrainingSpec, version: DatasetVersion, fitted: Fitted | None = None) -> Steps:
    """Optimizer steps: whole batches of the trained sequences, times the epochs.

    A sequence is a row, several that are packed, or a block of plain text's tokens. A batch is what all the processes
    that train together see between two steps.
    """
    values: dict[str, Any] = spec.model_dump()
    each = spec.sequences_each_step
    if spec.max_steps:
        return Steps(spec.max_steps, 0, each, "")
    if fitted is not None:
        epochs = spec.epochs_for(max(1, fitted.num_kept))
        return Steps(_num_steps(epochs, fitted.num_sequences, each), epochs, each, "" if fitted.is_whole else "about")
    sequences: float = version.num_rows - num_held_out(version.num_rows, spec.held_out_share)
    is_text = version.kind == "text"
    if is_text:
        sequences = version.size_bytes / BYTES_A_TOKEN / values["context_length"] * sequences / max(version.num_rows, 1)
    epochs = spec.epochs_for(max(1, round(sequences)))
    precision: Literal["", "about", "at most"] = "about" if is_text else "at most" if values.get("packing") else ""
    return Steps(_num_steps(epochs, sequences, each), epochs, each, precision)


def _num_steps(epochs: float, sequences: float, each: int) -> int:
    return max(1, math.ceil(epochs * math.ceil(sequences / each)))


def outlook_view(outlook: Outlook) -> str:
    """The figures as facts, in the order in which they happen."""
    version, steps = outlook.dataset, outlook.steps
    rows = []
    if outlook.model:
        rows.append(("Starts from", outlook.model))
    if version is not None:
        rows.append(("Reads", f"{escape(version.dataset.name)} v{version.number}"))
        held = f", {number(outlook.held_out_rows)} of them held out to measure with" if outlook.held_out_rows else ""
        rows.append(("Rows", f"{counted(version.num_rows, f'{escape(version.kind)} row')}{held}"))
    if steps is not None:
        words = f"{steps.precision} {number(steps.num)}, {counted(steps.num_sequences_each, 'sequence')} each"
        rows.append(("Epochs", number(steps.epochs) if steps.epochs else ""))
        rows.append(("Steps", words.strip()))
    if outlook.fitted is not None:
        rows += _fitted_in_words(outlook.fitted, outlook.measure_at)
    rows.append(("Runs", _when(outlook)))
    return facts(rows)


def _fitted_in_words(fitted: Fitted, measure_at: str) -> list[tuple[str, str]]:
    about = "" if fitted.is_whole else "about "
    at = f"at {counted(fitted.max_length, 'token')}"
    rows = [
        ("Tokens an epoch", f"{about}{number(fitted.num_tokens) if fitted.is_whole else compact(fitted.num_tokens)}"),
        ("Cut", f"{about}{percent(fitted.cut_share)} of the rows, {at}" if fitted.cut_share else f"no row, {at}"),
    ]
    if fitted.left_out_share:
        rows.append(("Left out", f"{about}{percent(fitted.left_out_share)}: nothing to learn within that length"))
    if fitted.num_sequences != fitted.num_kept:
        rows.append(
            ("Packed", f"{about}{counted(fitted.num_kept, 'row')} into {counted(fitted.num_sequences, 'sequence')}")
        )
    if fitted.num_refused:
        told = counted(fitted.num_refused, "row")
        rows.append(("Refused", f"{chip('', f'The chat template refuses {told}: the job would fail', 'bad')}"))
    if fitted.is_whole:
        return [*rows, ("These figures", "are counted on every row")]
    known = f"are estimated from {counted(fitted.num_looked_at, 'row')}"
    return [*rows, ("These figures", f'{known}; <a href="{escape(measure_at)}">measure all rows</a> to know them')]


def _when(outlook: Outlook) -> str:
    """When a worker will take it, as far as can be told."""
    prospect = outlook.prospect
    if prospect.is_paused:
        return "when the queue, which is paused, goes on"
    if prospect.most_slots == 0:
        return "when a worker is there: none is now"
    if outlook.num_slots > prospect.most_slots:
        most = counted(prospect.most_slots, "device")
        return f"when a worker with {outlook.num_slots} devices is there: the largest has {most}"
    if prospect.num_ahead:
        return f"after {counted(prospect.num_ahead, 'waiting job')}"
    return "as soon as a worker is free"


@dataclass(frozen=True)
class _Reference:
    marker: Any
    value: str


def _reference(spec: Spec, marker_class: type) -> _Reference | None:
    """The first field of a spec that names a model, or data."""
    for name, info in type(spec).model_fields.items():
        marker = next((one for one in info.metadata if isinstance(one, marker_class)), None)
        if marker is not None and getattr(spec, name):
            return _Reference(marker, str(getattr(spec, name)))
    return None


def _dataset(session: Session, reference: str, kinds: tuple[str, ...]) -> DatasetVersion:
    version = datasets.get_version(session, _number_in(reference, "dataset"))
    if version.kind not in kinds:
        raise BadSpec(
            f"{version.dataset.name} holds {version.kind} rows; this method learns from {' or '.join(kinds)} rows.",
            "Choose another dataset, or another method above.",
        )
    return version


def _number_in(reference: str, noun: str) -> int:
    number_of_row = reference.removeprefix(f"{noun}:")
    if not number_of_row.isdecimal():
        raise BadSpec(f"{reference!r} names no {noun}.", f"Choose one from the list; it is written {noun}:<number>.")
    return int(number_of_row)


def _model_in_words(session: Session, reference: str) -> str:
    if reference.startswith("job:"):
        job = jobs.get_job(session, _number_in(reference, "job"))
        return f'{escape(job.name)} <span class="h-quiet">as soon as it is made</span>'
    if not reference.startswith("model:"):
        return f'{escape(reference)} <span class="h-quiet">looked up when the job is asked for</span>'
    model = models.get_model(session, _number_in(reference, "model"))
    size = f"{compact(model.num_parameters)} parameters" if model.num_parameters else ""
    return f'{escape(model.name)} <span class="h-quiet">{size}</span>'
