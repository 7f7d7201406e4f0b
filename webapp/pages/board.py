"""Board: what all blind votes together say of the models, and training on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from pipeline.errors import HoneError
from store import vote_pairs, votes
from store.database import reading, writing
from webapp.people import current_person
from webapp.shell import Page, empty_state, error_block, html, link_button, on_load, page_header
from webapp.views_board import board_view, pairs_view

Updates = dict[Any, Any]


@dataclass(frozen=True)
class Board:
    """Everything on the page that a handler may change."""

    content: gr.HTML
    reference_row: gr.Row
    reference: gr.Dropdown
    training: gr.Column
    pairs: gr.HTML
    train: gr.Button
    train_notice: gr.HTML
    train_address: gr.Textbox

    @property
    def all(self) -> list[Any]:
        shown = [self.content, self.reference_row, self.reference, self.training]
        return [*shown, self.pairs, self.train, self.train_notice, self.train_address]


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
        content = html(elem_classes="h-stack")
        with gr.Column(visible=False, elem_classes="h-card") as training:
            html('<h2 class="h-h2">Train on these votes</h2>')
            pairs = html()
            train_notice = html()
            train = gr.Button("Make the dataset and set up DPO", variant="primary", elem_classes="h-fit")
            train_address = gr.Textbox(visible="hidden", label="Address")
    return Board(content, reference_row, reference, training, pairs, train, train_notice, train_address)


# ---------------------------------------------------------------------------------------------------------- handlers


def _connect(board: Board) -> None:
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}

    def opened() -> Updates:
        return _board_opened(board)

    def reference_changed(reference: int) -> Updates:
        return _board_shown(board, reference)

    def trained(request: gr.Request) -> Updates:
        return _made_dataset(board, request)

    on_load(opened, outputs=board.all)
    board.reference.input(reference_changed, inputs=[board.reference], outputs=board.all, **quick)
    board.train.click(trained, outputs=board.all, **quick).success(
        None, inputs=[board.train_address], js="(address) => { if (address) location.assign(address) }", **quick
    )


def _board_opened(board: Board) -> Updates:
    with reading() as session:
        ratings = votes.standings(session)
    if not ratings.models:
        invitation = empty_state("Nobody has voted yet. Twenty votes already say something.", _vote_button())
        return {board.content: invitation}
    return {
        board.reference_row: gr.update(visible=True),
        board.training: gr.update(visible=True),
        **_board_shown(board, ratings.models[0]),
    }


def _board_shown(board: Board, reference: int) -> Updates:
    with reading() as session:
        ratings = votes.standings(session)
        names = votes.names_of(session, ratings.models)
        uncounted = votes.num_uncounted(session)
        pairs = vote_pairs.preference_rows(session)
        trainable = votes.best_trainable(session, ratings)
    return {
        board.content: board_view(ratings, names, reference, num_uncounted=uncounted),
        board.reference: gr.update(choices=[(name, model) for model, name in names.items()], value=reference),
        board.pairs: pairs_view(pairs, trainable.name if trainable else None),
        board.train: gr.update(interactive=bool(pairs.rows and trainable)),
    }


def _made_dataset(board: Board, request: gr.Request) -> Updates:
    """Keep the pairs as a dataset version, and go to the form that trains on it."""
    try:
        person = current_person(request)
        with writing() as session:
            pairs = vote_pairs.preference_rows(session)
            version = vote_pairs.add_dataset(session, pairs, created_by_id=person.id).version
            model = votes.best_trainable(session, votes.standings(session))
    except HoneError as error:
        return {board.train_notice: error_block(error)}
    model_part = f"&model=model:{model.id}" if model else ""
    return {board.train_address: f"/train?recipe=dpo&dataset=dataset:{version.id}{model_part}", board.train_notice: ""}


def _vote_button() -> str:
    return link_button("Vote", "/arena", "primary")


PAGE = Page(title="Board", path="/board", build=build, under="/arena", assets=("arena.css",))
