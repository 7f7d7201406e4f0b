"""Playground: one prompt to one to six models, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from pipeline.errors import BadModel, HoneError
from store import conversations, jobs, models
from store.database import reading, writing
from store.schema import ACTIVE_STATES, Conversation, Job
from webapp.answering import TurnInProgress, turn_in_progress
from webapp.inference_client import ChatSettings, own_server
from webapp.people import current_person
from webapp.shell import (
    Page,
    empty_state,
    error_block,
    html,
    link_button,
    on_load,
    page_header,
    query_value,
)
from webapp.views_playground import answer_view, history_view, invitation, prompt_view, turn_view, unnamed_model

MAX_COLUMNS = 6
MAX_PROMPT_CHARACTERS = 200_000

Updates = dict[Any, Any]


class BusyConversation(HoneError):
    kind = "busy_conversation"


@dataclass(frozen=True)
class Column:
    """One model's column: its picker, what was said before, what is being said, and its Stop."""

    box: gr.Column
    model: gr.Dropdown
    earlier: gr.HTML
    latest: gr.HTML
    stop: gr.Button


@dataclass(frozen=True)
class SettingsPanel:
    system_prompt: gr.Textbox
    temperature: gr.Number
    top_p: gr.Number
    max_tokens: gr.Number
    seed: gr.Number
    stop: gr.Textbox

    @property
    def fields(self) -> list[Any]:
        return [self.system_prompt, self.temperature, self.top_p, self.max_tokens, self.seed, self.stop]


@dataclass(frozen=True)
class Parts:
    """Everything on the page that a handler may change."""

    notice: gr.HTML
    workspace: gr.Row
    num_columns: gr.Radio
    columns: list[Column]
    prompt: gr.Textbox
    send: gr.Button
    stop_all: gr.Button
    regenerate: gr.Button
    side: gr.Column
    settings: SettingsPanel
    history: gr.HTML
    conversation_id: gr.Textbox

    @property
    def all(self) -> list[Any]:
        alone = [self.notice, self.workspace, self.num_columns, self.prompt, self.send, self.stop_all]
        more = [self.regenerate, self.side, self.history, self.conversation_id, *self.settings.fields]
        in_columns = [part for one in self.columns for part in (one.box, one.model, one.earlier, one.latest, one.stop)]
        return [*alone, *more, *in_columns]


def build() -> None:
    html(page_header("Playground", actions=link_button("New conversation", "/playground", slim=True)))
    parts = _draw()
    _connect(parts)


# ---------------------------------------------------------------------------------------------------------- drawing


def _draw() -> Parts:
    notice = html(visible=False)
    with gr.Row(elem_classes="h-pg") as workspace:
        with gr.Column(elem_classes="h-pg-main", scale=1):
            with gr.Row(elem_classes="h-line h-apart"):
                num_columns = gr.Radio(
                    [str(number) for number in range(1, MAX_COLUMNS + 1)],
                    value="1",
                    label="Models side by side",
                    show_label=False,
                    container=False,
                    elem_classes="h-pg-count",
                )
                panel_button = gr.Button("Settings and history", size="sm", elem_classes="h-fit h-pg-toggle")
                html(link_button("Settings and history", "#h-pg-side", slim=True), elem_classes="h-pg-jump")
            with gr.Row(elem_classes="h-pg-columns"):
                columns = [_draw_column(number) for number in range(MAX_COLUMNS)]
            with gr.Row(elem_classes="h-pg-composer"):
                prompt = gr.Textbox(
                    placeholder="Ask something. Enter sends, Shift+Enter starts a new line.",
                    label="Prompt",
                    show_label=False,
                    container=False,
                    lines=1,
                    max_lines=12,
                    max_length=MAX_PROMPT_CHARACTERS,
                    autofocus=True,
                    scale=1,
                    elem_id="h-pg-prompt",
                )
                send = gr.Button(
                    "Send", variant="primary", interactive=False, elem_classes="h-fit", elem_id="h-pg-send"
                )
                stop_all = gr.Button("Stop all", variant="stop", visible=False, elem_classes="h-fit")
                regenerate = gr.Button("Regenerate", visible=False, elem_classes="h-fit")
        with gr.Column(elem_classes="h-pg-side", elem_id="h-pg-side", scale=0, min_width=272) as side:
            settings = _draw_settings()
            with gr.Column(elem_classes="h-card"):
                html('<h2 class="h-h2">Conversations</h2>')
                history = html()
    is_side_open = gr.State(value=True)
    panel_button.click(
        _toggle_side, inputs=[is_side_open], outputs=[is_side_open, side], queue=False, api_visibility="private"
    )
    conversation_id = gr.Textbox(visible="hidden", label="Conversation")
    return Parts(
        notice=notice,
        workspace=workspace,
        num_columns=num_columns,
        columns=columns,
        prompt=prompt,
        send=send,
        stop_all=stop_all,
        regenerate=regenerate,
        side=side,
        settings=settings,
        history=history,
        conversation_id=conversation_id,
    )


def _draw_column(number: int) -> Column:
    with gr.Column(visible=number == 0, elem_id=f"h-pg-column-{number}") as box:
        model = gr.Dropdown(label=f"Model {number + 1}", show_label=False, container=False, filterable=True)
        earlier = html()
        latest = html()
        stop = gr.Button("Stop", size="sm", visible=False, elem_classes="h-fit h-pg-stop")
    return Column(box, model, earlier, latest, stop)


def _draw_settings() -> SettingsPanel:
    defaults = ChatSettings()
    with gr.Column(elem_classes="h-card"):
        html('<h2 class="h-h2">Settings</h2>')
        system_prompt = gr.Textbox(
            label="System prompt", lines=3, max_lines=10, placeholder="How the models should behave"
        )
        with gr.Row(elem_classes="h-pg-pair"):
            temperature = gr.Number(
                defaults.temperature,
                label="Temperature",
                minimum=0,
                maximum=2,
                step=0.1,
                info="0 is exact, higher varies",
                min_width=100,
            )
            top_p = gr.Number(
                defaults.top_p,
                label="Top-p",
                minimum=0.05,
                maximum=1,
                step=0.05,
                info="1 draws from all tokens",
                min_width=100,
            )
        with gr.Row(elem_classes="h-pg-pair"):
            max_tokens = gr.Number(
                defaults.max_tokens,
                label="Maximum tokens",
                precision=0,
                minimum=1,
                info="Empty: no limit",
                min_width=100,
            )
            seed = gr.Number(label="Seed", precision=0, minimum=0, info="Empty: always new", min_width=100)
        stop = gr.Textbox(label="Stop strings", lines=1, max_lines=6, info="One a line; the answer ends before it.")
    return SettingsPanel(system_prompt, temperature, top_p, max_tokens, seed, stop)


# ---------------------------------------------------------------------------------------------------------- handlers


def _connect(parts: Parts) -> None:
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    pickers = [column.model for column in parts.columns]
    told = [parts.conversation_id, parts.num_columns, *pickers, *parts.settings.fields]

    async def opened(request: gr.Request) -> Updates:
        await _wait_until_idle(query_value(request, "c"))
        return await asyncio.to_thread(_opened, parts, request)

    def begun(request: gr.Request, prompt: str, *values: Any) -> Updates:
        return _begun(parts, prompt, values, request)

    def begun_again(*values: Any) -> Updates:
        return _begun_again(parts, values)

    async def written(conversation_id: str) -> AsyncIterator[Updates]:
        async for updates in _written(parts, conversation_id):
            yield updates

    on_load(opened, outputs=parts.all)
    parts.num_columns.change(
        lambda number: [gr.update(visible=place < int(number)) for place in range(MAX_COLUMNS)],
        inputs=[parts.num_columns],
        outputs=[column.box for column in parts.columns],
        **quick,
    )
    starts = [
        gr.on([parts.send.click, parts.prompt.submit], begun, inputs=[parts.prompt, *told], outputs=parts.all, **quick),
        parts.regenerate.click(begun_again, inputs=told, outputs=parts.all, **quick),
    ]
    for start in starts:
        start.success(None, inputs=[parts.conversation_id], js=_SHOW_ADDRESS, **quick).success(
            written,
            inputs=[parts.conversation_id],
            outputs=parts.all,
            show_progress="hidden",
            api_visibility="private",
            concurrency_limit=None,
        )
    parts.stop_all.click(lambda conversation_id: _stop(conversation_id, None), inputs=[parts.conversation_id], **quick)
    for number, column in enumerate(parts.columns):
        column.stop.click(_stopper(number), inputs=[parts.conversation_id], **quick)
    gr.on(
        [field.change for field in parts.settings.fields],
        _settings_changed,
        inputs=[parts.conversation_id, *parts.settings.fields],
        **quick,
    )


_WRITTEN_ELSEWHERE = (
    '<div class="h-note"><p>This conversation is being answered in another window. Load the page again to see the rest.'
    "</p></div>"
)
_SHOW_ADDRESS = """(id) => {
    if (id) history.replaceState(history.state, '', '/playground?c=' + id);
    document.querySelector('.h-pg-main')?.scrollIntoView({block: 'end', behavior: 'smooth'});
}"""


async def _wait_until_idle(conversation_id: str) -> None:
    """A reload in mid-answer arrives before the old connection is known to be closed: wait for that, not for long."""
    for _ in range(20):
        if turn_in_progress(conversation_id) is None:
            return
        await asyncio.sleep(0.1)


def _opened(parts: Parts, request: gr.Request) -> Updates:
    """What the page shows when a browser opens it: a saved conversation, or a new one with the models of the URL."""
    with reading() as session:
        choices = [(model.name, model.id) for model in models.list_models(session)]
        past = conversations.list_conversations(session)
        updates: Updates = {parts.history: history_view(past, query_value(request, "c"))}
        if not choices:
            training, _ = jobs.list_jobs(session, states=ACTIVE_STATES, recipe="pretrain", limit=1)
            return updates | {parts.notice: _noticed(_no_model_yet(training)), parts.workspace: _hidden()}
        try:
            wanted = query_value(request, "c")
            conversation = conversations.load_conversation(session, wanted) if wanted else None
        except HoneError as error:
            return updates | {parts.notice: _noticed(error_block(error)), parts.workspace: _hidden()}
        if conversation is not None:
            if turn_in_progress(conversation.id) is not None:
                updates[parts.notice] = _noticed(_WRITTEN_ELSEWHERE)
            return updates | _shown(parts, conversation, choices)
        settings = ChatSettings.model_validate(past[0].settings if past else {})
    model_ids = _models_of_address(query_value(request, "models"), choices)
    updates |= _settings_shown(parts, settings) | _empty_columns(parts, model_ids, choices)
    return updates | {parts.send: gr.update(interactive=True)}


def _begun(parts: Parts, prompt: str, values: Sequence[Any], request: gr.Request) -> Updates:
    """Keep the prompt, and show it in every column."""
    try:
        told = _read(values)
        if not prompt.strip():
            raise HoneError("The prompt is empty.", "Write something and send again.")
        with writing() as session:
            if told.conversation_id:
                _require_idle(told.conversation_id)
                conversations.update_settings(session, told.conversation_id, told.settings.model_dump(mode="json"))
                turn = conversations.append_turn(session, told.conversation_id, prompt=prompt, model_ids=told.model_ids)
                conversation_id = turn.conversation_id
            else:
                conversation_id = conversations.create_conversation(
                    session,
                    prompt=prompt,
                    model_ids=told.model_ids,
                    settings=told.settings.model_dump(mode="json"),
                    person_id=current_person(request).id,
                ).id
    except HoneError as error:
        return {parts.notice: _noticed(error_block(error))}
    return {parts.prompt: "", **_turn_begun(parts, conversation_id)}


def _begun_again(parts: Parts, values: Sequence[Any]) -> Updates:
    """Empty the answers to the last prompt, to be written anew."""
    try:
        told = _read(values)
        _require_idle(told.conversation_id)
        with writing() as session:
            conversations.update_settings(session, told.conversation_id, told.settings.model_dump(mode="json"))
            conversations.restart_last_turn(session, told.conversation_id, model_ids=told.model_ids)
    except HoneError as error:
        return {parts.notice: _noticed(error_block(error))}
    return _turn_begun(parts, told.conversation_id)


def _turn_begun(parts: Parts, conversation_id: str) -> Updates:
    with reading() as session:
        conversation = conversations.load_conversation(session, conversation_id)
        past = conversations.list_conversations(session)
        updates: Updates = {
            parts.notice: _noticed(""),
            parts.conversation_id: conversation_id,
            parts.history: history_view(past, conversation_id),
            **_buttons(parts, running=set(range(len(conversation.model_ids)))),
        }
        for number, model_id in enumerate(conversation.model_ids):
            updates |= _column_content(parts.columns[number], conversation, number, model_id)
    return updates


async def _written(parts: Parts, conversation_id: str) -> AsyncIterator[Updates]:
    """Stream every column's answer into its place."""
    turn = TurnInProgress(conversation_id, own_server())
    with reading() as session:
        prompt = conversations.load_conversation(session, conversation_id).turns[-1].prompt
    async for changed in turn.run():
        running = {answer.column for answer in turn.answers if answer.state == "streaming"}
        updates: Updates = _buttons(parts, running)
        for answer in changed:
            view = prompt_view(prompt) + answer_view(answer, is_live=True, is_loading=answer.is_loading)
            updates[parts.columns[answer.column].latest] = view
        yield updates


def _stop(conversation_id: str, column: int | None) -> None:
    turn = turn_in_progress(conversation_id)
    if turn is not None:
        turn.stop(column)


def _stopper(column: int) -> Any:
    def stop_column(conversation_id: str) -> None:
        _stop(conversation_id, column)

    return stop_column


def _settings_changed(conversation_id: str, *fields: Any) -> None:
    """Remember the settings of a conversation as they are changed."""
    if not conversation_id:
        return
    with writing() as session:
        conversations.update_settings(session, conversation_id, _read_settings(fields).model_dump(mode="json"))


def _toggle_side(is_open: bool) -> tuple[bool, Any]:
    return not is_open, gr.update(visible=not is_open)


# ------------------------------------------------------------------------------------------- between form and record


@dataclass(frozen=True)
class Told:
    """What the form says."""

    conversation_id: str
    model_ids: list[int]
    settings: ChatSettings


def _read(values: Sequence[Any]) -> Told:
    conversation_id, num_columns, *rest = values
    chosen = rest[: int(num_columns)]
    if any(model_id is None for model_id in chosen):
        raise BadModel("A column has no model.", "Choose a model in every column, or show fewer columns.")
    return Told(conversation_id or "", [int(one) for one in chosen], _read_settings(rest[MAX_COLUMNS:]))


def _read_settings(fields: Sequence[Any]) -> ChatSettings:
    system_prompt, temperature, top_p, max_tokens, seed, stop = fields
    defaults = ChatSettings()
    return ChatSettings(
        system_prompt=system_prompt or "",
        temperature=defaults.temperature if temperature is None else min(max(temperature, 0), 2),
        top_p=defaults.top_p if top_p is None else min(max(top_p, 0.01), 1),
        max_tokens=max(int(max_tokens), 1) if max_tokens else None,
        seed=None if seed is None else max(int(seed), 0),
        stop=tuple(line for line in (stop or "").splitlines() if line),
    )


def _require_idle(conversation_id: str) -> None:
    if turn_in_progress(conversation_id) is not None:
        raise BusyConversation(
            "The last prompt is still being answered.", "Wait until it is done, or press Stop all, then send again."
        )


def _models_of_address(wanted: str, choices: Sequence[tuple[str, int]]) -> list[int]:
    """The models of `?models=3,5` that there are; else the newest one alone."""
    known = {model_id for _, model_id in choices}
    named = [int(part) for part in wanted.split(",") if part.strip().isdecimal() and int(part) in known]
    return named[:MAX_COLUMNS] or [choices[-1][1]]


def _shown(parts: Parts, conversation: Conversation, choices: Sequence[tuple[str, int]]) -> Updates:
    known = {model_id for _, model_id in choices}
    updates = _settings_shown(parts, ChatSettings.model_validate(conversation.settings))
    updates |= _empty_columns(parts, [one if one in known else None for one in conversation.model_ids], choices)
    for number, model_id in enumerate(conversation.model_ids):
        updates |= _column_content(parts.columns[number], conversation, number, model_id)
    return updates | _buttons(parts, running=set()) | {parts.conversation_id: conversation.id}


def _column_content(column: Column, conversation: Conversation, number: int, model_id: int) -> Updates:
    is_live = turn_in_progress(conversation.id) is not None
    *earlier, last = [
        turn_view(turn, number, present_model_id=model_id, is_live=is_live and turn is conversation.turns[-1])
        for turn in conversation.turns
    ]
    return {column.earlier: "".join(earlier), column.latest: last}


def _empty_columns(parts: Parts, model_ids: Sequence[int | None], choices: Sequence[tuple[str, int]]) -> Updates:
    updates: Updates = {parts.num_columns: str(len(model_ids))}
    for number, column in enumerate(parts.columns):
        is_shown = number < len(model_ids)
        # A column that is not shown yet waits with the next model, so that showing it makes a comparison.
        model_id = model_ids[number] if is_shown else choices[-1 - number % len(choices)][1]
        updates[column.box] = gr.update(visible=is_shown)
        updates[column.model] = gr.update(choices=list(choices), value=model_id)
        updates[column.latest] = unnamed_model() if model_id is None else invitation(len(model_ids))
    return updates


def _settings_shown(parts: Parts, settings: ChatSettings) -> Updates:
    panel = parts.settings
    return {
        panel.system_prompt: settings.system_prompt,
        panel.temperature: settings.temperature,
        panel.top_p: settings.top_p,
        panel.max_tokens: settings.max_tokens,
        panel.seed: settings.seed,
        panel.stop: "\n".join(settings.stop),
    }


def _buttons(parts: Parts, running: set[int]) -> Updates:
    """Stop where something is being written; Send and Regenerate where nothing is."""
    updates: Updates = {
        column.stop: gr.update(visible=number in running) for number, column in enumerate(parts.columns)
    }
    return updates | {
        parts.send: gr.update(visible=not running, interactive=True),
        parts.stop_all: gr.update(visible=bool(running)),
        parts.regenerate: gr.update(visible=not running),
    }


def _hidden() -> Any:
    return gr.update(visible=False)


def _noticed(view: str) -> Any:
    return gr.update(value=view, visible=bool(view))


def _no_model_yet(training: Sequence[Job]) -> str:
    if not training:
        return empty_state(
            "There is no model to talk to yet: train one, or import one.", link_button("Models", "/models", "primary")
        )
    return empty_state(
        "The first base model is being trained; it will be here when it is ready, in a minute or two.",
        link_button("See how far it is", f"/job?id={training[0].id}", "primary"),
    )


PAGE = Page(title="Playground", path="/playground", build=build, in_nav=True, assets=("playground.css",))
