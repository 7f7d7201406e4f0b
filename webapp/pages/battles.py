"""Battles: every vote that was given, to be looked through and filtered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from store import battle_list
from store.battle_list import BattleFilter
from store.database import reading
from store.models import list_models
from webapp.arena.views import OUTCOME_TAGS
from webapp.arena.views_battles import votes_table
from webapp.jobs.views import pager
from webapp.people import current_person
from webapp.shell import Page, empty_state, html, link_button, on_load, page_header, query_value

ROWS_A_PAGE = 50
_NAMES = ("model", "outcome", "person", "tag", "counted")
_COUNTED = (("Counted or not", ""), ("Counted", "yes"), ("Not counted", "no"))

# The filters live in the address, so that a list can be kept and sent.
_KEEP_IN_ADDRESS = """(model, outcome, person, tag, counted) => {
  const wanted = Object.entries({ model, outcome, person, tag, counted }).filter(([, value]) => value);
  history.replaceState(null, "", location.pathname + (wanted.length ? "?" + new URLSearchParams(wanted) : ""));
}"""


def build() -> None:
    html(
        page_header(
            "Battles",
            "Every vote, the newest first. Battles that wait for your own vote are left out, so that they stay blind.",
            link_button("Vote", "/arena") + link_button("Board", "/board"),
        )
    )
    with gr.Row(elem_classes="h-filters"):
        filters = [_filter(first) for first in ("Any model", "Any outcome", "Anybody", "Any tag", "Counted or not")]
    table = html(min_height=320)
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    on_load(_open, outputs=[*filters, table])
    for one in filters:
        one.input(_filtered, inputs=filters, outputs=[table], **quick).then(
            None, inputs=filters, js=_KEEP_IN_ADDRESS, api_visibility="private"
        )


def _filter(first: str) -> gr.Dropdown:
    return gr.Dropdown([(first, "")], value="", show_label=False, label=first, container=False, min_width=160)


def _open(request: gr.Request) -> list[Any]:
    wanted = {name: query_value(request, name) for name in _NAMES}
    start = query_value(request, "offset")
    offset = int(start) if start.isdecimal() and len(start) < 12 else 0
    with reading() as session:
        offered = (
            [("Any model", ""), *((model.name, str(model.id)) for model in list_models(session))],
            [("Any outcome", ""), *((words, outcome) for outcome, words in OUTCOME_TAGS.items())],
            [("Anybody", ""), *((name, str(person)) for person, name in battle_list.voters(session))],
            [("Any tag", ""), *((tag, tag) for tag in battle_list.tags(session))],
            list(_COUNTED),
        )
    known = [
        wanted[name] if wanted[name] in {value for _, value in choices} else ""
        for name, choices in zip(_NAMES, offered, strict=True)
    ]
    shown = [gr.update(choices=choices, value=value) for choices, value in zip(offered, known, strict=True)]
    return [*shown, _draw(dict(zip(_NAMES, known, strict=True)), offset, current_person(request).id)]


def _filtered(model: str, outcome: str, person: str, tag: str, counted: str, request: gr.Request) -> str:
    given = (model, outcome, person, tag, counted)
    return _draw(dict(zip(_NAMES, given, strict=True)), 0, current_person(request).id)


def _draw(given: Mapping[str, str], offset: int, viewer_id: int) -> str:
    with reading() as session:
        found, total = battle_list.list_votes(
            session, _as_filter(given), viewer_id=viewer_id, limit=ROWS_A_PAGE, offset=offset
        )
        people = battle_list.names_of_people(session, [vote.person_id for vote in found])
    query = {name: value for name, value in given.items() if value}
    if found:
        pages = pager(total, offset, ROWS_A_PAGE, query, path="/battles", noun="vote")
        return f'<div class="h-stack">{votes_table(found, people)}{pages}</div>'
    if query or offset:
        return empty_state("No vote is like that.", link_button("Show all votes", "/battles"))
    return empty_state("Nobody has voted yet.", link_button("Vote", "/arena", "primary"))


def _as_filter(given: Mapping[str, str]) -> BattleFilter:
    counted = given["counted"]
    return BattleFilter(
        model_id=_number(given["model"]),
        outcome=given["outcome"],
        person_id=_number(given["person"]),
        tag=given["tag"],
        counted="yes" if counted == "yes" else "no" if counted == "no" else "",
    )


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 18 else None


PAGE = Page(title="Battles", path="/battles", build=build, under="/arena", assets=("arena.css",))
