"""Inspect: find what is wrong with the rows of a dataset, without changing any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pipeline.context import Context
from pipeline.data.rows import RowFile
from pipeline.recipes import Recipe
from pipeline.spec import DatasetRef, Spec, setting

ALL_KINDS = ("text", "instruction", "preference", "unpaired")
BATCH_ROWS = 500


class InspectSpec(Spec):
    dataset: Annotated[str, DatasetRef(ALL_KINDS)] = setting(help="The rows to look at.", basic=True, min_length=1)
    compare_with: Annotated[tuple[str, ...], DatasetRef(ALL_KINDS)] = setting(
        (), help="Evaluation sets that no row should stand in.", basic=True, max_length=20
    )
    similarity: float = setting(
        0.8,
        help="From which similarity on two rows count as nearly the same: the share of runs of five words in both.",
        ge=0.5,
        le=1,
    )


def run(spec: InspectSpec, context: Context) -> dict[str, Any]:
    """Read the evaluation sets, then every row once; a job that is stopped begins anew.

    Raises:
        BadData: if rows are missing on disk.
    """
    from pipeline.quality.inspection import Inspection, evaluation_rows
    from pipeline.training.loop import raise_if_stopped

    compared = None
    if spec.compare_with:
        context.phase("Reading the evaluation sets")
        compared = evaluation_rows((RowFile(Path(path)) for path in spec.compare_with), similarity=spec.similarity)
        raise_if_stopped(context)
    rows = RowFile(Path(spec.dataset))
    context.phase("Reading the rows")
    context.progress(0, len(rows), unit="rows")
    inspection = Inspection(
        context.out, context.checkpoints, num_rows=len(rows), similarity=spec.similarity, compared=compared
    )
    for batch in _batches(rows):
        inspection.read(batch)
        context.progress(inspection.num_read, len(rows), unit="rows")
        raise_if_stopped(context)
    report = inspection.finish(context.phase)
    return {
        "rows": report.num_rows,
        "findings": len(report.findings),
        "rows_per_second": round(report.num_rows / report.seconds, 1) if report.seconds else None,
    }


def _batches(rows: RowFile) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


RECIPE = Recipe(
    name="inspect",
    title="Inspect data",
    summary="Looks for copies, overlap with evaluation sets, personal data, refusals and outliers in a dataset.",
    verb="Inspect the data",
    spec=InspectSpec,
    run=run,
    produces="report",
)
