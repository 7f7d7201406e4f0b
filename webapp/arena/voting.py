"""Voting: the public page of a voting link, where people vote without an account or the team's password.

It has routes of its own and shares none with Gradio: a voter reaches these, and three files of its look, and nothing
else. Whoever comes by a link is a voter of that link, by a cookie that only this link's address gets; names of models
never leave the server here, not even in the reason why a vote is not counted.
"""

from __future__ import annotations

import asyncio
from html import escape
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from pipeline.errors import HoneError
from store import votes, voting_links
from store.database import reading, writing
from store.schema import Battle, Person
from store.users import new_token
from store.voting_links import NoLink, TooManyVotes
from webapp.arena import battles
from webapp.arena.views import answer_text, prompt_text
from webapp.shell import MARK, document_head

COOKIE = "hone_voter"
ONE_YEAR_SECONDS = 365 * 86_400
OPEN_PREFIX = "/vote/"
"""What the guards let pass without the password; every path under it ends in this module."""
OPEN_FILES = ("/ui/vote.js", "/ui/vote.css", "/ui/arena.css")

router = APIRouter(prefix="/vote", include_in_schema=False)


class Ballot(BaseModel):
    """What a voter's browser sends."""

    model_config = ConfigDict(extra="forbid")

    outcome: Literal["a", "b", "both_good", "both_bad", "skip"]
    seconds: float | None = Field(default=None, ge=0, le=86_400)


@router.get("/{token}")
def show(token: str, request: Request) -> Response:
    """The page of a link; a browser that is new to it gets its cookie."""
    try:
        with reading() as session:
            name = voting_links.find(session, token).name
    except NoLink as error:
        return HTMLResponse(ended_page(error), status_code=404)
    page = HTMLResponse(voting_page(name), headers={"cache-control": "no-store", "referrer-policy": "no-referrer"})
    if COOKIE not in request.cookies:
        page.set_cookie(
            COOKIE,
            new_token(),
            max_age=ONE_YEAR_SECONDS,
            path=f"{OPEN_PREFIX}{token}",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="lax",
        )
    return page


@router.post("/{token}/battles")
async def next_battle(token: str, request: Request) -> Response:
    """The battle that the voter is in, or a new one; the one after it is prepared meanwhile."""
    try:
        battle, num_votes = await asyncio.to_thread(_open, token, request.cookies.get(COOKIE, ""))
    except HoneError as error:
        return _refusal(error)
    if battle.state == "preparing":
        battles.answer(battle.id)
    return JSONResponse(_body(battle) | {"num_votes": num_votes})


@router.get("/{token}/battles/{battle_id}")
async def look(token: str, battle_id: str, request: Request) -> Response:
    """A battle of the voter's own, as it stands: both answers at once, or neither."""
    try:
        battle = await asyncio.to_thread(_own_battle, token, request.cookies.get(COOKIE, ""), battle_id)
        if battle.state == "preparing":
            battles.answer(battle.id)
        else:
            await _prepare_next(token, battle)
    except HoneError as error:
        return _refusal(error)
    return JSONResponse(_body(battle))


@router.post("/{token}/battles/{battle_id}/vote")
async def vote(token: str, battle_id: str, ballot: Ballot, request: Request) -> Response:
    """Keep a vote, or put it in the place of the voter's earlier one."""
    try:
        num_votes = await asyncio.to_thread(_vote, token, request.cookies.get(COOKIE, ""), battle_id, ballot)
    except HoneError as error:
        return _refusal(error)
    return JSONResponse({"num_votes": num_votes})


@router.api_route("/{rest:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def nothing_else(rest: str) -> Response:
    """What is under `/vote/` and is none of the above never reaches the pages behind it."""
    return JSONResponse({"error": "There is nothing here."}, status_code=404)


# ------------------------------------------------------------------------------------------------------- what is done


def _open(token: str, voter_token: str) -> tuple[Battle, int]:
    with writing() as session:
        link = voting_links.find(session, token)
        person = voting_links.welcome_voter(session, link, _known(voter_token))
        voting_links.check_may_vote(session, link, person.id)
        course = voting_links.course_of(link)
        num_votes = voting_links.num_votes_of(session, person.id)
    return battles.open_or_begin(person.id, course), num_votes


def _own_battle(token: str, voter_token: str, battle_id: str) -> Battle:
    with reading() as session:
        person = _voter(session, token, voter_token)
        battle = votes.get_battle(session, battle_id)
    if battle.person_id != person.id:
        raise votes.NoBattle("There is no such battle.", "Load the page again.")
    return battle


def _vote(token: str, voter_token: str, battle_id: str, ballot: Ballot) -> int:
    _own_battle(token, voter_token, battle_id)
    with writing() as session:
        person = _voter(session, token, voter_token)
        if votes.find_vote(session, battle_id, person.id) is None:
            voting_links.check_may_vote(session, voting_links.find(session, token), person.id)
        votes.vote(session, battle_id, person.id, ballot.outcome, seconds=ballot.seconds)
        return voting_links.num_votes_of(session, person.id)


async def _prepare_next(token: str, battle: Battle) -> None:
    def course() -> Any:
        with reading() as session:
            return voting_links.course_of(voting_links.find(session, token))

    await battles.prepare_next(battle.person_id, await asyncio.to_thread(course), battle.id)


def _voter(session: Any, token: str, voter_token: str) -> Person:
    """Who votes. Raises NoLink where the link has ended, or nobody with this cookie has begun to vote by it."""
    person = voting_links.find_voter(session, voting_links.find(session, token), voter_token)
    if person is None:
        raise NoLink
    return person


def _known(voter_token: str) -> str:
    if len(voter_token) < 32:
        raise votes.BadVote("Your browser sent no cookie.", "Allow cookies for this address and load the page again.")
    return voter_token


# ------------------------------------------------------------------------------------------------------ what is shown


def _body(battle: Battle) -> dict[str, Any]:
    """What a voter may know of a battle."""
    if battle.state == "preparing":
        return {"id": battle.id, "state": "preparing"}
    if battle.state == "failed":
        return {"id": battle.id, "state": "failed"}
    return {
        "id": battle.id,
        "state": "ready",
        "prompt": prompt_text(battle),
        "a": answer_text(battle.answer_a, battle.finish_a),
        "b": answer_text(battle.answer_b, battle.finish_b),
    }


_STATUS: dict[type[HoneError], int] = {NoLink: 404, votes.NoBattle: 404, TooManyVotes: 429, votes.BadVote: 422}


def _refusal(error: HoneError) -> Response:
    """An error as a voter may see it: of what is wrong with models or data, only that it is."""
    status = _STATUS.get(type(error))
    if status is None:
        message, advice, status = "There is nothing to vote on now.", "Ask whoever sent the link.", 409
    else:
        message, advice = error.message, error.advice
    return JSONResponse({"error": message, "advice": advice}, status_code=status)


def voting_page(name: str) -> str:
    """The page before its first battle: what it shows comes by the script."""
    buttons = "".join(
        f'<button type="button" class="h-button" data-vote="{outcome}"><span>{words}</span><kbd>{key}</kbd></button>'
        for outcome, words, key in (
            ("a", "A is better", "1"),
            ("both_good", "Both good", "2"),
            ("both_bad", "Both bad", "3"),
            ("b", "B is better", "4"),
        )
    )
    sides = "".join(
        f'<section class="h-card h-arena-side" aria-label="Answer {letter}"><h2 class="h-h2">{letter}</h2>'
        f'<div class="h-answer" id="answer-{letter.lower()}"><div class="h-skeleton"></div></div></section>'
        for letter in "AB"
    )
    return _document(
        name,
        f'<header class="v-head"><span class="h-mark">{MARK}{escape(name)}</span>'
        '<span class="h-quiet h-small" id="count" role="status"></span></header>'
        '<p class="h-quiet v-what">Two answers to one prompt. Say which is better; if you cannot tell, skip.</p>'
        '<div class="h-arena-prompt" id="prompt" aria-label="Prompt"></div>'
        f'<div class="h-arena-sides" aria-live="polite">{sides}</div>'
        '<div id="notice" role="alert"></div>'
        f'<footer class="v-bar" id="bar" hidden><div class="v-buttons">{buttons}</div>'
        '<div class="h-line h-apart"><button type="button" class="v-quiet" id="back" hidden>'
        "Change my last vote</button>"
        '<button type="button" class="v-quiet" data-vote="skip">Skip <kbd>S</kbd></button></div></footer>'
        '<script src="/ui/vote.js" defer></script>',
    )


def ended_page(error: HoneError) -> str:
    return _document(
        "Voting", f'<div class="h-empty"><p>{escape(error.message)}</p><p>{escape(error.advice)}</p></div>'
    )


def _document(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f"{document_head(title, with_bar=False)}"
        '<link rel="stylesheet" href="/ui/arena.css"><link rel="stylesheet" href="/ui/vote.css"></head>'
        f'<body class="v-page"><main>{body}</main></body></html>'
    )
