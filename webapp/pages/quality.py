"""Quality: what is wrong with the rows of a dataset, how good a model finds them, and a version without the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr
import numpy as np

from pipeline.errors import BadData, HoneError
from pipeline.quality.findings import (
    QualityReport,
    partners_of_finding,
    read_quality_report,
    rows_of_finding,
    sets_of_finding,
)
from store import data_reports, datasets, jobs
from store.database import reading, writing
from store.schema import ACTIVE_STATES, DataReport, DatasetVersion, Job
from webapp.commands import command_box, read_command
from webapp.data import views_quality as views
from webapp.data.leaving_out import how_of_choice, leave_out, names_of, writing_step
from webapp.data.quality_choice import ROWS_A_PAGE, Choice, as_address, from_address, rows_left_out
from webapp.data.scored_rows import connect_scores, draw_scores, open_scores
from webapp.data.tabs import dataset_header
from webapp.formatting import counted, number, when
from webapp.people import current_person
from webapp.shell import Page, error_block, html, link_button, on_load, on_tick, page_header, query_id
from workers import queue

SECONDS_BETWEEN_LOOKS = 1.0
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
FOLLOW = "(address) => { if (address) window.location.assign(address); }"
# The ticks live in the address, so that a reload keeps them and they can be sent to somebody.
_KEEP_IN_ADDRESS = """(choice) => {
  const id = new URLSearchParams(location.search).get("id");
  history.replaceState(null, "", `${location.pathname}?id=${id}${choice ? "&" + choice : ""}`);
}"""
_RELOAD = "(ended) => { if (ended) window.location.reload(); }"


@dataclass(frozen=True)
class Inspected:
    """A version with the report that the page shows of it."""

    version: DatasetVersion
    record: DataReport
    report: QualityReport
    compared: list[DatasetVersion | None]
    """The evaluation sets, in the order of the job's settings; None for one that was deleted."""
    next_number: int
    """Of the version that would be made of it."""


def build() -> None:
    version_id, choice = gr.State(0), gr.Textbox(visible=False)
    address, ended = gr.Textbox(visible=False), gr.Textbox(visible=False)
    watched = gr.State("")
    header = html(min_height=88)
    notice = html()
    with gr.Column(visible=False) as body:
        with gr.Row(elem_classes="h-quality-start h-card"), gr.Column():
            html(_START_WORDS)
            with gr.Row(elem_classes="h-quality-ask"):
                compare = gr.Dropdown(
                    [],
                    multiselect=True,
                    label="Compare with",
                    info="Evaluation sets that no row should stand in.",
                    elem_id="h-compare",
                )
                similarity = gr.Slider(
                    0.5,
                    1,
                    value=0.8,
                    step=0.05,
                    label="Near copies from",
                    info="Share of runs of five words that two rows have in common.",
                )
            start = gr.Button("Inspect the data", variant="primary", elem_classes="h-fit", elem_id="h-inspect")
        progress = html()
        summary = html()
        found = html(min_height=176, elem_id="h-found")
        with gr.Row(elem_classes="h-leave-bar", visible=False) as bar:
            tally = html()
            leave = gr.Button("Leave rows out", variant="primary", elem_classes="h-fit", elem_id="h-leave")
        scores = draw_scores()
    command = command_box()
    timer = gr.Timer(SECONDS_BETWEEN_LOOKS, active=False)

    shown = [choice, summary, found, bar, tally, leave]
    on_load(_open, outputs=[version_id, header, notice, body, compare, start, progress, watched, timer, *shown])
    on_load(open_scores, outputs=scores.opened)
    start.click(_start, inputs=[version_id, compare, similarity], outputs=[notice, progress, watched, timer], **QUIET)
    command.change(_told, inputs=[version_id, choice, command], outputs=[notice, *shown], **QUIET).then(
        None, inputs=choice, js=_KEEP_IN_ADDRESS, api_visibility="private"
    )
    leave.click(
        _leave,
        inputs=[version_id, choice],
        outputs=[notice, tally, leave, address],
        show_progress="hidden",
        api_visibility="private",
        concurrency_limit=4,
    )
    connect_scores(scores, version_id, notice, address, watched, timer)
    on_tick(timer, _tick, inputs=[version_id, watched], outputs=[progress, scores.progress, ended])
    address.change(None, inputs=address, js=FOLLOW, api_visibility="private")
    ended.change(None, inputs=ended, js=_RELOAD, api_visibility="private")


_START_WORDS = (
    '<div><h2 class="h-h2">Inspection</h2><p class="h-quiet">One pass over all rows, as a job. It changes nothing: '
    "what it finds is listed here, and you choose what to leave out of the next version.</p></div>"
)


# ------------------------------------------------------------------------------------------------------------ opening


def _open(request: gr.Request) -> list[Any]:
    wanted = query_id(request) or 0
    try:
        with reading() as session:
            version = datasets.get_version(session, wanted)
            job = data_reports.latest_job(session, wanted, "inspect")
            scoring = data_reports.latest_job(session, wanted, "score")
            others = [one for one in datasets.list_versions(session) if one.id != wanted]
    except HoneError as error:
        back = f'<div class="h-line">{link_button("All data", "/data")}</div>'
        said = f'<div class="h-stack">{error_block(error)}{back}</div>'
        return [0, page_header("Quality"), said, *[gr.skip()] * 6, *[gr.skip()] * 6]
    inspected, fault = _look(version)
    offered = list(zip(names_of(others), (f"dataset:{one.id}" for one in others), strict=True))
    active = [one for one in (job, scoring) if one is not None and one.state in ACTIVE_STATES]
    choice = from_address({name: str(value) for name, value in request.query_params.items()})
    return [
        version.id,
        dataset_header(version, "/quality"),
        fault + views.left_out_note(version),
        gr.Column(visible=True),
        gr.Dropdown(choices=offered, value=_likely_evaluation_sets(others)),
        gr.Button("Inspect again", variant="secondary") if inspected else gr.Button("Inspect the data"),
        _progress(job),
        ",".join(str(one.id) for one in active),
        gr.Timer(active=bool(active)),
        *_draw(version, inspected, choice),
    ]


def _likely_evaluation_sets(versions: list[DatasetVersion]) -> list[str]:
    """Those whose names say that they are kept back; a person unticks what is none."""
    marks = ("eval", "test", "held-out", "heldout", "benchmark")
    likely = [one for one in versions if any(mark in one.dataset.name.lower() for mark in marks)]
    return [f"dataset:{one.id}" for one in likely[:10]]


def _look(version: DatasetVersion) -> tuple[Inspected | None, str]:
    """What is known of a version, and what is to be said where its report cannot be read."""
    with reading() as session:
        record = data_reports.latest_report(session, version.id, "inspect")
        if record is None:
            return None, ""
        spec = jobs.get_job(session, record.job_id).spec
        compared = [_version_or_none(session, name) for name in spec.get("compare_with", ())]
        dataset = datasets.get_version(session, version.id).dataset
        latest = max(one.number for one in dataset.versions)
    try:
        report = read_quality_report(data_reports.folder_of_report(record))
    except HoneError as error:
        return None, error_block(error)
    return Inspected(version, record, report, compared, latest + 1), ""


def _version_or_none(session: Any, name: str) -> DatasetVersion | None:
    try:
        return datasets.get_version(session, int(name.removeprefix("dataset:")))
    except HoneError:
        return None


def _progress(job: Job | None) -> str:
    return views.job_going(job) if job is not None and job.state != "succeeded" else ""


# ------------------------------------------------------------------------------------------------------------ drawing


def _draw(version: DatasetVersion, inspected: Inspected | None, choice: Choice) -> list[Any]:
    """The choice as text, the summary, the findings, and the bar with its count and button."""
    if inspected is None:
        return ["", "", views.not_inspected(version), gr.Row(visible=False), "", gr.Button()]
    folder = data_reports.folder_of_report(inspected.record)
    kinds = [finding.kind for finding in inspected.report.findings]
    out = rows_left_out(folder, choice, kinds, version.num_rows)
    is_out = set(out.tolist()) if len(out) < 100_000 else None
    rows = ""
    if choice.open in kinds:
        rows = _open_rows(
            inspected, choice, lambda row: row in is_out if is_out is not None else bool(np.isin(row, out))
        )
    summary = views.report_summary(inspected.report, _set_names(inspected), when(inspected.record.created_at))
    words = f"Leave {counted(len(out), 'row')} out into version {inspected.next_number}"
    tally = (
        f"<span><b>{counted(len(out), 'row')}</b> ticked, {number(version.num_rows - len(out))} stay. The present "
        "version stays as it is.</span>"
    )
    if not choice.has_room:
        tally += '<span class="h-quiet"> No more single rows fit into the address: tick whole findings.</span>'
    return [
        as_address(choice),
        f'<section class="h-card">{summary}</section>',
        views.findings_view(inspected.report, choice, rows),
        gr.Row(visible=len(out) > 0),
        tally,
        gr.Button(words, interactive=len(out) > 0),
    ]


def _set_names(inspected: Inspected) -> list[str]:
    return [names_of([one])[0] if one is not None else "a deleted dataset" for one in inspected.compared]


def _open_rows(inspected: Inspected, choice: Choice, left_out: Any) -> str:
    folder = data_reports.folder_of_report(inspected.record)
    try:
        rows = rows_of_finding(folder, choice.open)
        partners, sets = partners_of_finding(folder, choice.open), sets_of_finding(folder, choice.open)
        start = choice.start if choice.start < len(rows) else 0
        page = slice(start, start + ROWS_A_PAGE)
        beside: list[tuple[int, int]] = []
        if partners is not None:
            numbers = sets[page].tolist() if sets is not None else [-1] * len(partners[page])
            beside = list(zip(numbers, partners[page].tolist(), strict=True))
        return views.finding_rows(
            choice.open,
            rows[page].tolist(),
            start=start,
            total=len(rows),
            read=lambda number, row: _row(inspected, number, row),
            left_out=left_out,
            partners=beside,
            set_names=_set_names(inspected),
        )
    except HoneError as error:
        return error_block(error)


def _row(inspected: Inspected, set_number: int, row: int) -> dict[str, Any] | None:
    known = 0 <= set_number < len(inspected.compared)
    version = inspected.compared[set_number] if known else inspected.version if set_number < 0 else None
    if version is None:
        return None
    try:
        return next(iter(datasets.rows_of(version).read(row, 1)), None)
    except BadData:
        return None


# ----------------------------------------------------------------------------------------------------------- handlers


def _start(version_id: int, compare: list[str], similarity: float, request: gr.Request) -> list[Any]:
    try:
        person = current_person(request)
        values = {"dataset": f"dataset:{version_id}", "compare_with": compare or [], "similarity": similarity}
        with writing() as session:
            job = data_reports.submit_once(session, "inspect", values, version_id=version_id, person_id=person.id)
        queue.wake()
    except HoneError as error:
        return [error_block(error), *[gr.skip()] * 3]
    return ["", views.job_going(job), str(job.id), gr.Timer(active=True)]


def _told(version_id: int, chosen: str, told: str) -> list[Any]:
    try:
        with reading() as session:
            version = datasets.get_version(session, version_id)
        inspected, fault = _look(version)
        choice = from_address(chosen)
        command = read_command(told)
        is_out = False
        if inspected is not None and command[:1] == ("row",) and command[1].isdecimal():
            folder = data_reports.folder_of_report(inspected.record)
            kinds = [finding.kind for finding in inspected.report.findings]
            is_out = bool(np.isin(int(command[1]), rows_left_out(folder, choice, kinds, version.num_rows)))
        return [fault, *_draw(version, inspected, choice.told(command, is_left_out=is_out))]
    except HoneError as error:
        return [error_block(error), *[gr.skip()] * 6]


def _leave(version_id: int, chosen: str, request: gr.Request) -> Iterator[list[Any]]:
    """Make the next version, telling how far it is; whoever makes the same one again is shown it."""
    try:
        person = current_person(request)
        with reading() as session:
            version = datasets.get_version(session, version_id)
        inspected, fault = _look(version)
        if inspected is None:
            yield [fault, *[gr.skip()] * 3]
            return
        choice = from_address(chosen)
        folder = data_reports.folder_of_report(inspected.record)
        kinds = [finding.kind for finding in inspected.report.findings]
        rows = rows_left_out(folder, choice, kinds, version.num_rows)
        how = how_of_choice(inspected.record, inspected.report, choice)
        for step in leave_out(version, rows, how, person_id=person.id):
            yield writing_step(step, version)
    except HoneError as error:
        yield [error_block(error), gr.skip(), gr.Button(interactive=True), gr.skip()]


def _tick(version_id: int, watched: str) -> list[Any]:
    """Where the jobs stand that run; the page is loaded anew when one of those that it watches has ended."""
    with reading() as session:
        inspection = data_reports.latest_job(session, version_id, "inspect")
        scoring = data_reports.latest_job(session, version_id, "score")
    states = {str(job.id): job.state for job in (inspection, scoring) if job is not None}
    has_ended = any(states.get(job_id) not in ACTIVE_STATES for job_id in watched.split(",") if job_id)
    return [_progress(inspection), _progress(scoring), escape(watched) if has_ended else ""]


PAGE = Page(
    title="Quality",
    path="/quality",
    build=build,
    under="/data",
    assets=("commands.js", "data.css", "quality.css", "rows.js"),
)
