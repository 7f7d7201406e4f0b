"""Models: the family tree, from each base to the latest."""

from __future__ import annotations

from typing import Any

import gradio as gr

from pipeline.errors import HoneError
from store import models
from store.database import reading, writing
from webapp.arena.standings import read_ratings
from webapp.formatting import counted
from webapp.jobs.start_points import no_model_yet
from webapp.shell import Page, error_block, html, on_load, page_header
from webapp.views_models import family_tree

_NONE = "No model yet. The first one comes from pre-training a small base, or is registered below."


def build() -> None:
    header = html(page_header("Models"), min_height=56)
    tree = html(min_height=200)
    with (
        gr.Accordion("Register a model that was made elsewhere", open=False, elem_classes="h-card"),
        gr.Row(elem_classes="h-register"),
    ):
        source = gr.Textbox(
            label="Folder or Hugging Face id",
            info="The full path of a folder with safetensors weights, or an id such as Qwen/Qwen3-0.6B.",
            scale=2,
        )
        name = gr.Textbox(label="Name", info="Left empty, it is called as its folder or id.")
        register = gr.Button("Register model", variant="secondary", elem_classes="h-fit")
    notice = html()
    on_load(_read, outputs=[header, tree])
    register.click(_register, inputs=[source, name], outputs=[notice, header, tree], api_visibility="private")


def _read() -> list[Any]:
    with reading() as session:
        found = models.list_models(session)
        drawn = family_tree(found, read_ratings(session)) if found else no_model_yet(session, _NONE)
    sub = f"{counted(len(found), 'model')}, each under the one it was made from." if found else ""
    return [page_header("Models", sub), drawn]


def _register(source: str, name: str) -> list[Any]:
    try:
        with writing() as session:
            model = models.register_external(session, source, name.strip() or None)
    except HoneError as error:
        return [error_block(error), gr.skip(), gr.skip()]
    words = f"{model.name} is registered."
    return [f'<div class="h-note"><p>{words} <a href="/model?id={model.id}">Open it</a></p></div>', *_read()]


PAGE = Page(title="Models", path="/models", build=build, in_nav=True)
