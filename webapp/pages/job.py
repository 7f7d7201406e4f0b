"""Job: one job, live while it runs, whole for ever after."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import gradio as gr
from sqlalchemy.orm import Session

from pipeline.errors import HoneError
from pipeline.recipes import get_recipe
from store import jobs, steering
from store.database import reading, writing
from store.schema import ACTIVE_STATES, Job, JobState
from webapp.forms import to_yaml
from webapp.jobs.shown import MOST_LOG_LINES, show_job
from webapp.jobs.views_job import job_header, job_side, log_view
from webapp.shell import QUIET, Page, empty_state, error_block, html, link_button, on_load, on_tick, query_id
from workers import queue

LIVE_SECONDS = 2


def build() -> None:
    job_id = gr.State(None)
    drawn_at = gr.State("")
    """What the curves were drawn from: they are drawn anew only when that has changed."""
    # What seldom changes is set anew only when one of these two fields has changed: each part costs Gradio as much as a
    # curve. They are fields because Gradio does not hear the change of a state.
    offered = gr.Textbox(visible="hidden", label="What can be done")
    written = gr.Textbox(visible="hidden", label="What has been written")
    timer = gr.Timer(LIVE_SECONDS, active=False)
    header = html(min_height=80)
    notice = html(visible=False)
    with gr.Row(elem_classes="h-actions"):
        buttons = {
            name: gr.Button(words, variant=variant, elem_classes="h-fit", visible=False)
            for name, (words, variant) in _BUTTONS.items()
        }
    with gr.Row(elem_classes="h-job") as workspace:
        with gr.Column(scale=3, min_width=320):
            charts = html()
            with gr.Column(elem_classes="h-card"):
                html('<h2 class="h-h2">Log</h2>')
                with gr.Row(elem_classes="h-log-bar"):
                    search = gr.Textbox(show_label=False, placeholder="Search the log", container=False, min_width=120)
                    follow = gr.Checkbox(True, label="Follow", container=False, min_width=96)
                log = html(min_height=200)
            samples = html()
        with gr.Column(scale=1, min_width=320):
            side = html(min_height=160)
            with gr.Accordion("Spec as YAML", open=True, elem_classes="h-card"):
                spec = gr.Code(language="yaml", interactive=False, show_label=False, container=False)

    live = [header, charts, drawn_at, side, offered, written]
    on_load(_open, outputs=[workspace, job_id, *live])
    on_tick(timer, _look, inputs=[job_id, drawn_at], outputs=live)
    offered.change(_offer, inputs=[job_id], outputs=[*buttons.values(), spec, timer], **QUIET)
    for field in (written, follow):
        field.change(_follow, inputs=[job_id, search, follow], outputs=[log, samples], **QUIET)
    search.change(_read_log, inputs=[job_id, search], outputs=log, trigger_mode="always_last", **QUIET)
    for name, button in buttons.items():
        button.click(
            partial(_press, name),
            inputs=[job_id, drawn_at],
            outputs=[notice, *live],
            api_visibility="private",
            queue=False,
        )


def _open(request: gr.Request) -> list[Any]:
    job_id = query_id(request)
    if job_id is None:
        return _nothing("")
    try:
        with reading() as session:
            jobs.get_job(session, job_id)
    except HoneError as error:
        return _nothing(error_block(error))
    return [gr.skip(), job_id, *_look(job_id, "")]


def _nothing(reason: str) -> list[Any]:
    return [
        gr.Row(visible=False),
        None,
        f'<div class="h-stack">{reason}{_all_jobs()}</div>',
        *[gr.skip()] * 5,
    ]


def _all_jobs() -> str:
    return empty_state("Every job has its own address, such as /job?id=1.", link_button("See all jobs", "/jobs"))


def _look(job_id: int, drawn_at: str) -> list[Any]:
    """What changes while a job runs; the curves, where they have since they were drawn."""
    shown = show_job(job_id)
    job = shown.job
    return [
        job_header(job, get_recipe(job.recipe), shown.prospect),
        shown.charts if shown.mark != drawn_at else gr.skip(),
        shown.mark,
        job_side(job),
        f"{job.state}: {', '.join(sorted(_buttons_of(job)))}",
        shown.texts.mark,
    ]


def _follow(job_id: int | None, search: str, following: bool) -> list[Any]:
    """The log and the samples as they are now."""
    if job_id is None or not following:
        return [gr.skip(), gr.skip()]
    texts = show_job(job_id).texts
    return [_read_log(job_id, search) if search.strip() else texts.log, texts.samples]


def _offer(job_id: int) -> list[Any]:
    """What changes only with the state of a job."""
    job = show_job(job_id).job
    can_be = _buttons_of(job)
    return [
        *(gr.Button(visible=name in can_be) for name in _BUTTONS),
        to_yaml(job.recipe, job.spec),
        gr.Timer(active=job.state in ACTIVE_STATES),
    ]


_BUTTONS: dict[str, tuple[str, Literal["primary", "secondary", "stop"]]] = {
    "pause": ("Pause and free the device", "secondary"),
    "stop": ("Stop and keep checkpoint", "stop"),
    "let go": ("Do not wait for it", "secondary"),
    "raise": ("Raise priority", "secondary"),
    "lower": ("Lower priority", "secondary"),
    "leave": ("Take out of the queue", "stop"),
    "go on": ("Continue from checkpoint", "primary"),
    "halve": ("Go on with half the batch", "primary"),
    "retry": ("Retry", "secondary"),
    "stop for good": ("Stop for good", "stop"),
}
"""What can be done with a job, at some time or other, and the words of its button."""


def _buttons_of(job: Job) -> set[str]:
    """The buttons that make sense now."""
    match job.state:
        case JobState.RUNNING:
            return set() if job.stop_requested else {"pause", "stop"}
        case JobState.QUEUED:
            can_let_go = job.after_job_id is not None and not steering.needs_model_of(job, job.after_job_id)
            changes = {"raise"} if job.priority <= 0 else set()
            changes |= {"lower"} if job.priority >= 0 else set()
            return {"leave", *changes, *({"let go"} if can_let_go else set())}
        case JobState.PAUSED:
            return {"go on" if job.started_at else "retry", "stop for good"}
        case JobState.CANCELLED:
            return {"go on" if job.started_at else "retry"}
        case JobState.FAILED:
            return {"retry", "halve"} if jobs.can_halve_batch(job) else {"retry"}
        case _:
            return set()


def _press(name: str, job_id: int, drawn_at: str) -> list[Any]:
    """Do what a button says, and show the job as it is then."""
    try:
        with writing() as session:
            _act(session, name, job_id)
        notice = gr.HTML("", visible=False)
    except HoneError as error:
        notice = gr.HTML(error_block(error), visible=True)
    queue.wake()
    return [notice, *_look(job_id, drawn_at)]


def _act(session: Session, name: str, job_id: int) -> None:
    match name:
        case "pause":
            jobs.request_stop(session, job_id, "pause")
        case "stop" | "leave" | "stop for good":
            jobs.request_stop(session, job_id, "cancel")
        case "go on" | "retry":
            jobs.retry(session, job_id)
        case "halve":
            jobs.retry_with_half_the_batch(session, job_id)
        case "let go":
            steering.let_go(session, job_id)
        case "raise" | "lower":
            step = 1 if name == "raise" else -1
            steering.set_priority(session, job_id, jobs.get_job(session, job_id).priority + step)


def _read_log(job_id: int, search: str) -> str:
    with reading() as session:
        return log_view(jobs.log_lines(session, job_id, search=search.strip(), limit=MOST_LOG_LINES), search.strip())


PAGE = Page(title="Job", path="/job", build=build, under="/jobs")
