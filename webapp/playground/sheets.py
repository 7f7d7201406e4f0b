"""Playground sheets: what opens over the page for an answer, or for all answers to a prompt; what is kept of them."""

from __future__ import annotations

import asyncio
import random
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import HTMLResponse, Response

from pipeline.data.formats import Kind
from pipeline.errors import HoneError
from store import added_rows, conversations, datasets
from store.database import reading
from store.schema import Answer, Conversation, Turn
from webapp.data.uploads import ApiRoute
from webapp.inference_client import own_server
from webapp.people import person_of_cookies
from webapp.playground import views_sheets
from webapp.playground.answering import messages_to_send
from webapp.playground.sampling_form import MAX_EXAMPLES, Example, PlaygroundSettings
from webapp.playground.tokens import NUM_ALTERNATIVES, NoTokens, render, score
from webapp.playground.views_scores import ScoreTable, score_table_view
from webapp.playground.views_tokens import answer_tokens_view, prompt_tokens_view
from webapp.word_differences import word_differences

MAX_ANSWER_CHARACTERS = 200_000
NUM_ROWS_LOOKED_AT = 200
"""Of a dataset, for each example that is wanted: rows that make none are passed over."""

router = APIRouter(prefix="/api/playground", route_class=ApiRoute, include_in_schema=False)


@router.get("/examples")
def draw_examples(
    version: int, count: int = Query(5, ge=1, le=MAX_EXAMPLES), seed: int = Query(0, ge=0, le=2**32)
) -> Response:
    """Examples out of a dataset, the same for the same seed."""
    with reading() as session:
        rows = datasets.rows_of(datasets.get_version(session, version))
    numbers = random.Random(seed).sample(range(len(rows)), min(len(rows), count + NUM_ROWS_LOOKED_AT))
    found: list[Example] = []
    for number in numbers:
        example = example_of(rows.read(number, 1)[0])
        if example is not None:
            found.append(example)
        if len(found) == count:
            break
    if not found:
        raise HoneError("No row of this dataset is a short prompt with an answer.", "Choose instruction rows.")
    return HTMLResponse("".join(map(views_sheets.example_editor, found)))


def example_of(row: dict[str, Any]) -> Example | None:
    """A row's first prompt and answer (of a pair, the chosen one); None where it has none, or they are long."""
    messages = row.get("messages") or [*row.get("prompt", []), *row.get("chosen", [])]
    said = [one for one in messages if one["role"] != "system"]
    if [one["role"] for one in said[:2]] != ["user", "assistant"]:
        return None
    prompt, answer = said[0]["content"] or "", said[1]["content"] or ""
    if max(len(prompt), len(answer)) > 4_000 or not prompt.strip() or not answer.strip():
        return None
    return Example(prompt=prompt, answer=answer)


@router.get("/{conversation_id}/turns/{turn}/edit")
def edit_sheet(conversation_id: str, turn: int) -> Response:
    conversation = _load(conversation_id)
    return HTMLResponse(views_sheets.edit_sheet(conversation.id, _turn(conversation, turn)))


@router.get("/{conversation_id}/turns/{turn}/columns/{column}/tokens")
async def tokens_sheet(conversation_id: str, turn: int, column: int) -> Response:
    """The prompt as the column's model sees it, and its answer with the probability of each token."""
    conversation = await asyncio.to_thread(_load, conversation_id)
    answer = conversations.find_answer(conversation, turn=turn, column=column)
    _require_own(answer)
    settings = PlaygroundSettings.model_validate(conversation.settings)
    messages = messages_to_send(conversation, column, settings, num_turns=turn)
    prompt = await render(own_server(), answer.model.name, messages)
    written = ""
    if answer.text:
        (scored,) = await score(
            own_server(), answer.model.name, messages, [answer.text], num_alternatives=NUM_ALTERNATIVES
        )
        written = answer_tokens_view(scored, answer.text)
    return HTMLResponse(
        views_sheets.tokens_sheet(answer.model.name, prompt_tokens_view(prompt), written, turn=turn, column=column)
    )


@router.get("/{conversation_id}/turns/{turn}/scores")
async def scores_sheet(conversation_id: str, turn: int) -> Response:
    """Every answer to a prompt under the model of every column."""
    conversation = await asyncio.to_thread(_load, conversation_id)
    answers = [one for one in _turn(conversation, turn).answers if one.text]
    for answer in answers:
        _require_own(answer)
    if not answers:
        raise NoTokens("There is no answer to this prompt to be scored.", "Wait until one is written.")
    settings = PlaygroundSettings.model_validate(conversation.settings)
    histories = [messages_to_send(conversation, one.column, settings, num_turns=turn) for one in answers]
    models = list(dict.fromkeys(one.model.name for one in answers))

    async def column_of(model: str) -> list[Any]:
        if all(history == histories[0] for history in histories):
            return await score(own_server(), model, histories[0], [one.text for one in answers])
        pairs = zip(histories, answers, strict=True)
        return [(await score(own_server(), model, history, [one.text]))[0] for history, one in pairs]

    columns = [await column_of(model) for model in models]  # one after another: each may have to load its weights
    table = ScoreTable(
        answers=[f"{place} · {one.model.name}" for place, one in enumerate(answers, 1)],
        models=models,
        scores=list(zip(*columns, strict=True)),
        shares_history=all(history == histories[0] for history in histories),
    )
    return HTMLResponse(views_sheets.sheet("Every answer under every model", score_table_view(table)))


@router.get("/{conversation_id}/turns/{turn}/differences")
def differences_sheet(conversation_id: str, turn: int, a: int = 0, b: int = 1) -> Response:
    """What the answers of two columns have in common, word by word."""
    conversation = _load(conversation_id)
    asked = _turn(conversation, turn)
    first, second = (conversations.find_answer(conversation, turn=turn, column=column) for column in (a, b))
    differences = word_differences(first.text, second.text)
    return HTMLResponse(views_sheets.differences_sheet(conversation.id, asked, first, second, differences))


@router.get("/{conversation_id}/turns/{turn}/columns/{column}/keep")
def keep_sheet(conversation_id: str, turn: int, column: int) -> Response:
    conversation = _load(conversation_id)
    answer = conversations.find_answer(conversation, turn=turn, column=column)
    return HTMLResponse(views_sheets.keep_sheet(conversation.id, turn, answer, _names_by_kind()))


@router.post("/{conversation_id}/turns/{turn}/columns/{column}/keep")
def keep(
    request: Request,
    conversation_id: str,
    turn: int,
    column: int,
    answer: Annotated[str, Body(max_length=MAX_ANSWER_CHARACTERS)],
    kind: Annotated[Literal["instruction", "preference"], Body()],
    dataset: Annotated[str, Body(max_length=200)],
) -> Any:
    """Keep an answer, mended by a person, as a row to train on."""
    conversation = _load(conversation_id)
    given = conversations.find_answer(conversation, turn=turn, column=column)
    prompt = _prompt_of(conversation, turn, column)
    if kind == "instruction":
        row = {"messages": [*prompt, {"role": "assistant", "content": answer}]}
    elif answer.strip() == given.text.strip():
        raise HoneError(
            "The edited answer is the model's own: there is nothing to prefer.", "Change it, or keep it as a row."
        )
    else:
        row = _pair(prompt, chosen=answer, rejected=given.text)
    edited = {"is_edited": answer != given.text}
    return _kept(request, conversation, row, kind, dataset, _origin(conversation, turn, given) | edited)


@router.get("/{conversation_id}/turns/{turn}/prefer")
def prefer_sheet(conversation_id: str, turn: int) -> Response:
    conversation = _load(conversation_id)
    return HTMLResponse(views_sheets.prefer_sheet(conversation.id, _turn(conversation, turn), _names_by_kind()))


@router.post("/{conversation_id}/turns/{turn}/prefer")
def prefer(
    request: Request,
    conversation_id: str,
    turn: int,
    better: Annotated[int, Body(ge=0)],
    worse: Annotated[int, Body(ge=0)],
    dataset: Annotated[str, Body(max_length=200)],
) -> Any:
    """Keep that one column's answer is better than another's as a preference pair."""
    conversation = _load(conversation_id)
    chosen, rejected = (conversations.find_answer(conversation, turn=turn, column=one) for one in (better, worse))
    if chosen.text.strip() == rejected.text.strip():
        raise HoneError("Both answers are the same.", "Choose two that differ.")
    prompts = [_prompt_of(conversation, turn, one) for one in (better, worse)]
    if prompts[0] != prompts[1]:
        raise HoneError(
            "The two columns had said different things before this prompt, so their answers are no pair.",
            "Compare them on a prompt that begins a conversation.",
        )
    row = _pair(prompts[0], chosen=chosen.text, rejected=rejected.text)
    origin = _origin(conversation, turn, chosen) | {"rejected_model": rejected.model.name}
    return _kept(request, conversation, row, "preference", dataset, origin)


def _kept(
    request: Request, conversation: Conversation, row: dict[str, Any], kind: Kind, dataset: str, origin: dict[str, Any]
) -> dict[str, str]:
    person = person_of_cookies(request.cookies)
    provenance = {"made_by": "playground", "person": person.name, **origin}
    added = added_rows.add_row(row, kind, dataset_name=dataset, provenance=provenance, person_id=person.id)
    return {"html": views_sheets.kept_note(added)}


def _origin(conversation: Conversation, turn: int, answer: Answer) -> dict[str, Any]:
    return {"conversation": conversation.id, "turn": turn, "column": answer.column, "model": answer.model.name}


def _pair(prompt: list[dict[str, str]], *, chosen: str, rejected: str) -> dict[str, Any]:
    sides = {"chosen": chosen, "rejected": rejected}
    return {"prompt": prompt} | {name: [{"role": "assistant", "content": text}] for name, text in sides.items()}


def _prompt_of(conversation: Conversation, turn: int, column: int) -> list[dict[str, str]]:
    """What was said before an answer, without the examples, which are not part of the conversation."""
    settings = PlaygroundSettings.model_validate(conversation.settings)
    return conversations.messages_for(conversation, column, system_prompt=settings.system_prompt, num_turns=turn)


def _names_by_kind() -> list[tuple[str, str]]:
    """Every dataset that a row can be added to: its name and kind."""
    with reading() as session:
        latest = datasets.list_datasets(session)
    return [
        (one.dataset.name, one.kind)
        for one in latest
        if one.kind in ("instruction", "preference") and one.size_bytes <= added_rows.MAX_EXTENDED_BYTES
    ]


def _require_own(answer: Answer) -> None:
    if answer.model.endpoint_id is not None:
        raise NoTokens(
            f"{answer.model.name} is answered by another server, which does not show its tokens.",
            "Tokens and scores are had of the models that Hone serves itself.",
        )
    if answer.model.deleted_at is not None:
        raise NoTokens(f"{answer.model.name} was deleted.", "Its answers stay, but it cannot score any more.")


def _turn(conversation: Conversation, number: int) -> Turn:
    if not 1 <= number <= len(conversation.turns):
        raise conversations.NoConversation(f"There is no prompt {number} in this conversation.", "Load the page again.")
    return conversation.turns[number - 1]


def _load(conversation_id: str) -> Conversation:
    with reading() as session:
        return conversations.load_conversation(session, conversation_id)
