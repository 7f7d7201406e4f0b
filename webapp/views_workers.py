"""Views of the workers: machines, their devices, and what each is doing, by pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from store.schema import Job, Worker
from webapp.commands import command_button
from webapp.formatting import counted, duration, file_size, number
from webapp.jobs.views import fraction_done, job_link, progress_words
from webapp.shell import chip, progress_bar

Holders = Mapping[str, tuple[Job | None, str | None]]
"""What holds each slot that is not free: a job, or the inference server of that name."""

SECONDS_UNTIL_SILENT = 15.0
"""Three heartbeats."""


def workers_view(workers: Sequence[tuple[Worker, float]], holders: Holders, now: datetime | None = None) -> str:
    """A card for each worker, with the seconds since it was last heard of."""
    now = now or datetime.now(UTC)
    cards = "".join(_worker_card(worker, silence, holders, now) for worker, silence in workers)
    return f'<div class="h-stack">{cards}</div>'


def _worker_card(worker: Worker, silence: float, holders: Holders, now: datetime) -> str:
    rows = "".join(_device_row(device, holders.get(device["id"]), now) for device in worker.devices)
    button = (
        command_button("Take jobs again", f"{worker.id}:resume")
        if worker.is_draining
        else command_button("Drain", f"{worker.id}:drain", title="Let it finish what it runs, and take nothing new")
    )
    return (
        '<section class="h-card"><div class="h-card-head"><div class="h-line">'
        f'<h2 class="h-h2">{escape(worker.name)}</h2>{_state(worker, silence)}</div>{button}</div>'
        f'<p class="h-quiet h-small">{escape(worker.machine)} · heard of {_heard(silence)} · '
        f"{counted(worker.slots, 'device')}</p>"
        '<div class="h-table-wrap"><table class="h-table"><thead><tr><th>Device</th><th>Runs</th>'
        '<th>Memory</th><th class="h-num">Use</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _state(worker: Worker, silence: float) -> str:
    if silence > SECONDS_UNTIL_SILENT:
        return chip("", f"Silent for {duration(silence)}", "bad")
    if worker.is_draining:
        return chip("", "Draining", "warn")
    return chip("", "Ready", "good")


def _heard(silence: float) -> str:
    return "just now" if silence < SECONDS_UNTIL_SILENT else f"{duration(silence)} ago"


def _device_row(device: Mapping[str, Any], holder: tuple[Job | None, str | None] | None, now: datetime) -> str:
    used, total = device["used_bytes"], device["memory_bytes"]
    memory = f"{file_size(used)} of {file_size(total)}" if total else "–"
    bar = progress_bar(used / total, is_going=False) if total else ""
    return (
        f"<tr><td>{escape(device['name'])}<div class='h-quiet h-small h-mono'>{escape(_short(device['id']))}</div></td>"
        f'<td style="min-width:120px">{_runs(holder, now)}</td>'
        f'<td style="min-width:120px">{bar}<span class="h-quiet h-small">{memory}</span></td>'
        f'<td class="h-num">{number(round(device["use_percent"]))}\u00a0%</td></tr>'
    )


def _short(slot_id: str) -> str:
    """A GPU's UUID, or the number of a share of the processor without the worker that it belongs to."""
    return slot_id.rpartition("/")[2]


def _runs(holder: tuple[Job | None, str | None] | None, now: datetime) -> str:
    if holder is None:
        return '<span class="h-quiet">idle</span>'
    job, _ = holder
    if job is None:
        return "the playground and the arena"
    words = progress_words(job, now) or escape(job.phase)
    return f'{job_link(job)}<div>{progress_bar(fraction_done(job))}</div><span class="h-quiet h-small">{words}</span>'
