"""Outlook: what a job will do, said before it is started, from its settings and the figures of its data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

from sqlalchemy.orm import Session

from pipeline.errors import BadSpec
from pipeline.spec import DatasetRef, ModelRef, Spec
from pipeline.training.rows import num_held_out
from pipeline.training.settings import TrainingSpec
from store import datasets, jobs, models, waiting
from store.schema import DatasetVersion
from store.waiting import Prospect
from webapp.formatting import compact, counted, number
from webapp.shell import facts

BYTES_A_TOKEN = 3.5
"""English text in the tokenizer of a small model: good to about a fifth."""


@dataclass(frozen=True)
class Steps:
    """How long a training job will be."""

    num: int
    epochs: float
    num_sequences_each: int
    precision: Literal["", "about", "at most"]
    """Text is cut into blocks of tokens only when the job runs, and packing puts short rows together only then."""


@dataclass(frozen=True)
class Outlook:
    """A job to be; what is not known before it runs, or does not apply, is None."""

    model: str | None
    dataset: DatasetVersion | None
    held_out_rows: int | None
    steps: Steps | None
    num_slots: int
    prospect: Prospect


def outlook_of(session: Session, spec: Spec) -> Outlook:
    """Raises:
    HoneError: where the settings name a model or data that is not there.
    """
    model, dataset = _reference(spec, ModelRef), _reference(spec, DatasetRef)
    version = _dataset(session, dataset.value, dataset.marker.kinds) if dataset else None
    held_out, steps = None, None
    if isinstance(spec, TrainingSpec) and version is not None:
        held_out, steps = num_held_out(version.num_rows, spec.held_out_share), steps_of(spec, version)
    return Outlook(
        model=_model_in_words(session, model.value) if model else None,
        dataset=version,
        held_out_rows=held_out,
        steps=steps,
        num_slots=spec.num_slots,
        prospect=waiting.prospect_of_new(session),
    )


def steps_of(spec: TrainingSpec, version: DatasetVersion) -> Steps:
    """Optimizer steps: whole batches of the trained rows (of blocks of tokens, for plain text), times the epochs.

    A batch is what all the processes that train together see between two steps.
    """
    values: dict[str, Any] = spec.model_dump()
    sequences: float = version.num_rows - num_held_out(version.num_rows, spec.held_out_share)
    is_text = version.kind == "text"
    if is_text:
        sequences = version.size_bytes / BYTES_A_TOKEN / values["context_length"] * sequences / max(version.num_rows, 1)
    each = spec.sequences_each_step
    if spec.max_steps:
        return Steps(spec.max_steps, 0, each, "")
    epochs = spec.epochs_for(max(1, round(sequences)))
    num = max(1, math.ceil(epochs * math.ceil(sequences / each)))
    return Steps(num, epochs, each, "about" if is_text else "at most" if values.get("packing") else "")


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
    rows.append(("Runs", _when(outlook)))
    return facts(rows)


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
