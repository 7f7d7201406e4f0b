"""Playground: one prompt to one to six models, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import gradio as gr

from pipeline.errors import HoneError
from store import conversations
from store.database import reading, writing
from store.schema import Conversation
from webapp import talkers
from webapp.answering import TurnInProgress, turn_in_progress
from webapp.inference_client import ChatSettings
from webapp.people import current_person
from webapp.playground_form import (
    MAX_COLUMNS,
    Parts,
    Updates,
    buttons,
    column_content,
    draw,
    empty_columns,
    hidden,
    noticed,
    read_form,
    read_settings,
    settings_shown,
)
from webapp.shell import (
    Page,
    error_block,
    html,
    link_button,
    on_load,
    page_header,
    query_value,
)
from webapp.start_points import no_model_yet
from webapp.views_playground import answer_view, history_view, prompt_view


class BusyConversation(HoneError):
    kind = "busy_conversation"


def build() -> None:
    html(page_header("Playground", actions=link_button("New conversation", "/playground", slim=True)))
    parts = draw()
    _connect(parts)


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
        choices = talkers.choices(session)
        past = conversations.list_conversations(session)
        updates: Updates = {parts.history: history_view(past, query_value(request, "c"))}
        if not choices:
            view = no_model_yet(session, "There is no model to talk to yet: train one, or import one.")
            return updates | {parts.notice: noticed(view), parts.workspace: hidden()}
        try:
            wanted = query_value(request, "c")
            conversation = conversations.load_conversation(session, wanted) if wanted else None
        except HoneError as error:
            return updates | {parts.notice: noticed(error_block(error)), parts.workspace: hidden()}
        if conversation is not None:
            if turn_in_progress(conversation.id) is not None:
                updates[parts.notice] = noticed(_WRITTEN_ELSEWHERE)
            return updates | _shown(parts, conversation, choices)
        settings = ChatSettings.model_validate(past[0].settings if past else {})
    model_ids = _models_of_address(query_value(request, "models"), choices)
    updates |= settings_shown(parts, settings) | empty_columns(parts, model_ids, choices)
    return updates | {parts.send: gr.update(interactive=True)}


def _begun(parts: Parts, prompt: str, values: Sequence[Any], request: gr.Request) -> Updates:
    """Keep the prompt, and show it in every column."""
    try:
        told = read_form(values)
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
        return {parts.notice: noticed(error_block(error))}
    return {parts.prompt: "", **_turn_begun(parts, conversation_id)}


def _begun_again(parts: Parts, values: Sequence[Any]) -> Updates:
    """Empty the answers to the last prompt, to be written anew."""
    try:
        told = read_form(values)
        _require_idle(told.conversation_id)
        with writing() as session:
            conversations.update_settings(session, told.conversation_id, told.settings.model_dump(mode="json"))
            conversations.restart_last_turn(session, told.conversation_id, model_ids=told.model_ids)
    except HoneError as error:
        return {parts.notice: noticed(error_block(error))}
    return _turn_begun(parts, told.conversation_id)


def _turn_begun(parts: Parts, conversation_id: str) -> Updates:
    with reading() as session:
        conversation = conversations.load_conversation(session, conversation_id)
        past = conversations.list_conversations(session)
        updates: Updates = {
            parts.notice: noticed(""),
            parts.conversation_id: conversation_id,
            parts.history: history_view(past, conversation_id),
            **buttons(parts, running=set(range(len(conversation.model_ids)))),
        }
        for number, model_id in enumerate(conversation.model_ids):
            updates |= column_content(parts.columns[number], conversation, number, model_id)
    return updates


async def _written(parts: Parts, conversation_id: str) -> AsyncIterator[Updates]:
    """Stream every column's answer into its place."""
    turn = TurnInProgress(conversation_id)
    with reading() as session:
        prompt = conversations.load_conversation(session, conversation_id).turns[-1].prompt
    async for changed in turn.run():
        running = {answer.column for answer in turn.answers if answer.state == "streaming"}
        updates: Updates = buttons(parts, running)
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
        conversations.update_settings(session, conversation_id, read_settings(fields).model_dump(mode="json"))


def _require_idle(conversation_id: str) -> None:
    if turn_in_progress(conversation_id) is not None:
        raise BusyConversation(
            "The last prompt is still being answered.", "Wait until it is done, or press Stop all, then send again."
        )


def _models_of_address(wanted: str, choices: Sequence[tuple[str, str]]) -> list[str]:
    """The models of `?models=3,5` that there are; else the newest one alone."""
    known = {value for _, value in choices}
    named = [part.strip() for part in wanted.split(",") if part.strip() in known]
    return named[:MAX_COLUMNS] or [choices[-1][1]]


def _shown(parts: Parts, conversation: Conversation, choices: Sequence[tuple[str, str]]) -> Updates:
    known = {value for _, value in choices}
    values = [str(model_id) if str(model_id) in known else None for model_id in conversation.model_ids]
    updates = settings_shown(parts, ChatSettings.model_validate(conversation.settings))
    updates |= empty_columns(parts, values, choices)
    for number, model_id in enumerate(conversation.model_ids):
        updates |= column_content(parts.columns[number], conversation, number, model_id)
    return updates | buttons(parts, running=set()) | {parts.conversation_id: conversation.id}


PAGE = Page(title="Playground", path="/playground", build=build, in_nav=True, assets=("playground.css",))
