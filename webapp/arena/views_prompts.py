"""Views of prompt sets and voting links: what is prepared, and who may come and vote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby

from store.prompt_sets import Prepared
from store.schema import DatasetVersion
from store.voting_links import LinkUse
from webapp.commands import command_button
from webapp.formatting import counted, number, when
from webapp.shell import chip, empty_state, link_button

Names = Mapping[int, str]


def prepared_table(prepared: Sequence[Prepared], versions: Mapping[int, DatasetVersion], names: Names) -> str:
    """A card a set and its sampling settings: how many prompts each model has answered."""
    shown = [one for one in prepared if one.version_id in versions]
    if not shown:
        return empty_state(
            "No answers are prepared yet. Choose a dataset and two models: a job writes their answers to the same "
            "prompts, and voting on them needs no waiting."
        )
    cards = [
        _prepared_card(versions[version_id], list(alike), names)
        for (version_id, _), alike in groupby(shown, key=lambda one: (one.version_id, one.settings_sha256))
    ]
    return f'<div class="h-columns" style="--h-min: 360px">{"".join(cards)}</div>'


def _prepared_card(version: DatasetVersion, alike: Sequence[Prepared], names: Names) -> str:
    rows = "".join(
        f'<tr><td><a href="/model?id={one.model_id}">{escape(names.get(one.model_id, ""))}</a></td>'
        f'<td class="h-num">{number(one.num_answers)}</td></tr>'
        for one in alike
    )
    vote = link_button("Vote on these", f"/arena?prompts={version.id}", slim=True) if len(alike) > 1 else ""
    settings = alike[0].settings
    how = (
        f"temperature {settings['temperature']:g}, top-p {settings['top_p']:g}, "
        f"at most {counted(settings['max_tokens'], 'token')}"
    )
    more = "" if vote else '<p class="h-quiet h-small">A second model is needed before anybody can vote.</p>'
    return (
        f'<section class="h-card"><div class="h-card-head"><h2 class="h-h2"><a href="/dataset?id={version.id}">'
        f"{escape(version.dataset.name)} v{version.number}</a></h2>{vote}</div>"
        f'<p class="h-quiet h-small">{how}</p><table class="h-table h-bare h-prepared"><thead><tr><th>Model</th>'
        f'<th class="h-num">Answers</th></tr></thead><tbody>{rows}</tbody></table>{more}</section>'
    )


def links_table(links: Sequence[LinkUse], set_names: Names) -> str:
    """Every voting link: what is voted on, what came by it, and the button that ends it."""
    if not links:
        return '<p class="h-quiet">No link has been made yet.</p>'
    rows = "".join(_link_row(use, set_names) for use in links)
    return (
        '<div class="h-table-wrap"><table class="h-table"><thead><tr><th>Link</th><th class="h-wide">Votes on</th>'
        '<th class="h-num">Voters</th><th class="h-num">Votes</th><th>State</th><th></th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _link_row(use: LinkUse, set_names: Names) -> str:
    link = use.link
    what = "the shipped prompts"
    if link.prompt_version_id is not None:
        what = set_names.get(link.prompt_version_id, "a prompt set that was deleted")
    models = f", {counted(len(link.model_ids), 'model')}" if link.model_ids else ""
    state = chip("", "Revoked", "quiet") if link.revoked_at else chip("", "Open", "good")
    button = "" if link.revoked_at else command_button("Revoke", f"revoke:{link.id}", title=f"Revoke {link.name}")
    return (
        f'<tr><td><div class="h-strong">{escape(link.name)}</div><span class="h-quiet h-small">'
        f'{when(link.created_at)}</span></td><td class="h-wide">{escape(what)}{models}</td>'
        f'<td class="h-num">{number(use.num_voters)}</td><td class="h-num">{number(use.num_votes)}</td>'
        f"<td>{state}</td><td>{button}</td></tr>"
    )


def new_link_note(address: str) -> str:
    """The one time that a link's address is shown."""
    return (
        '<div class="h-note" role="status"><p class="h-strong">Copy the address now: it is not shown again.</p>'
        f'<p class="h-mono" id="h-new-link">{escape(address)}</p></div>'
    )
