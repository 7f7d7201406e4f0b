"""How rows are drawn: canonical rows in, HTML out, with every text shown as text and long ones folded or cut."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from webapp.formatting import counted, number
from webapp.shell import chip
from webapp.word_differences import word_differences

MAX_SHOWN_CHARACTERS = 4_000
"""Longer texts are cut; the whole row is one press away, or in the download."""
MAX_WHOLE_CHARACTERS = 400_000
"""Of a text that was asked for whole: more than this makes a browser slow."""
FOLDED_CHARACTERS = 900
FOLDED_LINES = 12
_ROLE_TITLES = {"system": "System", "user": "User", "assistant": "Assistant", "tool": "Tool"}
_LEFT_OUT = "h-left-out"


# --------------------------------------------------------------------------------------------------------- single rows


def row_view(row: dict[str, Any], row_number: int | None = None) -> str:
    """One canonical row: a conversation as a conversation, a pair side by side, text as text."""
    label = f'<span class="h-row-number">{number(row_number)}</span>' if row_number is not None else ""
    return f'<article class="h-row">{label}<div class="h-row-body">{row_body(row)}</div></article>'


def rows_view(rows: Sequence[dict[str, Any]], first_number: int | None = None) -> str:
    """Rows under each other, numbered from `first_number` if there is one."""
    return "".join(
        row_view(row, None if first_number is None else first_number + index) for index, row in enumerate(rows)
    )


def list_row(row: dict[str, Any], version_id: int, row_number: int, *, is_whole: bool = False) -> str:
    """A row of the browser: its number is a link to it, and what is known beside it is folded under it."""
    limit = MAX_WHOLE_CHARACTERS if is_whole else MAX_SHOWN_CHARACTERS
    body = row_body(row, limit)
    cut = ""
    if _LEFT_OUT in body:
        as_json = f'<a href="/api/datasets/{version_id}/browse/rows/{row_number}/json" download>Download row</a>'
        more = "" if is_whole else '<button class="h-link" type="button" data-whole>Show long texts</button>'
        cut = f'<div class="h-line h-small">{more}{as_json}</div>'
    return (
        f'<article class="h-row" data-row="{row_number}" aria-label="Row {row_number}">'
        f'<a class="h-row-number" href="/dataset?id={version_id}&amp;row={row_number}" title="Link to this row">'
        f'{number(row_number)}</a><div class="h-row-body">{body}{cut}{_known_of(row)}</div></article>'
    )


def row_body(row: dict[str, Any], limit: int = MAX_SHOWN_CHARACTERS) -> str:
    """What a row says, without its frame; texts are cut after `limit` characters."""
    if "text" in row:
        return _folded("h-passage", row["text"], limit)
    if "messages" in row:
        return _tools(row) + conversation(row["messages"], limit)
    if "chosen" in row:
        chosen, rejected = _marked(row["chosen"], row["rejected"], limit)
        return (
            _tools(row)
            + conversation(row["prompt"], limit)
            + f'<div class="h-pair">{_side("Chosen", "good", chosen)}{_side("Rejected", "bad", rejected)}</div>'
        )
    title, tone = ("Good answer", "good") if row["label"] else ("Bad answer", "bad")
    return (
        _tools(row)
        + conversation(row["prompt"], limit)
        + f'<div class="h-pair h-single">{_side(title, tone, _answer(row["completion"], limit))}</div>'
    )


def conversation(messages: Sequence[dict[str, Any]], limit: int = MAX_SHOWN_CHARACTERS) -> str:
    return f'<div class="h-turns">{"".join(_message(message, limit) for message in messages)}</div>'


# --------------------------------------------------------------------------------------------------------------- parts


def _message(message: dict[str, Any], limit: int) -> str:
    role = message["role"]
    reasoning = message.get("reasoning_content")
    thought = (
        f"<details><summary>Reasoning, {counted(len(reasoning), 'character')}</summary>"
        f'<div class="h-said">{_text(reasoning, limit)}</div></details>'
        if reasoning
        else ""
    )
    calls = "".join(_call(call["function"], limit) for call in message.get("tool_calls") or ())
    said = _folded("h-said", message["content"], limit) if message["content"] else ""
    name = f' <span class="h-quiet">{escape(message["name"][:60])}</span>' if message.get("name") else ""
    return (
        f'<div class="h-turn h-turn-{escape(role)}"><span class="h-role">{_ROLE_TITLES.get(role, escape(role))}'
        f"{name}</span><div>{thought}{said}{calls}</div></div>"
    )


def _call(function: dict[str, Any], limit: int) -> str:
    arguments = _text(_json(function["arguments"]), limit)
    return (
        f'<details class="h-call"><summary>Calls <code>{escape(function["name"][:120])}</code></summary>'
        f'<pre class="h-code h-wrap">{arguments}</pre></details>'
    )


def _side(title: str, tone: Any, body: str) -> str:
    return f'<section class="h-side">{chip("", title, tone)}{body}</section>'


def _answer(messages: Sequence[dict[str, Any]], limit: int) -> str:
    plain = _plain_answer(messages)
    return _folded("h-said", plain, limit) if plain is not None else conversation(messages, limit)


def _plain_answer(messages: Sequence[dict[str, Any]]) -> str | None:
    """The text of an answer that is one message and nothing but text."""
    if len(messages) == 1 and set(messages[0]) == {"role", "content"}:
        text: str = messages[0]["content"]
        return text
    return None


def _marked(chosen: Sequence[dict[str, Any]], rejected: Sequence[dict[str, Any]], limit: int) -> tuple[str, str]:
    """Both answers of a pair, with the words marked that the other one has not."""
    texts = _plain_answer(chosen), _plain_answer(rejected)
    if texts[0] is None or texts[1] is None or max(map(len, filter(None, texts))) > MAX_SHOWN_CHARACTERS:
        return _answer(chosen, limit), _answer(rejected, limit)
    found = word_differences(texts[1], texts[0])
    sides: dict[str, list[str]] = {"added": [], "removed": []}
    for stretch in found.stretches:
        if stretch.kind == "same":
            for side in sides.values():
                side.append(escape(stretch.text))
        else:
            sides[stretch.kind].append(f'<mark class="h-{stretch.kind}">{escape(stretch.text)}</mark>')
    return (
        _fold("h-said", "".join(sides["added"]), texts[0]),
        _fold("h-said", "".join(sides["removed"]), texts[1]),
    )


def _tools(row: dict[str, Any]) -> str:
    if not row.get("tools"):
        return ""
    schemas = _text(_json(row["tools"], indent=2), MAX_SHOWN_CHARACTERS)
    return (
        f"<details><summary>{counted(len(row['tools']), 'tool')}</summary>"
        f'<pre class="h-code h-wrap">{schemas}</pre></details>'
    )


def _known_of(row: dict[str, Any]) -> str:
    """Tags and `meta`: what is known of a row beside what is trained on."""
    tags = "".join(f'<span class="h-tag">{escape(str(tag)[:60])}</span>' for tag in (row.get("tags") or ())[:20])
    meta = row.get("meta")
    known = (
        f"<details><summary>Known of this row</summary>"
        f'<pre class="h-code h-wrap">{_text(_json(meta, indent=2), MAX_SHOWN_CHARACTERS)}</pre></details>'
        if meta
        else ""
    )
    return f'<div class="h-line h-small h-known">{tags}{known}</div>' if tags or known else ""


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _folded(kind: str, text: str, limit: int) -> str:
    return _fold(kind, _text(text, limit), text)


def _fold(kind: str, markup: str, text: str) -> str:
    """A long text under a lid that opens; `markup` is what stands for it."""
    if len(text) <= FOLDED_CHARACTERS and text.count("\n", 0, FOLDED_CHARACTERS) < FOLDED_LINES:
        return f'<div class="{kind}">{markup}</div>'
    return (
        f'<div class="h-fold"><div class="{kind}">{markup}</div>'
        '<button class="h-link h-small" type="button" data-unfold aria-expanded="false">Show more</button></div>'
    )


def _text(text: str, limit: int) -> str:
    if len(text) <= limit:
        return escape(text)
    left = number(len(text) - limit)
    return f'{escape(text[:limit])}<span class="h-quiet {_LEFT_OUT}"> … {left} more characters</span>'
