"""Views of the battles that were voted on: one vote a row, each a link to its battle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from store.schema import Vote
from webapp.arena.views import OUTCOME_TAGS, STRENGTH_WORDS
from webapp.formatting import when
from webapp.shell import chip

EXCERPT_CHARACTERS = 160


def votes_table(given: Sequence[Vote], people: Mapping[int, str]) -> str:
    """What was said, of which two models, by whom, and whether it counts."""
    rows = "".join(_row(vote, people.get(vote.person_id, "")) for vote in given)
    return (
        '<div class="h-table-wrap"><table class="h-table h-battles"><thead><tr><th>Prompt</th><th>A and B</th>'
        '<th>Vote</th><th class="h-wide">By</th><th class="h-wide">When</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(vote: Vote, person: str) -> str:
    battle = vote.battle
    prompt = str(battle.messages[-1]["content"])
    excerpt = prompt if len(prompt) <= EXCERPT_CHARACTERS else prompt[:EXCERPT_CHARACTERS] + "…"
    tags = "".join(f'<span class="h-tag">{escape(str(tag))}</span> ' for tag in battle.tags)
    repeat = '<span class="h-tag">repeat</span>' if battle.repeat_of_id else ""
    strength = f", {STRENGTH_WORDS[vote.strength]}" if vote.strength else ""
    reason = escape(vote.uncounted_because or "")
    not_counted = f'<div title="{reason}">{chip("", "not counted", "warn")}</div>' if vote.uncounted_because else ""
    why = escape(", ".join(map(str, vote.reasons)))
    link = f'<a class="h-two-lines" href="/arena?battle={escape(battle.id)}">{escape(excerpt)}</a>'
    return (
        f"<tr><td>{link}{tags}{repeat}</td>"
        f'<td class="h-small"><div>{_model(vote, "a")}</div><div>{_model(vote, "b")}</div></td>'
        f'<td>{OUTCOME_TAGS[vote.outcome]}{strength}<div class="h-quiet h-small">{why}</div>{not_counted}</td>'
        f'<td class="h-wide">{escape(person)}</td><td class="h-wide">{when(vote.created_at)}</td></tr>'
    )


def _model(vote: Vote, side: str) -> str:
    model = vote.battle.model_a if side == "a" else vote.battle.model_b
    name = escape(model.name)
    return f"<b>{name}</b>" if vote.outcome == side else name
