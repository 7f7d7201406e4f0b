"""Dataset: one version of a set of rows: what it is, every row of it, what was rejected, and who uses it."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from pipeline.errors import HoneError
from store import datasets
from store.database import reading, writing
from store.schema import DatasetVersion
from webapp.data.views import dataset_facts, rejected_table, rows_view, tune_button, uses_view
from webapp.formatting import counted, number
from webapp.shell import Page, error_block, html, link_button, on_load, page_header, query_id, query_value

ROWS_A_PAGE = 10
REJECTED_A_PAGE = 50

_QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
_FOLLOW = "(address) => { if (address) window.location.assign(address); }"


def build() -> None:
    version_id = gr.State(0)
    address = gr.Textbox(visible=False)
    header = html(min_height=48)
    notice = html()
    with gr.Row(visible=False, elem_classes="h-job") as body:
        with gr.Column(scale=3, min_width=320), gr.Column(elem_classes="h-card"):
            with gr.Row(elem_classes="h-rows-controls"):
                which = gr.Radio(["Rows", "Rejected"], value="Rows", show_label=False, container=False, min_width=200)
                before = gr.Button("Previous", size="sm", elem_classes="h-fit")
                row = gr.Number(
                    1,
                    label="From row",
                    show_label=False,
                    container=False,
                    precision=0,
                    minimum=1,
                    elem_classes="h-first-row",
                )
                after = gr.Button("Next", size="sm", elem_classes="h-fit")
            rows = html(min_height=480)
        with gr.Column(scale=1, min_width=320):
            side = html(min_height=320)
            with gr.Column(elem_classes="h-card"):
                html(_WHAT_GOES)
                sure = gr.Checkbox(False, label="I am sure", container=False)
                delete = gr.Button("Delete dataset", variant="stop", interactive=False, elem_classes="h-fit")

    on_load(_open, outputs=[version_id, header, notice, body, which, row, rows, side])
    shown = [version_id, which, row]
    for trigger in (row.submit, row.blur):
        trigger(_rows, inputs=shown, outputs=[row, rows], **_QUIET)
    which.input(
        lambda version, kind: _rows(version, kind, 1), inputs=[version_id, which], outputs=[row, rows], **_QUIET
    )
    before.click(lambda *a: _turn(*a, by=-1), inputs=shown, outputs=[row, rows], **_QUIET)
    after.click(lambda *a: _turn(*a, by=1), inputs=shown, outputs=[row, rows], **_QUIET)
    sure.input(lambda is_sure: gr.Button(interactive=is_sure), inputs=sure, outputs=delete, **_QUIET)
    delete.click(_delete, inputs=version_id, outputs=[notice, address], **_QUIET).then(
        None, inputs=address, js=_FOLLOW, api_visibility="private"
    )


def _open(request: gr.Request) -> list[Any]:
    wanted = query_id(request) or 0
    try:
        with reading() as session:
            version = datasets.get_version(session, wanted)
            uses = datasets.used_by(session, wanted)
        report = datasets.read_report(datasets.folder_of(version))
    except HoneError as error:
        back = f'<div class="h-line">{link_button("All data", "/data")}</div>'
        return [0, page_header("Dataset"), error_block(error) + back, *[gr.skip()] * 5]
    is_known = query_value(request, "known") == "1"
    which = "Rejected" if query_value(request, "show") == "rejected" and version.num_rejected else "Rows"
    side = (
        '<div class="h-stack"><section class="h-card"><h2 class="h-h2">Facts</h2>'
        f"{dataset_facts(version, report)}</section>"
        f'<section class="h-card"><h2 class="h-h2">Used by</h2>{uses_view(uses)}</section></div>'
    )
    return [
        version.id,
        _header(version),
        _KNOWN if is_known else "",
        gr.Row(visible=True),
        gr.Radio(["Rows", (f"Rejected ({number(version.num_rejected)})", "Rejected")], value=which),
        *_rows(version.id, which, 1),
        side,
    ]


_WHAT_GOES = (
    '<h2 class="h-h2">Delete</h2><p class="h-quiet">All versions and their files go; jobs keep their record of it.</p>'
)
_KNOWN = (
    '<div class="h-note"><p>These rows were kept already: the same content is the same dataset, so nothing was added.'
    "</p></div>"
)


def _header(version: DatasetVersion) -> str:
    tag = f"version {version.number} · " if version.number > 1 else ""
    sub = f"{tag}{counted(version.num_rows, 'row')} · {escape(version.kind)}"
    download = f'<a class="h-button" href="/api/datasets/{version.id}/download" download>Download</a>'
    return page_header(version.dataset.name, sub, download + tune_button(version))


def _rows(version_id: int, which: str, first: float | None) -> list[Any]:
    """A page of rows from number `first` (from 1), and that number, kept within what there is."""
    try:
        with reading() as session:
            version = datasets.get_version(session, version_id)
        if which == "Rejected":
            return _rejected_page(version, first)
        file = datasets.rows_of(version)
    except HoneError as error:
        return [1, error_block(error)]
    start = _within(first, len(file))
    return [start, rows_view(file.read(start - 1, ROWS_A_PAGE), start)]


def _rejected_page(version: DatasetVersion, first: float | None) -> list[Any]:
    file = datasets.rejected_of(version)
    if not len(file):
        return [1, '<p class="h-quiet">Every row of the file was taken.</p>']
    start = _within(first, len(file))
    counted_in = datasets.read_report(datasets.folder_of(version)).counted_in
    download = f'<a class="h-button h-slim" href="/api/datasets/{version.id}/rejected" download>Download all</a>'
    return [
        start,
        f'<div class="h-stack"><div class="h-line">{download}</div>'
        f"{rejected_table(file.read(start - 1, REJECTED_A_PAGE), counted_in)}</div>",
    ]


def _within(first: float | None, count: int) -> int:
    return min(max(1, int(first or 1)), max(1, count))


def _turn(version_id: int, which: str, first: float | None, *, by: int) -> list[Any]:
    page = REJECTED_A_PAGE if which == "Rejected" else ROWS_A_PAGE
    return _rows(version_id, which, int(first or 1) + by * page)


def _delete(version_id: int) -> tuple[str, str]:
    try:
        with writing() as session:
            version = datasets.get_version(session, version_id)
            datasets.delete_dataset(session, version.dataset_id)
    except HoneError as error:
        return error_block(error), ""
    return "", "/data"


PAGE = Page(title="Dataset", path="/dataset", build=build, under="/data", assets=("data.css",))
