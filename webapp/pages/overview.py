"""Overview: where the loop stands, and what to do next."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import gradio as gr

from store import fleet, jobs, tour, votes
from store.database import reading
from store.schema import JobState
from webapp.arena.standings import read_ratings
from webapp.shell import Page, html, on_load, page_header
from webapp.views_overview import (
    best_models_card,
    next_step_card,
    running_card,
    steps_of,
    votes_card,
    workers_card,
)

LIVE_SECONDS = 3


def build() -> None:
    html(page_header("Overview", "Train a model, compare it blind, and let the votes train the next one."))
    board = html(min_height=480)
    timer = gr.Timer(LIVE_SECONDS, active=False)
    on_load(_read, outputs=[board, timer])
    timer.tick(_read, outputs=[board, timer], queue=False, show_progress="hidden", api_visibility="private")


def _read() -> list[Any]:
    now = datetime.now(UTC)
    with reading() as session:
        stand = tour.read_tour(session)
        running = [(job, jobs.metrics(session, job.id, ["loss"]).get("loss", [])) for job in tour.running_jobs(session)]
        ratings = read_ratings(session)
        cards = [
            running_card(running, jobs.count_by_state(session)[JobState.QUEUED], now),
            best_models_card(votes.names_of(session, ratings), ratings),
            votes_card(tour.votes_by_day(session), stand.num_votes),
            workers_card(fleet.live_workers(session)),
        ]
    columns = f'<div class="h-columns h-even" style="--h-min:288px">{"".join(cards)}</div>'
    return [
        f'<div class="h-stack">{next_step_card(steps_of(stand, now))}{columns}</div>',
        gr.Timer(active=bool(stand.active)),
    ]


PAGE = Page(title="Overview", path="/", build=build, in_nav=True)
