"""Scored rows: the part of the Quality page on which a model scores rows, and the best of them are kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr
import numpy as np

from pipeline.errors import HoneError
from pipeline.quality.scores import MEASURE_KINDS, best_rows, goodness, read_score_report
from store import data_reports, datasets, models
from store.database import reading, writing
from store.schema import DatasetVersion
from webapp.data import views_quality as views
from webapp.data.leaving_out import how_of_scores, leave_out, writing_step
from webapp.formatting import counted, number, when
from webapp.people import current_person
from webapp.shell import QUIET, error_block, html, query_id
from workers import queue

_WORDS = (
    '<div><h2 class="h-h2">Scores</h2><p class="h-quiet">A model reads every row, and you keep the best of them. '
    "Models of this machine can score; those of an endpoint cannot: they do not tell how likely a text is.</p></div>"
)


@dataclass(frozen=True)
class ScoresPart:
    """The components of the part."""

    model: gr.Dropdown
    measure: gr.Radio
    start: gr.Button
    progress: gr.HTML
    known: gr.HTML
    cutting: gr.Column
    share: gr.Slider
    cut: gr.HTML
    keep: gr.Button

    @property
    def opened(self) -> list[Any]:
        return [self.model, self.measure, self.progress, self.known, self.cutting, self.share, self.cut, self.keep]


def draw_scores() -> ScoresPart:
    with gr.Column(elem_classes="h-card", elem_id="h-scores"):
        html(_WORDS)
        with gr.Row(elem_classes="h-quality-ask"):
            model = gr.Dropdown([], label="Judge", info="For difficulty, the base that you mean to train.")
            measure = gr.Radio([], label="Measure", elem_id="h-measure")
        start = gr.Button("Score the data", variant="secondary", elem_classes="h-fit", elem_id="h-score")
        progress = html()
        known = html()
        with gr.Column(visible=False) as cutting:
            share = gr.Slider(1, 100, value=50, step=1, label="Keep the best", info="Percent of the rows with a score.")
            cut = html(min_height=320)
            keep = gr.Button("Keep the best rows", variant="primary", elem_classes="h-fit", elem_id="h-keep-best")
    return ScoresPart(model, measure, start, progress, known, cutting, share, cut, keep)


def connect_scores(
    part: ScoresPart, version_id: gr.State, notice: gr.HTML, address: gr.Textbox, watched: gr.State, timer: gr.Timer
) -> None:
    part.start.click(
        _start,
        inputs=[version_id, part.model, part.measure],
        outputs=[notice, part.progress, watched, timer],
        **QUIET,
    )
    part.share.release(_cut, inputs=[version_id, part.share], outputs=[part.cut, part.keep], **QUIET)
    part.keep.click(
        _keep,
        inputs=[version_id, part.share],
        outputs=[notice, part.known, part.keep, address],
        show_progress="hidden",
        api_visibility="private",
        concurrency_limit=4,
    )


def open_scores(request: gr.Request) -> list[Any]:
    """What the part shows when the page opens."""
    wanted = query_id(request) or 0
    try:
        with reading() as session:
            version = datasets.get_version(session, wanted)
            found = models.list_own_models(session)
            job = data_reports.latest_job(session, wanted, "score")
    except HoneError:
        return [gr.skip()] * 8
    judges = [(model.name, f"model:{model.id}") for model in reversed(found)]
    measures = [(views.MEASURES[name], name) for name, kinds in MEASURE_KINDS.items() if version.kind in kinds]
    going = views.job_going(job) if job is not None and job.state != "succeeded" else ""
    return [
        gr.Dropdown(choices=judges, value=judges[0][1] if judges else None),
        gr.Radio(choices=measures, value=measures[0][1]),
        going,
        *_known(version),
    ]


def _known(version: DatasetVersion) -> list[Any]:
    """The newest scores in words, and where they can be cut; hidden where there are none."""
    try:
        loaded = _scores(version.id)
    except HoneError as error:
        return [error_block(error), gr.Column(visible=False), gr.skip(), "", gr.skip()]
    if loaded is None:
        return ["", gr.Column(visible=False), gr.skip(), "", gr.skip()]
    record, report, _ = loaded
    by = f"By {_model_name(record.model_id)}, {when(record.created_at)}."
    words = f'<div class="h-stack"><span class="h-quiet">{by}</span>{views.score_meaning(report)}</div>'
    return [words, gr.Column(visible=True), gr.Slider(value=50), *_cut(version.id, 50)]


def _scores(version_id: int) -> Any:
    """The newest scores of a version: their record, their report and themselves; None where there are none.

    Raises:
        BadData: if they cannot be read.
    """
    with reading() as session:
        record = data_reports.latest_report(session, version_id, "score")
    if record is None:
        return None
    return record, *read_score_report(data_reports.folder_of_report(record))


def _model_name(model_id: int | None) -> str:
    if model_id is None:
        return "a model"
    try:
        with reading() as session:
            return escape(models.load_model(session, model_id).name)
    except HoneError:
        return "a model that was deleted"


def _cut(version_id: int, percent: float) -> list[Any]:
    """The histogram and the rows at the cut, and the words of the button."""
    try:
        loaded = _scores(version_id)
        with reading() as session:
            version = datasets.get_version(session, version_id)
        if loaded is None:
            return ["", gr.skip()]
        _, report, scores = loaded
        kept = best_rows(scores, report.measure, _share(percent))
        is_kept = np.zeros(len(scores), np.bool_)
        is_kept[kept] = True
        file = datasets.rows_of(version)
        drawn = (
            f"{views.histogram(scores, is_kept, report.measure)}"
            f'<p class="h-quiet">{_in_words(scores, kept, report.measure)}</p>'
            f"{views.cut_examples(scores, is_kept, report.measure, lambda row: next(iter(file.read(row, 1)), None))}"
        )
    except HoneError as error:
        return [error_block(error), gr.Button(interactive=False)]
    words = f"Keep the best {counted(len(kept), 'row')} as the next version"
    return [f'<div class="h-stack">{drawn}</div>', gr.Button(words, interactive=0 < len(kept) < version.num_rows)]


def _in_words(scores: Any, kept: Any, measure: str) -> str:
    good = goodness(scores, measure)
    last = float(scores[kept[np.argmin(good[kept])]]) if len(kept) else float("nan")
    return f"{counted(len(kept), 'row')} of {number(len(scores))} stay; the last of them has a score of {number(last)}."


def _share(percent: float) -> float:
    return min(100.0, max(1.0, float(percent or 1))) / 100


def _start(version_id: int, model: str | None, measure: str, request: gr.Request) -> list[Any]:
    try:
        person = current_person(request)
        values = {"dataset": f"dataset:{version_id}", "model": model or "", "measure": measure}
        with writing() as session:
            job = data_reports.submit_once(session, "score", values, version_id=version_id, person_id=person.id)
        queue.wake()
    except HoneError as error:
        return [error_block(error), *[gr.skip()] * 3]
    return ["", views.job_going(job), str(job.id), gr.Timer(active=True)]


def _keep(version_id: int, percent: float, request: gr.Request) -> Iterator[list[Any]]:
    try:
        person = current_person(request)
        with reading() as session:
            version = datasets.get_version(session, version_id)
        loaded = _scores(version_id)
        if loaded is None:
            return
        record, report, scores = loaded
        kept = best_rows(scores, report.measure, _share(percent))
        out = np.setdiff1d(np.arange(version.num_rows), kept)
        how = how_of_scores(
            record,
            report.measure,
            _share(percent),
            _model_name(record.model_id),
            f"The best {percent:g} % by {views.uncapitalised(views.MEASURES[report.measure])} stay.",
        )
        for step in leave_out(version, out, how, person_id=person.id):
            yield writing_step(step, version)
    except HoneError as error:
        yield [error_block(error), gr.skip(), gr.Button(interactive=True), gr.skip()]
