"""Conversations: prompts, and what the models of each column answered, kept while they are still being written."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session, selectinload

from pipeline.errors import HoneError
from store.schema import Answer, Conversation, Turn, utc_now

TITLE_LENGTH = 80


class NoConversation(HoneError):
    """A conversation that is not there, or not any more."""

    kind = "no_conversation"


def create_conversation(
    session: Session, *, prompt: str, model_ids: Sequence[int], settings: dict[str, Any], person_id: int | None = None
) -> Conversation:
    """Begin a conversation with its first prompt, from whose first line it takes its title."""
    first_line = (prompt.strip().splitlines() or ["Untitled"])[0]
    title = first_line if len(first_line) <= TITLE_LENGTH else f"{first_line[: TITLE_LENGTH - 1].rstrip()}…"
    conversation = Conversation(
        id=secrets.token_urlsafe(9), title=title, model_ids=list(model_ids), settings=settings, created_by_id=person_id
    )
    session.add(conversation)
    session.flush()
    append_turn(session, conversation.id, prompt=prompt, model_ids=model_ids)
    return conversation


def append_turn(session: Session, conversation_id: str, *, prompt: str, model_ids: Sequence[int]) -> Turn:
    """Add a prompt, with an empty answer for the model of each column."""
    conversation = load_conversation(session, conversation_id)
    turn = Turn(conversation_id=conversation_id, number=len(conversation.turns) + 1, prompt=prompt)
    turn.answers = [Answer(column=column, model_id=model_id) for column, model_id in enumerate(model_ids)]
    session.add(turn)
    conversation.model_ids = list(model_ids)
    conversation.updated_at = utc_now()
    session.flush()
    return turn


def restart_last_turn(session: Session, conversation_id: str, *, model_ids: Sequence[int]) -> Turn:
    """Empty the answers to the last prompt, so that they can be written anew.

    Raises:
        NoConversation: if there is no prompt to answer.
    """
    conversation = load_conversation(session, conversation_id)
    if not conversation.turns:
        raise NoConversation("This conversation has no prompt yet.", "Write one and send it.")
    turn = conversation.turns[-1]
    for answer in turn.answers:
        session.delete(answer)
    session.flush()
    turn.answers = [Answer(column=column, model_id=model_id) for column, model_id in enumerate(model_ids)]
    conversation.model_ids = list(model_ids)
    conversation.updated_at = utc_now()
    session.flush()
    return turn


def save_answer(
    session: Session,
    answer_id: int,
    *,
    text: str,
    state: str,
    stats: dict[str, Any] | None = None,
    error: str | None = None,
) -> None:
    """Keep an answer as it stands: while it streams, and once more at its end."""
    session.execute(
        update(Answer).where(Answer.id == answer_id).values(text=text, state=state, stats=stats or {}, error=error)
    )


def update_settings(session: Session, conversation_id: str, settings: dict[str, Any]) -> None:
    load_conversation(session, conversation_id).settings = settings


def load_conversation(session: Session, conversation_id: str) -> Conversation:
    """A conversation with all its turns, answers and the models that gave them.

    Raises:
        NoConversation: if it is not there.
    """
    query = select(Conversation).where(Conversation.id == conversation_id, Conversation.deleted_at.is_(None))
    answers = selectinload(Conversation.turns).selectinload(Turn.answers).joinedload(Answer.model)
    conversation = session.scalar(query.options(answers))
    if conversation is None:
        raise NoConversation(
            f"There is no conversation {conversation_id[:40]!r}.", "It may have been deleted: begin a new one."
        )
    return conversation


def list_conversations(session: Session, *, limit: int = 50) -> Sequence[Conversation]:
    """The conversations that were last spoken in, the newest first."""
    query = select(Conversation).where(Conversation.deleted_at.is_(None))
    return session.scalars(query.order_by(Conversation.updated_at.desc()).limit(limit)).all()


def messages_for(conversation: Conversation, column: int, *, system_prompt: str = "") -> list[dict[str, str]]:
    """What the model of a column is to be sent: its own line of the conversation, up to the last prompt.

    A turn that its column did not answer is left out, so that roles go on taking turns.
    """
    messages = [{"role": "system", "content": system_prompt}] if system_prompt.strip() else []
    *earlier, last = conversation.turns
    for turn in earlier:
        answered = next((answer.text for answer in turn.answers if answer.column == column and answer.text), None)
        if answered is not None:
            messages += [{"role": "user", "content": turn.prompt}, {"role": "assistant", "content": answered}]
    return [*messages, {"role": "user", "content": last.prompt}]
