"""Mending: what can be put right in a raw row without guessing, each kind of repair by name, so that it is counted.

A row is mended only when it could not be taken, or not be written, as it was; what is mended keeps its meaning.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from pipeline.data.formats import Mapping, Part
from pipeline.data.messages import CONTENT_KEYS, role_of

HALF_PAIR = "half a surrogate pair became \ufffd"
CONTROLS = "control characters were dropped"
NUMBER = "a number became text"
SYSTEMS = "system turns at the start were joined"
EMPTY_SYSTEM = "an empty system turn was dropped"
OPENING_ANSWER = "an assistant's turn before the first question was dropped"
LAST_QUESTION = "a last turn that has no answer was dropped"
REPAIRS = (HALF_PAIR, CONTROLS, NUMBER, SYSTEMS, EMPTY_SYSTEM, OPENING_ANSWER, LAST_QUESTION)
"""Every kind of repair."""

Mender = Callable[[dict[str, Any]], tuple[dict[str, Any], tuple[str, ...]]]

_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x07\x0b\x0e-\x1a\x1c-\x1f]")
"""Characters that no text is meant to hold; backspace, tab, line ends, form feed and escape (colours) stay."""
_TEXT_PARTS: tuple[Part, ...] = (
    "text",
    "title",
    "instruction",
    "input",
    "output",
    "system",
    "prompt",
    "chosen",
    "rejected",
    "completion",
)


def mender(mapping: Mapping) -> Mender:
    """A function from a raw row to one that may be taken, and the kinds of repair that were made, if any were."""
    text_columns = {mapping.columns[part] for part in _TEXT_PARTS if part in mapping.columns}
    turns_column = mapping.columns.get("messages")
    turn_columns = text_columns | ({turns_column} if turns_column else set())

    def mend(row: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
        repairs: dict[str, None] = {}
        mended = {key: _clean(value, repairs) for key, value in row.items()}
        for column in turn_columns & mended.keys():
            value = mended[column]
            if isinstance(value, list):
                mended[column] = [_with_text(turn, repairs) for turn in value]
            elif column in text_columns:
                mended[column] = _as_text(value, repairs)
        for column in turn_columns & mended.keys():
            if isinstance(mended[column], list):
                mended[column] = _one_system(mended[column], repairs)
        if turns_column and isinstance(mended.get(turns_column), list):
            mended[turns_column] = _from_question_to_answer(mended[turns_column], repairs)
        return mended, tuple(repairs)

    return mend


def _clean(value: Any, repairs: dict[str, None]) -> Any:
    """A value with every text in it fit to be written."""
    if isinstance(value, str):
        return _clean_text(value, repairs)
    if isinstance(value, list | tuple):
        return [_clean(item, repairs) for item in value]
    if isinstance(value, dict):
        return {_clean(key, repairs): _clean(item, repairs) for key, item in value.items()}
    return value


def _clean_text(text: str, repairs: dict[str, None]) -> str:
    if _SURROGATE.search(text):
        # Halves that belong together are joined; what is left over stands for nothing.
        text = _SURROGATE.sub("\ufffd", text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
        repairs[HALF_PAIR] = None
    if _CONTROL.search(text):
        text = _CONTROL.sub("", text)
        repairs[CONTROLS] = None
    return text


def _as_text(value: Any, repairs: dict[str, None]) -> Any:
    """A number as it is written; where it could be written in several ways, it stays and is refused."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    written = str(value)
    if isinstance(value, float) and (not math.isfinite(value) or "e" in written):
        return value
    repairs[NUMBER] = None
    return written


def _with_text(turn: Any, repairs: dict[str, None]) -> Any:
    key = next((key for key in CONTENT_KEYS if key in turn), None) if isinstance(turn, dict) else None
    return turn | {key: _as_text(turn[key], repairs)} if key else turn


def _one_system(turns: list[Any], repairs: dict[str, None]) -> list[Any]:
    """Turns whose system turns at the start are one, or none if they say nothing."""
    count = 0
    while count < len(turns) and role_of(turns[count]) == "system":
        count += 1
    said = [_said(turn) for turn in turns[:count]]
    if not all(isinstance(text, str) for text in said):
        return turns
    heard = [text for text in said if not text.isspace() and text]
    if len(heard) < count:
        repairs[EMPTY_SYSTEM] = None
    if len(heard) > 1:
        repairs[SYSTEMS] = None
    elif count == len(heard):
        return turns
    return [{"role": "system", "content": "\n\n".join(heard)}, *turns[count:]] if heard else turns[count:]


def _said(turn: dict[str, Any]) -> Any:
    value = next((turn[key] for key in CONTENT_KEYS if key in turn), None)
    return "" if value is None else value


def _from_question_to_answer(turns: list[Any], repairs: dict[str, None]) -> list[Any]:
    """A conversation without the greeting before its first question, and without a question that nobody answered."""
    roles = [role_of(turn) for turn in turns]
    start = 1 if roles[:1] == ["system"] else 0
    if roles[start : start + 2] == ["assistant", "user"]:
        turns, roles = turns[:start] + turns[start + 1 :], roles[:start] + roles[start + 1 :]
        repairs[OPENING_ANSWER] = None
    if len(roles) > start + 2 and roles[-2:] == ["assistant", "user"]:
        turns = turns[:-1]
        repairs[LAST_QUESTION] = None
    return turns
