"""Normalising: a raw row and a mapping make a canonical row, or the reason why not.

    text         {"text": str}
    instruction  {"messages": [...], "tools"?: [...], "tags"?: [...]}
    preference   {"prompt": [...], "chosen": [...], "rejected": [...], "tools"?: [...]}
    unpaired     {"prompt": [...], "completion": [...], "label": bool, "tools"?: [...]}

Each may have "meta": {...} beside it: what is known of the row that is not trained on.
A canonical row, normalised again, is itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import orjson

from pipeline.data.formats import LABELS, Mapping, Part
from pipeline.data.messages import (
    Message,
    RowFault,
    check_order,
    describe,
    exchanges_of,
    json_of,
    message_of,
    messages_of,
    role_of,
    text_of,
    tools_of,
    transcript_of,
)

_RANK_KEYS = ("rank", "ranking")
_SCORE_KEYS = ("score", "rating", "reward", "overall_score")
_SAID_KEYS = ("text", "content", "response", "answer", "output", "completion", "value")

RawValues = dict[str, Any]
Normaliser = Callable[[RawValues], dict[str, Any]]


def normaliser(mapping: Mapping) -> Normaliser:
    """A function from a raw row to a canonical one, which raises `RowFault` for a row that cannot be used."""
    makers: dict[str, Callable[[_Columns], dict[str, Any]]] = {
        "text": _text,
        "turns": _turns,
        "conversation": _conversation,
        "preference": _preference,
        "ranked": _ranked,
        "unpaired": _unpaired,
    }
    make = makers[mapping.layout]
    names = dict(mapping.columns)
    has_tags = mapping.layout in ("turns", "conversation")

    plain = _plain_turns(names) if mapping.layout == "turns" else None

    def normalise(row: RawValues) -> dict[str, Any]:
        made = (plain(row) if plain else None) or make(_Columns(names, row))
        if has_tags and "tags" in row and (tags := _tags(row["tags"])):
            made["tags"] = tags
        if "meta" in row and (meta := _meta(row["meta"])):
            made["meta"] = meta
        return made

    return normalise


def _plain_turns(names: dict[Part, str]) -> Callable[[RawValues], dict[str, Any] | None]:
    """What makes a question and its answer of the commonest row by far, as `_turns` does, in a third of the time."""
    question_name, answer_name, input_name = names["instruction"], names["output"], names.get("input", "")
    others = [names[part] for part in ("system", "history") if part in names]

    def plain(row: RawValues) -> dict[str, Any] | None:
        question, answer = row.get(question_name), row.get(answer_name)
        if type(question) is not str or type(answer) is not str or row.get(input_name):
            return None
        if (
            not question
            or not answer
            or question.isspace()
            or answer.isspace()
            or (others and any(map(row.get, others)))
        ):
            return None
        return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}

    return plain


def _tags(tags: object) -> list[str] | None:
    """What a row of instructions says that it is about: a word or a list of words under `tags`."""
    words = [tags] if isinstance(tags, str) else tags
    return words if words and isinstance(words, list) and all(isinstance(word, str) for word in words) else None


def _meta(value: object) -> dict[str, Any] | None:
    """What is known of a row: an object, or one as JSON text; anything else under this name is not ours."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
    return value if isinstance(value, dict) else None


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
    text = columns.text("text")
    title = columns.optional("title")
    if isinstance(title, str) and not title.isspace() and not text.lstrip("# \n").startswith(title):
        return {"text": f"{title}\n\n{text}"}
    return {"text": text}


def _turns(columns: _Columns) -> dict[str, Any]:
    question, answer = columns.required("instruction"), columns.required("output")
    if isinstance(question, list):
        asked = messages_of(question, columns.name("instruction"))
    else:
        asked = [{"role": "user", "content": columns.with_input(columns.text("instruction"))}]
    answered = _answer(answer, columns.name("output"))
    before = columns.system() + _history(columns) if columns.has_any("system", "history") else []
    return _whole(before + asked + answered)


def _history(columns: _Columns) -> list[Message]:
    """Earlier turns: pairs, objects of a question and an answer, messages, or questions and answers in turn."""
    items = columns.optional("history") or []
    name = columns.name("history")
    if isinstance(items, str):
        items = json_of(items, name)
    if not isinstance(items, list):
        raise RowFault(f"`{name}` is {describe(items)}, not a list of [question, answer] pairs")
    if items and all(isinstance(item, str) for item in items) and len(items) % 2 == 0:
        items = list(zip(items[::2], items[1::2], strict=True))
    if items and all(role_of(item) for item in items):
        return messages_of(items, name)
    turns = exchanges_of(items)
    if turns is None:
        raise RowFault(f"`{name}` is not a list of [question, answer] pairs")
    return turns


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


def _ranked(columns: _Columns) -> dict[str, Any]:
    """The best answer of several against the worst: one pair a row, the clearest that it holds."""
    name = columns.name("answers")
    answers, scores = _scored(columns, columns.required("answers"), name)
    if len(answers) < 2:
        raise RowFault(f"`{name}` holds fewer than two answers")
    best, worst = max(range(len(answers)), key=scores.__getitem__), min(range(len(answers)), key=scores.__getitem__)
    if scores[best] == scores[worst]:
        raise RowFault(f"all answers of `{name}` are ranked alike")
    prompt = _checked_prompt(_with_system(columns, _prompt(columns)))
    chosen, rejected = (_answer(answers[index], name) for index in (best, worst))
    if chosen == rejected:
        raise RowFault(f"the best and the worst answer of `{name}` are identical")
    for answer in (chosen, rejected):
        _check_answer(prompt, answer, name)
    tools = columns.optional("tools")
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected} | ({"tools": tools_of(tools)} if tools else {})


def _scored(columns: _Columns, answers: object, name: str) -> tuple[list[Any], list[float]]:
    """Answers, and how good each is: higher is better, whatever the column says it in."""
    if isinstance(answers, str):
        answers = json_of(answers, name)
    if not isinstance(answers, list):
        raise RowFault(f"`{name}` is {describe(answers)}, not a list of answers".replace(", not text", ""))
    for part, sign in (("ranks", -1), ("scores", 1)):
        values = columns.optional(part)  # type: ignore[arg-type]
        if isinstance(values, str):
            values = json_of(values, columns.name(part))  # type: ignore[arg-type]
        if values is not None:
            return [_said(answer) for answer in answers], _numbers(values, len(answers), sign, columns.name(part))  # type: ignore[arg-type]
    for keys, sign in ((_RANK_KEYS, -1), (_SCORE_KEYS, 1)):
        found = [next((a[key] for key in keys if key in a), None) if isinstance(a, dict) else None for a in answers]
        if answers and all(value is not None for value in found):
            return [_said(answer) for answer in answers], _numbers(found, len(answers), sign, name)
    return [_said(answer) for answer in answers], [-float(place) for place in range(len(answers))]


def _numbers(values: object, count: int, sign: int, name: str) -> list[float]:
    is_number = isinstance(values, list) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values
    )
    if not is_number or not isinstance(values, list):
        raise RowFault(f"`{name}` is not a list of numbers", repr(values)[:80])
    if len(values) != count:
        raise RowFault(f"`{name}` does not have one number for each answer", f"{len(values)} for {count} answers")
    return [sign * float(value) for value in values]


def _said(answer: object) -> object:
    """What an answer says, where it comes as an object with its score; a message and a plain text are themselves."""
    if not isinstance(answer, dict) or role_of(answer):
        return answer
    return next((answer[key] for key in _SAID_KEYS if key in answer), answer)


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
    if isinstance(value, list | dict):
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
    value, name = columns.required("completion"), columns.name("completion")
    turns = None if columns.has_any("prompt") else _conversation_of(value, name)
    if turns:
        prompt, answer = _last_answer(turns, name)
    else:
        prompt, answer = _prompt(columns), _answer(value, name)
    prompt = _checked_prompt(_with_system(columns, prompt))
    _check_answer(prompt, answer, name)
    tools = columns.optional("tools")
    row = {"prompt": prompt, "completion": answer, "label": _label(columns)}
    return row | ({"tools": tools_of(tools)} if tools else {})


def _last_answer(turns: list[Message], name: str) -> tuple[list[Message], list[Message]]:
    """A conversation up to its last question, and what follows it."""
    last = max((index for index, turn in enumerate(turns) if turn["role"] == "user"), default=-1) + 1
    if not last or last == len(turns):
        raise RowFault(f"`{name}` does not end with an answer")
    return turns[:last], turns[last:]


def _label(columns: _Columns) -> bool:
    value = columns.required("label")
    label = LABELS.get(str(value).strip().lower()) if isinstance(value, bool | int | str) else None
    if label is None:
        shown = value if isinstance(value, str) else describe(value)
        raise RowFault(f"`{columns.name('label')}` is neither true nor false", repr(shown)[:80])
    return label
