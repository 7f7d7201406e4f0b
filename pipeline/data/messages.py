"""Messages: turns of a conversation in any dialect, made into one."""

from __future__ import annotations

import json
import re
from typing import Any

Message = dict[str, Any]

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "ai": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "claude": "assistant",
    "function_call": "function_call",
    "tool_call": "function_call",
    "tool": "tool",
    "observation": "tool",
    "function": "tool",
    "tool_response": "tool",
    "ipython": "tool",
}
_MAY_FOLLOW = {
    "the start": {"system", "user"},
    "system": {"user"},
    "user": {"assistant"},
    "assistant": {"user", "tool"},
    "tool": {"assistant", "tool"},
}
ROLE_KEYS = ("role", "from", "speaker")
CONTENT_KEYS = ("content", "value", "text", "message")
_KEPT = ("tool_call_id", "name")
_ROLE_KEYS = frozenset(ROLE_KEYS)
_PLAIN_ROLES = frozenset({"system", "user", "assistant"})
_EXCHANGES = (
    ("user", "assistant"),
    ("human", "assistant"),
    ("instruction", "output"),
    ("prompt", "response"),
    ("question", "answer"),
    ("query", "response"),
    ("input", "output"),
)
"""What the two halves of an exchange are called."""
_REASONING = ("reasoning_content", "reasoning", "thinking")
_TRANSCRIPT_TURN = re.compile(r"(?:\A|\n\n)(Human|Assistant): ?")


class RowFault(Exception):
    """Why a row cannot be used: a reason that many rows may share, and the particulars of this one."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


def describe(value: object) -> str:
    """What a value is, in words that fit behind "is"."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false, not text"
    if isinstance(value, int | float):
        return "a number, not text"
    names: dict[type, str] = {str: "text", list: "a list", dict: "an object", bytes: "binary data"}
    return names.get(type(value), f"a {type(value).__name__}")


def text_of(value: object, column: str) -> str:
    """Text that is there and not blank."""
    if not isinstance(value, str):
        raise RowFault(f"`{column}` is {describe(value)}", _short(value))
    if not value or value.isspace():
        raise RowFault(f"`{column}` is empty")
    return value


def role_of(turn: object) -> str | None:
    """The role of a raw turn in our words, or None where it is not known."""
    raw = next((turn[key] for key in ROLE_KEYS if key in turn), None) if isinstance(turn, dict) else None
    return ROLES.get(raw.strip().lower()) if isinstance(raw, str) else None


def messages_of(value: object, column: str) -> list[Message]:
    """Messages from a list of them, in OpenAI's or a ShareGPT dialect.

    A list as JSON text is read too, and so are one list of roles beside one of contents, and question-answer pairs.
    """
    if isinstance(value, str):
        value = json_of(value, column)
    if isinstance(value, dict):
        value = _transposed(value)
    if not isinstance(value, list):
        raise RowFault(
            f"`{column}` is {describe(value)}, not a list of messages".replace(", not text", ""), _short(value)
        )
    if not value:
        raise RowFault(f"`{column}` is empty")
    if isinstance(value[0], dict) and not value[0].keys() & _ROLE_KEYS and (said := exchanges_of(value)):
        return said
    return [_plain(item) or message_of(item, f"message {number} of `{column}`") for number, item in enumerate(value, 1)]


def _plain(value: object) -> Message | None:
    """The message where it is one of the commonest kind, which needs no second look."""
    if type(value) is not dict or len(value) != 2:
        return None
    role, content = value.get("role"), value.get("content")
    if role in _PLAIN_ROLES and type(content) is str and content and not content.isspace():
        return {"role": role, "content": content}
    return None


def _transposed(value: dict[str, Any]) -> object:
    """{"role": [...], "content": [...]}, as tables of columns keep turns, as a list of turns."""
    lists = [item for item in value.values() if isinstance(item, list)]
    if not lists or len(lists) < len(value) or len({len(item) for item in lists}) > 1:
        return value
    return [dict(zip(value, items, strict=True)) for items in zip(*lists, strict=True)]


def exchanges_of(items: list[Any]) -> list[Message] | None:
    """Turns from a list of questions with their answers, as pairs or objects of two; None where it is no such list."""
    turns: list[Message] = []
    for item in items:
        pair = _exchange(item)
        if pair is None or not all(isinstance(text, str) and text and not text.isspace() for text in pair):
            return None
        turns += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    return turns


def _exchange(item: object) -> tuple[Any, Any] | None:
    if isinstance(item, list | tuple):
        return (item[0], item[1]) if len(item) == 2 else None
    if not isinstance(item, dict):
        return None
    return next(((item[q], item[a]) for q, a in _EXCHANGES if q in item and a in item), None)


def message_of(value: object, where: str) -> Message:
    """One message, with its keys in one order and nothing that is null."""
    if not isinstance(value, dict):
        raise RowFault("a message is not an object with a role and content", f"{where} is {describe(value)}")
    role = role_of(value)
    if role is None:
        raise RowFault(
            f"the role {_short(next((value[k] for k in ROLE_KEYS if k in value), None), 40)} is not known", where
        )
    content = next((value[key] for key in CONTENT_KEYS if key in value), None)
    if role == "function_call":
        return {"role": "assistant", "content": "", "tool_calls": _tool_calls(content, where)}
    message: Message = {"role": role, "content": _content(content, where, has_calls=bool(value.get("tool_calls")))}
    reasoning = next((value[key] for key in _REASONING if value.get(key)), None)
    if reasoning is not None:
        message["reasoning_content"] = text_of(reasoning, "reasoning_content")
    if value.get("tool_calls"):
        message["tool_calls"] = _tool_calls(value["tool_calls"], where)
    for key in _KEPT:
        if value.get(key):
            message[key] = text_of(value[key], key)
    return message


def check_order(messages: list[Message], before: str = "the start") -> None:
    """Refuse roles that a chat template cannot render in this order."""
    for message in messages:
        role = message["role"]
        if role not in _MAY_FOLLOW[before]:
            raise RowFault(f"roles out of order: {role} after {before}")
        before = role


def transcript_of(text: str) -> list[Message] | None:
    """The turns of a "Human: … Assistant: …" transcript, or None where the text is not one."""
    marks = list(_TRANSCRIPT_TURN.finditer(text))
    if not marks or marks[0].start() != 0 or marks[0].group(1) != "Human":
        return None
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    roles = {"Human": "user", "Assistant": "assistant"}
    return [
        {"role": roles[mark.group(1)], "content": text[mark.end() : end].strip()}
        for mark, end in zip(marks, ends, strict=True)
    ]


def tools_of(value: object) -> list[Any]:
    """Tool schemas, given as a list or as JSON text."""
    parsed = json_of(value, "tools") if isinstance(value, str) else value
    if not isinstance(parsed, list) or not all(isinstance(tool, dict) for tool in parsed):
        raise RowFault("`tools` is not a list of schemas", _short(value))
    return parsed


def _content(value: object, where: str, *, has_calls: bool) -> str:
    if isinstance(value, list):
        value = "".join(_part(part, where) for part in value)
    if has_calls and value is None:
        return ""
    if not isinstance(value, str):
        raise RowFault(f"a message's content is {describe(value)}", where)
    if not has_calls and (not value or value.isspace()):
        raise RowFault("a message is empty", where)
    return value


def _part(part: object, where: str) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
        text: str = part["text"]
        return text
    what = part.get("type") if isinstance(part, dict) else describe(part)
    raise RowFault("a message holds something other than text", f"{where}: {_short(what)}")


def _tool_calls(value: object, where: str) -> list[Message]:
    parsed = json_of(value, "tool_calls") if isinstance(value, str) else value
    calls = parsed if isinstance(parsed, list) else [parsed]
    return [_tool_call(call, where) for call in calls]


def _tool_call(value: object, where: str) -> Message:
    function = value.get("function", value) if isinstance(value, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise RowFault("a tool call names no function", where)
    arguments = function.get("arguments", function.get("parameters")) or {}
    if isinstance(arguments, str):
        arguments = json_of(arguments, "arguments")
    if not isinstance(arguments, dict):
        raise RowFault("a tool call's arguments are not an object", where)
    call: Message = {"type": "function", "function": {"name": function["name"], "arguments": arguments}}
    identifier = value.get("id") if isinstance(value, dict) else None
    return call | ({"id": identifier} if isinstance(identifier, str) and identifier else {})


def json_of(text: str, column: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RowFault(f"`{column}` is text, but not JSON", _short(text)) from error


def _short(value: object, limit: int = 80) -> str:
    shown = repr(value)
    return shown if len(shown) <= limit else f"{shown[:limit]}…"
