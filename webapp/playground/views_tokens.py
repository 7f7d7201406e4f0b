"""Views of tokens: a prompt as a model sees it, and an answer with how likely each of its tokens was."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from html import escape

from webapp.formatting import counted, number
from webapp.playground.tokens import AnswerToken, RenderedPrompt, ScoredAnswer

MAX_SHOWN_TOKENS = 4_000
"""More are cut in the middle: the beginning and the end of a prompt are what is looked for."""

_STEPS = ((0.9, "90 % and more"), (0.5, "50 to 90 %"), (0.1, "10 to 50 %"), (0.01, "1 to 10 %"), (0.0, "under 1 %"))
"""The least probability of each shade, from the palest to the darkest."""


def prompt_tokens_view(rendered: RenderedPrompt) -> str:
    """Every token in its own frame, special ones marked; the id is on hover."""
    tokens = rendered.tokens
    half = MAX_SHOWN_TOKENS // 2
    left_out = len(tokens) - MAX_SHOWN_TOKENS
    shown = [_prompt_token(one.id, one.text, one.is_special) for one in tokens]
    if left_out > 0:
        gap = f'<span class="h-quiet"> … {number(left_out)} tokens … </span>'
        shown = [*shown[:half], gap, *shown[-half:]]
    num_special = sum(one.is_special for one in tokens)
    untold = "" if rendered.has_template else " The model brings no chat template: this is the plain one."
    return (
        f'<p class="h-quiet h-small">{counted(len(tokens), "token")}, {number(num_special)} of them special (framed). '
        f"Hover over one for its id.{untold}</p>"
        f'<div class="h-tokens">{"".join(shown)}</div>'
    )


def _prompt_token(token_id: int, text: str, is_special: bool) -> str:
    kind = ' class="h-special"' if is_special else ""
    return f'<span{kind} title="id {token_id}">{_shown(text)}</span>'


def answer_tokens_view(scored: ScoredAnswer, text: str) -> str:
    """The answer, shaded by how unlikely each token was; a press on one shows what else could have stood there.

    Args:
        text: The answer as it is kept: a token can be replaced as far as the tokens agree with it.
    """
    spans, before = [], ""
    num_written = _num_written(scored.tokens, text)
    end = scored.tokens[num_written].text if num_written < len(scored.tokens) else None
    for place, token in enumerate(scored.tokens):
        can_fork = text.startswith(before) and "\ufffd" not in before
        keep = len(before) if can_fork and place <= num_written else None
        spans.append(_answer_token(token, keep=keep, end=end, is_end=place >= num_written))
        # Some tokenizers give the first word of a text a space that the text has not.
        before += token.text if before or text.startswith(token.text) else token.text.lstrip(" ")
    legend = "".join(f'<span class="h-p{step}">{words}</span>' for step, (_, words) in enumerate(_STEPS))
    return (
        f'<p class="h-quiet h-small">Log-probability {scored.logprob:.2f} nats over '
        f"{counted(scored.num_tokens, 'token')}, {scored.logprob_per_token:.3f} a token, before temperature. "
        "Press a token to see what else could have stood there.</p>"
        f'<div class="h-token-legend h-small" aria-label="Probability">{legend}</div>'
        f'<div class="h-tokens h-scored">{"".join(spans)}</div>'
        '<div class="h-alternatives" hidden></div>'
    )


def _num_written(tokens: Sequence[AnswerToken], text: str) -> int:
    """How many tokens the answer's own text has; those after them end the turn."""
    num_characters = 0
    for place, token in enumerate(tokens):
        if num_characters >= len(text):
            return place
        num_characters += len(token.text if place or text.startswith(token.text) else token.text.lstrip(" "))
    return len(tokens)


def _answer_token(token: AnswerToken, *, keep: int | None, end: str | None, is_end: bool) -> str:
    alternatives = [
        {"text": one.text, "percent": percent(one.logprob), "is_end": one.text == end, "is_it": one.text == token.text}
        for one in token.alternatives
    ]
    told = escape(json.dumps(alternatives, ensure_ascii=False))
    where = "" if keep is None else f' data-keep="{keep}"'
    special = " h-special" if is_end else ""
    return (
        f'<button type="button" class="h-p{shade(token.logprob)}{special}" title="{percent(token.logprob)}"'
        f'{where} data-alternatives="{told}">{_shown(token.text)}</button>'
    )


def shade(logprob: float) -> int:
    """0 for a token that was all but certain, 4 for one that hardly was to be expected."""
    probability = math.exp(min(logprob, 0.0))
    return next(step for step, (least, _) in enumerate(_STEPS) if probability >= least)


def percent(logprob: float) -> str:
    """A probability as people read it: `93.1 %`, `0.042 %`, `< 0.001 %`."""
    share = 100 * math.exp(min(logprob, 0.0))
    if share < 0.001:
        return "< 0.001 %"
    return f"{share:.1f} %" if share >= 1 else f"{share:.2g} %"


def _shown(text: str) -> str:
    """A token's text with its line breaks visible; one that is nothing to see keeps its place."""
    if not text:
        return "<i>∅</i>"
    return escape(text).replace("\n", '<i class="h-break">⏎</i>\n').replace("\t", "<i>⇥</i>\t")
