"""Score: what a model thinks of each row of a dataset, to keep the best of them."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from pipeline.context import Context
from pipeline.data.rows import RowFile
from pipeline.errors import BadData
from pipeline.quality.scores import MEASURE_KINDS, Measure, ScoreReport, write_score_report
from pipeline.recipes import Recipe
from pipeline.spec import DatasetRef, Fault, ModelRef, Spec, SpecFaults, setting

ROWS_AT_ONCE = 64
_NOT_YET = np.float32(-math.inf)
PARTIAL_FILE = "scores.partial.npy"


class ScoreSpec(Spec):
    model: Annotated[str, ModelRef()] = setting(help="The model that judges.", basic=True, min_length=1)
    dataset: Annotated[str, DatasetRef(("text", "instruction", "preference", "unpaired"))] = setting(
        help="The rows to score.", basic=True, min_length=1
    )
    measure: Measure = setting(
        "ifd",
        help="ifd: how little the question gives the answer away; perplexity: how expected the words are; judge: a "
        "grade from 1 to 5.",
        basic=True,
    )
    max_length: int = setting(1024, help="Longer rows are cut to this.", unit="tokens", ge=64, le=131_072)


def run(spec: ScoreSpec, context: Context) -> dict[str, Any]:
    """Score every row that has no score yet; an attempt that ends early leaves its scores to the next.

    Raises:
        SpecFaults: if the measure is not for rows of this kind.
        BadData: if not one row can be scored.
    """
    from pipeline.quality.judging import Judge
    from pipeline.training.loop import device_name, raise_if_stopped
    from pipeline.training.rows import kind_of

    started = time.monotonic()
    rows = RowFile(Path(spec.dataset))
    row_kind = kind_of(rows.read(0, 1)[0]) or ""
    if row_kind not in MEASURE_KINDS[spec.measure]:
        raise SpecFaults([Fault("measure", f"is not for {row_kind} rows (received {spec.measure!r})")])
    scores, notes = _partial(context.checkpoints, len(rows))
    context.phase("Loading the model")
    judge = Judge(spec.model, measure=spec.measure, device=device_name(), most_tokens=spec.max_length)
    try:
        context.phase("Scoring")
        for start in range(0, len(rows), ROWS_AT_ONCE):
            raise_if_stopped(context)
            part = slice(start, start + ROWS_AT_ONCE)
            if np.any(scores[part] == _NOT_YET):
                found = judge.score(rows.read(start, ROWS_AT_ONCE))
                notes[part] = [(one.was_cut, one.digit_probability) for one in found]
                scores[part] = [one.value for one in found]
                notes.flush()
                scores.flush()
            context.progress(min(start + ROWS_AT_ONCE, len(rows)), len(rows), unit="rows")
    finally:
        judge.close()
    report = _report(spec, row_kind, np.array(scores), np.array(notes), seconds=time.monotonic() - started)
    if not report.num_scored:
        raise BadData("Not one row could be scored.", "Its answers are empty, or its prompts do not fit the model.")
    if report.digit_probability is not None and report.digit_probability < 0.2:
        context.log(
            f"The judge gave the digits 1 to 5 only {report.digit_probability:.0%} of its probability: it does not "
            "take the question, and its grades say little.",
            "warning",
        )
    write_score_report(context.out, report, np.array(scores))
    return {
        "rows_scored": report.num_scored,
        "rows_without_score": report.num_rows - report.num_scored,
        "rows_cut": report.num_cut,
        "rows_per_second": round(report.num_rows / report.seconds, 1),
    }


def _partial(folder: Path, num_rows: int) -> tuple[Any, Any]:
    """What an earlier attempt has scored, or room for the scores: two files, mapped into memory."""
    scores_file, notes_file = folder / PARTIAL_FILE, folder / "notes.partial.npy"
    if scores_file.is_file() and notes_file.is_file():
        return np.load(scores_file, mmap_mode="r+"), np.load(notes_file, mmap_mode="r+")
    notes = np.lib.format.open_memmap(notes_file, mode="w+", dtype=np.float32, shape=(num_rows, 2))
    scores = np.lib.format.open_memmap(folder / "scores.making", mode="w+", dtype=np.float32, shape=(num_rows,))
    scores[:] = _NOT_YET
    scores.flush()
    (folder / "scores.making").rename(scores_file)
    return scores, notes


def _report(spec: ScoreSpec, row_kind: str, scores: Any, notes: Any, *, seconds: float) -> ScoreReport:
    has_score = ~np.isnan(scores)
    shares = notes[has_score, 1]
    return ScoreReport(
        measure=spec.measure,
        row_kind=row_kind,
        num_rows=len(scores),
        num_scored=int(np.sum(has_score)),
        num_cut=int(np.sum(notes[:, 0] > 0)),
        digit_probability=float(np.mean(shares)) if spec.measure == "judge" and len(shares) else None,
        seconds=round(seconds, 3),
    )


RECIPE = Recipe(
    name="score",
    title="Score data",
    summary="Lets a model score every row of a dataset, so that the best can be kept: quality over size.",
    verb="Score the data",
    spec=ScoreSpec,
    run=run,
    produces="report",
)
