"""Workers: the machines that run jobs, what each device is doing, and which are to take nothing new."""

from __future__ import annotations

from typing import Any

import gradio as gr

from pipeline.errors import HoneError
from store import fleet, slots, steering
from store.database import reading, writing
from webapp.commands import command_box, read_command
from webapp.shell import Page, empty_state, error_block, html, link_button, on_load, page_header
from webapp.views_workers import workers_view
from workers import queue

LIVE_SECONDS = 3


def build() -> None:
    html(
        page_header(
            "Workers",
            "What runs where. A worker that drains finishes what it runs and takes nothing new.",
            link_button("Jobs", "/jobs"),
        )
    )
    notice = html()
    board = html(min_height=320)
    command = command_box()
    timer = gr.Timer(LIVE_SECONDS)
    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    on_load(_read, outputs=[board])
    timer.tick(_read, outputs=board, **quiet)
    command.change(_obey, inputs=command, outputs=[notice, board], **quiet)


def _read() -> str:
    with reading() as session:
        workers = fleet.known_workers(session)
        holders = slots.holders(session)
    if not workers:
        return empty_state(
            "No worker is there, so jobs wait. “hone up” starts one on this machine, “hone worker” on any other that "
            "shares the data folder, the database and the broker."
        )
    return workers_view(workers, holders)


def _obey(told: str) -> list[str]:
    fault = ""
    try:
        match read_command(told):
            case [worker_id, ("drain" | "resume") as wish]:
                with writing() as session:
                    steering.drain(session, worker_id, is_draining=wish == "drain")
    except HoneError as error:
        fault = error_block(error)
    queue.wake()
    return [fault, _read()]


PAGE = Page(title="Workers", path="/workers", build=build, under="/jobs", assets=("commands.js",))
