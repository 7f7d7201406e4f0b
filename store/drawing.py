"""Drawing: which battle a person is shown next, and why that one."""

from __future__ import annotations

import random
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from sqlalchemy import ColumnElement, and_, true
from sqlalchemy.orm import Session

from pipeline.errors import HoneError
from store import prompt_sets, repeats, votes
from store.schema import Battle


class BadCourse(HoneError):
    kind = "bad_course"


@dataclass(frozen=True)
class Course:
    """What somebody has come to vote on.

    Args:
        pair: Exactly these two models, the smaller id first; None for whom a vote teaches most about.
        prompt_version_id: The prompt set whose prepared answers are shown; None for the prompts that ship with Hone.
        model_ids: Only these models meet; empty for all.
    """

    pair: tuple[int, int] | None = None
    prompt_version_id: int | None = None
    model_ids: tuple[int, ...] = ()

    @classmethod
    def of_address(cls, pair: str, prompts: str) -> Course:
        """Read `pair=3,5` and `prompts=7` of an address; empty texts ask for nothing special.

        Raises:
            BadCourse: if they name no two models, or no prompt set.
        """
        ids = pair.split(",") if pair else []
        if pair and (len(ids) != 2 or not all(_is_id(one) for one in ids) or int(ids[0]) == int(ids[1])):
            raise BadCourse(f"{pair[:40]!r} names no two models.", "Write two different numbers of models: pair=3,5.")
        if prompts and not _is_id(prompts):
            raise BadCourse(f"{prompts[:40]!r} names no prompt set.", "Choose one on the Prompt sets page.")
        both = (min(map(int, ids)), max(map(int, ids))) if ids else None
        return cls(pair=both, prompt_version_id=int(prompts) if prompts else None)

    @classmethod
    def of_parameters(cls, parameters: str) -> Course:
        """The course that `address` names. Raises as `of_address` does."""
        named = dict(parse_qsl(parameters))
        return cls.of_address(named.get("pair", ""), named.get("prompts", ""))

    @property
    def address(self) -> str:
        """The parameters that bring somebody back to it."""
        parts = [f"pair={self.pair[0]},{self.pair[1]}"] if self.pair else []
        return "&".join([*parts, *([f"prompts={self.prompt_version_id}"] if self.prompt_version_id else [])])

    @property
    def models(self) -> tuple[int, ...]:
        """Those that may meet; empty for all."""
        return self.pair or self.model_ids

    def condition(self) -> ColumnElement[bool]:
        """What a battle has to be like to be on this course."""
        wanted: list[ColumnElement[bool]] = [true()]
        if self.models:
            wanted += [Battle.model_a_id.in_(self.models), Battle.model_b_id.in_(self.models)]
        if self.prompt_version_id is not None:
            wanted.append(Battle.prompt_version_id == self.prompt_version_id)
        return and_(*wanted)


def next_battle(
    session: Session,
    person_id: int,
    course: Course,
    *,
    settings: Mapping[str, Any],
    prompts: Sequence[str],
    seed: int | None = None,
) -> Battle:
    """Draw the next battle on a course: now and then a repeat, else a prompt of the set, or one of `prompts`.

    Everything random follows from `seed`, which is kept.

    Raises:
        TooFewModels: if there are not two models.
        NoPreparedPair: if the prompt set has no two answers to set against each other.
    """
    seed = secrets.randbits(48) if seed is None else seed
    # Who has asked for two models sees these two on new prompts, and nothing again.
    if not course.pair:
        repeat = repeats.draw(session, person_id, random.Random(seed), course.condition(), seed=seed)
        if repeat is not None:
            return repeat
    if course.prompt_version_id is not None:
        return _on_prompt_set(session, person_id, course, course.prompt_version_id, seed)
    prompt = votes.draw_prompt(session, person_id, prompts)
    return votes.create_battle(
        session, person_id=person_id, prompt=prompt, settings=dict(settings), seed=seed, models=course.models
    )


def _on_prompt_set(session: Session, person_id: int, course: Course, version_id: int, seed: int) -> Battle:
    """A battle of two prepared answers, which is ready at once."""
    chance = random.Random(seed)
    weights = votes.pair_probabilities(session, course.models)
    drawn = prompt_sets.draw(session, person_id, version_id, chance, pair_weights=weights)
    side_a, side_b = drawn.answers
    battle = Battle(
        person_id=person_id,
        messages=drawn.messages,
        model_a_id=side_a.model_id,
        model_b_id=side_b.model_id,
        answer_a=side_a.text,
        answer_b=side_b.text,
        finish_a=side_a.finish_reason,
        finish_b=side_b.finish_reason,
        settings=side_a.settings | {"seed_a": side_a.seed, "seed_b": side_b.seed},
        draw=votes.how_drawn(course.models, drawn.probability, seed),
        provenance={"a": side_a.provenance, "b": side_b.provenance},
        tags=drawn.tags,
        prompt_version_id=version_id,
        prompt_row=drawn.row,
        state="ready",
    )
    session.add(battle)
    session.flush()
    return battle


def _is_id(text: str) -> bool:
    return text.isdecimal() and len(text) < 18
