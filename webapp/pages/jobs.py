"""Jobs: the queue, and everything that went through it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import gradio as gr
from sqlalchemy.orm import Session

from pipeline.errors import HoneError
from pipeline.recipes import NAMES
from store import jobs, steering, waiting
from store.database import reading, writing
from store.schema import ACTIVE_STATES, JobState
from webapp.commands import command_box, read_command
from webapp.jobs.views import jobs_table, pager, paused_notice
from webapp.people import current_person
from webapp.shared import Shared
from webapp.shell import Page, empty_state, error_block, html, link_button, on_load, on_tick, page_header, query_value
from workers import queue

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
    actions = link_button("Workers", "/workers") + link_button("New job", "/train", "primary")
    html(page_header("Jobs", "The queue in its order, then what has ended. Drag what waits to its place.", actions))
    notice = html()
    with gr.Row(elem_classes="h-actions"):
        pause = gr.Button("Pause the queue", size="sm", elem_classes="h-fit", visible=False)
        resume = gr.Button("Let the queue go on", variant="primary", size="sm", elem_classes="h-fit", visible=False)
    with gr.Row(elem_classes="h-filters"):
        search = gr.Textbox(show_label=False, placeholder="Search by name", container=False, min_width=160)
        states = [(_STATE_WORDS.get(state, state.capitalize()), state) for state in _STATES]
        state = gr.Dropdown(states, value="", show_label=False, container=False, min_width=160, filterable=False)
        recipes = [("Any recipe", ""), *((name, name) for name in NAMES)]
        recipe = gr.Dropdown(recipes, value="", show_label=False, container=False, min_width=160, filterable=False)
    table = html(min_height=320)
    command = command_box()
    offset = gr.State(0)
    stand = gr.Textbox(visible="hidden", label="The queue")
    """Whether any job may still change, and whether the queue is paused: the buttons and the timer are set anew only
    when that has changed. It is a field because Gradio does not hear the change of a state."""
    timer = gr.Timer(LIVE_SECONDS, active=False)

    filters = [search, state, recipe]
    steering_parts = [pause, resume, timer]
    live = [table, stand, *steering_parts]
    on_load(_open, outputs=[*filters, offset, notice, *live])
    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    on_tick(timer, _follow, inputs=[*filters, offset], outputs=[table, stand])
    stand.change(_offer, inputs=[stand], outputs=steering_parts, **quiet)
    command.change(_move, inputs=[command, *filters, offset], outputs=[notice, *live], **quiet)
    for button, act in ((pause, _pause), (resume, _resume)):
        button.click(act, inputs=[*filters, offset], outputs=[notice, *live], **quiet)
    for trigger in (search.submit, state.input, recipe.input):
        trigger(_filter, inputs=filters, outputs=[offset, *live], **quiet).then(
            None, inputs=filters, js=_KEEP_IN_ADDRESS, api_visibility="private"
        )


def _open(request: gr.Request) -> list[Any]:
    search, state, recipe = (query_value(request, name) for name in ("search", "state", "recipe"))
    state, recipe = state if state in _STATES else "", recipe if recipe in NAMES else ""
    start = query_value(request, "offset")
    offset = int(start) if start.isdecimal() and len(start) < 12 else 0
    with reading() as session:
        notice = paused_notice(waiting.queue_state(session))
    return [search, state, recipe, offset, notice, *_refresh(search, state, recipe, offset)]


def _filter(search: str, state: str, recipe: str) -> list[Any]:
    return [0, *_refresh(search, state, recipe, 0)]


def _refresh(search: str, state: str, recipe: str, offset: int) -> list[Any]:
    table, stand = _follow(search, state, recipe, offset)
    return [table, stand, *_offer(stand)]


def _follow(search: str, state: str, recipe: str, offset: int) -> tuple[str, str]:
    """The table as it is now, and how the queue stands; read and drawn once for all who look at the same page of it."""
    return _tables().get((search, state, recipe, offset), lambda before: _draw(search, state, recipe, offset))


def _offer(stand: str) -> list[Any]:
    is_live, is_paused = "live" in stand, "paused" in stand
    return [gr.Button(visible=is_live and not is_paused), gr.Button(visible=is_paused), gr.Timer(active=is_live)]


@lru_cache(maxsize=1)
def _tables() -> Shared[tuple[str, str]]:
    return Shared()


def _draw(search: str, state: str, recipe: str, offset: int) -> tuple[str, str]:
    with reading() as session:
        found, total = jobs.list_jobs(
            session,
            states=_STATES.get(state, ()),
            recipe=recipe or None,
            search=search,
            limit=ROWS_A_PAGE,
            offset=offset,
        )
        is_live, is_paused = jobs.has_active(session), waiting.queue_state(session).is_paused
    query = {name: value for name, value in (("search", search), ("state", state), ("recipe", recipe)) if value}
    if found:
        drawn = f'<div class="h-stack">{jobs_table(found)}{pager(total, offset, ROWS_A_PAGE, query)}</div>'
    elif query or offset:
        drawn = empty_state("No job is like that.", link_button("Show all jobs", "/jobs"))
    else:
        drawn = empty_state(
            "Nothing has run yet. A job trains, aligns or quantizes a model.", link_button("New job", "/train")
        )
    return drawn, f"{'live' if is_live else 'done'}, {'paused' if is_paused else 'open'}"


def _move(told: str, search: str, state: str, recipe: str, offset: int) -> list[Any]:
    """Put a waiting job where a person wants it: `12:up`, or `12:before:9`."""

    def change(session: Session) -> None:
        match read_command(told):
            case [job, ("up" | "down" | "first" | "last") as where]:
                steering.move(session, int(job), where)
            case [job, ("before" | "after") as side, other]:
                steering.move_beside(session, int(job), side, int(other))

    return _changed(change, search, state, recipe, offset)


def _pause(search: str, state: str, recipe: str, offset: int, request: gr.Request) -> list[Any]:
    person_id = current_person(request).id
    return _changed(lambda session: steering.pause_queue(session, person_id), search, state, recipe, offset)


def _resume(search: str, state: str, recipe: str, offset: int, request: gr.Request) -> list[Any]:
    person_id = current_person(request).id
    drawn = _changed(lambda session: steering.resume_queue(session, person_id), search, state, recipe, offset)
    queue.wake()
    return drawn


def _changed(change: Callable[[Session], object], *place: Any) -> list[Any]:
    """Do it, and show the queue as it is now, with what could not be done."""
    fault = ""
    try:
        with writing() as session:
            change(session)
    except HoneError as error:
        fault = error_block(error)
    with reading() as session:
        notice = paused_notice(waiting.queue_state(session))
    return [fault + notice, *_refresh(*place)]


PAGE = Page(title="Jobs", path="/jobs", build=build, in_nav=True, assets=("commands.js",))
