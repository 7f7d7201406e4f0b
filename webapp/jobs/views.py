"""Views of jobs: records as HTML, by pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from urllib.parse import urlencode

from store.schema import ACTIVE_STATES, DatasetVersion, Job, JobState, Model, QueueState
from webapp.commands import command_button
from webapp.formatting import counted, duration, number, when
from webapp.shell import chip, link_button, progress_bar

ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


# ----------------------------------------------------------------------------------------------------------- figures


def fraction_done(job: Job) -> float | None:
    """How much of its steps a job has done; None where it does not know yet how many there are."""
    return job.step / job.total_steps if job.total_steps else None


def seconds_left(job: Job, now: datetime) -> float | None:
    """Time left at the pace of the present attempt; None before its second step."""
    if job.state != JobState.RUNNING or job.first_step_at is None or job.step <= job.first_step:
        return None
    pace = (now - job.first_step_at).total_seconds() / (job.step - job.first_step)
    return max(0.0, pace * (job.total_steps - job.step))


def time_taken(job: Job, now: datetime) -> float | None:
    """From the first start to the end, or to now."""
    if job.started_at is None:
        return None
    return ((job.finished_at or now) - job.started_at).total_seconds()


def progress_words(job: Job, now: datetime) -> str:
    """`186 of 300 steps · 1 min 50 s left`, as far as it is known."""
    parts = []
    if job.total_steps:
        parts.append(f"{number(job.step)} of {number(job.total_steps)} {job.unit}")
    left = seconds_left(job, now)
    if left is not None:
        parts.append(f"{duration(left)} left")
    return " · ".join(parts)


# ------------------------------------------------------------------------------------------------------------- links


def job_link(job: Job) -> str:
    return f'<a href="/job?id={job.id}">{escape(job.name)}</a>'


def model_link(model: Model) -> str:
    name = escape(model.name)
    return name if model.deleted_at else f'<a href="/model?id={model.id}">{name}</a>'


def dataset_link(version: DatasetVersion) -> str:
    words = f"{escape(version.dataset.name)} v{version.number}"
    return (
        words if version.deleted_at or version.dataset.deleted_at else f'<a href="/dataset?id={version.id}">{words}</a>'
    )


def model_actions(model: Model, *, slim: bool = True) -> str:
    """What can be done with a model next, as buttons."""
    reference = f"model:{model.id}"
    wishes = [
        ("Chat", f"/playground?models={model.id}"),
        ("Compare", "/playground?" + urlencode({"models": _compared_with(model)})),
        *([("Quantize", f"/train?recipe=quantize&model={reference}")] if model.kind == "full" else []),
        *([("Train from here", f"/train?recipe=sft&model={reference}")] if model.kind in ("full", "adapter") else []),
    ]
    return "".join(link_button(words, href, slim=slim) for words, href in wishes)


def _compared_with(model: Model) -> str:
    other = model.parent_id or model.base_id
    return f"{model.id},{other}" if other else str(model.id)


# ------------------------------------------------------------------------------------------------------------- table


def jobs_table(jobs: Sequence[Job], now: datetime | None = None) -> str:
    """The queue and what went before, one row a job; what waits can be moved by its buttons, or dragged."""
    now = now or datetime.now(UTC)
    rows = "".join(_job_row(job, now) for job in jobs)
    return (
        '<div class="h-table-wrap"><table class="h-table h-jobs"><thead><tr><th>State</th><th>Job</th><th>Progress</th>'
        '<th class="h-wide">From</th><th class="h-wide">Data</th><th class="h-wide">By</th>'
        f'<th class="h-wide">Asked for</th><th class="h-num h-wide">Took</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _job_row(job: Job, now: datetime) -> str:
    state = "stopping" if job.state == JobState.RUNNING and job.stop_requested else str(job.state)
    data = ", ".join(dataset_link(version) for version in job.datasets)
    return (
        f"<tr{_draggable(job)}><td>{state_chip(state)}{_priority_tag(job)}</td>"
        f'<td><div class="h-strong">{job_link(job)}</div><span class="h-quiet h-small">{escape(job.recipe)}</span></td>'
        f"<td>{_progress_cell(job, now)}</td>"
        f'<td class="h-wide">{origin(job) or "–"}</td>'
        f'<td class="h-wide">{data or "–"}</td>'
        f'<td class="h-wide">{escape(job.created_by.name) if job.created_by else "Hone"}</td>'
        f'<td class="h-wide h-quiet">{when(job.created_at, now)}</td>'
        f'<td class="h-num h-wide">{duration(time_taken(job, now))}</td></tr>'
    )


def rows_made(job: Job) -> str:
    """A link to the dataset that a job has made, if it has made one."""
    version_id = (job.summary or {}).get("dataset_version")
    if version_id is None:
        return ""
    return f'<a href="/dataset?id={version_id}">{counted(int((job.summary or {}).get("rows", 0)), "row")}</a>'


def state_chip(state: str) -> str:
    return chip("", "Stopping", "warn") if state == "stopping" else chip(state)


def _progress_cell(job: Job, now: datetime) -> str:
    if job.state == JobState.RUNNING:
        words = progress_words(job, now) or escape(job.phase)
        return f'{progress_bar(fraction_done(job))}<span class="h-quiet h-small">{words}</span>'
    if job.state == JobState.FAILED:
        return f'<span class="h-fault h-small h-two-lines">{escape(job.error_message or "")}</span>'
    if job.state == JobState.SUCCEEDED and job.model is not None and job.model.deleted_at is None:
        return f'<span class="h-small">made {model_link(job.model)}</span>'
    if job.state == JobState.SUCCEEDED and (made := rows_made(job)):
        return f'<span class="h-small">made {made}</span>'
    if job.state == JobState.QUEUED:
        return (
            f'<div class="h-line h-apart"><span class="h-quiet h-small">{why_it_waits(job)}</span>{_movers(job)}</div>'
        )
    return f'<span class="h-quiet h-small">{progress_words(job, now) or "–"}</span>'


def paused_notice(queue: QueueState, now: datetime | None = None) -> str:
    """What stands above the jobs while the queue is paused."""
    if not queue.is_paused:
        return ""
    return (
        f'<div class="h-note"><p><b>The queue was paused</b> {when(queue.changed_at, now)}: what runs goes on to its '
        "end, and nothing that waits is started.</p></div>"
    )


def _draggable(job: Job) -> str:
    return f' draggable="true" data-waiting="{job.id}"' if job.state == JobState.QUEUED else ""


def _movers(job: Job) -> str:
    wishes = [("↑", "up", "Earlier by one"), ("↓", "down", "Later by one"), ("Next", "first", "Run it next")]
    buttons = (command_button(words, f"{job.id}:{where}", title=title) for words, where, title in wishes)
    return f'<span class="h-line h-movers">{"".join(buttons)}</span>'


def _priority_tag(job: Job) -> str:
    if job.state != JobState.QUEUED or not job.priority:
        return ""
    return f' <span class="h-tag">{"high" if job.priority > 0 else "low"}</span>'


def why_it_waits(job: Job) -> str:
    """`waits for a worker`, or for what it is held."""
    before = job.after_job
    if before is None or before.state == JobState.SUCCEEDED:
        return "waits for a worker"
    if before.state in ACTIVE_STATES:
        return f"waits until {job_link(before)} has succeeded"
    state = "stopped" if before.state == JobState.CANCELLED else str(before.state)
    return f"held: {job_link(before)} is {state}; it goes on when that is continued"


def pager(
    total: int, offset: int, limit: int, query: Mapping[str, str], *, path: str = "/jobs", noun: str = "job"
) -> str:
    """`1 to 50 of 10 000 jobs`, with links to the pages before and after."""
    if total == 0:
        return ""
    last = min(offset + limit, total)

    def link(words: str, start: int) -> str:
        return link_button(words, f"{path}?" + urlencode({**query, "offset": str(start)}), slim=True)

    before = link("Newer", max(0, offset - limit)) if offset else ""
    after = link("Older", offset + limit) if last < total else ""
    return (
        f'<div class="h-line h-apart"><span class="h-quiet h-small">{number(offset + 1)} to {number(last)} of '
        f'{counted(total, noun)}</span><span class="h-line">{before}{after}</span></div>'
    )


def origin(job: Job) -> str:
    if job.parent_model is not None:
        return model_link(job.parent_model)
    return f"the model of {job_link(job.after_job)}" if job.after_job and "job:" in str(job.spec.get("model")) else ""
