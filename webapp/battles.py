"""Battles in progress: both answers to a prompt, written in the background and kept only when both are whole."""

from __future__ import annotations

import asyncio
from functools import lru_cache

from pipeline.errors import HoneError
from pipeline.world.facts import SEED, make_world
from pipeline.world.questions import arena_prompts
from store import votes
from store.database import reading, writing
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


def begin(person_id: int, prompt: str | None = None) -> Battle:
    """Draw a battle on a prompt, or on the next one of the list.

    Raises:
        TooFewModels: if there are not two models.
        NoBattle: if the prompt is empty or too long.
    """
    if prompt is not None and len(prompt) > LONGEST_PROMPT:
        raise votes.NoBattle(
            f"The prompt has {len(prompt):,} characters; {LONGEST_PROMPT:,} are the most.", "Shorten it."
        )
    with writing() as session:
        wording = votes.draw_prompt(session, person_id, shipped_prompts()) if prompt is None else prompt
        settings = SETTINGS.model_dump(mode="json", exclude={"seed"})
        return votes.create_battle(session, person_id=person_id, prompt=wording, settings=settings)


def answer(battle_id: str) -> asyncio.Task[None]:
    """Let both models answer, unless they are at it already; the task goes on when nobody waits for it."""
    if battle_id not in _in_progress:
        task = asyncio.create_task(_answer_both(battle_id))
        _in_progress[battle_id] = task
        task.add_done_callback(lambda _: _in_progress.pop(battle_id, None))
    return _in_progress[battle_id]


async def prepare_next(person_id: int) -> None:
    """Have a battle ready for a person who has just voted."""
    battle = await asyncio.to_thread(_open_or_begin, person_id)
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
        await asyncio.to_thread(_save, battle_id, side_a.result(), side_b.result())


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


def _open_or_begin(person_id: int) -> Battle:
    with reading() as session:
        waiting = votes.open_battle(session, person_id)
    return waiting or begin(person_id)


def _save(battle_id: str, side_a: tuple[str, str], side_b: tuple[str, str]) -> None:
    (answer_a, finish_a), (answer_b, finish_b) = side_a, side_b
    with writing() as session:
        votes.save_answers(session, battle_id, answers=(answer_a, answer_b), finish_reasons=(finish_a, finish_b))


def _load(battle_id: str) -> Battle:
    with reading() as session:
        return votes.get_battle(session, battle_id)


def _fail(battle_id: str, reason: str) -> None:
    with writing() as session:
        votes.fail_battle(session, battle_id, reason)
