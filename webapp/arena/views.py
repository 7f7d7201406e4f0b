"""Views of the arena: a blind battle, and what a vote revealed and changed."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from pipeline.errors import HoneError
from pipeline.ratings import Difference
from store.schema import Battle, Vote
from webapp.arena.views_board import Names, points, verdict
from webapp.formatting import counted
from webapp.markdown import safe_html
from webapp.shell import chip, error_block, progress_bar

OUTCOME_WORDS = {
    "a": "You preferred answer A.",
    "b": "You preferred answer B.",
    "tie": "You called it a tie.",
    "both_bad": "You found both bad.",
    "both_good": "You found both good.",
}
OUTCOME_TAGS = {
    "a": "A better",
    "b": "B better",
    "tie": "tie",
    "both_bad": "both bad",
    "both_good": "both good",
    "skip": "skipped",
}
STRENGTH_WORDS = {1: "slightly", 2: "clearly"}

# ------------------------------------------------------------------------------------------------------------ battle


def waiting_view(battle: Battle, seconds: int) -> str:
    """A battle whose answers are being written; what is said tells nothing of either side."""
    since = f" {seconds} s" if seconds >= 3 else ""
    frame = f'<div class="h-arena-wait"><span>Both models are answering…{since}</span>{progress_bar(None)}</div>'
    return _prompt_view(battle) + _sides(_side("A", "", ""), _side("B", "", "")) + frame


def blind_view(battle: Battle) -> str:
    """Two answers, nothing else."""
    return _prompt_view(battle) + _sides(
        _side("A", answer_text(battle.answer_a, battle.finish_a), ""),
        _side("B", answer_text(battle.answer_b, battle.finish_b), ""),
    )


def failed_view(battle: Battle) -> str:
    return _prompt_view(battle) + error_block(
        HoneError("This battle has no two answers, so it is not voted on.", battle.error or "")
    )


def revealed_view(battle: Battle, vote: Vote, change: str, others: Sequence[tuple[Vote, str]] = ()) -> str:
    """The answers with the names of their models, what the person said, and what that did to the board (HTML).

    Args:
        others: What other people said of the battle, and their names.
    """
    sides = _sides(
        _side("A", answer_text(battle.answer_a, battle.finish_a), _name_of(battle, "a"), is_best=vote.outcome == "a"),
        _side("B", answer_text(battle.answer_b, battle.finish_b), _name_of(battle, "b"), is_best=vote.outcome == "b"),
    )
    words = f'<span class="h-strong">{OUTCOME_WORDS[vote.outcome]}</span> '
    note = f'<div class="h-note h-arena-verdict" role="status">{words}{change}</div>'
    return f"{_prompt_view(battle)}{sides}{note}{votes_view(others)}"


def votes_view(given: Sequence[tuple[Vote, str]]) -> str:
    """What others said of a battle: each vote with its reasons, and whether it counts."""
    if not given:
        return ""
    rows = "".join(f'<li><span class="h-strong">{escape(name)}</span> {vote_words(vote)}</li>' for vote, name in given)
    return (
        f'<details class="h-arena-others"><summary>{counted(len(given), "other vote")} on these answers</summary>'
        f'<ul class="h-list">{rows}</ul></details>'
    )


def vote_words(vote: Vote) -> str:
    """One vote in a line: what it says, how clearly, why, and why it does not count where it does not."""
    strength = f", {STRENGTH_WORDS[vote.strength]}" if vote.strength else ""
    parts = [f'<span class="h-tag">{OUTCOME_TAGS[vote.outcome]}{strength}</span>']
    if vote.reasons:
        parts.append(escape(", ".join(map(str, vote.reasons))))
    if vote.comment:
        parts.append(f"“{escape(vote.comment)}”")
    for change in vote.changes:
        later = "after seeing the names" if change["is_after_reveal"] else "before"
        parts.append(f'<span class="h-quiet">{later}: {OUTCOME_TAGS[change["outcome"]]}</span>')
    if vote.uncounted_because:
        parts.append(f'<span class="h-quiet">not counted: {escape(vote.uncounted_because)}</span>')
    return " ".join(parts)


def change_view(vote: Vote, before: Difference | None, after: Difference | None, names: Names) -> str:
    """What a vote did to what is known of its two models, in a sentence or two of HTML."""
    if vote.uncounted_because is not None or after is None:
        return f"<span>It is kept, but not counted. {escape(vote.uncounted_because or '')}</span>"
    was = f"{points(before.points)} ± {points(before.half_width, sign=False)} → " if before else ""
    now = f"{points(after.points)} ± {points(after.half_width, sign=False)} points"
    pair = f"{escape(names[after.a])} against {escape(names[after.b])}"
    return f"<span>{pair}: {was}{now}. {verdict(after, names)}</span>"


def _prompt_view(battle: Battle) -> str:
    return f'<div class="h-arena-prompt" aria-label="Prompt">{escape(prompt_text(battle))}</div>'


def prompt_text(battle: Battle) -> str:
    """What both models answer: the question, or the whole conversation where there is more of it."""
    if len(battle.messages) == 1:
        return str(battle.messages[0]["content"])
    return "\n\n".join(f"{message['role'].capitalize()}: {message.get('content') or ''}" for message in battle.messages)


def _sides(a: str, b: str) -> str:
    return f'<div class="h-arena-sides">{a}{b}</div>'


def _side(letter: str, body: str, name: str, *, is_best: bool = False) -> str:
    chosen = chip("", "your choice", "good") if is_best else ""
    content = body or '<div class="h-skeleton"></div>'
    return (
        f'<section class="h-card h-arena-side" aria-label="Answer {letter}"><div class="h-line h-arena-head">'
        f'<h2 class="h-h2">{letter}</h2>{name}{chosen}</div><div class="h-answer">{content}</div></section>'
    )


def answer_text(text: str | None, finish_reason: str | None) -> str:
    """An answer as HTML, with everything in it escaped that is no markup of ours."""
    if not (text or "").strip():
        return '<p class="h-quiet">The model answered nothing.</p>'
    cut_off = '<p class="h-quiet h-small">Cut off at the token limit.</p>' if finish_reason == "length" else ""
    return safe_html(text or "") + cut_off


def _name_of(battle: Battle, side: str) -> str:
    model = battle.model_a if side == "a" else battle.model_b
    return f'<a class="h-strong" href="/model?id={model.id}">{escape(model.name)}</a>'
