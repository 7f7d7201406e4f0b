"""Views of the playground: turns, answers and past conversations as HTML, everything escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Protocol

from pipeline.errors import HoneError
from store.schema import Answer, Conversation, Turn
from webapp.formatting import counted, number, when
from webapp.markdown import safe_html
from webapp.shell import error_block, progress_bar

MAX_SHOWN_CHARACTERS = 4_000
"""A longer prompt is cut on the page, where it stands once in every column; it is sent and kept whole."""


class AnswerLike(Protocol):
    """An answer, stored or still being written."""

    text: str
    state: str
    error: str | None
    stats: dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where an answer stands, so that what can be done with it knows which one is meant.

    Args:
        turn: The number of its prompt, from 1.
        column: From 0.
        is_own: Whether Hone's own server answers, which shows tokens and carries answers on.
    """

    turn: int
    column: int
    is_own: bool = True


def turn_view(turn: Turn, column: int, *, present_model_id: int | None, is_live: bool) -> str:
    """One exchange of a column; an answer by another model than the column's present one says whose it is."""
    answer = next((one for one in turn.answers if one.column == column), None)
    asked = prompt_view(turn.prompt, number=turn.number, can_edit=not is_live)
    if answer is None:
        return f'{asked}<p class="h-quiet h-pg-note">This column was not there yet.</p>'
    name = answer.model.name if answer.model_id != present_model_id else ""
    return asked + answer_view(answer, model_name=name, is_live=is_live, place=place_of(answer, turn.number))


def place_of(answer: Answer, turn: int) -> Place:
    return Place(turn, answer.column, is_own=answer.model.endpoint_id is None)


def prompt_view(prompt: str, *, number: int, can_edit: bool = False) -> str:
    shown, left = prompt[:MAX_SHOWN_CHARACTERS], len(prompt) - MAX_SHOWN_CHARACTERS
    more = f'<span class="h-quiet"> … and {left:,} more characters</span>' if left > 0 else ""
    edit = f'<div class="h-pg-acts" data-turn="{number}">{_act("edit", "Edit")}</div>' if can_edit else ""
    return f'<div class="h-pg-asked"><div class="h-pg-prompt">{escape(shown)}{more}</div>{edit}</div>'


def answer_view(
    answer: AnswerLike,
    *,
    model_name: str = "",
    is_live: bool = False,
    share_loaded: float | None = None,
    place: Place | None = None,
) -> str:
    """An answer with its quiet line (its figures, how it goes, or why it ended) and what can be done with it.

    Args:
        is_live: Whether somebody is writing it now; one that is only stored as streaming was broken off.
        share_loaded: How much of its model's weights is in memory, while they are being read.
    """
    whose = f'<div class="h-small h-quiet">{escape(model_name)}</div>' if model_name else ""
    body = f'<div class="h-pg-text">{safe_html(answer.text)}</div>' if answer.text else ""
    is_over = not is_live or answer.state not in ("waiting", "streaming")
    acts = _acts(answer, place) if place and is_over else ""
    line = _line_under(answer, is_live=is_live, share_loaded=share_loaded)
    return f'<div class="h-pg-answer">{whose}{body}{line}{acts}</div>'


def _line_under(answer: AnswerLike, *, is_live: bool, share_loaded: float | None) -> str:
    if answer.error:
        message, _, advice = answer.error.partition("\n")
        return error_block(HoneError(message, advice))
    if is_live and share_loaded is not None:
        bar = progress_bar(share_loaded or None)
        return f'<div class="h-pg-wait"><span>Loading the model…</span>{bar}</div>'
    if is_live and answer.state in ("waiting", "streaming"):
        return f'<div class="h-pg-line">{"" if answer.text else "Waiting for the first token…"}</div>'
    parts = stats_parts(answer.stats)
    if answer.state in ("stopped", "streaming"):
        parts.append("stopped")
    elif answer.state == "waiting":
        parts.append("not written yet")
    elif answer.stats.get("finish_reason") == "length":
        parts.append("ended at the token limit")
    elif not answer.text:
        parts.append("the model answered nothing")
    return f'<div class="h-pg-line">{escape(" · ".join(parts))}</div>'


def _acts(answer: AnswerLike, place: Place) -> str:
    """The buttons under an answer: only those that make sense for it."""
    acts = [_act("copy", "Copy")] if answer.text else []
    acts.append(_act("regenerate", "Regenerate"))
    if answer.text and is_cut_off(answer):
        acts.append(_act("continue", "Continue") if place.is_own else _NO_CONTINUE)
    if place.is_own:
        acts.append(_act("tokens", "Tokens"))
    if answer.text:
        acts.append(_act("keep", "Edit and keep"))
    joined = "".join(acts)
    return f'<div class="h-pg-acts" data-turn="{place.turn}" data-column="{place.column}">{joined}</div>'


_NO_CONTINUE = (
    '<span class="h-quiet" title="OpenAI’s protocol has no way to carry an answer on">Its server cannot continue</span>'
)


def _act(name: str, words: str) -> str:
    return f'<button type="button" data-act="{name}">{words}</button>'


def is_cut_off(answer: AnswerLike) -> bool:
    """Whether an answer ended before its model was done with it."""
    return answer.state in ("stopped", "streaming", "failed") or answer.stats.get("finish_reason") == "length"


def stats_parts(stats: dict[str, Any]) -> list[str]:
    """`0.21 s to first token`, `38 tokens/s`, `112 tokens`."""
    if "seconds_to_first_token" not in stats:
        return []
    return [
        f"{stats['seconds_to_first_token']:.2f} s to first token",
        f"{number(round(stats['tokens_per_second']))} tokens/s",
        counted(stats["num_tokens"], "token"),
    ]


def tools_view(conversation: Conversation, branches: Sequence[Conversation], origin: Conversation | None) -> str:
    """What can be done with a conversation as a whole, and where it came from or went on."""
    is_compared = len(conversation.model_ids) > 1
    compare = (_act("differences", "Differences") + _act("prefer", "Prefer one")) if is_compared else ""
    address = f"/api/playground/{escape(conversation.id)}/export"
    exports = "".join(
        f'<a href="{address}.{ending}" download>{words}</a>'
        for ending, words in (("jsonl", "JSONL"), ("md", "Markdown"))
    )
    acts = f'<div class="h-pg-acts">{compare}{_act("scores", "Scores")}{_LIVE}{exports}</div>'
    return f'<div class="h-pg-tools">{_descent(branches, origin)}{acts}</div>'


_LIVE = (
    '<button type="button" id="h-pg-score-live" aria-pressed="false"'
    ' title="Score every answer under every model as soon as it is written">Score live</button>'
)
LIVE_PANEL = '<div class="h-card h-stack h-pg-live" aria-live="polite" hidden></div>'
"""Where `playground_live.js` shows the scores while that button is pressed."""


def _descent(branches: Sequence[Conversation], origin: Conversation | None) -> str:
    parts = [f"Branched from {_conversation_link(origin)}"] if origin is not None else []
    if branches:
        parts.append(f"{counted(len(branches), 'branch', 'branches')}: {', '.join(map(_conversation_link, branches))}")
    return f'<span class="h-quiet h-small h-pg-descent">{" · ".join(parts)}</span>'


def _conversation_link(conversation: Conversation) -> str:
    return f'<a href="/playground?c={escape(conversation.id)}">{escape(conversation.title)}</a>'


def history_view(past: Sequence[Conversation], present_id: str, search: str = "") -> str:
    """The list of past conversations, the newest first."""
    if past:
        items = "".join(_history_item(one, is_present=one.id == present_id) for one in past)
        listed = f'<ul class="h-pg-history">{items}</ul>'
    elif search.strip():
        listed = f'<p class="h-quiet h-small">No conversation has “{escape(search.strip()[:60])}” in it.</p>'
    else:
        listed = '<p class="h-quiet h-small">Conversations you have here are kept and listed.</p>'
    return f'<div class="h-pg-list">{listed}</div>'


def _history_item(conversation: Conversation, *, is_present: bool) -> str:
    num_models = len(conversation.model_ids)
    several = f" · {counted(num_models, 'model')}" if num_models > 1 else ""
    branched = " · branch" if conversation.branched_from_id else ""
    marked = ' aria-current="page"' if is_present else ""
    acts = _act("rename", "Rename") + _act("delete", "Delete")
    return (
        f'<li data-conversation="{escape(conversation.id)}"><a href="/playground?c={escape(conversation.id)}"{marked}>'
        f'<span class="h-clip">{escape(conversation.title)}</span>'
        f'<span class="h-quiet h-small">{when(conversation.updated_at)}{several}{branched}</span></a>'
        f'<div class="h-pg-acts">{acts}</div></li>'
    )


def invitation(num_columns: int) -> str:
    """What a column shows before anything was asked."""
    words = "Ask something below." if num_columns == 1 else "Ask something below: every column gets the same prompt."
    return f'<p class="h-quiet h-pg-note">{words}</p>'


def unnamed_model() -> str:
    return '<p class="h-quiet h-pg-note">Choose a model above.</p>'


def column_note(num_shown: int, num_examples: int) -> str:
    """How many of the examples a column's model is shown."""
    if not num_examples:
        return ""
    return f'<p class="h-quiet h-small h-pg-shown">with {counted(num_shown, "example")} of {number(num_examples)}</p>'
