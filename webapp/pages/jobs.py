"""Jobs: the queue, and everything that went through it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import gradio as gr

from pipeline.recipes import NAMES
from store import jobs
from store.database import reading
from store.schema import ACTIVE_STATES, JobState
from webapp.shared import Shared
from webapp.shell import Page, empty_state, html, link_button, on_load, page_header, query_value
from webapp.views_jobs import jobs_table, pager

ROWS_A_PAGE = 50
LIVE_SECONDS = 2

_STATES: dict[str, tuple[JobState, ...]] = {
    "": (),
    "active": ACTIVE_STATES,
    **{state.value: (state,) for state in JobState},
}
_STATE_WORDS = {"": "Any state", "active": "Queued or running", "cancelled": "Stopped"}

# The filters live in the address, so that a list can be kept and sent.
_KEEP_IN_ADDRESS = """(search, state, recipe) => {
  const wanted = Object.entries({ search, state, recipe }).filter(([, value]) => value);
  history.replaceState(null, "", location.pathname + (wanted.length ? "?" + new URLSearchParams(wanted) : ""));
}"""


def build() -> None:
    html(
        page_header("Jobs", "The queue in its order, then what has ended.", link_button("New job", "/train", "primary"))
    )
    with gr.Row(elem_classes="h-filters"):
        search = gr.Textbox(show_label=False, placeholder="Search by name", container=False, min_width=160)
        states = [(_STATE_WORDS.get(state, state.capitalize()), state) for state in _STATES]
        state = gr.Dropdown(states, value="", show_label=False, container=False, min_width=160, filterable=False)
        recipes = [("Any recipe", ""), *((name, name) for name in NAMES)]
        recipe = gr.Dropdown(recipes, value="", show_label=False, container=False, min_width=160, filterable=False)
    table = html(min_height=320)
    offset = gr.State(0)
    timer = gr.Timer(LIVE_SECONDS, active=False)

    filters = [search, state, recipe]
    on_load(_open, outputs=[*filters, offset, table, timer])
    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    timer.tick(_refresh, inputs=[*filters, offset], outputs=[table, timer], **quiet)
    for trigger in (search.submit, state.input, recipe.input):
        trigger(_filter, inputs=filters, outputs=[offset, table, timer], **quiet).then(
            None, inputs=filters, js=_KEEP_IN_ADDRESS, api_visibility="private"
        )


def _open(request: gr.Request) -> list[Any]:
    search, state, recipe = (query_value(request, name) for name in ("search", "state", "recipe"))
    state, recipe = state if state in _STATES else "", recipe if recipe in NAMES else ""
    start = query_value(request, "offset")
    offset = int(start) if start.isdecimal() and len(start) < 12 else 0
    return [search, state, recipe, offset, *_refresh(search, state, recipe, offset)]


def _filter(search: str, state: str, recipe: str) -> list[Any]:
    return [0, *_refresh(search, state, recipe, 0)]


def _refresh(search: str, state: str, recipe: str, offset: int) -> list[Any]:
    table, is_live = _tables().get((search, state, recipe, offset), lambda before: _draw(search, state, recipe, offset))
    return [table, gr.Timer(active=is_live)]


@lru_cache(maxsize=1)
def _tables() -> Shared[tuple[str, bool]]:
    """Tables by their filters, and whether any job may still change, for all browsers that poll."""
    return Shared()


def _draw(search: str, state: str, recipe: str, offset: int) -> tuple[str, bool]:
    with reading() as session:
        found, total = jobs.list_jobs(
            session, states=_STATES[state], recipe=recipe or None, search=search, limit=ROWS_A_PAGE, offset=offset
        )
        is_live = jobs.has_active(session)
    query = {name: value for name, value in (("search", search), ("state", state), ("recipe", recipe)) if value}
    if found:
        drawn = f'<div class="h-stack">{jobs_table(found)}{pager(total, offset, ROWS_A_PAGE, query)}</div>'
    elif query or offset:
        drawn = empty_state("No job is like that.", link_button("Show all jobs", "/jobs"))
    else:
        drawn = empty_state(
            "Nothing has run yet. A job trains, aligns or quantizes a model.", link_button("New job", "/train")
        )
    return drawn, is_live


PAGE = Page(title="Jobs", path="/jobs", build=build, in_nav=True)
