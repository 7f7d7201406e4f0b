"""Exports: a conversation as JSON lines that can be trained on, one a column, and as Markdown to be read."""

from __future__ import annotations

import json
import re
from typing import Any

from store import conversations
from store.schema import Conversation
from webapp.playground.sampling_form import PlaygroundSettings


def as_json_lines(conversation: Conversation) -> str:
    """One line a column: `messages`, the model's name, the settings; a column that never answered is left out."""
    settings = PlaygroundSettings.model_validate(conversation.settings)
    lines = [_column(conversation, column, settings) for column in _columns(conversation)]
    return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)


def as_markdown(conversation: Conversation) -> str:
    settings = PlaygroundSettings.model_validate(conversation.settings)
    parts = [f"# {' '.join(conversation.title.split())}", f"Last changed {conversation.updated_at:%Y-%m-%d %H:%M} UTC."]
    if settings.system_prompt.strip():
        parts.append(f"System prompt:\n\n{_quoted(settings.system_prompt)}")
    for turn in conversation.turns:
        parts.append(f"## Prompt {turn.number}\n\n{_quoted(turn.prompt)}")
        for answer in turn.answers:
            ended = "" if answer.state == "finished" else f" ({answer.state})"
            parts.append(f"### {answer.model.name}{ended}\n\n{answer.text or answer.error or '(no answer)'}")
    return "\n\n".join(parts) + "\n"


def file_name(conversation: Conversation, ending: str) -> str:
    """A name that every file system takes: letters, digits and dashes of the title."""
    words = re.sub(r"[^\w]+", "-", conversation.title).strip("-_")[:60].rstrip("-_")
    return f"{words or 'conversation'}.{ending}"


def _columns(conversation: Conversation) -> list[int]:
    return sorted({answer.column for turn in conversation.turns for answer in turn.answers if answer.text})


def _column(conversation: Conversation, column: int, settings: PlaygroundSettings) -> dict[str, Any]:
    answered = [one for turn in conversation.turns for one in turn.answers if one.column == column and one.text]
    last_turn = max(turn.number for turn in conversation.turns for one in turn.answers if one is answered[-1])
    messages = conversations.messages_for(
        conversation, column, system_prompt=settings.system_prompt, num_turns=last_turn
    )
    return {
        "messages": [*messages, {"role": "assistant", "content": answered[-1].text}],
        "model": answered[-1].model.name,
        "settings": settings.model_dump(mode="json"),
        "conversation": conversation.id,
        "column": column,
    }


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())
