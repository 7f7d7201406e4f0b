"""Normalising: a raw row and a mapping make a canonical row, or the reason why not.

    text         {"text": str}
    instruction  {"messages": [...], "tools"?: [...], "tags"?: [...]}
    preference   {"prompt": [...], "chosen": [...], "rejected": [...], "tools"?: [...]}
    unpaired     {"prompt": [...], "completion": [...], "label": bool}

Each may hold `meta` besides: an object with what is known of the row.

A canonical row, normalised again, is itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.data.formats import Mapping, Part
from pipeline.data.messages import (
    Message,
    RowFault,
    check_order,
    describe,
    message_of,
    messages_of,
    text_of,
    tools_of,
    transcript_of,
)

RawValues = dict[str, Any]
Normaliser = Callable[[RawValues], dict[str, Any]]

_LABELS = {"true": True, "1": True, "good": True, "yes": True, "false": False, "0": False, "bad": False, "no": False}


def normaliser(mapping: Mapping) -> Normaliser:
    """A function from a raw row to a canonical one, which raises `RowFault` for a row that cannot be used."""
    makers: dict[str, Callable[[_Columns], dict[str, Any]]] = {
        "text": _text,
        "turns": _turns,
        "conversation": _conversation,
        "preference": _preference,
        "unpaired": _unpaired,
    }
    make = makers[mapping.layout]
    names = dict(mapping.columns)
    if mapping.layout in ("turns", "conversation"):
        return lambda row: make(_Columns(names, row)) | _tags(row) | _meta(row)
    return lambda row: make(_Columns(names, row)) | _meta(row)


def _tags(row: RawValues) -> dict[str, Any]:
    """What a row of instructions says that it is about: a word or a list of words under `tags`."""
    tags = row.get("tags")
    if not tags:
        return {}
    words = [tags] if isinstance(tags, str) else tags
    return {"tags": words} if isinstance(words, list) and all(isinstance(word, str) for word in words) else {}


def _meta(row: RawValues) -> dict[str, Any]:
    """What is known of a row of any kind beside what is trained on: an object under `meta`."""
    meta = row.get("meta")
    return {"meta": meta} if meta and isinstance(meta, dict) else {}


class _Columns:
    """A raw row, read by part instead of by column."""

    __slots__ = ("_names", "_row")

    def __init__(self, names: dict[Part, str], row: RawValues) -> None:
        self._names = names
        self._row = row

    def name(self, part: Part) -> str:
        return self._names.get(part, part)

    def required(self, part: Part) -> Any:
        name = self._names[part]
        if name not in self._row:
            raise RowFault(f"`{name}` is missing")
        return self._row[name]

    def optional(self, part: Part) -> Any:
        """The value, or None where it is absent, null or empty."""
        return self._row.get(self._names.get(part, ""), None) or None

    def text(self, part: Part) -> str:
        return text_of(self.required(part), self._names[part])

    def has_any(self, *parts: Part) -> bool:
        return any(self._row.get(self._names.get(part, "")) for part in parts)

    def system(self) -> list[Message]:
        value = self.optional("system")
        if value is None or (isinstance(value, str) and value.isspace()):
            return []
        return [{"role": "system", "content": text_of(value, self._names["system"])}]

    def with_input(self, question: str) -> str:
        more = self.optional("input")
        if more is None or (isinstance(more, str) and more.isspace()):
            return question
        return f"{question}\n{text_of(more, self._names['input'])}"


def _text(columns: _Columns) -> dict[str, Any]:
    return {"text": columns.text("text")}


def _turns(columns: _Columns) -> dict[str, Any]:
    question, answer = columns.required("instruction"), columns.required("output")
    if isinstance(question, list):
        asked = messages_of(question, columns.name("instruction"))
    else:
        asked = [{"role": "user", "content": columns.with_input(columns.text("instruction"))}]
    answered = _answer(answer, columns.name("output"))
    before = columns.system() + _history(columns) if columns.has_any("system", "history") else []
    if not before and type(question) is type(answer) is str:
        return {"messages": asked + answered}  # the commonest row by far, and in order as it is
    return _whole(before + asked + answered)


def _history(columns: _Columns) -> list[Message]:
    pairs = columns.optional("history") or []
    name = columns.name("history")
    if not isinstance(pairs, list) or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        raise RowFault(f"`{name}` is not a list of [question, answer] pairs")
    return [
        {"role": role, "content": text_of(text, name)}
        for pair in pairs
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]


def _conversation(columns: _Columns) -> dict[str, Any]:
    messages = messages_of(columns.required("messages"), columns.name("messages"))
    return _whole(_with_system(columns, messages), columns.optional("tools"))


def _whole(messages: list[Message], tools: object = None) -> dict[str, Any]:
    """A conversation that ends with an answer to learn."""
    check_order(messages)
    if messages[-1]["role"] != "assistant":
        raise RowFault(f"the conversation ends with the {messages[-1]['role']}'s turn: there is no answer to learn")
    return {"messages": messages} | ({"tools": tools_of(tools)} if tools else {})


def _with_system(columns: _Columns, messages: list[Message]) -> list[Message]:
    return messages if messages[0]["role"] == "system" else columns.system() + messages


def _preference(columns: _Columns) -> dict[str, Any]:
    chosen, rejected = columns.required("chosen"), columns.required("rejected")
    names = columns.name("chosen"), columns.name("rejected")
    turns = _conversation_of(chosen, names[0]), _conversation_of(rejected, names[1])
    if turns[0] and turns[1]:
        prompt, chosen_turns, rejected_turns = _split(turns[0], turns[1])
    else:
        prompt = _prompt(columns)
        chosen_turns, rejected_turns = _answer(chosen, names[0]), _answer(rejected, names[1])
    if chosen_turns == rejected_turns:
        raise RowFault(f"`{names[0]}` and `{names[1]}` are identical")
    prompt = _checked_prompt(_with_system(columns, prompt))
    for answer, name in ((chosen_turns, names[0]), (rejected_turns, names[1])):
        _check_answer(prompt, answer, name)
    tools = columns.optional("tools")
    row = {"prompt": prompt, "chosen": chosen_turns, "rejected": rejected_turns}
    return row | ({"tools": tools_of(tools)} if tools else {})


def _conversation_of(value: object, name: str) -> list[Message] | None:
    """The turns of an answer that comes with its prompt, as a list or a transcript; None for a bare answer."""
    if isinstance(value, str):
        return transcript_of(value)
    if isinstance(value, list) and value:
        messages = messages_of(value, name)
        return messages if messages[0]["role"] in ("system", "user") else None
    return None


def _split(chosen: list[Message], rejected: list[Message]) -> tuple[list[Message], list[Message], list[Message]]:
    """The beginning that two conversations share, up to its last question, and how each goes on."""
    shared = 0
    while shared < min(len(chosen), len(rejected)) and chosen[shared] == rejected[shared]:
        shared += 1
    if shared == len(chosen) == len(rejected):
        raise RowFault("the chosen and the rejected conversation are identical")
    while shared and chosen[shared - 1]["role"] == "assistant":
        shared -= 1
    if not shared:
        raise RowFault("the chosen and the rejected conversation do not begin with the same question")
    return chosen[:shared], chosen[shared:], rejected[shared:]


def _prompt(columns: _Columns) -> list[Message]:
    value = columns.optional("prompt")
    if value is None:
        raise RowFault("there is no prompt: the answers do not hold it, and no column does")
    if isinstance(value, list):
        return messages_of(value, columns.name("prompt"))
    turns = transcript_of(columns.text("prompt"))
    if turns and turns[-1]["role"] == "assistant" and not turns[-1]["content"]:
        turns.pop()  # "Assistant:" at the end of a prompt only opens the answer
    return turns or [{"role": "user", "content": columns.with_input(columns.text("prompt"))}]


def _checked_prompt(prompt: list[Message]) -> list[Message]:
    check_order(prompt)
    if prompt[-1]["role"] not in ("user", "tool"):
        raise RowFault(f"the prompt ends with the {prompt[-1]['role']}'s turn, not with a question")
    if any(not message["content"] and "tool_calls" not in message for message in prompt):
        raise RowFault("a message of the prompt is empty")
    return prompt


def _answer(value: object, name: str) -> list[Message]:
    """Answer turns from text, one message or a list of them."""
    if isinstance(value, dict):
        return [message_of(value, f"`{name}`")]
    if isinstance(value, list):
        return messages_of(value, name)
    return [{"role": "assistant", "content": text_of(value, name)}]


def _check_answer(prompt: list[Message], answer: list[Message], name: str) -> None:
    check_order(answer, before=prompt[-1]["role"])
    if not answer or answer[-1]["role"] != "assistant":
        raise RowFault(f"`{name}` does not end with an answer")
    if any(not message["content"] and "tool_calls" not in message for message in answer):
        raise RowFault(f"`{name}` is empty")


def _unpaired(columns: _Columns) -> dict[str, Any]:
    prompt = _checked_prompt(_with_system(columns, _prompt(columns)))
    answer = _answer(columns.required("completion"), columns.name("completion"))
    _check_answer(prompt, answer, columns.name("completion"))
    return {"prompt": prompt, "completion": answer, "label": _label(columns)}


def _label(columns: _Columns) -> bool:
    value = columns.required("label")
    label = _LABELS.get(str(value).strip().lower()) if isinstance(value, bool | int | str) else None
    if label is None:
        shown = value if isinstance(value, str) else describe(value)
        raise RowFault(f"`{columns.name('label')}` is neither true nor false", repr(shown)[:80])
    return label
