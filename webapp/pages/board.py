"""Board: what all blind votes together say of the models, how far voters agree, and training on what they said."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import gradio as gr
from sqlalchemy.orm import Session

from pipeline.agreement import agreement, agreement_by_person, consistency
from store import comparisons, judgements, styled_votes, votes
from store.database import reading
from webapp.arena import vote_training
from webapp.arena.sums import SumsOfVotes
from webapp.arena.views_agreement import AgreementFound, agreement_view
from webapp.arena.views_board import board_view
from webapp.arena.views_vote_data import comparisons_view
from webapp.arena.vote_training import VoteTraining
from webapp.shell import Page, empty_state, html, link_button, on_load, page_header

Updates = dict[Any, Any]

MOST_TAGS = 12


@dataclass(frozen=True)
class Board:
    """Everything on the page that a handler may change."""

    content: gr.HTML
    reference_row: gr.Row
    reference: gr.Dropdown
    has_control: gr.Checkbox
    better: gr.HTML
    agreement: gr.HTML
    training: VoteTraining

    @property
    def all(self) -> list[Any]:
        shown = [self.content, self.reference_row, self.reference, self.has_control, self.better, self.agreement]
        return [*shown, *self.training.all]


def build() -> None:
    html(
        page_header(
            "Board",
            "What all blind votes together say of the models, with how sure that is.",
            link_button("Vote", "/arena"),
        )
    )
    _connect(_draw_board())


def _draw_board() -> Board:
    with gr.Column(elem_classes="h-arena"):
        with gr.Row(visible=False, elem_classes="h-arena-reference") as reference_row:
            reference = gr.Dropdown(label="Rated against", min_width=200, scale=0)
            has_control = gr.Checkbox(
                label="Control for length and formatting",
                info="Rates as if all answers were equally long and equally marked up.",
                min_width=320,
                scale=0,
            )
        better = html(elem_classes="h-stack")
        content = html(elem_classes="h-stack")
        agreement = html()
        training = vote_training.draw()
    return Board(content, reference_row, reference, has_control, better, agreement, training)


# ---------------------------------------------------------------------------------------------------------- handlers


def _connect(board: Board) -> None:
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}

    def opened() -> Updates:
        return _board_opened(board)

    def asked_otherwise(reference: int, has_control: bool) -> Updates:
        return _standings_shown(board, reference, has_control=has_control)

    on_load(opened, outputs=board.all)
    gr.on(
        [board.reference.input, board.has_control.input],
        asked_otherwise,
        inputs=[board.reference, board.has_control],
        outputs=board.all,
        **(quick | {"show_progress": "minimal"}),
    )
    vote_training.connect(board.training)


def _board_opened(board: Board) -> Updates:
    with reading() as session:
        ratings = votes.standings(session)
        if not ratings.models:
            invitation = empty_state("Nobody has voted yet. Twenty votes already say something.", _vote_button())
            return {board.content: invitation}
        better = comparisons_view(comparisons.trained_on_votes(session))
        agreed = _drawn().get(session, "agreement", lambda: agreement_view(_agreement_found(session)))
    return {
        board.reference_row: gr.update(visible=True),
        board.better: better,
        board.agreement: agreed,
        **_standings_shown(board, ratings.models[0], has_control=False),
        **vote_training.opened(board.training),
    }


def _standings_shown(board: Board, reference: int, *, has_control: bool) -> Updates:
    with reading() as session:
        ratings = votes.standings(session)
        names = votes.names_of(session, ratings.models)
        uncounted = votes.num_uncounted(session)
        controlled = styled_votes.controlled_standings(session) if has_control else None
    return {
        board.content: board_view(ratings, names, reference, num_uncounted=uncounted, controlled=controlled),
        board.reference: gr.update(choices=[(name, model) for model, name in names.items()], value=reference),
    }


def _agreement_found(session: Session) -> AgreementFound:
    given = list(judgements.judgements(session))
    opinions = judgements.opinions(given)
    tags = judgements.tags_of(session)
    by_tag = defaultdict(list)
    for opinion in opinions:
        for tag in tags.get(str(opinion.battle), []):
            by_tag[str(tag)].append(opinion)
    of_tags = sorted(((tag, agreement(some)) for tag, some in by_tag.items()), key=lambda one: -one[1].num_shared)
    return AgreementFound(
        overall=agreement(opinions),
        by_person=agreement_by_person(opinions),
        by_tag=of_tags[:MOST_TAGS],
        own={person: consistency(pairs) for person, pairs in judgements.said_twice(given).items()},
        names=judgements.voters(session),
    )


@lru_cache(maxsize=1)
def _drawn() -> SumsOfVotes[str]:
    return SumsOfVotes()


def _vote_button() -> str:
    return link_button("Vote", "/arena", "primary")


PAGE = Page(title="Board", path="/board", build=build, under="/arena", assets=("arena.css", "board.css"))
