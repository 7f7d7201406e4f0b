"""Dataset: one version of a set of rows: what it is, every row of it, what was rejected, and who uses it."""

from __future__ import annotations

from typing import Any

import gradio as gr

from pipeline.errors import HoneError
from store import datasets
from store.database import reading
from store.schema import DatasetVersion
from webapp.data.tabs import dataset_header
from webapp.data.views import dataset_facts, uses_view
from webapp.data.views_browser import browser_view, rejected_view
from webapp.shell import Page, error_block, html, link_button, on_load, page_header, query_id, query_value

REJECTED_A_PAGE = 50

_START = 'import("/ui/browse.js").then((script) => script.watch(element));'


def build() -> None:
    header = html(min_height=88)
    notice = html()
    with gr.Row(visible=False, elem_classes="h-job h-dataset") as body:
        with gr.Column(scale=3, min_width=320, elem_classes="h-card"):
            rows = gr.HTML("", apply_default_css=False, js_on_load=_START, min_height=640)
        with gr.Column(scale=1, min_width=320):
            side = html(min_height=320)
    on_load(_open, outputs=[header, notice, body, rows, side])


def _open(request: gr.Request) -> list[Any]:
    wanted = query_id(request) or 0
    try:
        with reading() as session:
            version = datasets.get_version(session, wanted)
            uses = datasets.used_by(session, wanted)
        report = datasets.read_report(datasets.folder_of(version))
        body = _rejected(version, request) if query_value(request, "show") == "rejected" else browser_view(version)
    except HoneError as error:
        back = f'<div class="h-line">{link_button("All data", "/data")}</div>'
        return [page_header("Dataset"), f'<div class="h-stack">{error_block(error)}{back}</div>', *[gr.skip()] * 3]
    side = (
        '<div class="h-stack"><section class="h-card"><h2 class="h-h2">Facts</h2>'
        f"{dataset_facts(version, report)}</section>"
        f'<section class="h-card"><h2 class="h-h2">Used by</h2>{uses_view(uses)}</section></div>'
    )
    is_known = query_value(request, "known") == "1"
    return [dataset_header(version, "/dataset"), _KNOWN if is_known else "", gr.Row(visible=True), body, side]


_KNOWN = (
    '<div class="h-note"><p>These rows were kept already: the same content is the same dataset, so nothing was added.'
    "</p></div>"
)


def _rejected(version: DatasetVersion, request: gr.Request) -> str:
    file = datasets.rejected_of(version)
    first = min(query_id(request, "first") or 1, max(1, len(file)))
    counted_in = datasets.read_report(datasets.folder_of(version)).counted_in
    return rejected_view(version, file.read(first - 1, REJECTED_A_PAGE), first, REJECTED_A_PAGE, counted_in)


PAGE = Page(title="Dataset", path="/dataset", build=build, under="/data", assets=("data.css", "browse.css", "rows.js"))
