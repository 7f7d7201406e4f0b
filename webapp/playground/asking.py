"""Asking: what a press on Send, Regenerate or a button under an answer makes of a conversation, before the answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import gradio as gr
from sqlalchemy.orm import Session

from pipeline.errors import HoneError
from store import conversations, models
from store.database import reading, writing
from store.schema import Conversation
from webapp.people import current_person
from webapp.playground.answering import require_idle
from webapp.playground.form import Parts, buttons, column_content, notes, noticed, read_form, waiting_columns
from webapp.playground.sampling_form import PlaygroundSettings
from webapp.playground.side import Updates, read_settings
from webapp.playground.views import history_view, tools_view
from webapp.shell import error_block


def begun(parts: Parts, prompt: str, values: Sequence[Any], request: gr.Request) -> Updates:
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
    return {parts.prompt: "", **turn_begun(parts, conversation_id)}


def begun_again(parts: Parts, values: Sequence[Any]) -> Updates:
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
    return turn_begun(parts, told.conversation_id)


def rewritten(parts: Parts, act: str, values: Sequence[Any]) -> Updates:
    """Let one column's answer to the last prompt wait: to be carried on, or to be written anew by its present model."""
    try:
        asked = json.loads(act)
        turn, column = int(asked["turn"]), int(asked["column"])
        told = read_form(values)
        require_idle(told.conversation_id)
        with writing() as session:
            conversations.update_settings(session, told.conversation_id, told.settings.model_dump(mode="json"))
            if asked["act"] == "continue":
                conversations.carry_on(session, told.conversation_id, turn=turn, column=column)
            else:
                model_id = told.model_ids[column] if column < len(told.model_ids) else None
                conversations.restart_answer(session, told.conversation_id, turn=turn, column=column, model_id=model_id)
    except HoneError as error:
        return {parts.notice: noticed(error_block(error))}
    return turn_begun(parts, told.conversation_id)


def turn_begun(parts: Parts, conversation_id: str) -> Updates:
    with reading() as session:
        conversation = conversations.load_conversation(session, conversation_id)
        past = conversations.list_conversations(session)
        updates: Updates = {
            parts.notice: noticed(""),
            parts.conversation_id: conversation_id,
            parts.side.history: history_view(past, conversation_id),
            parts.tools: tools_shown(session, conversation),
            **notes(parts, PlaygroundSettings.model_validate(conversation.settings).examples),
            **buttons(parts, running=waiting_columns(conversation)),
        }
        updates |= columns_shown(parts, conversation)
    return updates


def columns_shown(parts: Parts, conversation: Conversation) -> Updates:
    updates: Updates = {}
    for number, model_id in enumerate(conversation.model_ids):
        updates |= column_content(parts.columns[number], conversation, number, model_id)
    return updates


def settings_changed(conversation_id: str, *fields: Any) -> None:
    """Remember the settings of a conversation as they are changed."""
    if not conversation_id:
        return
    try:
        settings = read_settings(fields)
        with reading() as session:
            kept = conversations.load_conversation(session, conversation_id).settings
        if PlaygroundSettings.model_validate(kept) == settings:
            return  # the page was filled with them: a conversation that is only looked at does not move up the list
        with writing() as session:
            conversations.update_settings(session, conversation_id, settings.model_dump(mode="json"))
    except HoneError:
        return  # a half-typed example or a conversation deleted elsewhere: sending says so


def _require_models(session: Session, model_ids: Sequence[int]) -> None:
    """Raises:
    BadModel: if somebody has deleted one meanwhile.
    """
    for model_id in model_ids:
        models.get_model(session, model_id)


def tools_shown(session: Session, conversation: Conversation) -> str:
    origin = conversations.find_conversation(session, conversation.branched_from_id or "")
    return tools_view(conversation, conversations.branches_of(session, conversation.id), origin)
