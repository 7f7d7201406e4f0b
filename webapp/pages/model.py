"""Model: what one model is, what made it, and what stands on it."""

from __future__ import annotations

from typing import Any

import gradio as gr
from sqlalchemy.orm import Session

from pipeline.errors import HoneError
from store import jobs, models
from store.database import reading, writing
from store.schema import Endpoint, Model
from webapp.arena.standings import read_ratings
from webapp.forms import to_yaml
from webapp.shell import Page, empty_state, error_block, html, link_button, on_load, query_id
from webapp.views_models import ancestry, deleted_note, files_table, lineage, model_facts, model_header

_GO_TO_MODELS = "(name) => { if (name) window.location.assign('/models'); }"


def build() -> None:
    model_id = gr.State(None)
    header = html(min_height=56)
    with gr.Row(visible=False) as record:
        with gr.Column(scale=3, min_width=320):
            made = html(min_height=240)
            with gr.Accordion("Spec as YAML", open=False, elem_classes="h-card"):
                spec = gr.Code(language="yaml", interactive=False, show_label=False, container=False)
            files = html()
        with gr.Column(scale=2, min_width=320):
            side = html(min_height=240)
            with gr.Accordion("Delete this model", open=False, elem_classes="h-card"):
                html('<p class="h-quiet">Its files leave the disk; the record stays for the lineage of others.</p>')
                typed = gr.Textbox(label="Type its name to confirm", max_lines=1)
                delete = gr.Button("Delete model", variant="stop", elem_classes="h-fit")
                notice = html()
    gone = gr.Textbox(visible=False)
    on_load(_open, outputs=[model_id, header, record, made, spec, files, side])
    delete.click(_delete, inputs=[model_id, typed], outputs=[notice, gone], api_visibility="private").then(
        None, inputs=gone, js=_GO_TO_MODELS, api_visibility="private"
    )


def _open(request: gr.Request) -> list[Any]:
    model_id = query_id(request)
    if model_id is None:
        return _nothing("")
    try:
        with reading() as session:
            return _read(session, models.load_model(session, model_id))
    except HoneError as error:
        return _nothing(error_block(error))


def _nothing(reason: str) -> list[Any]:
    every = empty_state(
        "Every model has its own address, such as /model?id=1.", link_button("See all models", "/models")
    )
    return [None, f'<div class="h-stack">{reason}{every}</div>', *[gr.skip()] * 5]


def _read(session: Session, model: Model) -> list[Any]:
    job = jobs.load_job(session, model.job_id) if model.job_id else None
    rating = read_ratings(session).get(model.id)
    chain = ancestry(models.ancestors_of(session, model))
    note = deleted_note(model.deleted_at) if model.deleted_at else ""
    endpoint = session.get(Endpoint, model.endpoint_id) if model.endpoint_id else None
    location = "" if endpoint else models.location_of(model)
    side = f'<div class="h-stack">{model_facts(model, rating, location, endpoint=endpoint)}{chain}</div>'
    return [
        model.id,
        model_header(model) + note,
        gr.Row(visible=True),
        f'<div class="h-stack">{lineage(model, job)}</div>',
        to_yaml(job.recipe, job.spec) if job else "# Hone did not make this model.",
        files_table(model.manifest.get("files") or {}),
        side,
    ]


def _delete(model_id: int, typed: str) -> list[str]:
    try:
        with writing() as session:
            model = models.get_model(session, model_id)
            if typed.strip() != model.name:
                return [f'<p class="h-fault">Type {model.name} to delete it.</p>', ""]
            models.delete_model(session, model_id)
    except HoneError as error:
        return [error_block(error), ""]
    return ["", typed]


PAGE = Page(title="Model", path="/model", build=build, under="/models")
