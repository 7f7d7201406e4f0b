"""Review: go through a dataset row by row with the keyboard, and keep what was accepted as a version."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal, cast

import gradio as gr
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.orm import Session

from pipeline.errors import BadData, HoneError
from store import datasets, reviews
from store.database import reading, writing
from store.reviews import Shown
from store.schema import DatasetVersion, Person
from webapp.data.offers import Offers
from webapp.data.row_parts import with_texts
from webapp.data.tabs import dataset_header
from webapp.data.views_review import ReviewedRow, ReviewState, review_view
from webapp.formatting import counted
from webapp.people import current_person
from webapp.shell import (
    FOLLOW,
    QUIET,
    Page,
    empty_state,
    error_block,
    html,
    link_button,
    on_load,
    page_header,
    query_id,
    query_value,
)


class Press(BaseModel):
    """What the page's script tells of a press (see `static/review.js`)."""

    model_config = ConfigDict(frozen=True)

    turn: int
    wish: Literal["accept", "reject", "edit", "undo", "next", "back", "show"]
    row: int | None = None
    seen: str = ""
    """The mark of the decision that was on the screen."""
    show: Shown = "undecided"
    texts: dict[str, str] = Field(default_factory=dict)


def build() -> None:
    version_id = gr.State(0)
    address = gr.Textbox(visible=False)
    told = gr.Textbox(visible="hidden", elem_id="h-review-told", label="Press")
    header = html(min_height=80)
    view = html(min_height=480)
    with gr.Row(elem_classes="h-keep", visible=False) as keeping:
        keep = gr.Button("Keep the accepted rows as a version", elem_classes="h-fit", elem_id="h-review-keep")
    notice = html()
    on_load(_open, outputs=[version_id, header, view, keeping, keep])
    told.change(_pressed, inputs=[version_id, told], outputs=[view, keep], **QUIET)
    keep.click(_keep, inputs=version_id, outputs=[notice, address], api_visibility="private").then(
        None, inputs=address, js=FOLLOW, api_visibility="private"
    )


@lru_cache(maxsize=1)
def _offers() -> Offers:
    return Offers()


def _open(request: gr.Request) -> list[Any]:
    try:
        person = current_person(request)
        with reading() as session:
            version = datasets.get_version(session, query_id(request) or 0)
            wanted = query_value(request, "show")
            shown = cast(Shown, wanted if wanted in reviews.SHOWN else "undecided")
            row = query_id(request, "row")
            at = row - 1 if row and row <= version.num_rows else _next(session, version, shown, -1, person)
            state = _state(session, version, shown, at, person)
    except HoneError as error:
        invitation = empty_state("A review is of one dataset: choose it first.", link_button("All data", "/data"))
        told = error_block(error) if query_value(request, "id") else ""
        return [0, page_header("Review"), f'<div class="h-stack">{told}{invitation}</div>', gr.skip(), gr.skip()]
    return [
        version.id,
        dataset_header(version, "/review"),
        review_view(state),
        gr.Row(visible=True),
        _keep_button(state),
    ]


def _pressed(version_id: int, told: str, request: gr.Request) -> list[Any]:
    """Do what a press says, and show what comes next."""
    try:
        press = Press.model_validate_json(told)
    except ValidationError:
        return [gr.skip(), gr.skip()]
    try:
        person = current_person(request)
        with reading() as session:
            version = datasets.get_version(session, version_id)
    except HoneError as error:
        return [error_block(error), gr.skip()]
    fault = ""
    at = press.row
    typed: dict[str, str] = {}
    try:
        at = _do(version, press, person)
    except HoneError as error:
        fault = error_block(error)
        typed = press.texts if isinstance(error, BadData) else {}
    with reading() as session:
        state = _state(session, version, press.show, at, person, turn=press.turn, notice=fault, typed=typed)
    return [review_view(state), _keep_button(state)]


def _do(version: DatasetVersion, press: Press, person: Person) -> int | None:
    """Write down what a press decides; returns the row to show then.

    Raises:
        BadData: if an edit is no row of the kind.
        Overtaken: if somebody else has decided about the row meanwhile.
    """
    row = -1 if press.row is None else press.row
    if press.wish == "undo":
        with writing() as session:
            taken_back = reviews.take_back(session, version.id, person.id)
        if taken_back is None:
            raise HoneError("You have decided nothing here yet.", "There is nothing to take back.")
        return taken_back
    if press.wish in reviews.DECISIONS and press.row is not None:
        edited = _edited(version, press, person) if press.wish == "edit" else None
        with writing() as session:
            reviews.decide(
                session,
                version,
                row,
                cast(reviews.Decision, press.wish),
                seen=press.seen,
                edited=edited,
                person_id=person.id,
            )
    with reading() as session:
        if press.wish == "show":
            return _next(session, version, press.show, -1, person)
        following = _next(session, version, press.show, row, person, backwards=press.wish == "back")
        if following is not None:
            return following
        if press.wish in ("next", "back"):
            return press.row
        return _next(session, version, press.show, -1, person)


def _edited(version: DatasetVersion, press: Press, person: Person) -> dict[str, Any]:
    """The row as it was typed; it remembers who changed what was made."""
    assert press.row is not None
    with reading() as session:
        present = _row_of(session, version, press.row)
    edited = with_texts(present.now, press.texts)
    meta = edited.get("meta")
    return edited | {"meta": (meta if isinstance(meta, dict) else {}) | {"edited_by": person.name}}


def _next(
    session: Session, version: DatasetVersion, shown: Shown, after: int, person: Person, *, backwards: bool = False
) -> int | None:
    held = _offers().held_by_others(version.id, person.id)
    return reviews.next_row(session, version, shown, after, backwards=backwards, held=held)


def _state(
    session: Session,
    version: DatasetVersion,
    shown: Shown,
    at: int | None,
    person: Person,
    *,
    turn: int = 0,
    notice: str = "",
    typed: dict[str, str] | None = None,
) -> ReviewState:
    counts = reviews.count(session, version)
    if at is None:
        return ReviewState(counts, shown, None, turn, notice)
    _offers().hold(version.id, at, person.id)
    return ReviewState(counts, shown, _row_of(session, version, at), turn, notice, typed or {})


def _row_of(session: Session, version: DatasetVersion, number: int) -> ReviewedRow:
    found = datasets.rows_of(version).read(number, 1)
    if not found:
        raise BadData(f"There is no row {number + 1:,} in this version.", "Reload the page.")
    return ReviewedRow(number, found[0], reviews.find(session, version.id, number))


def _keep_button(state: ReviewState) -> Any:
    taken = state.counts.taken
    words = f"Keep the {counted(taken, 'accepted row')} as a version" if taken else "Nothing is accepted yet"
    return gr.Button(words, interactive=taken > 0)


def _keep(version_id: int, request: gr.Request) -> tuple[str, str]:
    try:
        with reading() as session:
            version = datasets.get_version(session, version_id)
        added = reviews.keep_taken(version, person_id=current_person(request).id)
    except HoneError as error:
        return error_block(error), ""
    if added.version.id == version_id:
        return '<div class="h-note"><p>Every row is accepted as it is: they are this very version.</p></div>', ""
    return "", f"/dataset?id={added.version.id}"


PAGE = Page(
    title="Review", path="/review", build=build, under="/data", assets=("data.css", "make.css", "review.js", "rows.js")
)
