"""Views of votes as training data: what they make, what is left out, and whether the model that learned is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from store.comparisons import Comparison, Record
from store.vote_pairs import VoteRows
from webapp.formatting import counted, number
from webapp.shell import link_button

MUCH_OFF_POLICY = 0.5


@dataclass(frozen=True)
class ModelToTrain:
    id: int
    name: str
    line: frozenset[int]
    """It, all it was made from, and all that were made from it."""


def rows_view(rows: VoteRows, model: ModelToTrain | None) -> str:
    """How many rows the votes make, how many are not by the model that would learn, and what was left out and why."""
    if not rows.num_votes:
        return '<p class="h-quiet">There are no votes here: each vote for one of two answers makes a pair.</p>'
    noun = "preference pair" if rows.kind == "preference" else "labelled answer"
    made = f"<p>{counted(rows.num_votes, 'vote')} make <b>{counted(rows.num_rows, noun)}</b>. {_whom(rows, model)}</p>"
    return f'<div class="h-arena-pairs">{made}{_off_policy(rows, model)}{_left_out(rows)}</div>'


def comparisons_view(comparisons: Sequence[Comparison]) -> str:
    """A card for each model that learned from votes: is it better than the one it was trained from?"""
    return "".join(_comparison(comparison) for comparison in comparisons)


def _whom(rows: VoteRows, model: ModelToTrain | None) -> str:
    if rows.kind == "unpaired":
        return "Each says of one answer whether it is good: a dataset for methods that learn from labels, such as KTO."
    return f"DPO would train <b>{escape(model.name)}</b>." if model else "No model that was voted on can be trained."


def _off_policy(rows: VoteRows, model: ModelToTrain | None) -> str:
    off = rows.num_off_policy(model.line) if model else 0
    if not off or model is None:
        return ""
    share = off / rows.num_rows
    weight = (
        "Such pairs teach less: choose votes on its own answers, or train another model."
        if share >= MUCH_OFF_POLICY
        else "Such pairs teach less."
    )
    return (
        f"<p>{number(off)} of them ({share * 100:.0f} %) are off-policy: neither answer is by {escape(model.name)} or "
        f"its relatives. {weight}</p>"
    )


def _left_out(rows: VoteRows) -> str:
    if not rows.left_out:
        return ""
    lines = "".join(
        f'<tr><td class="h-num">{number(votes)}</td><td>{escape(reason)}</td></tr>'
        for reason, votes in sorted(rows.left_out.items(), key=lambda item: -item[1])
    )
    heading = f'<p class="h-quiet">{counted(sum(rows.left_out.values()), "vote")} left out:</p>'
    return f'{heading}<table class="h-arena-left-out"><tbody>{lines}</tbody></table>'


def _comparison(comparison: Comparison) -> str:
    new, old = comparison.new, comparison.old
    battle = link_button("Vote on these two", f"/arena?pair={old.id},{new.id}")
    rows = _record_row("Held-out prompts", comparison.held_out) + _record_row("All prompts", comparison.every)
    return (
        f'<div class="h-card"><div class="h-card-head"><h2 class="h-h2">Is {escape(new.name)} better?</h2>'
        f"{battle}</div>"
        f'<p class="h-board-answer">{answer(comparison)}</p>'
        '<div class="h-table-wrap"><table class="h-table"><thead><tr>'
        f'<th>Against {escape(old.name)}, which it learned from</th><th class="h-num">Share won</th>'
        '<th class="h-num">95 % interval</th><th class="h-num">Won / tied / lost</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></div>"
    )


def answer(comparison: Comparison) -> str:
    """Whether the model that learned from votes is better, by the votes on prompts that it did not learn from."""
    new, old, record = comparison.new, comparison.old, comparison.held_out
    first, second = f'<a href="/model?id={new.id}">{escape(new.name)}</a>', escape(old.name)
    if record.share is None:
        seen = (
            f" {counted(comparison.every.votes, 'vote')} on other prompts say nothing certain."
            if comparison.every.votes
            else ""
        )
        return f"Nobody has voted yet on {first} against {second} on a prompt that is held out from training.{seen}"
    low, high = record.interval
    held = f"on held-out prompts it wins {record.share * 100:.0f} % of {counted(record.votes, 'vote')}"
    if low > 0.5:
        return f"Yes: {first} is better than {second}; {held}."
    if high < 0.5:
        return f"No: {first} is worse than {second}; {held}."
    return f"It cannot be told yet: {held}, and the interval ({low * 100:.0f} to {high * 100:.0f} %) holds one half."


def _record_row(title: str, record: Record) -> str:
    if record.share is None:
        return f'<tr><td>{title}</td><td class="h-num h-quiet" colspan="3">no votes yet</td></tr>'
    low, high = record.interval
    return (
        f'<tr><td>{title}</td><td class="h-num">{record.share * 100:.0f} %</td>'
        f'<td class="h-num">{low * 100:.0f} to {high * 100:.0f} %</td>'
        f'<td class="h-num">{number(record.wins)} / {number(record.ties)} / {number(record.losses)}</td></tr>'
    )
