"""Views of the playground: turns, answers and past conversations as HTML, everything escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, Protocol

from pipeline.errors import HoneError
from store.schema import Conversation, Turn
from webapp.formatting import counted, number, when
from webapp.markdown import safe_html
from webapp.shell import error_block, progress_bar


class AnswerLike(Protocol):
    """An answer, stored or still being written."""

    text: str
    state: str
    error: str | None
    stats: dict[str, Any]


def turn_view(turn: Turn, column: int, *, present_model_id: int | None, is_live: bool) -> str:
    """One finished exchange of a column; an answer by another model than the column's present one says whose it is."""
    answer = next((one for one in turn.answers if one.column == column), None)
    if answer is None:
        return prompt_view(turn.prompt) + '<p class="h-quiet h-pg-note">This column was not there yet.</p>'
    name = answer.model.name if answer.model_id != present_model_id else ""
    return prompt_view(turn.prompt) + answer_view(answer, model_name=name, is_live=is_live)


def prompt_view(prompt: str) -> str:
    return f'<div class="h-pg-prompt">{escape(prompt)}</div>'


def answer_view(answer: AnswerLike, *, model_name: str = "", is_live: bool = False, is_loading: bool = False) -> str:
    """An answer with its quiet line: its figures, how it goes, or why it ended.

    Args:
        is_live: Whether somebody is writing it now; one that is only stored as streaming was broken off.
    """
    whose = f'<div class="h-small h-quiet">{escape(model_name)}</div>' if model_name else ""
    body = f'<div class="h-pg-text">{safe_html(answer.text)}</div>' if answer.text else ""
    return f'<div class="h-pg-answer">{whose}{body}{_line_under(answer, is_live=is_live, is_loading=is_loading)}</div>'


def _line_under(answer: AnswerLike, *, is_live: bool, is_loading: bool) -> str:
    if answer.error:
        message, _, advice = answer.error.partition("\n")
        return error_block(HoneError(message, advice))
    if is_live and is_loading:
        return f'<div class="h-pg-wait"><span>Loading the model…</span>{progress_bar(None)}</div>'
    if is_live and answer.state == "streaming":
        return f'<div class="h-pg-line">{"" if answer.text else "Waiting for the first token…"}</div>'
    parts = stats_parts(answer.stats)
    if answer.state in ("stopped", "streaming"):
        parts.append("stopped")
    elif answer.stats.get("finish_reason") == "length":
        parts.append("ended at the token limit")
    elif not answer.text:
        parts.append("the model answered nothing")
    return f'<div class="h-pg-line">{escape(" · ".join(parts))}</div>'


def stats_parts(stats: dict[str, Any]) -> list[str]:
    """`0.21 s to first token`, `38 tokens/s`, `112 tokens`."""
    if not stats:
        return []
    return [
        f"{stats['seconds_to_first_token']:.2f} s to first token",
        f"{number(round(stats['tokens_per_second']))} tokens/s",
        counted(stats["num_tokens"], "token"),
    ]


def history_view(past: Sequence[Conversation], present_id: str) -> str:
    """The list of past conversations, the newest first."""
    if not past:
        return '<p class="h-quiet h-small">Conversations you have here are kept and listed.</p>'
    items = "".join(_history_item(one, is_present=one.id == present_id) for one in past)
    return f'<ul class="h-pg-history">{items}</ul>'


def _history_item(conversation: Conversation, *, is_present: bool) -> str:
    num_models = len(conversation.model_ids)
    several = f" · {counted(num_models, 'model')}" if num_models > 1 else ""
    marked = ' aria-current="page"' if is_present else ""
    return (
        f'<li><a href="/playground?c={escape(conversation.id)}"{marked}>'
        f'<span class="h-clip">{escape(conversation.title)}</span>'
        f'<span class="h-quiet h-small">{when(conversation.updated_at)}{several}</span></a></li>'
    )


def invitation(num_columns: int) -> str:
    """What a column shows before anything was asked."""
    words = "Ask something below." if num_columns == 1 else "Ask something below: every column gets the same prompt."
    return f'<p class="h-quiet h-pg-note">{words}</p>'


def unnamed_model() -> str:
    return '<p class="h-quiet h-pg-note">Choose a model above.</p>'
