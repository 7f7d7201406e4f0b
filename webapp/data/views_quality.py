"""Views of a dataset's quality: findings as cards, their rows, and scores as a histogram."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import HoneError
from pipeline.quality.findings import KINDS, Finding, QualityReport, Severity
from pipeline.quality.languages import language_name
from pipeline.quality.scores import ScoreReport, goodness
from store.schema import DatasetVersion, Job, JobState
from webapp.commands import command_button
from webapp.data.marked_rows import marked_row
from webapp.data.quality_choice import ROWS_A_PAGE, Choice
from webapp.formatting import counted, duration, number
from webapp.jobs.views import fraction_done, job_link, progress_words
from webapp.shell import Tone, chip, empty_state, error_block, facts, progress_bar

_SEVERITIES: dict[Severity, tuple[Tone, str]] = {
    "bad": ("bad", "Serious"),
    "warn": ("warn", "Look at it"),
    "note": ("quiet", "Worth knowing"),
}
NUM_BINS = 40

Row = dict[str, Any]
Reader = Callable[[int, int], Row | None]
"""Gives a row by the number of its evaluation set, or -1 for the dataset itself, and its own number."""


# ----------------------------------------------------------------------------------------------------- the inspection


def not_inspected(version: DatasetVersion) -> str:
    return empty_state(
        f"Nobody has looked at these {number(version.num_rows)} rows yet. An inspection finds copies, overlap with "
        "evaluation sets, personal data and secrets, refusals, empty answers and outliers; it changes nothing."
    )


def job_going(job: Job) -> str:
    """Where the job of a report stands, while there is no report of it."""
    now = datetime.now(UTC)
    if job.state == JobState.FAILED:
        return error_block(HoneError(job.error_message or "The job failed.", job.error_advice or "Start it again."))
    if job.state in (JobState.PAUSED, JobState.CANCELLED):
        return f'<div class="h-note"><p>{job_link(job)} was stopped. Start it again, or go on from its page.</p></div>'
    waiting = job.state == JobState.QUEUED
    words = "Waits for a free worker." if waiting else f"{escape(job.phase or 'Starting')}."
    fraction = None if waiting else fraction_done(job)
    return (
        f'<div class="h-card h-going-job" role="status"><div class="h-line h-apart"><span>{words} You can close this '
        f"page.</span>{job_link(job)}</div>{progress_bar(fraction)}"
        f'<span class="h-quiet h-small">{progress_words(job, now)}</span></div>'
    )


def report_summary(report: QualityReport, compared: Sequence[str], when_made: str) -> str:
    """What was looked at, and what the rows are, in figures."""
    known = [(code, count) for code, count in report.languages.items() if code]
    total = sum(count for _, count in known)
    shares = [(language_name(code), count / total) for code, count in known if count / total >= 0.005]
    spoken = ", ".join(f"{escape(name)} {share:.0%}" for name, share in shares[:5]) or "too short to tell"
    speed = f" ({number(round(report.num_rows / report.seconds))} rows/s)" if report.seconds > 0.5 else ""
    against = ", ".join(
        f"{escape(name)} ({counted(count, 'row')})" for name, count in zip(compared, report.num_compared, strict=False)
    )
    return facts(
        [
            ("Rows", number(report.num_rows)),
            ("Languages", spoken),
            ("In the middle", f"{counted(report.median_characters, 'character')} trained on"),
            ("Compared with", against or "no evaluation set"),
            ("Inspected", f"{when_made}, in {duration(report.seconds)}{speed}"),
        ]
    )


def clean_list(report: QualityReport) -> str:
    """What was looked for and not found."""
    found = {finding.kind for finding in report.findings}
    clean = [uncapitalised(escape(KINDS[kind].title)) for kind in report.checked if kind not in found]
    if not clean:
        return ""
    lead = "Nothing was found. Looked for" if not found else "Looked for and not found"
    return f'<p class="h-quiet h-clean">{chip("", "Clean", "good")} <span>{lead}: {", ".join(clean)}.</span></p>'


def uncapitalised(title: str) -> str:
    """A title as it stands within a sentence; one that begins with an abbreviation stays as it is."""
    return title if title[:2].isupper() else title[:1].lower() + title[1:]


def findings_view(report: QualityReport, choice: Choice, rows: str) -> str:
    """A card a finding, the gravest first; `rows` stand in the one that is open."""
    cards = [
        _finding_card(
            finding, is_ticked=finding.kind in choice.kinds, rows=rows if finding.kind == choice.open else None
        )
        for finding in report.findings
    ]
    return f'<div class="h-stack h-findings">{"".join(cards)}{clean_list(report)}</div>'


def _finding_card(finding: Finding, *, is_ticked: bool, rows: str | None) -> str:
    tone, words = _SEVERITIES[finding.severity]
    title = escape(KINDS[finding.kind].title) if finding.kind in KINDS else escape(finding.kind)
    ticked = " checked" if is_ticked else ""
    share = f"{finding.share:.1%}" if finding.share >= 0.001 else "under 0.1%"
    show = command_button("Hide rows" if rows is not None else "Show rows", f"open:{finding.kind}")
    return (
        f'<section class="h-card h-finding"><div class="h-finding-head"><label class="h-tick" title="Leave these rows '
        f'out"><input type="checkbox" data-command="kind:{escape(finding.kind)}"{ticked} '
        f'aria-label="Leave out: {title}"></label><div class="h-finding-words"><div class="h-line">'
        f'<h3 class="h-h2">{title}</h3>{chip("", words, tone)}</div><p>{escape(finding.sentence)}</p>'
        f'<p class="h-quiet h-small">{escape(finding.advice)}</p></div><div class="h-finding-end">'
        f'<div><b class="h-figure">{number(finding.count)}</b>'
        f'<span class="h-quiet h-small">{share} of rows</span></div>'
        f"{show}</div></div>{rows or ''}</section>"
    )


def finding_rows(
    kind: str,
    rows: Sequence[int],
    *,
    start: int,
    total: int,
    read: Reader,
    left_out: Callable[[int], bool],
    partners: Sequence[tuple[int, int]],
    set_names: Sequence[str],
) -> str:
    """One page of a finding's rows, each with its own tick and the row that it is compared with.

    Args:
        rows: Their numbers, from 0.
        partners: For each the evaluation set (-1: this dataset) and row that it is compared with; empty for none.
    """
    shown = []
    for index, row in enumerate(rows):
        content = read(-1, row)
        if content is None:
            continue
        beside = _partner(kind, *partners[index], read=read, set_names=set_names) if partners else ""
        ticked = " checked" if left_out(row) else ""
        shown.append(
            f'<div class="h-found-row"><label class="h-tick"><input type="checkbox" data-command="row:{row}"{ticked}> '
            f"Leave out</label>{marked_row(content, row, kind)}{beside}</div>"
        )
    return f'<div class="h-finding-rows">{"".join(shown)}{_pager(start, total)}</div>'


_PARTNER_WORDS = {
    "exact_duplicates": "Copy of",
    "near_duplicates": "Nearly the same as",
    "same_prompt": "Asks the same as",
    "contradictions": "Contradicts",
    "overlap_questions": "Asks the same as",
    "overlap_runs": "Shares text with",
    "overlap_near": "Nearly the same as",
}


def _partner(kind: str, set_number: int, row: int, *, read: Reader, set_names: Sequence[str]) -> str:
    if row < 0:
        return ""
    where = f" of {escape(set_names[set_number])}" if 0 <= set_number < len(set_names) else ""
    stays = ", which stays" if kind in ("exact_duplicates", "near_duplicates") else ""
    content = read(set_number, row)
    body = marked_row(content, row, "") if content is not None else '<p class="h-quiet">It was deleted since.</p>'
    words = f"{_PARTNER_WORDS.get(kind, 'Compared with')} row {number(row + 1)}{where}{stays}"
    return f'<details class="h-partner"><summary>{words}</summary>{body}</details>'


def _pager(start: int, total: int) -> str:
    if total <= ROWS_A_PAGE:
        return ""
    end = min(total, start + ROWS_A_PAGE)
    before = command_button("Previous", f"page:{max(0, start - ROWS_A_PAGE)}") if start else ""
    after = command_button("Next", f"page:{end}") if end < total else ""
    words = f"{number(start + 1)} to {number(end)} of {number(total)}"
    return f'<div class="h-line h-apart"><span class="h-quiet">{words}</span><span>{before} {after}</span></div>'


def left_out_note(version: DatasetVersion) -> str:
    """What this version was made by leaving out, with the way back; empty for one that was not."""
    how: Mapping[str, Any] = version.provenance
    if version.parent_id is None or how.get("made_by") not in ("leaving rows out", "keeping the best rows"):
        return ""
    back = f'<a href="/quality?id={version.parent_id}">the version before</a>'
    listed = "".join(f"<li>{escape(str(one.get('sentence', '')))}</li>" for one in how.get("findings", ()))
    single = int(how.get("num_single_rows", 0))
    listed += f"<li>{counted(single, 'row')} chosen one by one.</li>" if single else ""
    if how["made_by"] == "keeping the best rows":
        listed += f"<li>{escape(str(how.get('reason', '')))}</li>"
    count = counted(int(how.get("num_left_out", 0)), "row")
    return (
        f'<div class="h-note"><p>{count} of {back} were left out here; it is still there, unchanged.</p>'
        f'<ul class="h-left-out">{listed}</ul></div>'
    )


# ------------------------------------------------------------------------------------------------------------- scores

MEASURES = {
    "ifd": "Difficulty (IFD)",
    "judge": "Grade by a judge",
    "perplexity": "Perplexity",
}
_MEANING = {
    "ifd": "How little the question gives the answer away: the loss of the answer after its question, over the loss of "
    "the answer alone. Near 0 there is nothing to learn; near 1 there is much; above 1 the answer does not belong to "
    "its question, and such rows rank last.",
    "judge": "The mean grade from 1 (useless) to 5 (excellent) that the model gives the answer, by the probabilities "
    "of the five digits. It is as good as the judge: take a model that is better than the one you train.",
    "perplexity": "How unexpected the words are to the model: low for fluent, common text, high for noise and for "
    "rare things alike. The lowest rank first.",
}
_MEANING_OF_PAIRS = {
    "judge": "The judge's grade of the chosen answer less that of the rejected one, from −4 to 4. Below 0 the judge "
    "disagrees with the pair.",
}


def score_meaning(report: ScoreReport) -> str:
    """What the score says, in plain words, and what stands against it."""
    words = _MEANING[report.measure]
    if report.row_kind == "preference":
        words = _MEANING_OF_PAIRS.get(report.measure, f"{words} Measured on the chosen answer.")
    notes = []
    if report.num_rows > report.num_scored:
        notes.append(f"{counted(report.num_rows - report.num_scored, 'row')} without an answer have no score.")
    if report.num_cut:
        notes.append(f"{counted(report.num_cut, 'row')} were longer than what was read, and judged by a part.")
    doubt = ""
    if report.digit_probability is not None and report.digit_probability < 0.2:
        doubt = (
            f'<div class="h-note"><p>{chip("", "Doubtful", "warn")} The model gave the digits 1 to 5 only '
            f"{report.digit_probability:.1%} of its probability: it does not take the question, so its grades say "
            "little. Choose a larger, instruction-tuned judge.</p></div>"
        )
    return f'<p class="h-quiet">{escape(words)} {" ".join(notes)}</p>{doubt}'


def histogram(scores: npt.NDArray[np.float32], is_kept: npt.NDArray[np.bool_], measure: str) -> str:
    """How many rows have which score, those that are kept in colour; the outermost hundredth goes into the end bins."""
    known = np.isfinite(scores)
    if not np.any(known):
        return ""
    low, high = (float(end) for end in np.percentile(scores[known], [1, 99]))
    high = high if high > low else low + 1e-6
    clipped = np.clip(scores[known], low, high)
    counts, edges = np.histogram(clipped, bins=NUM_BINS, range=(low, high))
    kept, _ = np.histogram(clipped[is_kept[known]], bins=NUM_BINS, range=(low, high))
    most = int(counts.max()) or 1
    bars = "".join(
        f'<i style="height:{100 * count / most:.1f}%" title="{number(float(edge))} to {number(float(after))}: '
        f'{counted(int(count), "row")}, {number(int(stays))} kept">'
        f'<b style="height:{100 * stays / max(count, 1):.0f}%">'
        "</b></i>"
        for count, stays, edge, after in zip(counts, kept, edges, edges[1:], strict=False)
    )
    return (
        f'<figure class="h-histogram" aria-label="Rows by score"><div class="h-histogram-bars">{bars}</div>'
        f'<div class="h-line h-apart h-small h-quiet"><span>{number(low)}</span>'
        f"<span>{escape(MEASURES[measure])}</span>"
        f"<span>{number(high)}</span></div></figure>"
    )


def cut_examples(
    scores: npt.NDArray[np.float32], is_kept: npt.NDArray[np.bool_], measure: str, read: Callable[[int], Row | None]
) -> str:
    """The last rows that stay and the first that go, side by side: what the cut is about."""
    order = np.argsort(-goodness(scores, measure), kind="stable")
    ranked = [int(row) for row in order if np.isfinite(scores[row])]
    num_kept = int(np.sum(is_kept))
    sides = (
        ("Last to stay", ranked[max(0, num_kept - 3) : num_kept]),
        ("First to go", ranked[num_kept : num_kept + 3]),
    )
    columns = "".join(
        f'<section class="h-card"><h3 class="h-h2">{title}</h3>{_scored_rows(rows, scores, read)}</section>'
        for title, rows in sides
    )
    return f'<div class="h-columns" style="--h-min: 340px">{columns}</div>'


def _scored_rows(rows: Sequence[int], scores: npt.NDArray[np.float32], read: Callable[[int], Row | None]) -> str:
    drawn = [
        f'<div class="h-scored"><span class="h-tag">{number(float(scores[row]))}</span>'
        f"{marked_row(content, row, '')}</div>"
        for row in rows
        if (content := read(row)) is not None
    ]
    return "".join(drawn) or '<p class="h-quiet">No row.</p>'
