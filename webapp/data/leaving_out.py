"""Leaving out: the next version of a dataset without some of its rows, made while somebody watches how far it is."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gradio as gr
import numpy as np
import numpy.typing as npt

from pipeline.errors import BadData
from pipeline.quality.findings import QualityReport
from store import datasets
from store.datasets import Added
from store.derived import derive
from store.schema import DataReport, DatasetVersion
from webapp.data.quality_choice import Choice
from webapp.formatting import counted, number

_SECONDS_BETWEEN_LOOKS = 0.3
MOST_LISTED_ROWS = 1000


def leave_out(
    version: DatasetVersion, rows: npt.NDArray[np.int64], how: dict[str, Any], *, person_id: int | None
) -> Iterator[int | Added]:
    """Write the version without `rows`; yields how many rows were read so far, and at last what was added.

    Raises:
        BadData: if no row would be left out, or none would stay.
    """
    if not len(rows):
        raise BadData("No row is ticked.", "Tick findings, or single rows of them.")
    if len(rows) >= version.num_rows:
        raise BadData("Every row would be left out.", "Untick some: a version has at least one row.")
    stays = np.ones(version.num_rows, np.bool_)
    stays[rows] = False
    num_read = 0

    def kept() -> Iterator[dict[str, Any]]:
        nonlocal num_read
        for index, row in enumerate(datasets.rows_of(version)):
            num_read = index + 1
            if stays[index]:
                yield row

    told = how | {"num_left_out": len(rows), "left_out": rows[:MOST_LISTED_ROWS].tolist()}
    with ThreadPoolExecutor(1) as writing:
        result = writing.submit(derive, version, kept(), how=told, person_id=person_id)
        while not result.done():
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            yield num_read
        yield result.result()


def writing_step(step: int | Added, version: DatasetVersion) -> list[Any]:
    """What a page shows of a step of leaving rows out: notice, words, button, and the address that it goes on to."""
    if isinstance(step, Added):
        return [gr.skip(), gr.skip(), gr.skip(), f"/quality?id={step.version.id}"]
    words = f"Writing: {number(step)} of {counted(version.num_rows, 'row')} read."
    return ["", f'<span role="status">{words}</span>', gr.Button(interactive=False), gr.skip()]


def how_of_choice(record: DataReport, report: QualityReport, choice: Choice) -> dict[str, Any]:
    """What the new version's provenance says: which findings were left out, and what was chosen by hand."""
    ticked = [finding for finding in report.findings if finding.kind in choice.kinds]
    return {
        "made_by": "leaving rows out",
        "report_id": record.id,
        "job_id": record.job_id,
        "findings": [finding.model_dump(include={"kind", "sentence", "count"}) for finding in ticked],
        "num_single_rows": len(choice.added),
        "kept_though_found": sorted(choice.kept),
    }


def how_of_scores(record: DataReport, measure: str, share: float, model_name: str, words: str) -> dict[str, Any]:
    return {
        "made_by": "keeping the best rows",
        "report_id": record.id,
        "job_id": record.job_id,
        "measure": measure,
        "model": model_name,
        "share_kept": share,
        "reason": words,
    }


def names_of(versions: Sequence[DatasetVersion]) -> list[str]:
    return [f"{version.dataset.name} version {version.number}" for version in versions]
