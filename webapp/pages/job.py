"""Job: one job, live while it runs, whole for ever after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr
from sqlalchemy.orm import Session

from pipeline.errors import HoneError
from pipeline.recipes import get_recipe
from store import jobs
from store.database import reading, writing
from store.schema import ACTIVE_STATES, Job, JobState
from webapp.forms import to_yaml
from webapp.shell import Page, empty_state, error_block, html, link_button, on_load, query_id
from webapp.shown_jobs import MOST_LOG_LINES, show_job
from webapp.views_jobs import job_header, job_side, log_view
from workers import queue

LIVE_SECONDS = 2

_QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


def build() -> None:
    job_id = gr.State(None)
    drawn_at = gr.State("")
    """What the curves were drawn from: they are drawn anew only when that has changed."""
    offered_for = gr.State("")
    """What the buttons and the timer follow from: they are set anew only when that has changed, for each costs Gradio
    more than all the rest of a look."""
    timer = gr.Timer(LIVE_SECONDS, active=False)
    header = html(min_height=80)
    notice = html(visible=False)
    with gr.Row(elem_classes="h-actions"):
        stop = gr.Button("Stop and keep checkpoint", variant="stop", elem_classes="h-fit", visible=False)
        leave = gr.Button("Take out of the queue", variant="stop", elem_classes="h-fit", visible=False)
        go_on = gr.Button("Continue from checkpoint", variant="primary", elem_classes="h-fit", visible=False)
        retry = gr.Button("Retry", variant="primary", elem_classes="h-fit", visible=False)
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

    buttons = [stop, leave, go_on, retry]
    live = [header, charts, drawn_at, log, samples, side, offered_for]
    whole = [*live, *buttons, timer]
    on_load(_open, outputs=[workspace, job_id, spec, *whole])
    timer.tick(_follow, inputs=[job_id, drawn_at, search, follow], outputs=live, **_QUIET)
    offered_for.change(_offer, inputs=[job_id], outputs=[*buttons, timer], **_QUIET)
    search.change(_read_log, inputs=[job_id, search], outputs=log, trigger_mode="always_last", **_QUIET)
    for button, act in ((stop, _stop), (leave, _stop), (go_on, _retry), (retry, _retry)):
        button.click(
            act,
            inputs=[job_id, drawn_at, search, follow],
            outputs=[notice, *whole],
            api_visibility="private",
            queue=False,
        )


def _open(request: gr.Request) -> list[Any]:
    job_id = query_id(request)
    if job_id is None:
        return _nothing("")
    try:
        with reading() as session:
            job = jobs.get_job(session, job_id)
    except HoneError as error:
        return _nothing(error_block(error))
    return [gr.skip(), job_id, to_yaml(job.recipe, job.spec), *_refresh(job_id, "", "", True)]


def _nothing(reason: str) -> list[Any]:
    return [
        gr.Row(visible=False),
        None,
        "",
        f'<div class="h-stack">{reason}{_all_jobs()}</div>',
        *[gr.skip()] * 10,
        gr.Timer(active=False),
    ]


def _all_jobs() -> str:
    return empty_state("Every job has its own address, such as /job?id=1.", link_button("See all jobs", "/jobs"))


def _refresh(job_id: int, drawn_at: str, search: str, following: bool) -> list[Any]:
    return [*_follow(job_id, drawn_at, search, following), *_offer(job_id)]


def _follow(job_id: int, drawn_at: str, search: str, following: bool) -> list[Any]:
    """Everything that changes while a job runs."""
    shown = show_job(job_id)
    job, has_news = shown.job, shown.mark != drawn_at
    return [
        job_header(job, get_recipe(job.recipe), shown.num_ahead),
        shown.charts if has_news else gr.skip(),
        shown.mark,
        (_read_log(job_id, search) if search.strip() else shown.log) if has_news and following else gr.skip(),
        shown.samples if has_news else gr.skip(),
        job_side(job),
        f"{job.state}/{job.stop_requested}",
    ]


def _offer(job_id: int) -> list[Any]:
    """The buttons that make sense now, and whether there is anything to follow."""
    job = show_job(job_id).job
    can_be = _buttons_of(job)
    return [
        *(gr.Button(visible=name in can_be) for name in ("stop", "leave", "go on", "retry")),
        gr.Timer(active=job.state in ACTIVE_STATES),
    ]


def _buttons_of(job: Job) -> set[str]:
    """The buttons that make sense now."""
    match job.state:
        case JobState.RUNNING:
            return set() if job.stop_requested else {"stop"}
        case JobState.QUEUED:
            return {"leave"}
        case JobState.PAUSED | JobState.CANCELLED:
            return {"go on"} if job.started_at else {"retry"}
        case JobState.FAILED:
            return {"retry"}
        case _:
            return set()


def _read_log(job_id: int, search: str) -> str:
    with reading() as session:
        return log_view(jobs.log_lines(session, job_id, search=search.strip(), limit=MOST_LOG_LINES), search.strip())


def _stop(job_id: int, drawn_at: str, search: str, following: bool) -> list[Any]:
    def change(session: Session) -> None:
        jobs.request_stop(session, job_id, "cancel")

    return [_changed(change), *_refresh(job_id, drawn_at, search, following)]


def _retry(job_id: int, drawn_at: str, search: str, following: bool) -> list[Any]:
    def change(session: Session) -> None:
        jobs.retry(session, job_id)

    notice = _changed(change)
    queue.wake()
    return [notice, *_refresh(job_id, drawn_at, search, following)]


def _changed(change: Callable[[Session], None]) -> gr.HTML:
    """Do it; what is left to say where it could not be done."""
    try:
        with writing() as session:
            change(session)
    except HoneError as error:
        return gr.HTML(error_block(error), visible=True)
    return gr.HTML("", visible=False)


PAGE = Page(title="Job", path="/job", build=build, under="/jobs")
