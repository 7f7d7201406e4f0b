"""Playground: one prompt to one to six models, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import gradio as gr
from sqlalchemy.orm import Session

from pipeline.errors import HoneError
from store import conversations
from store.database import reading
from store.schema import Conversation, Turn
from webapp import talkers
from webapp.jobs.start_points import no_model_yet
from webapp.playground import asking
from webapp.playground.answering import AnswerInProgress, TurnInProgress, turn_in_progress
from webapp.playground.form import (
    MAX_COLUMNS,
    Parts,
    buttons,
    draw,
    empty_columns,
    hidden,
    notes,
    noticed,
    waiting_columns,
)
from webapp.playground.presets import connect_side
from webapp.playground.sampling_form import PlaygroundSettings
from webapp.playground.side import Updates, presets_shown, settings_shown
from webapp.playground.views import answer_view, history_view, place_of, prompt_view
from webapp.shell import (
    Page,
    error_block,
    html,
    link_button,
    on_load,
    page_header,
    query_value,
)


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
        return asking.begun(parts, prompt, values, request)

    def begun_again(*values: Any) -> Updates:
        return asking.begun_again(parts, values)

    def rewritten(act: str, *values: Any) -> Updates:
        return asking.rewritten(parts, act, values)

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
        asking.settings_changed,
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
        choices = talkers.choices(session)
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
        settings = PlaygroundSettings.model_validate(past[0].settings if past else {}).for_a_new_conversation()
        updates |= settings_shown(parts.side, settings, session) | notes(parts, settings.examples)
    model_ids = _models_of_address(query_value(request, "models"), choices)
    return updates | empty_columns(parts, model_ids, choices) | {parts.send: gr.update(interactive=True)}


async def _written(parts: Parts, conversation_id: str) -> AsyncIterator[Updates]:
    """Stream the answers that wait to be written into their places, or those that another window is having written."""
    yield {parts.notice: gr.skip()}  # of one that yields nothing, Gradio would empty the whole page
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
        turn = TurnInProgress(conversation_id)
        views = turn.run()
    async for changed in views:
        running = {answer.column for answer in turn.answers if answer.state == "streaming"}
        updates: Updates = buttons(parts, running)
        for answer in changed:
            updates[parts.columns[answer.column].latest] = _live_view(conversation.turns[-1], answer)
        yield updates
    with reading() as session:
        conversation = conversations.load_conversation(session, conversation_id)
    yield buttons(parts, set()) | asking.columns_shown(parts, conversation)


def _live_view(turn: Turn, answer: AnswerInProgress) -> str:
    stored = next(one for one in turn.answers if one.column == answer.column)
    place = place_of(stored, turn.number)
    shown = answer_view(answer, is_live=True, share_loaded=answer.share_loaded, place=place)
    return prompt_view(turn.prompt, number=turn.number) + shown


def _stop(conversation_id: str, column: int | None) -> None:
    turn = turn_in_progress(conversation_id)
    if turn is not None:
        turn.stop(column)


def _stopper(column: int) -> Any:
    def stop_column(conversation_id: str) -> None:
        _stop(conversation_id, column)

    return stop_column


def _models_of_address(wanted: str, choices: Sequence[tuple[str, str]]) -> list[str]:
    """The models of `?models=3,5` that there are; else the newest one alone."""
    known = {value for _, value in choices}
    named = [part.strip() for part in wanted.split(",") if part.strip() in known]
    return named[:MAX_COLUMNS] or [choices[-1][1]]


def _shown(parts: Parts, conversation: Conversation, choices: Sequence[tuple[str, str]], session: Session) -> Updates:
    known = {value for _, value in choices}
    values = [str(model_id) if str(model_id) in known else None for model_id in conversation.model_ids]
    settings = PlaygroundSettings.model_validate(conversation.settings)
    updates = settings_shown(parts.side, settings, session) | notes(parts, settings.examples)
    updates |= empty_columns(parts, values, choices)
    updates |= asking.columns_shown(parts, conversation)
    updates |= {
        parts.conversation_id: conversation.id,
        parts.tools: asking.tools_shown(session, conversation),
    }
    return updates | buttons(parts, running=waiting_columns(conversation))


PAGE = Page(
    title="Playground",
    path="/playground",
    build=build,
    in_nav=True,
    assets=("playground.css", "playground.js", "playground_live.js"),
)
