"""Formats: which columns of a raw row hold what, recognised by their names or said by a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

Kind = Literal["text", "instruction", "preference", "unpaired"]
Layout = Literal["text", "turns", "conversation", "preference", "ranked", "unpaired"]
Part = Literal[
    "text",
    "title",
    "instruction",
    "input",
    "output",
    "system",
    "history",
    "messages",
    "tools",
    "prompt",
    "chosen",
    "rejected",
    "answers",
    "ranks",
    "scores",
    "completion",
    "label",
]


@dataclass(frozen=True)
class LayoutFacts:
    """What a layout makes, and which parts it takes from columns."""

    kind: Kind
    title: str
    required: tuple[Part, ...]
    optional: tuple[Part, ...] = ()


LAYOUTS: dict[Layout, LayoutFacts] = {
    "turns": LayoutFacts(
        "instruction", "A question and its answer", ("instruction", "output"), ("input", "system", "history")
    ),
    "conversation": LayoutFacts("instruction", "A list of messages", ("messages",), ("system", "tools")),
    "preference": LayoutFacts(
        "preference",
        "A preferred and a rejected answer",
        ("chosen", "rejected"),
        ("prompt", "input", "system", "tools"),
    ),
    "ranked": LayoutFacts(
        "preference", "Several answers, ranked", ("prompt", "answers"), ("ranks", "scores", "input", "system", "tools")
    ),
    "unpaired": LayoutFacts(
        "unpaired", "An answer and whether it is good", ("completion", "label"), ("prompt", "input", "system", "tools")
    ),
    "text": LayoutFacts("text", "Plain text", ("text",), ("title",)),
}

PART_HELP: dict[Part, str] = {
    "text": "The text to learn from.",
    "title": "What the text is called, put above it.",
    "instruction": "What the person asks.",
    "input": "More of the question, put on a line of its own under it.",
    "output": "The answer to learn.",
    "system": "The system prompt.",
    "history": "Earlier turns, as a list of [question, answer] pairs.",
    "messages": "The whole conversation: role and content, or from and value.",
    "tools": "Schemas of the tools that the answers may call.",
    "prompt": "What was asked; may be left out where both answers are whole conversations with the same beginning.",
    "chosen": "The better answer.",
    "rejected": "The worse answer.",
    "answers": "All answers, the best first unless ranks or scores say otherwise; a row makes one pair: best, worst.",
    "ranks": "The rank of each answer, 1 for the best.",
    "scores": "The score of each answer, the highest for the best.",
    "completion": "The answer, or the whole conversation that it ends.",
    "label": "true for a good answer, false for a bad one.",
}


class Mapping(BaseModel):
    """Which column each part of a row comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layout: Layout
    columns: dict[Part, str]

    @model_validator(mode="after")
    def _has_its_parts(self) -> Mapping:
        facts = LAYOUTS[self.layout]
        missing = [part for part in facts.required if not self.columns.get(part)]
        if missing:
            raise ValueError(f"choose a column for {' and '.join(missing)}")
        foreign = [part for part in self.columns if part not in facts.required + facts.optional]
        if foreign:
            raise ValueError(f"{facts.title.lower()} has no part named {foreign[0]}")
        return self

    @property
    def kind(self) -> Kind:
        return LAYOUTS[self.layout].kind


CANONICAL_MAPPINGS: dict[Kind, Mapping] = {
    "text": Mapping(layout="text", columns={"text": "text"}),
    "instruction": Mapping(layout="conversation", columns={"messages": "messages", "tools": "tools"}),
    "preference": Mapping(
        layout="preference", columns={"prompt": "prompt", "chosen": "chosen", "rejected": "rejected", "tools": "tools"}
    ),
    "unpaired": Mapping(
        layout="unpaired",
        columns={"prompt": "prompt", "completion": "completion", "label": "label", "tools": "tools"},
    ),
}
"""How canonical rows of each kind are read again."""


@dataclass(frozen=True)
class Format:
    """A recognised set of columns."""

    name: str
    mapping: Mapping


_Aliases = dict[Part, tuple[str, ...]]


@dataclass(frozen=True)
class _Signature:
    """Column names by which a format is known; a part may go by one of several names."""

    name: str
    layout: Layout
    required: _Aliases
    optional: _Aliases


_SYSTEM: _Aliases = {"system": ("system", "system_prompt", "system_message")}
_INPUT: _Aliases = {"input": ("input", "context")}
_HISTORY: _Aliases = {"history": ("history",)}
_TOOLS: _Aliases = {"tools": ("tools", "functions")}

_RANKS: _Aliases = {"ranks": ("ranks", "rank", "ranking", "rankings"), "scores": ("scores", "ratings", "rewards")}
_LABELS = ("kto_tag", "is_good", "is_desirable", "desirable", "thumbs_up")
"""What the word on a single answer is called, beside `label`."""
_TURNS = ("conversations", "conversation", "items", "dialogue", "dialog", "turns", "chat")
_PROMPT = ("prompt", "messages", "instruction", "question", "query")

_SIGNATURES = (  # the most particular first: the first that fits is it
    _Signature(
        "ShareGPT preference",
        "preference",
        {"prompt": ("conversations", "conversation"), "chosen": ("chosen",), "rejected": ("rejected",)},
        _SYSTEM | _TOOLS,
    ),
    _Signature(
        "preference",
        "preference",
        {"prompt": _PROMPT, "chosen": ("chosen",), "rejected": ("rejected",)},
        _INPUT | _SYSTEM | _TOOLS,
    ),
    _Signature(
        "preference, implicit prompt",
        "preference",
        {"chosen": ("chosen",), "rejected": ("rejected",)},
        _SYSTEM | _TOOLS,
    ),
    _Signature(
        "ranked answers",
        "ranked",
        {"prompt": _PROMPT, "answers": ("responses", "answers", "completions", "candidates", "outputs", "generations")},
        _RANKS | _INPUT | _SYSTEM | _TOOLS,
    ),
    _Signature(
        "unpaired",
        "unpaired",
        {"prompt": _PROMPT, "completion": ("completion", "response", "output", "answer"), "label": ("label", *_LABELS)},
        _INPUT | _SYSTEM | _TOOLS,
    ),
    _Signature(
        "unpaired conversations",
        "unpaired",
        {"completion": ("messages", *_TURNS), "label": ("label", *_LABELS)},
        _SYSTEM | _TOOLS,
    ),
    _Signature("messages", "conversation", {"messages": ("messages",)}, _SYSTEM | _TOOLS),
    _Signature("ShareGPT", "conversation", {"messages": _TURNS}, _SYSTEM | _TOOLS),
    _Signature(
        "alpaca",
        "turns",
        {"instruction": ("instruction",), "output": ("output", "response", "completion")},
        _INPUT | _HISTORY | _SYSTEM,
    ),
    _Signature(
        "prompt and completion",
        "turns",
        {"instruction": ("prompt",), "output": ("completion", "response")},
        _HISTORY | _SYSTEM,
    ),
    _Signature("text", "text", {"text": ("text",)}, {"title": ("title",)}),
    _Signature("documents", "text", {"text": ("document", "content")}, {"title": ("title",)}),
)

_STRICTLY_UNPAIRED: dict[Part, str] = {"prompt": "prompt", "completion": "completion", "label": "label"}
LABELS = {"true": True, "1": True, "good": True, "yes": True, "false": False, "0": False, "bad": False, "no": False}
"""The words for a good and a bad answer."""

_GUESSES: _Aliases = {
    "instruction": ("question", "query", "prompt", "instruction", "user", "input", "problem"),
    "output": ("answer", "response", "output", "completion", "assistant", "solution", "target"),
    "text": ("content", "document", "body", "article"),
}


def recognise(columns: Iterable[str], rows: Sequence[dict[str, Any]] = ()) -> Format | None:
    """The format that columns of these names are in, or None where a person must say.

    A format must fit the first `rows` as well, if there are some: a column `label` may name a topic.
    """
    names = set(columns)
    for signature in _SIGNATURES:
        found = {part: _first(names, aliases) for part, aliases in signature.required.items()}
        if all(found.values()) and _fits(signature, {p: c for p, c in found.items() if c}, names, rows):
            found |= {part: _first(names, aliases) for part, aliases in signature.optional.items()}
            columns_of_parts = {part: column for part, column in found.items() if column}
            return Format(signature.name, Mapping(layout=signature.layout, columns=columns_of_parts))
    return None


def _fits(signature: _Signature, found: dict[Part, str], names: set[str], rows: Sequence[dict[str, Any]]) -> bool:
    if "label" in found and found != _STRICTLY_UNPAIRED:
        return all(str(row.get(found["label"])).strip().lower() in LABELS for row in rows)
    if "answers" in found:
        return all(isinstance(row.get(found["answers"]), list | str) for row in rows)
    if signature.name == "documents":  # beside a question, `content` is more likely the answer
        return not names & {*_GUESSES["instruction"], *_GUESSES["output"]}
    return True


def suggest(columns: Sequence[str]) -> Mapping | None:
    """A mapping that a person may want to start from, where the columns were not recognised."""
    lowered = {column.lower(): column for column in columns}
    question, answer = (_first(lowered, _GUESSES[part]) for part in ("instruction", "output"))
    if question and answer:
        return Mapping(layout="turns", columns={"instruction": lowered[question], "output": lowered[answer]})
    text = _first(lowered, _GUESSES["text"]) or (next(iter(lowered)) if len(lowered) == 1 else None)
    return Mapping(layout="text", columns={"text": lowered[text]}) if text else None


def _first(names: Iterable[str], aliases: tuple[str, ...]) -> str | None:
    known = set(names)
    return next((alias for alias in aliases if alias in known), None)
