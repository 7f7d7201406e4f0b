"""Playground over HTTP: what its buttons do to a conversation, its exports and its history."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from pipeline.errors import HoneError
from store import conversations
from store.database import reading, writing
from store.models import get_model
from store.schema import Conversation
from webapp.data.uploads import ApiRoute
from webapp.people import person_of_cookies
from webapp.playground import exports
from webapp.playground.answering import require_idle
from webapp.playground.views import history_view

MAX_PROMPT_CHARACTERS = 200_000

router = APIRouter(prefix="/api/playground", route_class=ApiRoute, include_in_schema=False)


@router.get("/history")
def history(search: str = Query("", max_length=200), present: str = Query("", max_length=40)) -> Response:
    with reading() as session:
        found = conversations.list_conversations(session, search=search)
    return HTMLResponse(history_view(found, present, search))


@router.post("/{conversation_id}/rename")
def rename(conversation_id: str, title: Annotated[str, Body(embed=True)]) -> Any:
    with writing() as session:
        return {"title": conversations.rename(session, conversation_id, title).title}


@router.delete("/{conversation_id}")
def delete(conversation_id: str) -> Any:
    require_idle(conversation_id)
    with writing() as session:
        conversations.delete(session, conversation_id)
    return {"deleted": conversation_id}


@router.get("/{conversation_id}/export.jsonl")
def export_json_lines(conversation_id: str) -> Response:
    """The conversation as rows that can be trained on, one a column."""
    conversation = _load(conversation_id)
    return _download(exports.as_json_lines(conversation), conversation, "jsonl", "application/x-ndjson")


@router.get("/{conversation_id}/export.md")
def export_markdown(conversation_id: str) -> Response:
    conversation = _load(conversation_id)
    return _download(exports.as_markdown(conversation), conversation, "md", "text/markdown; charset=utf-8")


@router.get("/{conversation_id}/turns/{turn}/columns/{column}/text")
def answer_text(conversation_id: str, turn: int, column: int) -> Response:
    """An answer as the model wrote it, to be copied."""
    return PlainTextResponse(conversations.find_answer(_load(conversation_id), turn=turn, column=column).text)


@router.post("/{conversation_id}/turns/{turn}/edit")
def edit_prompt(request: Request, conversation_id: str, turn: int, prompt: Annotated[str, Body(embed=True)]) -> Any:
    """Ask something else in the place of an earlier prompt: a branch, and the conversation stays as it was."""
    _check_prompt(prompt)
    with writing() as session:
        origin = conversations.load_conversation(session, conversation_id)
        for model_id in origin.model_ids:
            get_model(session, model_id)
        branched = conversations.branch(
            session,
            conversation_id,
            num_turns=turn - 1,
            title=conversations.title_of(prompt) if turn == 1 else "",
            person_id=person_of_cookies(request.cookies).id,
        )
        conversations.append_turn(session, branched.id, prompt=prompt, model_ids=origin.model_ids)
    return {"address": f"/playground?c={branched.id}"}


@router.post("/{conversation_id}/turns/{turn}/columns/{column}/regenerate")
def regenerate(request: Request, conversation_id: str, turn: int, column: int) -> Any:
    """Let one column answer an earlier prompt anew, in a branch that ends with it."""
    return _branch_at(request, conversation_id, turn, column, text="")


@router.post("/{conversation_id}/turns/{turn}/columns/{column}/continue")
def carry_on(request: Request, conversation_id: str, turn: int, column: int) -> Any:
    """Carry an answer to an earlier prompt on, in a branch that ends with it."""
    answer = conversations.find_answer(_load(conversation_id), turn=turn, column=column)
    num_tokens = int(answer.stats.get("num_tokens", 0))
    return _branch_at(request, conversation_id, turn, column, text=answer.text, num_tokens=num_tokens)


@router.post("/{conversation_id}/turns/{turn}/columns/{column}/fork")
def fork(
    request: Request,
    conversation_id: str,
    turn: int,
    column: int,
    keep: Annotated[int, Body(ge=0)],
    token: Annotated[str, Body(min_length=1, max_length=200)],
    num_tokens: Annotated[int, Body(ge=0)],
) -> Any:
    """Carry an answer on from one of its tokens with another in its place, in a branch.

    Args:
        keep: How many characters of the answer stand before that token.
        num_tokens: How many tokens they are, with the new one.
    """
    answer = conversations.find_answer(_load(conversation_id), turn=turn, column=column)
    if keep > len(answer.text):
        raise HoneError(f"The answer has {len(answer.text):,} characters, not {keep:,}.", "Open its tokens again.")
    return _branch_at(request, conversation_id, turn, column, text=answer.text[:keep] + token, num_tokens=num_tokens)


def _branch_at(
    request: Request, conversation_id: str, turn: int, column: int, *, text: str, num_tokens: int = 0
) -> dict[str, str]:
    with writing() as session:
        branched = conversations.branch(
            session, conversation_id, num_turns=turn, person_id=person_of_cookies(request.cookies).id
        )
        conversations.restart_answer(session, branched.id, turn=turn, column=column, text=text, num_tokens=num_tokens)
    return {"address": f"/playground?c={branched.id}"}


def _check_prompt(prompt: str) -> None:
    if not prompt.strip():
        raise HoneError("The prompt is empty.", "Write something and send again.")
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        raise HoneError(
            f"The prompt has {len(prompt):,} characters; {MAX_PROMPT_CHARACTERS:,} are the most.", "Shorten it."
        )


def _load(conversation_id: str) -> Conversation:
    with reading() as session:
        return conversations.load_conversation(session, conversation_id)


def _download(body: str, conversation: Conversation, ending: str, media_type: str) -> Response:
    name = quote(exports.file_name(conversation, ending), safe="")
    return Response(
        body, media_type=media_type, headers={"content-disposition": f"attachment; filename*=UTF-8''{name}"}
    )
