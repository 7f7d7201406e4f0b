"""Battles in progress: both answers to a prompt, written in the background and kept only when both are whole."""

from __future__ import annotations

import asyncio
from functools import lru_cache

from pipeline.errors import HoneError
from pipeline.fingerprints import fingerprint_of
from pipeline.world.facts import SEED, make_world
from pipeline.world.questions import arena_prompts
from store import drawing, models, votes
from store.database import reading, writing
from store.drawing import Course
from store.schema import Battle, Model
from webapp.inference_client import ChatError, ChatSettings, Delta, Done, client_for

SETTINGS = ChatSettings(temperature=0.7, top_p=1.0, max_tokens=256)
"""The same for both sides, and for everyone, so that battles can be counted together."""

LONGEST_PROMPT = 8_000

_in_progress: dict[str, asyncio.Task[None]] = {}
"""The battles that this process is answering. One that it is not, after a restart, is begun anew when it is opened."""


@lru_cache(maxsize=1)
def shipped_prompts() -> tuple[str, ...]:
    """What "Next prompt" draws from."""
    return tuple(row["prompt"][-1]["content"] for row in arena_prompts(make_world(SEED), SEED))


def begin(person_id: int, course: Course, prompt: str | None = None) -> Battle:
    """Draw a battle on a prompt of one's own, or on the next one of the course.

    Raises:
        TooFewModels: if there are not two models.
        NoBattle: if the prompt is empty or too long.
        NoPreparedPair: if the prompt set has no two answers to set against each other.
    """
    if prompt is not None and len(prompt) > LONGEST_PROMPT:
        raise votes.NoBattle(
            f"The prompt has {len(prompt):,} characters; {LONGEST_PROMPT:,} are the most.", "Shorten it."
        )
    settings = SETTINGS.model_dump(mode="json", exclude={"seed"})
    with writing() as session:
        if prompt is None:
            return drawing.next_battle(session, person_id, course, settings=settings, prompts=shipped_prompts())
        return votes.create_battle(session, person_id=person_id, prompt=prompt, settings=settings, models=course.models)


def open_or_begin(person_id: int, course: Course) -> Battle:
    """The battle that a person is in, or a new one. Raises as `begin` does."""
    with reading() as session:
        waiting = votes.open_battle(session, person_id, course.condition())
    return waiting or begin(person_id, course)


def answer(battle_id: str) -> asyncio.Task[None]:
    """Let both models answer, unless they are at it already; the task goes on when nobody waits for it."""
    if battle_id not in _in_progress:
        task = asyncio.create_task(_answer_both(battle_id))
        _in_progress[battle_id] = task
        task.add_done_callback(lambda _: _in_progress.pop(battle_id, None))
    return _in_progress[battle_id]


async def prepare_next(person_id: int, course: Course, present_id: str) -> None:
    """Have another battle ready for a person who looks at the present one, before that is voted on."""
    try:
        battle = await asyncio.to_thread(_another, person_id, course, present_id)
    except HoneError:
        return  # nothing can be prepared now; whoever asks for the next battle is told why
    if battle.state == "preparing":
        answer(battle.id)


async def _answer_both(battle_id: str) -> None:
    battle = await asyncio.to_thread(_load, battle_id)
    if battle.state != "preparing":
        return
    try:
        async with asyncio.TaskGroup() as group:
            side_a = group.create_task(_answer_of(battle, battle.model_a, battle.settings["seed_a"]))
            side_b = group.create_task(_answer_of(battle, battle.model_b, battle.settings["seed_b"]))
    except* HoneError as errors:
        await asyncio.to_thread(_fail, battle_id, str(errors.exceptions[0]))
    else:
        await asyncio.to_thread(_save, battle, side_a.result(), side_b.result())


async def _answer_of(battle: Battle, model: Model, seed: int) -> tuple[str, str]:
    """One side's whole answer, and why it ended.

    Raises:
        HoneError: if it could not be had, or broke off.
    """
    settings = ChatSettings.model_validate(battle.settings | {"seed": seed})
    client, name_there = await asyncio.to_thread(client_for, model)
    text = ""
    async for event in client.stream_chat(name_there, battle.messages, settings):
        if isinstance(event, Delta):
            text += event.text
        elif isinstance(event, ChatError):
            raise HoneError(event.message)
        elif isinstance(event, Done) and event.finish_reason != "cancelled":
            return text, event.finish_reason
    raise HoneError("An answer broke off before it was whole.", "Begin another battle.")


def _another(person_id: int, course: Course, present_id: str) -> Battle:
    with reading() as session:
        waiting = votes.open_battles(session, person_id, course.condition())
    others = [battle for battle in waiting if battle.id != present_id]
    return others[0] if others else begin(person_id, course)


def _save(battle: Battle, side_a: tuple[str, str], side_b: tuple[str, str]) -> None:
    (answer_a, finish_a), (answer_b, finish_b) = side_a, side_b
    provenance = {"a": _fingerprint(battle.model_a), "b": _fingerprint(battle.model_b)}
    with writing() as session:
        votes.save_answers(
            session,
            battle.id,
            answers=(answer_a, answer_b),
            finish_reasons=(finish_a, finish_b),
            provenance=provenance,
        )


def _fingerprint(model: Model) -> dict[str, str]:
    """What wrote an answer; of a model whose files cannot be read here, why not."""
    if model.kind == "endpoint":
        return {"source": f"{model.source} at endpoint {model.endpoint_id}"}
    try:
        return fingerprint_of(models.location_of(model))
    except (HoneError, OSError) as error:
        return {"unknown": str(error)}


def _load(battle_id: str) -> Battle:
    with reading() as session:
        return votes.get_battle(session, battle_id)


def _fail(battle_id: str, reason: str) -> None:
    with writing() as session:
        votes.fail_battle(session, battle_id, reason)
