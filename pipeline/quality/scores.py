"""Scores: what a model thinks of each row, and which rows are kept for it.

    score.json    how it was scored
    scores.npy    one number a row (float32); not a number where there was nothing to score

Three measures, each read from the model's probabilities, so that the same model gives the same row the same score:

- `ifd`, instruction-following difficulty (Li et al. 2023, arXiv 2308.12032, equation 4): the loss of the answer after
  its question over the loss of the answer alone. Near 0 the question gives the answer away; near 1 it hardly helps, so
  there is something to learn; above 1 question and answer do not belong together.
- `perplexity`: exp of the mean loss of what is trained on.
- `judge`: the model is asked for a digit from 1 to 5; the score is the mean of the digits by their probabilities. Of a
  pair, the chosen answer's less the rejected one's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from pipeline.errors import BadData
from pipeline.model_folder import write_atomically

Measure = Literal["ifd", "perplexity", "judge"]
Scores = npt.NDArray[np.float32]

SCORE_FILE, SCORES_FILE = "score.json", "scores.npy"

MEASURE_KINDS: dict[str, tuple[str, ...]] = {
    "ifd": ("instruction", "preference", "unpaired"),
    "judge": ("instruction", "preference", "unpaired"),
    "perplexity": ("text", "instruction", "preference", "unpaired"),
}
"""The kinds of rows that each measure is for."""


class ScoreReport(BaseModel):
    """How a dataset version was scored."""

    model_config = ConfigDict(frozen=True)

    measure: Measure
    row_kind: str
    num_rows: int
    num_scored: int
    num_cut: int
    """Rows of which only a part was read, because they are longer than the model's context or the setting."""
    digit_probability: float | None = None
    """How probable any of the five digits was to the judge, on average: below a fifth it did not take the question."""
    seconds: float


def goodness(scores: Scores, measure: str) -> npt.NDArray[np.float64]:
    """What rows are ranked by, the best the highest; what has no score is minus infinity, and always last.

    The best of `ifd` are just below 1; those above it are worse than all others, the farther the worse.
    """
    plain = scores.astype(np.float64)
    ranked = -plain if measure == "perplexity" else plain
    if measure == "ifd":
        ranked = np.where(plain < 1, plain, 1 - plain)
    return np.where(np.isnan(plain), -np.inf, ranked)


def best_rows(scores: Scores, measure: str, share: float) -> npt.NDArray[np.int64]:
    """The numbers of the best rows, ascending: `share` of those that have a score; of equals the earlier ones."""
    good = goodness(scores, measure)
    num_scored = int(np.sum(np.isfinite(good)))
    num_kept = min(num_scored, max(1, round(num_scored * share))) if num_scored else 0
    return np.sort(np.argsort(-good, kind="stable")[:num_kept])


def write_score_report(folder: Path, report: ScoreReport, scores: Scores) -> None:
    np.save(folder / SCORES_FILE, scores)
    write_atomically(folder / SCORE_FILE, report.model_dump_json(indent=2).encode())


def read_score_report(folder: Path) -> tuple[ScoreReport, Scores]:
    """Raises:
    BadData: if the folder holds no whole report.
    """
    try:
        report = ScoreReport.model_validate_json((folder / SCORE_FILE).read_bytes())
        return report, np.load(folder / SCORES_FILE)
    except (OSError, ValueError) as error:
        raise BadData("The scores are missing or damaged.", "Score the data again.") from error
