"""Training on votes: which votes, what they make, and the dataset that the form for training then begins with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import gradio as gr
from sqlalchemy.orm import Session

from pipeline.errors import BadData, HoneError
from store import judgements, models, vote_pairs, votes
from store.database import reading, writing
from store.judgements import VoteFilter
from store.vote_pairs import RowKind, VoteRows
from webapp.arena.sums import SumsOfVotes
from webapp.arena.views_vote_data import ModelToTrain, rows_view
from webapp.people import current_person
from webapp.shell import error_block, html

Updates = dict[Any, Any]

_KINDS: list[tuple[str, str]] = [("Pairs, for DPO", "preference"), ("Labelled answers, for KTO", "unpaired")]
_VERBS = {"preference": "Train on these votes", "unpaired": "Make the dataset"}
_NO_DATE = "YYYY-MM-DD"


@dataclass(frozen=True)
class VoteTraining:
    """The part of the page that chooses votes and trains on them."""

    column: gr.Column
    kind: gr.Radio
    model: gr.Dropdown
    model_ids: gr.Dropdown
    tags: gr.Dropdown
    person_ids: gr.Dropdown
    least_agreement: gr.Slider
    since: gr.Textbox
    until: gr.Textbox
    account: gr.HTML
    notice: gr.HTML
    train: gr.Button
    address: gr.Textbox

    @property
    def asked(self) -> list[Any]:
        """What a person chooses, in the order of `chosen_votes` after the kind and the model."""
        chosen = [self.model_ids, self.tags, self.person_ids, self.least_agreement, self.since, self.until]
        return [self.kind, self.model, *chosen]

    @property
    def all(self) -> list[Any]:
        return [self.column, *self.asked, self.account, self.notice, self.train, self.address]


def draw() -> VoteTraining:
    with gr.Column(visible=False, elem_classes="h-card") as column:
        html('<h2 class="h-h2">Train on these votes</h2>')
        with gr.Row():
            kind = gr.Radio(_KINDS, value="preference", label="What each battle makes", min_width=260)
            model = gr.Dropdown(label="Model to train", min_width=260)
        with gr.Accordion("Which votes", open=False):
            with gr.Row():
                model_ids = gr.Dropdown(
                    label="Answers by", info="All models, if empty.", multiselect=True, min_width=220
                )
                tags = gr.Dropdown(label="Tags of the prompt", info="All, if empty.", multiselect=True, min_width=220)
                person_ids = gr.Dropdown(label="Given by", info="Everybody, if empty.", multiselect=True, min_width=220)
            with gr.Row():
                least_agreement = gr.Slider(
                    51, 100, value=100, step=1, label="Least agreement, %",
                    info="Of a battle's voters, the share that says the same.", min_width=220,
                )  # fmt: skip
                since = gr.Textbox(label="From this day (UTC)", placeholder=_NO_DATE, max_lines=1, min_width=220)
                until = gr.Textbox(label="To this day (UTC)", placeholder=_NO_DATE, max_lines=1, min_width=220)
        account = html(min_height=96)
        notice = html()
        train = gr.Button(_VERBS["preference"], variant="primary", elem_classes="h-fit")
        address = gr.Textbox(visible="hidden", label="Address")
    return VoteTraining(
        column, kind, model, model_ids, tags, person_ids, least_agreement, since, until, account, notice, train, address
    )  # fmt: skip


def connect(part: VoteTraining) -> None:
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}

    def changed(*asked: Any) -> Updates:
        return _account_shown(part, asked)

    def pressed(request: gr.Request, *asked: Any) -> Updates:
        return _dataset_made(part, asked, request)

    gr.on(
        [choice.input for choice in part.asked], changed, inputs=part.asked, outputs=part.all,
        trigger_mode="always_last", **quick,
    )  # fmt: skip
    part.train.click(pressed, inputs=part.asked, outputs=part.all, **quick).success(
        None, inputs=[part.address], js="(address) => { if (address) location.assign(address) }", **quick
    )


def opened(part: VoteTraining) -> Updates:
    """What the choices are, and what all votes make."""
    with reading() as session:
        ratings = votes.standings(session)
        best = votes.best_trainable(session, ratings)
        trainable = [model for model in models.list_models(session) if model.kind in ("full", "adapter")]
        battled = votes.names_of(session, ratings.models)
        people = judgements.voters(session)
        tags = sorted({tag for of_battle in judgements.tags_of(session).values() for tag in of_battle})
    model_id = best.id if best else None
    return {
        **_account_shown(part, ("preference", model_id, [], [], [], 100, "", "")),
        part.column: gr.update(visible=True),
        part.model: gr.update(choices=[(model.name, model.id) for model in trainable], value=model_id),
        part.model_ids: gr.update(choices=[(name, model) for model, name in battled.items()]),
        part.tags: gr.update(choices=tags),
        part.person_ids: gr.update(choices=[(name, person) for person, name in people.items()]),
    }


def chosen_votes(
    model_ids: list[int] | None,
    tags: list[str] | None,
    person_ids: list[int] | None,
    least_agreement_percent: float | None,
    since: str,
    until: str,
) -> VoteFilter:
    """What a person asks for; the last day is included.

    Raises:
        BadData: if a day is none.
    """
    last = _day(until)
    return VoteFilter(
        model_ids=tuple(sorted(model_ids or ())),
        tags=tuple(sorted(tags or ())),
        person_ids=tuple(sorted(person_ids or ())),
        since=_day(since),
        until=last + timedelta(days=1) if last else None,
        least_agreement=(least_agreement_percent or 100) / 100,
    )


def _account_shown(part: VoteTraining, asked: tuple[Any, ...]) -> Updates:
    kind, model_id, *chosen = asked
    try:
        with reading() as session:
            rows = _rows(session, kind, chosen_votes(*chosen))
            model = _model(session, model_id)
    except HoneError as error:
        return {part.account: error_block(error), part.train: gr.update(interactive=False)}
    is_ready = bool(rows.outcomes) and (model is not None or kind == "unpaired")
    return {
        part.account: rows_view(rows, model),
        part.notice: "",
        part.model: gr.update(interactive=kind == "preference"),
        part.train: gr.update(interactive=is_ready, value=_VERBS[kind]),
    }


def _dataset_made(part: VoteTraining, asked: tuple[Any, ...], request: gr.Request) -> Updates:
    """Keep the rows as a dataset version, and go to the form that trains on it."""
    kind, model_id, *chosen = asked
    try:
        person = current_person(request)
        with writing() as session:
            rows = _fresh(session, kind, chosen_votes(*chosen))
            version = vote_pairs.add_dataset(session, rows, created_by_id=person.id).version
    except HoneError as error:
        return {part.notice: error_block(error)}
    if kind == "unpaired":
        return {part.address: f"/dataset?id={version.id}", part.notice: ""}
    model_part = f"&model=model:{model_id}" if model_id else ""
    return {part.address: f"/train?recipe=dpo&dataset=dataset:{version.id}{model_part}", part.notice: ""}


def _rows(session: Session, kind: RowKind, chosen: VoteFilter) -> VoteRows:
    return _accounts().get(session, (kind, chosen), lambda: _fresh(session, kind, chosen))


@lru_cache(maxsize=1)
def _accounts() -> SumsOfVotes[VoteRows]:
    return SumsOfVotes()


def _fresh(session: Session, kind: RowKind, chosen: VoteFilter) -> VoteRows:
    if kind == "preference":
        return vote_pairs.preference_rows(session, chosen)
    return vote_pairs.unpaired_rows(session, chosen)


def _model(session: Session, model_id: int | None) -> ModelToTrain | None:
    if model_id is None:
        return None
    model = models.get_model(session, model_id)
    return ModelToTrain(model.id, model.name, frozenset(vote_pairs.line_of(session, model.id)))


def _day(text: str) -> datetime | None:
    if not (text or "").strip():
        return None
    try:
        return datetime.strptime(text.strip(), "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise BadData(f"{text[:40]!r} is not a day.", "Write it as 2026-03-31, or leave it empty.") from error
