"""Votes: blind battles between two models, what people said of them, and the standings that follow."""

from __future__ import annotations

import random
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, cast, get_args

from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload

from pipeline.errors import HoneError
from pipeline.ratings import Outcome, Ratings, Tally, fit_ratings
from store.models import list_models, list_own_models
from store.schema import Battle, Model, Vote, utc_now

DRAW_POLICY = "variance-gain, uniform floor 0.2"


class TooFewModels(HoneError):
    kind = "too_few_models"


class NoBattle(HoneError):
    kind = "no_battle"


class BadVote(HoneError):
    kind = "bad_vote"


# ------------------------------------------------------------------------------------------------------------ battles


def create_battle(
    session: Session, *, person_id: int, prompt: str, settings: dict[str, Any], seed: int | None = None
) -> Battle:
    """Draw two models for a prompt; their answers come with `save_answers`.

    Everything random follows from `seed`, which is kept: which pair (see `Ratings.pair_probabilities`), which of the
    two stands on side A, and the sampling seed of each side.

    Raises:
        TooFewModels: if there are not two models.
        NoBattle: if the prompt is empty.
    """
    if not prompt.strip():
        raise NoBattle("The prompt is empty.", "Write something, or take the next prompt of the list.")
    seed = secrets.randbits(48) if seed is None else seed
    chance = random.Random(seed)
    pair, probability = draw_pair(session, chance)
    model_a_id, model_b_id = chance.sample(pair, k=2)
    seeds = {"seed_a": chance.randrange(2**31), "seed_b": chance.randrange(2**31)}
    battle = Battle(
        id=secrets.token_urlsafe(12),
        person_id=person_id,
        messages=[{"role": "user", "content": prompt.strip()}],
        model_a_id=model_a_id,
        model_b_id=model_b_id,
        settings=settings | seeds,
        draw={"policy": DRAW_POLICY, "probability": probability, "seed": seed},
        state="preparing",
    )
    session.add(battle)
    session.flush()
    return battle


def draw_pair(session: Session, chance: random.Random) -> tuple[tuple[int, int], float]:
    """Two models that should meet, and the probability with which they were drawn.

    Raises:
        TooFewModels: if there are not two models.
    """
    models = [model.id for model in list_models(session) if model.checkpoint_job_id is None]
    if len(models) < 2:
        raise TooFewModels(
            f"A battle needs two models; there {'is one' if models else 'is none'}.",
            "Train or import another on the Train and Models pages.",
        )
    probabilities = {
        pair: probability
        for pair, probability in standings(session, also=models).pair_probabilities().items()
        if pair[0] in models and pair[1] in models
    }
    (pair,) = chance.choices(list(probabilities), weights=list(probabilities.values()))
    return pair, probabilities[pair] / sum(probabilities.values())


def draw_prompt(session: Session, person_id: int, prompts: Sequence[str]) -> str:
    """One of the prompts that the person has been asked least often."""
    own = select(Battle.messages).where(Battle.person_id == person_id)
    times_seen = Counter(messages[-1]["content"] for messages in session.scalars(own))
    fewest = min(times_seen[prompt] for prompt in prompts)
    return random.choice([prompt for prompt in prompts if times_seen[prompt] == fewest])


def get_battle(session: Session, battle_id: str) -> Battle:
    """Raises:
    NoBattle: if there is no such battle.
    """
    battle = session.get(Battle, battle_id, options=[joinedload(Battle.model_a), joinedload(Battle.model_b)])
    if battle is None:
        raise NoBattle(f"There is no battle {battle_id[:40]!r}.", "Check the link, or begin a new battle.")
    return battle


def open_battle(session: Session, person_id: int) -> Battle | None:
    """The battle that a person is in: the oldest that waits for its answers or for the person's vote."""
    query = select(Battle).where(Battle.person_id == person_id, Battle.state.in_(("preparing", "ready")))
    return session.scalar(query.order_by(Battle.created_at).limit(1))


def save_answers(
    session: Session, battle_id: str, *, answers: tuple[str, str], finish_reasons: tuple[str, str]
) -> None:
    """Keep both answers at once, whole: before that, neither is shown."""
    battle = get_battle(session, battle_id)
    if battle.state == "preparing":
        battle.answer_a, battle.answer_b = answers
        battle.finish_a, battle.finish_b = finish_reasons
        battle.state = "ready"


def fail_battle(session: Session, battle_id: str, reason: str) -> None:
    """A model could not answer: nobody votes on this battle. The names of the two are taken out of the reason."""
    battle = get_battle(session, battle_id)
    if battle.state == "preparing":
        for model in (battle.model_a, battle.model_b):
            reason = _whole_word(model.name).sub("the model", reason)
        battle.state, battle.error = "failed", reason


# -------------------------------------------------------------------------------------------------------------- votes


def vote(session: Session, battle_id: str, person_id: int, outcome: str, *, seconds: float | None = None) -> Vote:
    """Record what a person says of a battle. It ends the blindness for that person, so the first word stands.

    Pressing twice is one vote.

    Raises:
        NoBattle: if there is no such battle.
        BadVote: if the outcome is not one, the answers are not there, or the person has said something else already.
    """
    if outcome not in get_args(Outcome):
        raise BadVote(f"{outcome[:40]!r} is not a vote.", f"Choose one of: {', '.join(get_args(Outcome))}.")
    session.get(Battle, battle_id, with_for_update=True)  # of two presses at once, the second waits for the first
    battle = get_battle(session, battle_id)
    earlier = find_vote(session, battle_id, person_id)
    if earlier is not None and earlier.outcome == outcome:
        return earlier
    if earlier is not None:
        raise BadVote("You have already voted on this battle and seen the names.", "Go on to the next battle.")
    if battle.state not in ("ready", "voted"):
        raise BadVote("The answers to this battle are not there yet.", "Wait for them, or begin a new battle.")
    given = Vote(
        battle_id=battle_id,
        person_id=person_id,
        outcome=outcome,
        uncounted_because=_why_uncounted(battle),
        seconds=seconds,
    )
    battle.state = "voted"
    battle.revealed_at = battle.revealed_at or utc_now()
    session.add(given)
    session.flush()
    return given


def find_vote(session: Session, battle_id: str, person_id: int) -> Vote | None:
    """What the person said of the battle, if anything: only then may the names be shown to that person."""
    return session.scalar(select(Vote).where(Vote.battle_id == battle_id, Vote.person_id == person_id))


def standings(session: Session, *, also: Sequence[int] = (), without_vote: int | None = None) -> Ratings:
    """The ratings by all votes that count, from one GROUP BY.

    Args:
        also: Models to rate although they may have no votes.
        without_vote: A vote to leave out, which tells what that vote has changed.
    """
    query = (
        select(Battle.model_a_id, Battle.model_b_id, Vote.outcome, func.count())
        .join(Battle, Battle.id == Vote.battle_id)
        .where(Vote.uncounted_because.is_(None))
        .group_by(Battle.model_a_id, Battle.model_b_id, Vote.outcome)
    )
    if without_vote is not None:
        query = query.where(Vote.id != without_vote)
    tallies = [Tally(a, b, cast(Outcome, outcome), votes) for a, b, outcome, votes in session.execute(query)]
    return fit_ratings(tallies, models=also)


def num_uncounted(session: Session) -> int:
    return session.scalar(select(func.count()).where(Vote.uncounted_because.is_not(None))) or 0


def names_of(session: Session, model_ids: Iterable[int]) -> dict[int, str]:
    """Names of models by id, also of those that were deleted since they were voted on."""
    models = session.scalars(select(Model).where(Model.id.in_(list(model_ids))).order_by(Model.id))
    return {model.id: model.name for model in models}


def best_trainable(session: Session, ratings: Ratings) -> Model | None:
    """The strongest rated model that can be trained further (quantized weights cannot), or None."""
    strength = dict(zip(ratings.models, ratings.strengths, strict=True))
    candidates = [model for model in list_own_models(session) if model.id in strength and model.kind != "quantized"]
    return max(candidates, key=lambda model: strength[model.id], default=None)


def _why_uncounted(battle: Battle) -> str | None:
    for side, answer in (("A", battle.answer_a), ("B", battle.answer_b)):
        for model in (battle.model_a, battle.model_b):
            if _whole_word(model.name).search(answer or ""):
                return f"Answer {side} says the name {model.name}, so the battle was not blind."
    return None


def _whole_word(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)
