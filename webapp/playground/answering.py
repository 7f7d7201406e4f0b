"""Answering: the answers to one prompt while they are written, all columns at once, kept as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pipeline.errors import HoneError
from store import conversations
from store.database import reading, writing
from store.schema import Conversation, Model, utc_now
from webapp.inference_client import (
    ChatError,
    Delta,
    Done,
    InferenceClient,
    StillLoading,
    client_for,
)
from webapp.playground.sampling_form import PlaygroundSettings

ClientOf = Callable[[Model], tuple[InferenceClient, str]]
"""Who answers for a model, and the model's name there."""

SECONDS_BETWEEN_VIEWS = 0.12
SECONDS_BETWEEN_SAVES = 1.0
SECONDS_UNTIL_BEGUN = 3.0
"""Between the press and the first request for an answer: two presses in two windows fall into it."""


@dataclass
class AnswerInProgress:
    """One column's answer as it stands."""

    answer_id: int
    column: int
    model: Model
    messages: list[dict[str, str]]
    text: str = ""
    state: str = "streaming"
    continues: bool = False
    """Whether it carries on the text that it began with, which then is the last of its messages."""
    num_tokens_before: int = 0
    share_loaded: float | None = None
    """How much of the model's weights is in memory, while they are being read."""
    stats: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    def take(self, event: StillLoading | Delta | Done | ChatError) -> None:
        if isinstance(event, StillLoading):
            self.share_loaded = event.share
            return
        self.share_loaded = None
        if isinstance(event, Delta):
            self.text += event.text
        elif isinstance(event, Done):
            self.state = "stopped" if event.finish_reason == "cancelled" else "finished"
            self.stats = event.as_stats()
            self.stats["num_tokens"] += self.num_tokens_before
        else:
            self.state, self.error = "failed", f"{event.message}\n{event.advice}".strip()


class TurnInProgress:
    """The answers to the last prompt of a conversation that wait to be written.

    They are saved about once a second and at their end, so that a browser that closes, or a server that stops, loses
    no more than the last second.
    """

    def __init__(self, conversation_id: str, client_of: ClientOf = client_for) -> None:
        with reading() as session:
            conversation = conversations.load_conversation(session, conversation_id)
            settings = PlaygroundSettings.model_validate(conversation.settings)
            self.settings = settings.sampling()
            self.answers = [
                AnswerInProgress(
                    answer_id=answer.id,
                    column=answer.column,
                    model=answer.model,
                    messages=messages_to_send(conversation, answer.column, settings)
                    + ([{"role": "assistant", "content": answer.text}] if answer.text else []),
                    text=answer.text,
                    continues=bool(answer.text),
                    num_tokens_before=answer.stats.get("num_tokens", 0),
                )
                for answer in conversation.turns[-1].answers
                if answer.state == "waiting"
            ]
        self._conversation_id = conversation_id
        self._client_of = client_of
        self._changed: set[int] = set()
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> AsyncGenerator[list[AnswerInProgress], None]:
        """Write all answers; yields those that changed, a few times a second.

        Closing the iterator stops what is still being written.
        """
        _in_progress[self._conversation_id] = self
        self._tasks = {answer.column: asyncio.create_task(self._write(answer)) for answer in self.answers}
        everything = asyncio.gather(*self._tasks.values(), return_exceptions=True)
        saved_at = asyncio.get_running_loop().time()
        try:
            while not everything.done():
                await asyncio.wait([everything], timeout=SECONDS_BETWEEN_VIEWS)
                now = asyncio.get_running_loop().time()
                if now - saved_at >= SECONDS_BETWEEN_SAVES:
                    saved_at = now
                    await asyncio.to_thread(self._save, [one for one in self.answers if one.state == "streaming"])
                if changed := self._take_changed():
                    yield changed
        finally:
            self.stop()
            for answer in self.answers:
                if answer.state == "streaming":  # the browser has left before the last words came
                    answer.state = "stopped"
            self._save(self.answers)
            if _in_progress.get(self._conversation_id) is self:
                del _in_progress[self._conversation_id]

    async def follow(self) -> AsyncGenerator[list[AnswerInProgress], None]:
        """What another window sees of it: all answers, a few times a second, until they are written."""
        while turn_in_progress(self._conversation_id) is self:
            yield self.answers
            await asyncio.sleep(SECONDS_BETWEEN_VIEWS)
        yield self.answers

    def stop(self, column: int | None = None) -> None:
        """Stop one column's answer, or all of them; what was written is kept."""
        for place, task in self._tasks.items():
            if column in (None, place):
                task.cancel()

    async def _write(self, answer: AnswerInProgress) -> None:
        self._changed.add(answer.column)
        try:
            client, name_there = await asyncio.to_thread(self._client_of, answer.model)
            stream = client.stream_chat(
                name_there, answer.messages, self.settings, continue_final_message=answer.continues
            )
            async with aclosing(stream) as events:
                async for event in events:
                    answer.take(event)
                    self._changed.add(answer.column)
        except HoneError as error:
            answer.take(ChatError(error.message, error.advice))
        except asyncio.CancelledError:
            answer.state = "stopped"
        except Exception as error:
            answer.take(ChatError(f"The answer broke off: {type(error).__name__}: {error}", "Send again."))
            raise
        finally:
            answer.share_loaded = None
            self._changed.add(answer.column)

    def _take_changed(self) -> list[AnswerInProgress]:
        changed, self._changed = self._changed, set()
        return [answer for answer in self.answers if answer.column in changed]

    def _save(self, answers: list[AnswerInProgress]) -> None:
        with writing() as session:
            save = partial(conversations.save_answer, session)
            for one in answers:
                save(one.answer_id, text=one.text, state=one.state, stats=one.stats, error=one.error)


_in_progress: dict[str, TurnInProgress] = {}
"""The turns that this process is writing, by conversation: how a Stop button finds what it is to stop."""


def messages_to_send(
    conversation: Conversation, column: int, settings: PlaygroundSettings, num_turns: int | None = None
) -> list[dict[str, str]]:
    """What a column's model is sent to answer a prompt: system prompt, examples, and its line of the conversation."""
    return conversations.messages_for(
        conversation,
        column,
        system_prompt=settings.system_prompt,
        examples=settings.examples.in_column(column),
        num_turns=num_turns,
    )


class BusyConversation(HoneError):
    kind = "busy_conversation"


def require_idle(conversation_id: str) -> None:
    """Raises:
    BusyConversation: if the last prompt is being answered, or is about to be.
    """
    with reading() as session:
        conversation = conversations.load_conversation(session, conversation_id)
    waits = conversation.turns and any(one.state == "waiting" for one in conversation.turns[-1].answers)
    is_new = (utc_now() - conversation.updated_at).total_seconds() < SECONDS_UNTIL_BEGUN
    if turn_in_progress(conversation_id) is not None or (waits and is_new):
        raise BusyConversation(
            "The last prompt is still being answered.", "Wait until it is done, or press Stop all, then send again."
        )


def turn_in_progress(conversation_id: str) -> TurnInProgress | None:
    return _in_progress.get(conversation_id)
