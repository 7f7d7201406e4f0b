"""Results: what an attempt has made is put in its place and registered in the transaction that ends its job."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.errors import HoneError
from pipeline.model_folder import ModelManifest, read_manifest
from pipeline.recipes import Result, get_recipe
from pipeline.recipes.answer import ANSWERS_FILE
from store import attempts, data_reports, datasets, prompt_sets
from store.attempts import Claim
from store.database import writing
from store.settings import settings

InTime = Callable[[Callable[[], object]], object]
"""Does something in the database, again and again while that is away, as long as the attempt may still hold its job."""
Summary = dict[str, object]


def publish(claim: Claim, out: Path, summary: Summary, in_time: InTime) -> None:
    """Keep what the recipe has left in `out`, and end the job.

    Folders are renamed first and registered then. Where the record refuses one, the sweeper takes it away: only the
    record knows whether an earlier try, whose answer was lost, has registered it.

    Raises:
        StaleAttempt: if the job belongs to another attempt by now.
    """
    _PUBLISHERS[get_recipe(claim.recipe).produces](claim, out, summary, in_time)


def _publish_model(claim: Claim, out: Path, summary: Summary, in_time: InTime) -> None:
    manifest = read_manifest(out)
    if manifest is None:
        error = HoneError("The job ended without a whole model.", "Look at the log, then retry.")
        in_time(lambda: _write(attempts.fail, claim, error))
        return
    folder = _moved(out, settings().models_folder, claim)
    in_time(lambda: _write_model(claim, summary, folder, manifest))


def _write_model(claim: Claim, summary: Summary, folder: Path, manifest: ModelManifest) -> None:
    _write(attempts.succeed, claim, summary=summary, model_folder=folder.name, manifest=manifest)


def _publish_answers(claim: Claim, out: Path, summary: Summary, in_time: InTime) -> None:
    in_time(lambda: _write(prompt_sets.register_answers, claim, out / ANSWERS_FILE, summary))


def _publish_report(claim: Claim, out: Path, summary: Summary, in_time: InTime) -> None:
    folder = _moved(out, settings().reports_folder, claim)
    in_time(lambda: _write(data_reports.register_report, claim, folder.name, summary))


def _publish_rows(claim: Claim, out: Path, summary: Summary, in_time: InTime) -> None:
    home = datasets.move_in(out)
    in_time(lambda: _write(data_reports.register_rows, claim, home, summary))


def _moved(out: Path, folders: Path, claim: Claim) -> Path:
    folder = folders / f"{claim.job_id}-{claim.epoch}"
    shutil.rmtree(folder, ignore_errors=True)
    folders.mkdir(parents=True, exist_ok=True)
    return out.rename(folder)


def _write(operation: Callable[..., object], claim: Claim, *values: Any, **named: Any) -> None:
    with writing() as session:
        operation(session, claim.job_id, claim.epoch, *values, **named)


_PUBLISHERS: dict[Result, Callable[[Claim, Path, Summary, InTime], None]] = {
    "model": _publish_model,
    "answers": _publish_answers,
    "report": _publish_report,
    "rows": _publish_rows,
}
