"""What is trained: any row of a dataset as a model would be trained on it, and how long all of them are."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator
from html import escape
from typing import Any

import gradio as gr

from pipeline.errors import HoneError
from pipeline.training.settings import usual_length
from store import datasets, jobs, models
from store.database import reading, writing
from store.schema import ACTIVE_STATES, DatasetVersion, JobState, Model
from webapp.data.tabs import dataset_header
from webapp.data.trained import (
    RECIPE,
    LengthsReport,
    cut_rows,
    last_job,
    longest_row,
    report_for,
    require_tokenizer,
    trained_row,
)
from webapp.data.views_trained import lengths_view, measuring, measuring_ended, not_measured, trained_row_view
from webapp.jobs.start_points import no_model_yet
from webapp.people import current_person
from webapp.shell import QUIET, Page, error_block, html, link_button, on_load, on_tick, page_header, query_id
from workers import queue

LIVE_SECONDS = 1.0
SECONDS_UNTIL_SAID = 0.3

_SHOWING: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "trigger_mode": "always_last"}
_REMEMBER = (
    "(model, length, row) => { const address = new URL(location); if (!model) return; "
    "for (const [name, value] of Object.entries({model, length: length ?? 0, row: row ?? 1})) "
    "address.searchParams.set(name, value ?? ''); history.replaceState(null, '', address); }"
)
_WAITING = '<div class="h-tt-waiting"><span>Reading the tokenizer and the row…</span></div>'


def build() -> None:
    version_id = gr.State(0)
    draw = gr.State("")
    timer = gr.Timer(LIVE_SECONDS, active=False)
    header = html(min_height=96)
    with gr.Row(visible=False, elem_classes="h-job") as body:
        with gr.Column(scale=3, min_width=320), gr.Column(elem_classes="h-card"):
            with gr.Row(elem_classes="h-tt-controls"):
                model = gr.Dropdown([], label="Model", info="Its tokenizer and chat template.", min_width=220)
                length = gr.Number(
                    0,
                    label="Maximum length",
                    info="Tokens; 0: the model's.",
                    precision=0,
                    minimum=0,
                    elem_classes="h-tt-length",
                )
                row = gr.Number(1, label="Row", info="From 1.", precision=0, minimum=1, elem_classes="h-tt-row")
            with gr.Row(elem_classes="h-tt-controls"):
                before = gr.Button("Previous", size="sm", elem_classes="h-fit")
                after = gr.Button("Next", size="sm", elem_classes="h-fit")
                any_row = gr.Button("A random row", size="sm", elem_classes="h-fit")
                longest = gr.Button("The longest", size="sm", elem_classes="h-fit")
                cut = gr.Button("One that is cut", size="sm", elem_classes="h-fit")
            notice = html()
            view = html(min_height=240)
        with gr.Column(scale=2, min_width=320), gr.Column(elem_classes="h-card"):
            html('<h2 class="h-h2">Lengths of all rows</h2>')
            report = html(min_height=120)
            start = gr.Button("Measure lengths", variant="primary", elem_classes="h-fit", visible=False)

    chosen = [version_id, model, length, row]
    whole_set = [report, start, timer]

    def show(event: Any) -> Any:
        """After `event`: the row anew, and the address that leads back to it."""
        shown = event.then(_view, inputs=chosen, outputs=view, **_SHOWING)
        shown.then(None, inputs=[model, length, row], js=_REMEMBER, api_visibility="private")
        return shown

    opened = on_load(_open, outputs=[version_id, draw, header, body, model, length, row, notice, *whole_set])
    show(opened)
    for trigger in (model.input, length.submit, length.blur):
        show(trigger(_report, inputs=[version_id, model, length], outputs=whole_set, **QUIET))
    for trigger in (row.submit, row.blur):
        show(trigger(lambda *_: "", inputs=[], outputs=notice, **QUIET))
    moves = ((before, _before), (after, _after), (any_row, _any_row), (longest, _longest), (cut, _cut))
    for button, move in moves:
        show(button.click(move, inputs=chosen, outputs=[row, notice], **QUIET))
    start.click(_start, inputs=[version_id, draw, model, length], outputs=whole_set, **QUIET)
    on_tick(timer, _report, inputs=[version_id, model, length], outputs=whole_set)


# ------------------------------------------------------------------------------------------------------------ opening


def _open(request: gr.Request) -> list[Any]:
    try:
        with reading() as session:
            version = datasets.get_version(session, query_id(request) or 0)
            own = list(reversed(models.list_own_models(session)))
            wanted = query_id(request, "model")
            chosen = models.get_model(session, wanted) if wanted else _first_choice(version, own)
            empty = "" if own else no_model_yet(session, "There is no model yet whose tokenizer could be used.")
        length = query_id(request, "length") or 0
        row = min(max(query_id(request, "row") or 1, 1), version.num_rows)
    except HoneError as error:
        back = f'<div class="h-line">{link_button("All data", "/data")}</div>'
        shown = f'<div class="h-stack">{page_header("What is trained")}{error_block(error)}{back}</div>'
        return [0, "", shown, *[gr.skip()] * 8]
    header = dataset_header(version, "/trained")
    if version.kind == "unpaired":
        return [0, "", header + _UNPAIRED, *[gr.skip()] * 8]
    if chosen is None:
        return [0, "", header + empty, *[gr.skip()] * 8]
    choices = [(one.name, str(one.id)) for one in own]
    if chosen.endpoint_id is not None:
        choices.append((chosen.name, str(chosen.id)))
    return [
        version.id,
        secrets.token_hex(8),
        header,
        gr.Row(visible=True),
        gr.Dropdown(choices=choices, value=str(chosen.id)),
        length,
        row,
        "",
        *_report(version.id, str(chosen.id), length),
    ]


_UNPAIRED = (
    '<div class="h-empty"><p>No recipe trains on unpaired rows (one answer, judged good or bad) yet, so there is '
    "nothing to show. Fine-tuning takes instruction rows, alignment preference rows.</p></div>"
)


def _first_choice(version: DatasetVersion, own: list[Model]) -> Model | None:
    """The newest model that training may start from."""
    trainable = [model for model in own if model.kind != "quantized"]
    return next(iter(trainable or own), None)


# ------------------------------------------------------------------------------------------------------------ one row


async def _view(version_id: int, model: str, length: float | None, row: float | None) -> AsyncIterator[Any]:
    """The row; where it takes a while, first that it does."""
    if not version_id or not model:
        yield gr.skip()
        return
    asked = asyncio.ensure_future(_drawn(version_id, model, length, row))
    done, _ = await asyncio.wait([asked], timeout=SECONDS_UNTIL_SAID)
    if not done:
        yield _WAITING
    yield await asked


async def _drawn(version_id: int, model: str, length: float | None, row: float | None) -> str:
    try:
        version, chosen = _chosen(version_id, model)
        (canonical,) = datasets.rows_of(version).read(_within(row, version) - 1, 1)
        return trained_row_view(await trained_row(chosen, canonical, max_length=_tokens(length)))
    except HoneError as error:
        return error_block(error)


def _chosen(version_id: int, model: str) -> tuple[DatasetVersion, Model]:
    with reading() as session:
        return datasets.get_version(session, version_id), models.get_model(session, int(model))


def _within(row: float | None, version: DatasetVersion) -> int:
    return min(max(1, int(row or 1)), max(1, version.num_rows))


def _tokens(length: float | None) -> int:
    return max(0, int(length or 0))


def _moved(version_id: int, row: float | None, by: int) -> tuple[int, str]:
    with reading() as session:
        version = datasets.get_version(session, version_id)
    return _within((row or 1) + by, version), ""


def _before(version_id: int, model: str, length: float | None, row: float | None) -> tuple[int, str]:
    return _moved(version_id, row, -1)


def _after(version_id: int, model: str, length: float | None, row: float | None) -> tuple[int, str]:
    return _moved(version_id, row, 1)


def _any_row(version_id: int, model: str, length: float | None, row: float | None) -> tuple[int, str]:
    with reading() as session:
        version = datasets.get_version(session, version_id)
    return random.randint(1, max(1, version.num_rows)), ""


def _longest(version_id: int, model: str, length: float | None, row: float | None) -> tuple[Any, str]:
    version, report = _with_report(version_id, model)
    words = "" if report else "The row with most text: its tokens are counted once lengths are measured."
    return longest_row(version, report), _remark(words)


def _cut(version_id: int, model: str, length: float | None, row: float | None) -> tuple[Any, str]:
    """Another row that loses tokens, drawn by lot."""
    _, report = _with_report(version_id, model)
    if report is None:
        return gr.skip(), _remark("Which rows are cut is known once lengths are measured: press Measure lengths.")
    found = cut_rows(report, _length_of(report, length))
    if not found:
        return gr.skip(), _remark("No row is cut at this length.")
    return random.choice([one for one in found if one != row] or found), ""


def _with_report(version_id: int, model: str) -> tuple[DatasetVersion, LengthsReport | None]:
    with reading() as session:
        version = datasets.get_version(session, version_id)
        return version, report_for(session, version, models.get_model(session, int(model)))


def _remark(words: str) -> str:
    return f'<div class="h-note"><p>{escape(words)}</p></div>' if words else ""


# ------------------------------------------------------------------------------------------------------- the whole set


def _report(version_id: int, model: str, length: float | None) -> list[Any]:
    """What is known of all rows, whether measuring is offered, and whether to look again."""
    if not version_id or not model:
        return [gr.skip(), gr.skip(), gr.update(active=False)]
    try:
        version, chosen = _chosen(version_id, model)
        require_tokenizer(chosen)
        with reading() as session:
            report = report_for(session, version, chosen)
            job = last_job(session, version, chosen)
        if job is not None and job.state in ACTIVE_STATES:
            return [measuring(job), gr.update(visible=False), gr.update(active=True)]
        if report is not None:
            view = lengths_view(report, _length_of(report, length))
            return [f'<div class="h-lengths-report">{view}</div>', gr.update(visible=False), gr.update(active=False)]
    except HoneError as error:
        return [error_block(error), gr.update(visible=False), gr.update(active=False)]
    failed = measuring_ended(job) if job is not None and job.state != JobState.SUCCEEDED else ""
    return [failed or not_measured(chosen.name), gr.update(visible=True), gr.update(active=False)]


def _length_of(report: LengthsReport, length: float | None) -> int:
    """The length that is asked for, or what training takes by default."""
    return _tokens(length) or usual_length(report.told["context_length"])


def _start(version_id: int, draw: str, model: str, length: float | None, request: gr.Request) -> list[Any]:
    try:
        _, chosen = _chosen(version_id, model)
        values = {"model": f"model:{chosen.id}", "dataset": f"dataset:{version_id}", "max_length": _tokens(length)}
        with writing() as session:
            before = last_job(session, datasets.get_version(session, version_id), chosen)
            key = f"{draw}-{chosen.id}-{_tokens(length)}-{before.id if before else 0}"
            person = current_person(request).id
            jobs.submit(session, RECIPE, values, person_id=person, idempotency_key=key)
        queue.wake()
    except HoneError as error:
        return [error_block(error), gr.update(visible=True), gr.update(active=False)]
    return _report(version_id, model, length)


PAGE = Page(title="What is trained", path="/trained", build=build, under="/data", assets=("data.css", "trained.css"))
