"""Arena: two answers without names, and a vote."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
from sqlalchemy.orm import Session

from pipeline.errors import HoneError
from store import battle_list, votes
from store.database import reading, writing
from store.drawing import Course
from store.models import list_models
from store.schema import Battle, Vote
from webapp.arena import battles, vote_reasons
from webapp.arena.views import blind_view, change_view, failed_view, revealed_view, waiting_view
from webapp.arena.vote_reasons import VOTES, WhyRow
from webapp.jobs.start_points import no_model_yet
from webapp.people import current_person
from webapp.shell import Page, empty_state, error_block, html, link_button, on_load, page_header, query_value

SKIP = ("skip", "Skip")

Updates = dict[Any, Any]


@dataclass(frozen=True)
class Ballot:
    """Where people vote: everything on the page that a handler may change."""

    box: gr.Column
    notice: gr.HTML
    stage: gr.HTML
    vote_row: gr.Row
    vote_buttons: list[gr.Button]
    why: WhyRow
    start_row: gr.Column
    next: gr.Button
    prompt: gr.Textbox
    ask: gr.Button
    battle_id: gr.Textbox
    course: gr.Textbox

    @property
    def all(self) -> list[Any]:
        return [
            self.box,
            self.notice,
            self.stage,
            self.vote_row,
            self.start_row,
            self.next,
            self.prompt,
            self.battle_id,
            self.course,
            *self.why.all,
        ]


def build() -> None:
    html(
        page_header(
            "Arena",
            "Two models answer without their names. Say which answer is better, and see who wrote it.",
            link_button("Prompt sets", "/prompts")
            + link_button("Battles", "/battles")
            + link_button("Board", "/board"),
        )
    )
    _connect(_draw_ballot())


# ----------------------------------------------------------------------------------------------------------- drawing


def _draw_ballot() -> Ballot:
    with gr.Column(elem_classes="h-arena") as box:
        notice = html()
        stage = html(elem_classes="h-arena-stage")
        with gr.Row(visible=False, elem_classes="h-arena-votes") as vote_row:
            vote_buttons = [gr.Button(words, elem_id=f"h-arena-vote-{outcome}") for outcome, words in (*VOTES, SKIP)]
        why = vote_reasons.draw()
        with gr.Column(visible=False, elem_classes="h-arena-start") as start_row:
            next_battle = gr.Button("Next battle", variant="primary", elem_id="h-arena-next", elem_classes="h-fit")
            with gr.Row(elem_classes="h-arena-ask"):
                prompt = gr.Textbox(
                    placeholder="Or ask both something of your own",
                    label="Prompt",
                    show_label=False,
                    container=False,
                    max_lines=8,
                    max_length=battles.LONGEST_PROMPT,
                    scale=1,
                    elem_id="h-arena-prompt",
                )
                ask = gr.Button("Ask both", elem_id="h-arena-ask", elem_classes="h-fit", scale=0)
        battle_id = gr.Textbox(visible="hidden", label="Battle")
        course = gr.Textbox(visible="hidden", label="Course")
    return Ballot(
        box, notice, stage, vote_row, vote_buttons, why, start_row, next_battle, prompt, ask, battle_id, course
    )


# ---------------------------------------------------------------------------------------------------------- handlers


def _connect(ballot: Ballot) -> None:
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    waiting: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}

    def opened(request: gr.Request) -> Updates:
        return _ballot_opened(ballot, request)

    def asked(prompt: str, course: str, request: gr.Request) -> Updates:
        return _begun(ballot, request, course, prompt)

    def moved_on(course: str, request: gr.Request) -> Updates:
        return _begun(ballot, request, course, None)

    async def answered(battle_id: str, course: str, request: gr.Request) -> AsyncIterator[Updates]:
        async for updates in _answered(ballot, battle_id, course, request):
            yield updates

    on_load(opened, outputs=ballot.all)
    here = [ballot.battle_id, ballot.course]
    own_prompt = [ballot.prompt, ballot.course]
    gr.on([ballot.ask.click, ballot.prompt.submit], asked, inputs=own_prompt, outputs=ballot.all, **quick)
    ballot.next.click(moved_on, inputs=[ballot.course], outputs=ballot.all, **quick)
    # Whatever brought a battle to the page, it is followed once, from the moment that it is there.
    ballot.battle_id.change(None, inputs=here, js=_SHOW_ADDRESS, **quick).success(
        answered, inputs=here, outputs=ballot.all, **waiting
    ).success(None, js=_ANSWERS_SHOWN, **quick)
    seconds = gr.Number(visible="hidden", label="Seconds")
    for (outcome, _), button in zip((*VOTES, SKIP), ballot.vote_buttons, strict=True):
        button.click(
            _voter(ballot, outcome),
            inputs=[*here, seconds],
            outputs=ballot.all,
            js="(id, course, seconds) => [id, course, window.honeArena?.seconds() ?? null]",
            **quick,
        ).success(None, js=_OFFER_NEXT, **quick)
    vote_reasons.connect(ballot.why, ballot.battle_id)


_SHOW_ADDRESS = """(id, course) => {
    if (id) history.replaceState(history.state, '', '/arena?battle=' + id + (course ? '&' + course : ''));
}"""
_OFFER_NEXT = """() => {
    // Not away from a prompt that the person has begun to write meanwhile.
    if (!document.activeElement?.matches('input, textarea')) document.getElementById('h-arena-next')?.focus();
}"""
_ANSWERS_SHOWN = "() => window.honeArena?.answersShown()"


def _ballot_opened(ballot: Ballot, request: gr.Request) -> Updates:
    """The battle that the link names, or the one that the person was in, or an invitation to a first one."""
    try:
        person = current_person(request)
        course = Course.of_address(query_value(request, "pair"), query_value(request, "prompts"))
        wanted = query_value(request, "battle")
        with reading() as session:
            num_models = len(list_models(session))
            if not wanted and num_models < 2:
                none = no_model_yet(session, "A battle needs two models, and there is none yet.")
                return {ballot.stage: _too_few_models() if num_models else none}
            in_it = course.condition()
            battle = votes.get_battle(session, wanted) if wanted else votes.open_battle(session, person.id, in_it)
    except HoneError as error:
        return {ballot.notice: error_block(error), ballot.start_row: gr.update(visible=True)}
    if battle is None:
        return {
            ballot.stage: _invitation(),
            ballot.start_row: gr.update(visible=True),
            ballot.course: course.address,
        }
    return {**_shown(ballot, battle, person.id), ballot.course: course.address}


def _begun(ballot: Ballot, request: gr.Request, course: str, prompt: str | None) -> Updates:
    """The next battle: on a prompt of one's own, or the one that waits, or a new one of the course."""
    try:
        person = current_person(request)
        wanted = Course.of_parameters(course)
        if prompt is None:
            battle = battles.open_or_begin(person.id, wanted)
        else:
            battle = battles.begin(person.id, wanted, prompt)
    except HoneError as error:
        return {ballot.notice: error_block(error)}
    return {ballot.prompt: "", **_shown(ballot, battle, person.id)}


async def _answered(ballot: Ballot, battle_id: str, course: str, request: gr.Request) -> AsyncIterator[Updates]:
    """Wait until both answers are whole, and show them together, so that speed tells nothing."""
    person = current_person(request)
    battle = await asyncio.to_thread(_load, battle_id)
    if battle.state == "preparing":
        task, seconds = battles.answer(battle_id), 0
        while not task.done():
            yield {ballot.stage: waiting_view(battle, seconds)}
            await asyncio.wait([task], timeout=1)
            seconds += 1
        await task
        battle = await asyncio.to_thread(_load, battle_id)
    yield await asyncio.to_thread(_shown, ballot, battle, person.id)
    if battle.person_id == person.id and battle.state == "ready":
        await battles.prepare_next(person.id, Course.of_parameters(course), battle_id)


def _voter(ballot: Ballot, outcome: str) -> Any:
    async def voted(battle_id: str, course: str, seconds: float | None, request: gr.Request) -> Updates:
        try:
            person = current_person(request)
            await asyncio.to_thread(_vote, battle_id, person.id, outcome, seconds)
            if outcome == "skip":
                following = await asyncio.to_thread(battles.open_or_begin, person.id, Course.of_parameters(course))
                return await asyncio.to_thread(_shown, ballot, following, person.id)
        except HoneError as error:
            return {ballot.notice: error_block(error)}
        battle = await asyncio.to_thread(_load, battle_id)
        return await asyncio.to_thread(_shown, ballot, battle, person.id)

    return voted


def _vote(battle_id: str, person_id: int, outcome: str, seconds: float | None) -> None:
    """Record the vote; of two different keys pressed in one breath, the first counts."""
    with writing() as session:
        given = votes.find_vote(session, battle_id, person_id)
        if given is None or not votes.is_revealed(session, given):
            votes.vote(session, battle_id, person_id, outcome, seconds=seconds)


# --------------------------------------------------------------------------------------------------- what is shown


def _shown(ballot: Ballot, battle: Battle, person_id: int) -> Updates:
    """A battle as this person may see it: the names only after that person's own vote."""
    with reading() as session:
        vote = votes.find_vote(session, battle.id, person_id)
        if vote is not None and not votes.is_revealed(session, vote):
            vote = None
        change = _change(session, battle, vote) if vote else ""
        given = battle_list.votes_of(session, battle.id) if vote else []
    if vote is not None:
        stage = revealed_view(battle, vote, change, [one for one in given if one[0].person_id != person_id])
    elif battle.state == "failed":
        stage = failed_view(battle)
    elif battle.state == "preparing":
        stage = waiting_view(battle, 0)
    else:
        stage = blind_view(battle)
    is_open = vote is None and battle.state != "failed"
    return {
        ballot.notice: "",
        ballot.stage: stage,
        ballot.vote_row: gr.update(visible=is_open and battle.state != "preparing"),
        ballot.start_row: gr.update(visible=not is_open),
        ballot.battle_id: battle.id,
        **vote_reasons.shown(ballot.why, vote),
    }


def _change(session: Session, battle: Battle, vote: Vote) -> str:
    """What a vote did to the difference between its two models."""
    pair = (battle.model_a_id, battle.model_b_id)
    before = votes.standings(session, without_vote=vote.id)
    after = votes.standings(session, also=pair)
    known_before = set(pair) <= set(before.models)
    return change_view(
        vote,
        before.difference(*pair) if known_before else None,
        after.difference(*pair),
        votes.names_of(session, pair),
    )


def _load(battle_id: str) -> Battle:
    with reading() as session:
        return votes.get_battle(session, battle_id)


def _invitation() -> str:
    return (
        '<div class="h-empty"><p>Begin with a prompt from the list, or with one of your own. '
        "Both models answer it, and you say which answer is better.</p></div>"
    )


def _too_few_models() -> str:
    return empty_state(
        "A battle needs two models. Fine-tune the base model to have a second one, or import another.",
        link_button("Fine-tune a model", "/train?recipe=sft", "primary"),
    )


PAGE = Page(title="Arena", path="/arena", build=build, in_nav=True, assets=("arena.css", "arena.js"))
