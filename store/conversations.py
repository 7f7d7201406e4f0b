"""Conversations: prompts, and what the models of each column answered, kept while they are still being written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session, selectinload

from pipeline.errors import HoneError
from store.models import get_model
from store.schema import Answer, Conversation, Turn, utc_now

TITLE_LENGTH = 80
MAX_TITLE_LENGTH = 200


class NoConversation(HoneError):
    """A conversation that is not there, or not any more."""

    kind = "no_conversation"


def create_conversation(
    session: Session, *, prompt: str, model_ids: Sequence[int], settings: dict[str, Any], person_id: int | None = None
) -> Conversation:
    """Begin a conversation with its first prompt, from whose first line it takes its title."""
    conversation = Conversation(
        title=title_of(prompt),
        model_ids=list(model_ids),
        settings=settings,
        created_by_id=person_id,
    )
    session.add(conversation)
    session.flush()
    append_turn(session, conversation.id, prompt=prompt, model_ids=model_ids)
    return conversation


def title_of(prompt: str) -> str:
    first_line = (prompt.strip().splitlines() or ["Untitled"])[0]
    return first_line if len(first_line) <= TITLE_LENGTH else f"{first_line[: TITLE_LENGTH - 1].rstrip()}…"


def append_turn(session: Session, conversation_id: str, *, prompt: str, model_ids: Sequence[int]) -> Turn:
    """Add a prompt, with an answer that waits to be written for the model of each column."""
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


def restart_answer(
    session: Session,
    conversation_id: str,
    *,
    turn: int,
    column: int,
    text: str = "",
    num_tokens: int = 0,
    model_id: int | None = None,
) -> Answer:
    """Let one answer wait to be written anew, or, where it is given a beginning, to be carried on from there.

    Only the last prompt's answers are written in their place: what follows an earlier one was said after it.

    Args:
        text: Its beginning.
        num_tokens: How many tokens the beginning is.
        model_id: Who is to write it, where not the model that has.

    Raises:
        NoConversation: if there is no such answer, or it is not one to the last prompt.
        BadModel: if its model was deleted meanwhile.
    """
    conversation = load_conversation(session, conversation_id)
    answer = find_answer(conversation, turn=turn, column=column)
    if turn != len(conversation.turns):
        raise NoConversation(
            f"Prompt {turn} is not the last one of this conversation any more.", "Load the page again, or branch there."
        )
    answer.model_id = get_model(session, model_id or answer.model_id).id
    conversation.model_ids = [
        answer.model_id if place == column else other for place, other in enumerate(conversation.model_ids)
    ]
    answer.text, answer.state, answer.error = text, "waiting", None
    answer.stats = {"num_tokens": num_tokens} if text else {}
    conversation.updated_at = utc_now()
    session.flush()
    return answer


def carry_on(session: Session, conversation_id: str, *, turn: int, column: int) -> Answer:
    """Let an answer that was cut off wait to be carried on; see `restart_answer`."""
    answer = find_answer(load_conversation(session, conversation_id), turn=turn, column=column)
    return restart_answer(
        session,
        conversation_id,
        turn=turn,
        column=column,
        text=answer.text,
        num_tokens=int(answer.stats.get("num_tokens", 0)),
        model_id=answer.model_id,
    )


def branch(
    session: Session, conversation_id: str, *, num_turns: int, title: str = "", person_id: int | None = None
) -> Conversation:
    """A new conversation that shares the first turns of another, which stays as it is.

    Raises:
        NoConversation: if it has no such turn.
    """
    origin = load_conversation(session, conversation_id)
    if not 0 <= num_turns <= len(origin.turns):
        raise NoConversation(f"This conversation has {len(origin.turns)} prompts.", "Load the page again.")
    copy = Conversation(
        title=title or origin.title,
        model_ids=list(origin.model_ids),
        settings=dict(origin.settings),
        branched_from_id=origin.id,
        created_by_id=person_id,
    )
    copy.turns = [_copy_of(turn) for turn in origin.turns[:num_turns]]
    session.add(copy)
    session.flush()
    return copy


def branches_of(session: Session, conversation_id: str) -> Sequence[Conversation]:
    """The conversations that were branched off one, the oldest first."""
    query = select(Conversation).where(
        Conversation.branched_from_id == conversation_id, Conversation.deleted_at.is_(None)
    )
    return session.scalars(query.order_by(Conversation.created_at)).all()


def _copy_of(turn: Turn) -> Turn:
    answers = [
        Answer(
            column=one.column,
            model_id=one.model_id,
            text=one.text,
            # What is being written there is not being written here.
            state="stopped" if one.state in ("waiting", "streaming") else one.state,
            error=one.error,
            stats=dict(one.stats),
        )
        for one in turn.answers
    ]
    return Turn(number=turn.number, prompt=turn.prompt, answers=answers)


def find_answer(conversation: Conversation, *, turn: int, column: int) -> Answer:
    """Raises:
    NoConversation: if there is no such answer.
    """
    found = next(
        (one for each in conversation.turns if each.number == turn for one in each.answers if one.column == column),
        None,
    )
    if found is None:
        raise NoConversation(
            f"There is no answer to prompt {turn} in column {column + 1}.", "Load the page again: it may have changed."
        )
    return found


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


def rename(session: Session, conversation_id: str, title: str) -> Conversation:
    """Raises:
    NoConversation: if it is not there, or the title is empty.
    """
    conversation = load_conversation(session, conversation_id)
    tidy = " ".join(title.split())[:MAX_TITLE_LENGTH]
    if not tidy:
        raise NoConversation("The title is empty.", "Write a few words by which you will know the conversation.")
    conversation.title = tidy
    return conversation


def delete(session: Session, conversation_id: str) -> None:
    """Take a conversation off the list; its rows stay, as datasets may name it as where they came from."""
    load_conversation(session, conversation_id).deleted_at = utc_now()


def find_conversation(session: Session, conversation_id: str) -> Conversation | None:
    """A conversation without its turns, or None where there is none of that id (any more)."""
    found = session.get(Conversation, conversation_id)
    return found if found is not None and found.deleted_at is None else None


def list_conversations(session: Session, *, search: str = "", limit: int = 50) -> Sequence[Conversation]:
    """The conversations that were last spoken in, the newest first; with `search`, those in which these words stand."""
    query = select(Conversation).where(Conversation.deleted_at.is_(None))
    if words := search.strip():
        said = Conversation.turns.any(
            or_(
                Turn.prompt.icontains(words, autoescape=True),
                Turn.answers.any(Answer.text.icontains(words, autoescape=True)),
            )
        )
        query = query.where(or_(Conversation.title.icontains(words, autoescape=True), said))
    return session.scalars(query.order_by(Conversation.updated_at.desc()).limit(limit)).all()


def messages_for(
    conversation: Conversation,
    column: int,
    *,
    system_prompt: str = "",
    examples: Sequence[tuple[str, str]] = (),
    num_turns: int | None = None,
) -> list[dict[str, str]]:
    """What the model of a column is to be sent: its own line of the conversation, up to the last prompt.

    A turn that its column did not answer is left out, so that roles go on taking turns.

    Args:
        examples: Prompts with their answers that stand before the conversation, as if they had been said in it.
        num_turns: The turns up to the prompt that is to be answered; all, unless given.
    """
    messages = [{"role": "system", "content": system_prompt}] if system_prompt.strip() else []
    for prompt, answered in examples:
        messages += [{"role": "user", "content": prompt}, {"role": "assistant", "content": answered}]
    *earlier, last = conversation.turns[:num_turns]
    for turn in earlier:
        said = next((answer.text for answer in turn.answers if answer.column == column and answer.text), None)
        if said is not None:
            messages += [{"role": "user", "content": turn.prompt}, {"role": "assistant", "content": said}]
    return [*messages, {"role": "user", "content": last.prompt}]
