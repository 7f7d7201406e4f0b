"""Settings: servers elsewhere whose models can be used, keys to our own, and what this installation is set to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from pipeline.errors import HoneError
from store import api_keys, endpoints, models
from store.database import reading, writing
from store.endpoints import BadEndpoint
from store.schema import Endpoint
from store.secret import LostSecret
from store.settings import settings, shown_settings
from webapp.commands import command_box, read_command
from webapp.formatting import counted
from webapp.inference_client import ChatError, InferenceClient, client_of
from webapp.people import current_person
from webapp.shell import Page, error_block, html, on_load, page_header
from webapp.views_settings import endpoints_table, installation, keys_table, new_key, remark, usage

Updates = dict[Any, Any]


@dataclass(frozen=True)
class _Parts:
    """Everything on the page that a handler may change."""

    endpoints: gr.HTML
    notice: gr.HTML
    name: gr.Textbox
    address: gr.Textbox
    key: gr.Textbox
    chosen: gr.State
    choosing: gr.Column
    choosing_title: gr.HTML
    names: gr.Dropdown
    rekeying: gr.Column
    rekeying_title: gr.HTML
    other_key: gr.Textbox
    removing: gr.Column
    removing_title: gr.HTML
    keys: gr.HTML
    made_key: gr.HTML
    key_name: gr.Textbox
    revoking: gr.Column
    revoking_title: gr.HTML

    @property
    def all(self) -> list[Any]:
        return list(vars(self).values())


def build() -> None:
    html(page_header("Settings", "Models that answer from elsewhere, keys for your programs, and this installation."))
    with gr.Accordion("This installation", open=False, elem_classes="h-card"):
        facts = html()
    with gr.Column(elem_classes="h-card"):
        drawn = _draw_endpoints()
    with gr.Column(elem_classes="h-card"):
        drawn |= _draw_keys()
        how = html()
    parts = _Parts(**{name: drawn[name] for name in _Parts.__dataclass_fields__})
    on_load(_open, outputs=[facts, parts.endpoints, parts.keys, how])
    _connect(parts, drawn)


def _draw_endpoints() -> dict[str, Any]:
    html('<h2 class="h-h2">Endpoints</h2>')
    table = html(min_height=96)
    notice = html(visible=False)
    with gr.Column(visible=False, elem_id="h-settings-models") as choosing:
        choosing_title = html()
        with gr.Row(elem_classes="h-settings-form"):
            names = gr.Dropdown(
                label="Models to add",
                info="Choose from what the server lists, or type the name that it has for one.",
                multiselect=True,
                allow_custom_value=True,
                scale=3,
            )
            add_models = gr.Button("Add models", variant="primary", elem_classes="h-fit")
            close_models = gr.Button("Cancel", elem_classes="h-fit")
    with gr.Column(visible=False, elem_id="h-settings-rekey") as rekeying:
        rekeying_title = html()
        with gr.Row(elem_classes="h-settings-form"):
            other_key = _key_field("New key")
            save_key = gr.Button("Save key", variant="primary", elem_classes="h-fit")
            close_key = gr.Button("Cancel", elem_classes="h-fit")
    with gr.Column(visible=False, elem_id="h-settings-remove") as removing:
        removing_title = html()
        with gr.Row(elem_classes="h-settings-form"):
            remove = gr.Button("Remove endpoint", variant="stop", elem_classes="h-fit")
            close_remove = gr.Button("Keep it", elem_classes="h-fit")
    with gr.Row(elem_classes="h-settings-form", elem_id="h-settings-add"):
        name = gr.Textbox(label="Name", placeholder="OpenAI", max_length=200, max_lines=1)
        address = gr.Textbox(label="Address", placeholder="https://api.openai.com/v1", max_lines=1, scale=2)
        key = _key_field("Key")
        add = gr.Button("Add endpoint", elem_classes="h-fit")
    return {
        "endpoints": table,
        "notice": notice,
        "chosen": gr.State(None),
        "choosing": choosing,
        "choosing_title": choosing_title,
        "names": names,
        "add_models": add_models,
        "closing": [close_models, close_key, close_remove],
        "rekeying": rekeying,
        "rekeying_title": rekeying_title,
        "other_key": other_key,
        "save_key": save_key,
        "removing": removing,
        "removing_title": removing_title,
        "remove": remove,
        "name": name,
        "address": address,
        "key": key,
        "add": add,
    }


def _key_field(label: str) -> gr.Textbox:
    return gr.Textbox(
        label=label,
        type="password",
        placeholder="empty where it asks for none",
        max_lines=1,
        html_attributes=gr.InputHTMLAttributes(autocomplete="off"),
    )


def _draw_keys() -> dict[str, Any]:
    html('<h2 class="h-h2">API keys</h2>')
    table = html(min_height=96)
    made_key = html(visible=False)
    with gr.Column(visible=False, elem_id="h-settings-revoke") as revoking:
        revoking_title = html()
        with gr.Row(elem_classes="h-settings-form"):
            revoke = gr.Button("Revoke key", variant="stop", elem_classes="h-fit")
            close_revoke = gr.Button("Keep it", elem_classes="h-fit")
    with gr.Row(elem_classes="h-settings-form", elem_id="h-settings-key"):
        key_name = gr.Textbox(label="Name of the program", placeholder="evaluation script", max_lines=1, scale=3)
        create = gr.Button("Create key", elem_classes="h-fit")
    return {
        "keys": table,
        "made_key": made_key,
        "key_name": key_name,
        "create": create,
        "revoking": revoking,
        "revoking_title": revoking_title,
        "revoke": revoke,
        "close_revoke": close_revoke,
    }


def _connect(parts: _Parts, drawn: dict[str, Any]) -> None:
    command = command_box()
    options: dict[str, Any] = {"outputs": parts.all, "api_visibility": "private"}

    async def obeyed(told: str) -> Updates:
        return await _obey(parts, told)

    async def added(request: gr.Request, name: str, address: str, key: str) -> Updates:
        return await _add(parts, name, address, key, current_person(request).id)

    command.change(obeyed, inputs=[command], **options)
    gr.on(
        [drawn["add"].click, parts.key.submit, parts.address.submit],
        added,
        inputs=[parts.name, parts.address, parts.key],
        **options,
    )
    drawn["add_models"].click(
        lambda chosen, names: _add_models(parts, chosen, names), inputs=[parts.chosen, parts.names], **options
    )
    gr.on(
        [drawn["save_key"].click, parts.other_key.submit],
        lambda chosen, key: _change_key(parts, chosen, key),
        inputs=[parts.chosen, parts.other_key],
        **options,
    )
    drawn["remove"].click(lambda chosen: _remove(parts, chosen), inputs=[parts.chosen], **options)
    gr.on([button.click for button in [*drawn["closing"], drawn["close_revoke"]]], lambda: _closed(parts), **options)

    def created(request: gr.Request, name: str) -> Updates:
        return _create_key(parts, name, current_person(request).id)

    gr.on([drawn["create"].click, parts.key_name.submit], created, inputs=[parts.key_name], **options)
    drawn["revoke"].click(lambda chosen: _revoke(parts, chosen), inputs=[parts.chosen], **options)


# ------------------------------------------------------------------------------------------------------------- shown


def _open() -> list[str]:
    with reading() as session:
        own = models.list_own_models(session)
    address = settings().inference_url or "http://127.0.0.1:PORT"
    return [
        installation(shown_settings(settings())),
        _endpoints_shown(),
        _keys_shown(),
        usage(address, own[-1].name if own else "MODEL"),
    ]


def _endpoints_shown() -> str:
    with reading() as session:
        found = endpoints.list_endpoints(session)
        theirs = {one.id: endpoints.models_of(session, one.id) for one in found}
    return endpoints_table(found, theirs, {one.id: _key_state(one) for one in found})


def _key_state(endpoint: Endpoint) -> str:
    try:
        return "set" if endpoints.key_of(endpoint) else "none"
    except LostSecret:
        return "lost"


def _keys_shown() -> str:
    with reading() as session:
        return keys_table(api_keys.list_keys(session))


def _closed(parts: _Parts) -> Updates:
    """Every question that was open is closed, what was typed into it is forgotten."""
    boxes = (parts.choosing, parts.rekeying, parts.removing, parts.revoking)
    return {box: gr.update(visible=False) for box in boxes} | {
        parts.chosen: None,
        parts.other_key: "",
        parts.notice: gr.update(value="", visible=False),
        parts.made_key: gr.update(value="", visible=False),
    }


def _said(parts: _Parts, view: str) -> Updates:
    return {parts.notice: gr.update(value=view, visible=True)}


def _question(words: str) -> str:
    return f'<p class="h-strong" style="margin:0">{words}</p>'


# ----------------------------------------------------------------------------------------------------- what is done


async def _obey(parts: _Parts, told: str) -> Updates:
    """One of the buttons in the tables was pressed."""
    updates = _closed(parts)
    try:
        match read_command(told):
            case ["endpoint", wish, number] if number.isdecimal():
                with reading() as session:
                    endpoint = endpoints.get_endpoint(session, int(number))
                    num_models = len(endpoints.models_of(session, endpoint.id))
                return updates | await _asked(parts, endpoint, wish, num_models)
            case ["key", "revoke", number] if number.isdecimal():
                words = "Programs that use this key will be refused from their next request on."
                shown = {parts.revoking: gr.update(visible=True), parts.revoking_title: _question(words)}
                return updates | shown | {parts.chosen: int(number)}
    except HoneError as error:
        return updates | _said(parts, error_block(error)) | {parts.endpoints: _endpoints_shown()}
    return updates


async def _asked(parts: _Parts, endpoint: Endpoint, wish: str, num_models: int) -> Updates:
    if wish == "test":
        names = await _names_there(client_of(endpoint))
        return _said(parts, remark(f"{endpoint.name} answers, and lists {counted(len(names), 'model')}."))
    if wish == "models":
        return await _choosing(parts, endpoint)
    if wish == "key":
        title = _question_of("The key of", endpoint, "is replaced by:")
        return {parts.rekeying: gr.update(visible=True), parts.rekeying_title: title, parts.chosen: endpoint.id}
    words = f"and its {counted(num_models, 'model')} will leave the lists. Answers and votes keep whose they were."
    title = _question_of("", endpoint, words)
    return {parts.removing: gr.update(visible=True), parts.removing_title: title, parts.chosen: endpoint.id}


def _question_of(before: str, endpoint: Endpoint, after: str) -> str:
    return _question(f"{before} {escape(endpoint.name)} {after}".strip())


async def _choosing(parts: _Parts, endpoint: Endpoint) -> Updates:
    """The list of what a server offers, to choose from; empty where it lists nothing, with the reason beside it."""
    try:
        names, said = await _names_there(client_of(endpoint)), {}
    except HoneError as error:
        names, said = [], _said(parts, error_block(error))
    with reading() as session:
        known = {model.source for model in endpoints.models_of(session, endpoint.id)}
    left = [name for name in names if name not in known]
    return {
        parts.choosing: gr.update(visible=True),
        parts.choosing_title: _question_of("Which models of", endpoint, "do you want to use?"),
        parts.names: gr.update(choices=left, value=left if len(left) == 1 else []),
        parts.chosen: endpoint.id,
        **said,
    }


async def _names_there(client: InferenceClient) -> list[str]:
    """Raises:
    BadEndpoint: if the server could not be asked, with why.
    """
    listed = await client.list_models()
    if isinstance(listed, ChatError):
        raise BadEndpoint(listed.message, listed.advice)
    return sorted(one.name for one in listed)


async def _add(parts: _Parts, name: str, address: str, key: str, person_id: int) -> Updates:
    """Ask the server for its models before it is kept; one that lists none can be kept all the same."""
    updates = _closed(parts)
    try:
        trial = Endpoint(name=name.strip(), base_url=endpoints.clean_address(address))
        client = InferenceClient(trial.base_url, key=endpoints.clean_key(key), endpoint_name=trial.name or "there")
        listed = await client.list_models()
        await client.close()
        if isinstance(listed, ChatError) and listed.code not in ("404", "405", "not_openai"):
            raise BadEndpoint(listed.message, listed.advice)
        if isinstance(listed, ChatError) and "web page" in listed.message:
            raise BadEndpoint(listed.message, listed.advice)
        endpoint = await asyncio.to_thread(_keep, name, address, key, person_id)
    except HoneError as error:
        return updates | _said(parts, error_block(error))
    cleared = {parts.name: "", parts.address: "", parts.key: "", parts.endpoints: _endpoints_shown()}
    return updates | cleared | await _choosing(parts, endpoint)


def _keep(name: str, address: str, key: str, person_id: int) -> Endpoint:
    with writing() as session:
        return endpoints.add_endpoint(session, name=name, base_url=address, key=key, person_id=person_id)


def _add_models(parts: _Parts, endpoint_id: int, names: list[str]) -> Updates:
    try:
        with writing() as session:
            added = endpoints.add_models(session, endpoint_id, names or [])
    except HoneError as error:
        return _said(parts, error_block(error))
    words = f"{counted(len(added), 'model')} added: {', '.join(model.name for model in added)}."
    return _closed(parts) | _said(parts, remark(words)) | {parts.endpoints: _endpoints_shown(), parts.names: []}


def _change_key(parts: _Parts, endpoint_id: int, key: str) -> Updates:
    try:
        with writing() as session:
            endpoint = endpoints.change_key(session, endpoint_id, key)
    except HoneError as error:
        return _said(parts, error_block(error))
    words = f"The key of {endpoint.name} is {'replaced' if key.strip() else 'taken away'}."
    return _closed(parts) | _said(parts, remark(words)) | {parts.endpoints: _endpoints_shown()}


def _remove(parts: _Parts, endpoint_id: int) -> Updates:
    try:
        with writing() as session:
            name = endpoints.get_endpoint(session, endpoint_id).name
            endpoints.remove_endpoint(session, endpoint_id)
    except HoneError as error:
        return _closed(parts) | _said(parts, error_block(error)) | {parts.endpoints: _endpoints_shown()}
    return _closed(parts) | _said(parts, remark(f"{name} is removed.")) | {parts.endpoints: _endpoints_shown()}


def _create_key(parts: _Parts, name: str, person_id: int) -> Updates:
    try:
        with writing() as session:
            row, key = api_keys.create(session, name=name, person_id=person_id)
    except HoneError as error:
        return {parts.made_key: gr.update(value=error_block(error), visible=True)}
    shown = gr.update(value=new_key(row.name, key), visible=True)
    return _closed(parts) | {parts.made_key: shown, parts.key_name: "", parts.keys: _keys_shown()}


def _revoke(parts: _Parts, key_id: int) -> Updates:
    try:
        with writing() as session:
            name = api_keys.revoke(session, key_id).name
    except HoneError as error:
        return _closed(parts) | {parts.made_key: gr.update(value=error_block(error), visible=True)}
    view = remark(f"{name} opens nothing any more.")
    return _closed(parts) | {parts.made_key: gr.update(value=view, visible=True), parts.keys: _keys_shown()}


PAGE = Page(
    title="Settings",
    path="/settings",
    build=build,
    in_nav=True,
    assets=("commands.js", "copy.js", "settings.css"),
)
