"""The form that fetches a dataset of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr

from pipeline.errors import HoneError
from webapp.data.hub_uploads import fetch
from webapp.shell import FOLLOW, error_block, html

_WORDS = (
    '<p class="h-quiet h-small">Only Parquet, JSON and CSV files are fetched, at one commit; a script in it is '
    "never run.</p>"
)


def hub_form(address: gr.Textbox) -> None:
    """Draw it; what it fetches becomes an upload, whose address it writes into `address` and follows."""
    with gr.Row(elem_classes="h-keep"):
        hub_id = gr.Textbox(label="Dataset", placeholder="owner/name", max_lines=1, min_width=220)
        config = gr.Textbox(label="Configuration", placeholder="default", max_lines=1, min_width=140)
        split = gr.Textbox(label="Split", placeholder="train", max_lines=1, min_width=140)
        revision = gr.Textbox(label="Revision", placeholder="main", max_lines=1, min_width=140)
        get = gr.Button("Fetch", variant="primary", elem_classes="h-fit")
    html(_WORDS)
    fetched = html(min_height=24)
    for trigger in (get.click, hub_id.submit):
        trigger(
            _fetch,
            inputs=[hub_id, config, split, revision],
            outputs=[fetched, address],
            show_progress="hidden",
            concurrency_limit=4,
            api_visibility="private",
        ).then(None, inputs=address, js=FOLLOW, api_visibility="private")


def _fetch(dataset: str, config: str, split: str, revision: str) -> Iterator[tuple[str, Any]]:
    try:
        for step in fetch(dataset, config=config, split=split, revision=revision):
            if isinstance(step, str):
                yield f'<p class="h-quiet" role="status">{escape(step)}</p>', gr.skip()
            else:
                yield "", f"/data?upload={step.id}"
    except HoneError as error:
        yield error_block(error), gr.skip()
