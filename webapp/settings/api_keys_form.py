"""API keys: their table, the form that creates one, and the question before one is revoked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from pipeline.errors import HoneError
from store import api_keys
from store.database import reading, writing
from webapp.commands import read_command
from webapp.people import current_person
from webapp.settings.questions import Removal, Updates, said, shown, unsaid
from webapp.settings.views import keys_table, new_key, remark
from webapp.shell import error_block, html


@dataclass(frozen=True)
class ApiKeysForm:
    table: gr.HTML
    notice: gr.HTML
    revoking: Removal
    name: gr.Textbox
    create: gr.Button
    chosen: gr.State
    """The id of the key that the open question is about."""

    @property
    def changing(self) -> list[Any]:
        """What a handler may change."""
        return [self.table, self.notice, self.revoking.box, self.revoking.heading, self.name, self.chosen]


def draw() -> ApiKeysForm:
    html('<h2 class="h-h2">API keys</h2>')
    table = html(min_height=96)
    notice = html(visible=False)
    revoking = Removal("Revoke key", elem_id="h-settings-revoke")
    with gr.Row(elem_classes="h-settings-form", elem_id="h-settings-key"):
        name = gr.Textbox(label="Name of the program", placeholder="evaluation script", max_lines=1, scale=3)
        create = gr.Button("Create key", elem_classes="h-fit")
    return ApiKeysForm(table, notice, revoking, name, create, gr.State(None))


def connect(form: ApiKeysForm, command: gr.Textbox) -> None:
    options: dict[str, Any] = {"outputs": form.changing, "api_visibility": "private"}

    def created(request: gr.Request, name: str) -> Updates:
        return _create(form, name, current_person(request).id)

    command.change(lambda told: _asked(form, told), inputs=[command], **options)
    gr.on([form.create.click, form.name.submit], created, inputs=[form.name], **options)
    form.revoking.go.click(lambda chosen: _revoke(form, chosen), inputs=[form.chosen], **options)
    form.revoking.keep.click(lambda: _closed(form), **options)


def keys_shown() -> str:
    with reading() as session:
        return keys_table(api_keys.list_keys(session))


def _closed(form: ApiKeysForm) -> Updates:
    return {form.revoking.box: gr.update(visible=False), form.chosen: None} | unsaid(form.notice)


def _asked(form: ApiKeysForm, told: str) -> Updates:
    """A button in one of the page's tables was pressed; the question that was open closes, whichever it was."""
    match read_command(told):
        case ["key", "revoke", number] if number.isdecimal():
            words = "Programs that use this key will be refused from their next request on."
            question = shown(form.revoking.box, form.revoking.heading, words)
            return _closed(form) | question | {form.chosen: int(number)}
    return _closed(form)


def _create(form: ApiKeysForm, name: str, person_id: int) -> Updates:
    try:
        with writing() as session:
            row, key = api_keys.create(session, name=name, person_id=person_id)
    except HoneError as error:
        return said(form.notice, error_block(error))
    return _closed(form) | said(form.notice, new_key(row.name, key)) | {form.name: "", form.table: keys_shown()}


def _revoke(form: ApiKeysForm, key_id: int) -> Updates:
    try:
        with writing() as session:
            name = api_keys.revoke(session, key_id).name
    except HoneError as error:
        return _closed(form) | said(form.notice, error_block(error))
    return _closed(form) | said(form.notice, remark(f"{name} opens nothing any more.")) | {form.table: keys_shown()}
