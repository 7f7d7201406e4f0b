"""Questions: boxes under a table that open when one of its buttons is pressed, ask once more, and close again."""

from __future__ import annotations

from typing import Any

import gradio as gr

from webapp.shell import html

Updates = dict[Any, Any]


def title(words: str) -> str:
    """What a box asks (`words` is HTML)."""
    return f'<p class="h-strong" style="margin:0">{words}</p>'


def said(notice: gr.HTML, view: str) -> Updates:
    return {notice: gr.update(value=view, visible=True)}


def unsaid(notice: gr.HTML) -> Updates:
    return {notice: gr.update(value="", visible=False)}


def shown(box: gr.Column, heading: gr.HTML, words: str) -> Updates:
    return {box: gr.update(visible=True), heading: title(words)}


class Removal:
    """The question whether something shall really go: its box, and the two buttons that answer it."""

    def __init__(self, words: str, *, elem_id: str) -> None:
        with gr.Column(visible=False, elem_id=elem_id) as box:
            self.heading = html()
            with gr.Row(elem_classes="h-settings-form"):
                self.go = gr.Button(words, variant="stop", elem_classes="h-fit")
                self.keep = gr.Button("Keep it", elem_classes="h-fit")
        self.box = box
