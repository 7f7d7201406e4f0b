"""Playground: one prompt to one to six models, side by side."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import gradio as gr
from sqlalchemy.orm import Session

from pipeline.errors import HoneError
from store import conversations, models
from store.database import reading, writing
from store.schema import Conversation, Turn
from webapp.answering import AnswerInProgress, TurnInProgress, require_idle, turn_in_progress
from webapp.inference_client import own_server
from webapp.people import current_person
from webapp.playground_form import (
    MAX_COLUMNS,
    Parts,
    buttons,
    column_content,
    draw,
    empty_columns,
    hidden,
    notes,
    noticed,
    read_form,
    waiting_columns,
)
from webapp.playground_presets import connect_side
from webapp.playground_settings import PlaygroundSettings
from webapp.playground_side import Updates, presets_shown, read_settings, settings_shown
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
from webapp.views_playground import answer_view, history_view, place_of, prompt_view, tools_view


def build() -> None:
    html(page_header("Playground", actions=link_button("New conversation", "/playground", slim=True)))
    parts = draw()
    _connect(parts)


def _connect(parts: Parts) -> None:
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    pickers = [column.model for column in parts.columns]
    told = [parts.conversation_id, parts.num_columns, *pickers, *parts.side.settings.fields]

    async def opened(request: gr.Request) -> Updates:
        await _wait_until_idle(query_value(request, "c"))
        return await asyncio.to_thread(_opened, parts, request)

    def begun(request: gr.Request, prompt: str, *values: Any) -> Updates:
        return _begun(parts, prompt, values, request)

    def begun_again(*values: Any) -> Updates:
        return _begun_again(parts, values)

    def rewritten(act: str, *values: Any) -> Updates:
        return _rewritten(parts, act, values)

    async def written(conversation_id: str) -> AsyncIterator[Updates]:
        async for updates in _written(parts, conversation_id):
            yield updates

    parts.num_columns.change(
        lambda number: [gr.update(visible=place < int(number)) for place in range(MAX_COLUMNS)],
        inputs=[parts.num_columns],
        outputs=[column.box for column in parts.columns],
        **quick,
    )
    starts = [
        on_load(opened, outputs=parts.all),
        gr.on([parts.send.click, parts.prompt.submit], begun, inputs=[parts.prompt, *told], outputs=parts.all, **quick),
        parts.regenerate.click(begun_again, inputs=told, outputs=parts.all, **quick),
        parts.rewrite.click(rewritten, inputs=[parts.prompt, *told], outputs=parts.all, js=_WITH_ACT, **quick),
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
        [field.change for field in parts.side.settings.fields],
        _settings_changed,
        inputs=[parts.conversation_id, *parts.side.settings.fields],
        **quick,
    )
    connect_side(parts)


_SHOW_ADDRESS = "(id) => window.honePlayground.begun(id)"
_WITH_ACT = "(_, ...told) => [window.honePlayground.takeAct(), ...told]"
"""The rewriting button is told what it is to do in the place of the prompt, which it does not need."""


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
        updates: Updates = {parts.side.history: history_view(past, query_value(request, "c"))}
        updates |= presets_shown(parts.side, session)
        if not choices:
            view = no_model_yet(session, "There is no model to talk to yet: train one, or import one.")
            return updates | {parts.notice: noticed(view), parts.workspace: hidden()}
        try:
            wanted = query_value(request, "c")
            conversation = conversations.load_conversation(session, wanted) if wanted else None
        except HoneError as error:
            return updates | {parts.notice: noticed(error_block(error)), parts.workspace: hidden()}
        if conversation is not None:
            return updates | _shown(parts, conversation, choices, session)
        settings = PlaygroundSettings.model_validate(past[0].settings if past else {})
        updates |= settings_shown(parts.side, settings, session) | notes(parts, settings.examples)
    model_ids = _models_of_address(query_value(request, "models"), choices)
    return updates | empty_columns(parts, model_ids, choices) | {parts.send: gr.update(interactive=True)}


def _begun(parts: Parts, prompt: str, values: Sequence[Any], request: gr.Request) -> Updates:
    """Keep the prompt, and show it in every column."""
    try:
        told = read_form(values)
        if not prompt.strip():
            raise HoneError("The prompt is empty.", "Write something and send again.")
        if told.conversation_id:
            require_idle(told.conversation_id)
        with writing() as session:
            _require_models(session, told.model_ids)
            if told.conversation_id:
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
        require_idle(told.conversation_id)
        with writing() as session:
            _require_models(session, told.model_ids)
            conversations.update_settings(session, told.conversation_id, told.settings.model_dump(mode="json"))
            conversations.restart_last_turn(session, told.conversation_id, model_ids=told.model_ids)
    except HoneError as error:
        return {parts.notice: noticed(error_block(error))}
    return _turn_begun(parts, told.conversation_id)


def _rewritten(parts: Parts, act: str, values: Sequence[Any]) -> Updates:
    """Empty one column's answer to the last prompt, or only let it wait, so that it is written anew or carried on."""
    try:
        asked = json.loads(act)
        column, turn = int(asked["column"]), int(asked["turn"])
        told = read_form(values)
        require_idle(told.conversation_id)
        with writing() as session:
            conversations.update_settings(session, told.conversation_id, told.settings.model_dump(mode="json"))
            conversation = conversations.load_conversation(session, told.conversation_id)
            answer = conversations.find_answer(conversation, turn=turn, column=column)
            carried = {"text": answer.text, "stats": answer.stats} if asked["act"] == "continue" else {}
            if asked["act"] == "regenerate" and column < len(told.model_ids):
                answer.model_id = told.model_ids[column]
                conversation.model_ids = [
                    *conversation.model_ids[:column],
                    answer.model_id,
                    *conversation.model_ids[column + 1 :],
                ]
            conversations.restart_answer(session, told.conversation_id, turn=turn, column=column, **carried)
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
            parts.side.history: history_view(past, conversation_id),
            parts.tools: _tools(session, conversation),
            **notes(parts, PlaygroundSettings.model_validate(conversation.settings).examples),
            **buttons(parts, running=waiting_columns(conversation)),
        }
        for number, model_id in enumerate(conversation.model_ids):
            updates |= column_content(parts.columns[number], conversation, number, model_id)
    return updates


async def _written(parts: Parts, conversation_id: str) -> AsyncIterator[Updates]:
    """Stream the answers that wait to be written into their places, or those that another window is having written."""
    if not conversation_id:
        return
    with reading() as session:
        conversation = conversations.load_conversation(session, conversation_id)
    turn = turn_in_progress(conversation_id)
    if turn is None and not waiting_columns(conversation):
        return
    if turn is not None:
        views = turn.follow()
    else:
        turn = TurnInProgress(conversation_id, own_server())
        views = turn.run()
    async for changed in views:
        running = {answer.column for answer in turn.answers if answer.state == "streaming"}
        updates: Updates = buttons(parts, running)
        for answer in changed:
            updates[parts.columns[answer.column].latest] = _live_view(
                conversation.turns[-1], answer, is_live=bool(running)
            )
        yield updates


def _live_view(turn: Turn, answer: AnswerInProgress, *, is_live: bool) -> str:
    stored = next(one for one in turn.answers if one.column == answer.column)
    asked = prompt_view(turn.prompt, number=turn.number, can_edit=not is_live)
    place = place_of(stored, turn.number)
    return asked + answer_view(answer, is_live=True, is_loading=answer.is_loading, place=place)


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
    try:
        settings = read_settings(fields).model_dump(mode="json")
        with writing() as session:
            conversations.update_settings(session, conversation_id, settings)
    except HoneError:
        return  # a half-typed example or a conversation deleted elsewhere: sending says so


def _require_models(session: Session, model_ids: Sequence[int]) -> None:
    """Raises:
    BadModel: if somebody has deleted one meanwhile.
    """
    for model_id in model_ids:
        models.get_model(session, model_id)


def _tools(session: Session, conversation: Conversation) -> str:
    origin = conversations.find_conversation(session, conversation.branched_from_id or "")
    return tools_view(conversation, conversations.branches_of(session, conversation.id), origin)


def _models_of_address(wanted: str, choices: Sequence[tuple[str, int]]) -> list[int]:
    """The models of `?models=3,5` that there are; else the newest one alone."""
    known = {model_id for _, model_id in choices}
    named = [int(part) for part in wanted.split(",") if part.strip().isdecimal() and int(part) in known]
    return named[:MAX_COLUMNS] or [choices[-1][1]]


def _shown(parts: Parts, conversation: Conversation, choices: Sequence[tuple[str, int]], session: Session) -> Updates:
    known = {model_id for _, model_id in choices}
    settings = PlaygroundSettings.model_validate(conversation.settings)
    updates = settings_shown(parts.side, settings, session) | notes(parts, settings.examples)
    updates |= empty_columns(parts, [one if one in known else None for one in conversation.model_ids], choices)
    for number, model_id in enumerate(conversation.model_ids):
        updates |= column_content(parts.columns[number], conversation, number, model_id)
    updates |= {parts.conversation_id: conversation.id, parts.tools: _tools(session, conversation)}
    return updates | buttons(parts, running=waiting_columns(conversation))


PAGE = Page(
    title="Playground", path="/playground", build=build, in_nav=True, assets=("playground.css", "playground.js")
)
