"""Endpoints: their table, the form that adds one, and what is asked about one: its models, its key, whether to go."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from pipeline.errors import HoneError
from store import endpoints
from store.database import reading, writing
from store.endpoints import BadEndpoint
from store.schema import Endpoint
from store.secret import LostSecret
from webapp.commands import read_command
from webapp.formatting import counted
from webapp.inference_client import ChatError, InferenceClient, client_of
from webapp.people import current_person
from webapp.settings.questions import Removal, Updates, said, shown, unsaid
from webapp.settings.views import endpoints_table, remark
from webapp.shell import error_block, html

_LISTS_NONE = ("404", "405", "not_openai")
"""What a server answers that has no list of models, and may speak the rest of OpenAI's protocol all the same."""


@dataclass(frozen=True)
class ChoosingModels:
    """The box in which models of an endpoint are chosen."""

    box: gr.Column
    heading: gr.HTML
    names: gr.Dropdown
    add: gr.Button
    close: gr.Button


@dataclass(frozen=True)
class ReplacingKey:
    """The box in which an endpoint gets another key."""

    box: gr.Column
    heading: gr.HTML
    key: gr.Textbox
    save: gr.Button
    close: gr.Button


@dataclass(frozen=True)
class EndpointsForm:
    table: gr.HTML
    notice: gr.HTML
    choosing: ChoosingModels
    rekeying: ReplacingKey
    removing: Removal
    name: gr.Textbox
    address: gr.Textbox
    key: gr.Textbox
    add: gr.Button
    chosen: gr.State
    """The id of the endpoint that the open question is about."""

    @property
    def changing(self) -> list[Any]:
        """What a handler may change."""
        boxes = (self.choosing, self.rekeying, self.removing)
        asked = [part for each in boxes for part in (each.box, each.heading)]
        typed = [self.choosing.names, self.rekeying.key, self.name, self.address, self.key]
        return [self.table, self.notice, *asked, *typed, self.chosen]


def draw() -> EndpointsForm:
    html('<h2 class="h-h2">Endpoints</h2>')
    table = html(min_height=96)
    notice = html(visible=False)
    choosing = _draw_choosing()
    rekeying = _draw_rekeying()
    removing = Removal("Remove endpoint", elem_id="h-settings-remove")
    with gr.Row(elem_classes="h-settings-form", elem_id="h-settings-add"):
        name = gr.Textbox(label="Name", placeholder="OpenAI", max_length=200, max_lines=1)
        address = gr.Textbox(label="Address", placeholder="https://api.openai.com/v1", max_lines=1, scale=2)
        key = _key_field("Key")
        add = gr.Button("Add endpoint", elem_classes="h-fit")
    return EndpointsForm(table, notice, choosing, rekeying, removing, name, address, key, add, gr.State(None))


def _draw_choosing() -> ChoosingModels:
    with gr.Column(visible=False, elem_id="h-settings-models") as box:
        heading = html()
        with gr.Row(elem_classes="h-settings-form"):
            names = gr.Dropdown(
                label="Models to add",
                info="Choose from what the server lists, or type the name that it has for one.",
                multiselect=True,
                allow_custom_value=True,
                scale=3,
            )
            add = gr.Button("Add models", variant="primary", elem_classes="h-fit")
            close = gr.Button("Cancel", elem_classes="h-fit")
    return ChoosingModels(box, heading, names, add, close)


def _draw_rekeying() -> ReplacingKey:
    with gr.Column(visible=False, elem_id="h-settings-rekey") as box:
        heading = html()
        with gr.Row(elem_classes="h-settings-form"):
            key = _key_field("New key")
            save = gr.Button("Save key", variant="primary", elem_classes="h-fit")
            close = gr.Button("Cancel", elem_classes="h-fit")
    return ReplacingKey(box, heading, key, save, close)


def _key_field(label: str) -> gr.Textbox:
    return gr.Textbox(
        label=label,
        type="password",
        placeholder="empty where it asks for none",
        max_lines=1,
        html_attributes=gr.InputHTMLAttributes(autocomplete="off"),
    )


def connect(form: EndpointsForm, command: gr.Textbox) -> None:
    options: dict[str, Any] = {"outputs": form.changing, "api_visibility": "private"}

    async def asked(told: str) -> Updates:
        return await _asked(form, told)

    async def added(request: gr.Request, name: str, address: str, key: str) -> Updates:
        return await _add(form, name, address, key, current_person(request).id)

    command.change(asked, inputs=[command], **options)
    gr.on(
        [form.add.click, form.key.submit, form.address.submit],
        added,
        inputs=[form.name, form.address, form.key],
        **options,
    )
    form.choosing.add.click(
        lambda chosen, names: _add_models(form, chosen, names), inputs=[form.chosen, form.choosing.names], **options
    )
    gr.on(
        [form.rekeying.save.click, form.rekeying.key.submit],
        lambda chosen, key: _change_key(form, chosen, key),
        inputs=[form.chosen, form.rekeying.key],
        **options,
    )
    form.removing.go.click(lambda chosen: _remove(form, chosen), inputs=[form.chosen], **options)
    closing = (form.choosing.close, form.rekeying.close, form.removing.keep)
    gr.on([button.click for button in closing], lambda: _closed(form), **options)


# ------------------------------------------------------------------------------------------------------------- shown


def endpoints_shown() -> str:
    with reading() as session:
        found = endpoints.list_endpoints(session)
        theirs = {one.id: endpoints.models_of(session, one.id) for one in found}
    return endpoints_table(found, theirs, {one.id: _key_state(one) for one in found})


def _key_state(endpoint: Endpoint) -> str:
    try:
        return "set" if endpoints.key_of(endpoint) else "none"
    except LostSecret:
        return "lost"


def _closed(form: EndpointsForm) -> Updates:
    """Every question that was open is closed, what was typed into it is forgotten."""
    boxes = (form.choosing.box, form.rekeying.box, form.removing.box)
    closed = {box: gr.update(visible=False) for box in boxes}
    return closed | {form.chosen: None, form.rekeying.key: ""} | unsaid(form.notice)


# ------------------------------------------------------------------------------------------------------------- asked


async def _asked(form: EndpointsForm, told: str) -> Updates:
    """A button in one of the page's tables was pressed; the question that was open closes, whichever it was."""
    match read_command(told):
        case ["endpoint", wish, number] if number.isdecimal():
            try:
                return _closed(form) | await _question(form, wish, int(number))
            except HoneError as error:
                return _closed(form) | said(form.notice, error_block(error)) | {form.table: endpoints_shown()}
    return _closed(form)


async def _question(form: EndpointsForm, wish: str, endpoint_id: int) -> Updates:
    with reading() as session:
        endpoint = endpoints.get_endpoint(session, endpoint_id)
        num_models = len(endpoints.models_of(session, endpoint_id))
    name = escape(endpoint.name)
    match wish:
        case "test":
            names = await _names_there(client_of(endpoint))
            return said(form.notice, remark(f"{endpoint.name} answers, and lists {counted(len(names), 'model')}."))
        case "models":
            return await _choosing(form, endpoint)
        case "key":
            asked = shown(form.rekeying.box, form.rekeying.heading, f"The key of {name} is replaced by:")
        case _:
            what_goes = f"{name} and its {counted(num_models, 'model')} will leave the lists."
            words = f"{what_goes} Answers and votes keep whose they were."
            asked = shown(form.removing.box, form.removing.heading, words)
    return asked | {form.chosen: endpoint_id}


async def _choosing(form: EndpointsForm, endpoint: Endpoint) -> Updates:
    """The list of what a server offers, to choose from; empty where it lists nothing, with the reason beside it."""
    try:
        names, remarks = await _names_there(client_of(endpoint)), {}
    except HoneError as error:
        names, remarks = [], said(form.notice, error_block(error))
    with reading() as session:
        known = {model.source for model in endpoints.models_of(session, endpoint.id)}
    left = [name for name in names if name not in known]
    words = f"Which models of {escape(endpoint.name)} do you want to use?"
    return (
        shown(form.choosing.box, form.choosing.heading, words)
        | {form.choosing.names: gr.update(choices=left, value=left if len(left) == 1 else [])}
        | {form.chosen: endpoint.id}
        | remarks
    )


async def _names_there(client: InferenceClient) -> list[str]:
    """Raises:
    BadEndpoint: if the server could not be asked, with why.
    """
    listed = await client.list_models()
    if isinstance(listed, ChatError):
        raise BadEndpoint(listed.message, listed.advice)
    return sorted(one.name for one in listed)


# -------------------------------------------------------------------------------------------------------------- done


async def _add(form: EndpointsForm, name: str, address: str, key: str, person_id: int) -> Updates:
    """Ask the server for its models before it is kept; one that lists none can be kept all the same."""
    try:
        trial = Endpoint(name=name.strip(), base_url=endpoints.clean_address(address))
        client = InferenceClient(trial.base_url, key=endpoints.clean_key(key), endpoint_name=trial.name or "there")
        listed = await client.list_models()
        await client.close()
        if isinstance(listed, ChatError) and listed.code not in _LISTS_NONE:
            raise BadEndpoint(listed.message, listed.advice)
        endpoint = await asyncio.to_thread(_keep, name, address, key, person_id)
    except HoneError as error:
        return _closed(form) | said(form.notice, error_block(error))
    cleared = {form.name: "", form.address: "", form.key: "", form.table: endpoints_shown()}
    return _closed(form) | cleared | await _choosing(form, endpoint)


def _keep(name: str, address: str, key: str, person_id: int) -> Endpoint:
    with writing() as session:
        return endpoints.add_endpoint(session, name=name, base_url=address, key=key, person_id=person_id)


def _add_models(form: EndpointsForm, endpoint_id: int, names: list[str]) -> Updates:
    try:
        with writing() as session:
            added = endpoints.add_models(session, endpoint_id, names or [])
    except HoneError as error:
        return said(form.notice, error_block(error))
    words = f"{counted(len(added), 'model')} added: {', '.join(model.name for model in added)}."
    return _done(form, words) | {form.choosing.names: []}


def _change_key(form: EndpointsForm, endpoint_id: int, key: str) -> Updates:
    try:
        with writing() as session:
            endpoint = endpoints.change_key(session, endpoint_id, key)
    except HoneError as error:
        return said(form.notice, error_block(error))
    return _done(form, f"The key of {endpoint.name} is {'replaced' if key.strip() else 'taken away'}.")


def _remove(form: EndpointsForm, endpoint_id: int) -> Updates:
    try:
        with writing() as session:
            name = endpoints.get_endpoint(session, endpoint_id).name
            endpoints.remove_endpoint(session, endpoint_id)
    except HoneError as error:
        return _closed(form) | said(form.notice, error_block(error)) | {form.table: endpoints_shown()}
    return _done(form, f"{name} is removed.")


def _done(form: EndpointsForm, words: str) -> Updates:
    return _closed(form) | said(form.notice, remark(words)) | {form.table: endpoints_shown()}
