"""One job as HTML: what it is doing or why it ended, its curves, samples and log, and what went in and came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from pipeline.errors import HoneError
from pipeline.recipes import Recipe
from store.schema import Attempt, Job, JobState, LogEntry, SampleText
from store.waiting import Prospect
from webapp.charts import Series, line_chart
from webapp.formatting import counted, duration, file_size, label_of, number, when
from webapp.jobs.views import (
    ENDED,
    dataset_link,
    fraction_done,
    model_actions,
    model_link,
    origin,
    progress_words,
    rows_made,
    state_chip,
    time_taken,
    why_it_waits,
)
from webapp.shell import error_block, facts, link_button, progress_bar

Metrics = Mapping[str, Sequence[tuple[int, float]]]


def job_header(job: Job, recipe: Recipe, prospect: Prospect, now: datetime | None = None) -> str:
    """The job's name and state, one sentence on what it is doing or why it ended, and how far it is."""
    now = now or datetime.now(UTC)
    state = "stopping" if job.state == JobState.RUNNING and job.stop_requested else str(job.state)
    again = _again_button(job, recipe)
    failure = ""
    if job.state == JobState.FAILED:
        failure = error_block(HoneError(job.error_message or "The job failed.", job.error_advice or ""))
    return (
        f'<div class="h-stack"><header class="h-header"><div><div class="h-line"><h1>{escape(job.name)}</h1>'
        f'{state_chip(state)}<span class="h-tag">{escape(recipe.title)}</span></div>'
        f"<p>{_sentence(job, prospect, now)}</p></div>"
        f'<div class="h-line">{again if job.state in ENDED else ""}</div></header>{_big_bar(job, now)}{failure}</div>'
    )


def _again_button(job: Job, recipe: Recipe) -> str:
    """The way to the form that the job was asked for by; or, of a job that tells of a dataset, to what it tells."""
    page = PAGES_OF_REPORTS.get(recipe.name)
    if page is not None:
        model = f"&model={job.parent_model_id}" if job.parent_model_id else ""
        return link_button("See the report", f"{page}?id={job.spec['dataset'].removeprefix('dataset:')}{model}")
    return link_button("Run again with changes", f"{_FORMS[recipe.produces]}?recipe={job.recipe}&again={job.id}")


PAGES_OF_REPORTS = {"lengths": "/trained", "inspect": "/quality", "score": "/quality"}
"""Where the report of a recipe is read, and asked for again."""
_FORMS = {"model": "/train", "answers": "/prompts", "rows": "/make"}
"""The address of the form by which a job that makes such a result is asked for."""


def _big_bar(job: Job, now: datetime) -> str:
    if job.started_at is None or job.state in (JobState.SUCCEEDED, JobState.QUEUED):
        return ""
    fraction = fraction_done(job)
    is_going = job.state == JobState.RUNNING
    percent = "" if fraction is None else f"{fraction:.0%}".replace("%", "\u00a0%")
    return (
        f"<div>{progress_bar(fraction if is_going else fraction or 0.0, is_going=is_going)}"
        f'<div class="h-line h-apart h-small h-quiet"><span>{progress_words(job, now)}</span>'
        f"<span>{percent}</span></div></div>"
    )


_CLOSE = "You can close this page: nothing depends on it."


def _sentence(job: Job, prospect: Prospect, now: datetime) -> str:
    took = duration(time_taken(job, now))
    match job.state:
        case JobState.QUEUED:
            return f"{_what_it_waits_for(job, prospect)} {_CLOSE}"
        case JobState.RUNNING if job.stop_requested:
            return "Stopping: it ends with the step that it is at, and keeps a checkpoint."
        case JobState.RUNNING:
            attempt = f" (attempt {job.epoch}, resumed from its checkpoint)" if job.epoch > 1 else ""
            return f"{escape(job.phase or 'Starting')}{attempt}, for {took} so far. {_CLOSE}"
        case JobState.PAUSED:
            return f"Paused after {took}, with its checkpoint; it can go on."
        case JobState.CANCELLED:
            if job.started_at is None:
                return "Taken out of the queue before it started."
            ended = f"Stopped {when(job.finished_at, now)} after {took}."
            return f"{ended} Its last checkpoint is kept; it can go on from there."
        case JobState.FAILED:
            return f"Failed {when(job.finished_at, now)} after {took}."
        case _:
            result = model_link(job.model) if job.model else rows_made(job)
            made = f" and made {result}" if result else ""
            return f"Finished {when(job.finished_at, now)}, took {took}{made}."


def _what_it_waits_for(job: Job, prospect: Prospect) -> str:
    if job.after_job is not None and job.after_job.state != JobState.SUCCEEDED:
        why = why_it_waits(job)
        return f"{why[0].upper()}{why[1:]}."
    if prospect.is_paused:
        return "The queue is paused: it starts some time after the queue goes on."
    if prospect.most_slots == 0:
        return "No worker is there that takes jobs: it starts when one comes."
    if job.num_slots > prospect.most_slots:
        return (
            f"It needs {counted(job.num_slots, 'device')} on one machine, and the largest worker has "
            f"{prospect.most_slots}: it waits until a larger one comes."
        )
    if prospect.num_ahead:
        return f"Waits for a worker; {counted(prospect.num_ahead, 'job')} before it."
    return "Next in the queue; starts as soon as a worker is free."


def job_charts(recipe: Recipe, metrics: Metrics, *, has_ended: bool) -> str:
    """The recipe's curves, the most telling first: all of them while numbers may come, then those that have some."""
    has_any = any(metrics.get(name) for chart in recipe.charts for name in chart.metrics)
    cards = [
        line_chart(
            chart.title,
            [Series(name, metrics.get(name, ())) for name in chart.metrics],
            unit=chart.unit,
            help=chart.help,
        )
        for chart in recipe.charts
        if not (has_any or has_ended) or any(metrics.get(name) for name in chart.metrics)
    ]
    return f'<div class="h-columns h-even h-charts" style="--h-min:336px">{"".join(cards)}</div>' if cards else ""


def log_view(lines: Sequence[LogEntry], search: str = "") -> str:
    if not lines:
        words = f"No line has “{escape(search)}” in it." if search else "The log begins when a worker takes the job."
        return f'<div class="h-quiet h-log-empty">{words}</div>'
    several = len({line.epoch for line in lines}) > 1
    rows = "".join(
        f'<div class="h-log-{escape(line.level)}"><time>{line.at:%H:%M:%S}</time>'
        f"{f'<b>#{line.epoch}</b>' if several else ''}<span>{_marked(line.text, search)}</span></div>"
        for line in reversed(lines)
    )
    # The last line stands first and the box is turned over, which keeps its end in view without a script.
    return f'<div class="h-log" tabindex="0">{rows}</div>'


def _marked(text: str, search: str) -> str:
    if not search:
        return escape(text)
    at = text.lower().find(search.lower())
    if at < 0:
        return escape(text)
    end = at + len(search)
    return f"{escape(text[:at])}<mark>{escape(text[at:end])}</mark>{escape(text[end:])}"


def samples_view(samples: Sequence[SampleText]) -> str:
    """What the model answered on the way, grouped by step, the latest first; nothing where no recipe asked it."""
    if not samples:
        return ""
    rows = "".join(
        f'<div class="h-sample"><span class="h-tag">step {number(sample.step)}</span>'
        f'<div><p class="h-quiet">{escape(sample.prompt)}</p><p>{escape(sample.text)}</p></div></div>'
        for sample in samples
    )
    return f'<section class="h-card"><h2 class="h-h2">Samples</h2><div class="h-samples">{rows}</div></section>'


def job_side(job: Job, now: datetime | None = None) -> str:
    """What went in, what came out, and who tried: the column beside the curves."""
    now = now or datetime.now(UTC)
    cards = [_result_card(job), _lineage_card(job, now)]
    if job.attempts:
        cards.append(f'<section class="h-card"><h2 class="h-h2">Attempts</h2>{_attempts(job.attempts, now)}</section>')
    return f'<div class="h-stack">{"".join(card for card in cards if card)}</div>'


def _result_card(job: Job) -> str:
    if job.state != JobState.SUCCEEDED:
        return ""
    figures = summary_facts(job.summary)
    if version_id := job.summary.get("dataset_version"):
        actions = link_button("Review these rows", f"/review?id={version_id}", slim=True)
        return (
            f'<section class="h-card"><div class="h-card-head"><h2 class="h-h2">Result</h2>'
            f'<span class="h-strong">{rows_made(job)}</span></div>{figures}'
            f'<div class="h-line" style="margin-top:12px">{actions}</div></section>'
        )
    if job.model is None or job.model.deleted_at is not None:
        return f'<section class="h-card"><h2 class="h-h2">Result</h2>{figures}</section>' if job.summary else ""
    return (
        f'<section class="h-card"><div class="h-card-head"><h2 class="h-h2">Result</h2>'
        f'<span class="h-strong">{model_link(job.model)}</span></div>{figures}'
        f'<div class="h-line" style="margin-top:12px">{model_actions(job.model)}</div></section>'
    )


def summary_facts(summary: Mapping[str, Any]) -> str:
    """A job's closing figures, each under the words of its name and with the unit that its name says."""
    return facts(
        [
            (label_of(name.removesuffix("_bytes")), summary_value(name, value))
            for name, value in summary.items()
            if name != "dataset_version"
        ]
    )


_SHARES = ("_ratio", "_accuracy", "_prefers_chosen")
"""How the names of figures end that are shares of one."""


def summary_value(name: str, value: Any) -> str:
    """A closing figure with the unit that its name says."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        if name.endswith("_bytes"):
            return file_size(value)
        if name.endswith("_seconds") or name == "seconds":
            return duration(value)
        if name.endswith(_SHARES):
            return f"{number(value * 100)}\u00a0%"
        return number(value, 4)
    if isinstance(value, Mapping):  # how many for each reason
        return "<br>".join(f"{number(count)} × {escape(str(reason))}" for reason, count in value.items())
    return "" if value is None else escape(str(value))


def _lineage_card(job: Job, now: datetime) -> str:
    rows = [
        ("From", origin(job)),
        (
            "Data",
            "<br>".join(
                f'{dataset_link(version)} <span class="h-quiet">{counted(version.num_rows, "row")}</span>'
                for version in job.datasets
            ),
        ),
        ("Asked for", f"{when(job.created_at, now)} by {escape(job.created_by.name) if job.created_by else 'Hone'}"),
        ("Started", when(job.started_at, now) if job.started_at else ""),
        ("Took", duration(time_taken(job, now)) if job.started_at else ""),
    ]
    return f'<section class="h-card"><h2 class="h-h2">Lineage</h2>{facts(rows)}</section>'


def _attempts(attempts: Sequence[Attempt], now: datetime) -> str:
    rows = "".join(
        f"<tr><td>{attempt.epoch}</td><td>{escape(attempt.worker_name)}"
        f'<div class="h-quiet h-small">{escape(attempt.device)}</div></td>'
        f"<td>{escape((attempt.outcome or 'running').replace('_', ' '))}</td>"
        f'<td class="h-num">{duration(((attempt.ended_at or now) - attempt.started_at).total_seconds())}</td></tr>'
        for attempt in attempts
    )
    return f'<table class="h-table h-bare"><tbody>{rows}</tbody></table>'
