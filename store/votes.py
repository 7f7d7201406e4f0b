"""Votes: blind battles between two models, what people said of them, and the standings that follow."""

from __future__ import annotations

import random
import re
import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, cast, get_args

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session, joinedload

from pipeline.errors import HoneError
from pipeline.ratings import Outcome, Ratings, Tally, fit_ratings
from store import repeats
from store.models import list_models, list_own_models
from store.schema import Battle, Model, Person, Vote, utc_now

DRAW_POLICY = "variance-gain, uniform floor 0.2"

OUTCOMES = (*get_args(Outcome), "skip")
"""What a vote may say; `tie` is of earlier days, when nobody was asked whether both were good."""

REASONS = ("correct", "follows the request", "complete", "clear", "concise", "tone", "safe")
"""What somebody may find better about an answer, besides words of their own."""
LONGEST_COMMENT = 2_000
MOST_CHANGES = 20

SKIPPED = "It was skipped."
ASKED_AGAIN = "It was asked again to see whether you say the same."
_UNFINISHED = {"length": "it was cut off at the token limit", "cancelled": "it was stopped"}


class TooFewModels(HoneError):
    kind = "too_few_models"


class NoBattle(HoneError):
    kind = "no_battle"


class BadVote(HoneError):
    kind = "bad_vote"


# ------------------------------------------------------------------------------------------------------------ battles


def create_battle(
    session: Session,
    *,
    person_id: int,
    prompt: str,
    settings: dict[str, Any],
    seed: int | None = None,
    models: Collection[int] = (),
) -> Battle:
    """Draw two models for a prompt; their answers come with `save_answers`.

    Everything random follows from `seed`, which is kept: which pair (see `Ratings.pair_probabilities`), which of the
    two stands on side A, and the sampling seed of each side.

    Args:
        models: Those that may meet; empty for all. Two are a pair that was chosen by hand.

    Raises:
        TooFewModels: if there are not two models.
        NoBattle: if the prompt is empty.
    """
    if not prompt.strip():
        raise NoBattle("The prompt is empty.", "Write something, or take the next prompt of the list.")
    seed = secrets.randbits(48) if seed is None else seed
    chance = random.Random(seed)
    pair, probability = draw_pair(session, chance, models)
    model_a_id, model_b_id = chance.sample(pair, k=2)
    seeds = {"seed_a": chance.randrange(2**31), "seed_b": chance.randrange(2**31)}
    battle = Battle(
        person_id=person_id,
        messages=[{"role": "user", "content": prompt.strip()}],
        model_a_id=model_a_id,
        model_b_id=model_b_id,
        settings=settings | seeds,
        draw=how_drawn(models, probability, seed),
        state="preparing",
    )
    session.add(battle)
    session.flush()
    return battle


def draw_pair(session: Session, chance: random.Random, models: Collection[int] = ()) -> tuple[tuple[int, int], float]:
    """Two models (of `models`, if any are named) that should meet, and the probability with which they were drawn.

    Raises:
        TooFewModels: if there are not two models.
    """
    probabilities = pair_probabilities(session, models)
    (pair,) = chance.choices(list(probabilities), weights=list(probabilities.values()))
    return pair, probabilities[pair]


def pair_probabilities(session: Session, models: Collection[int] = ()) -> dict[tuple[int, int], float]:
    """How often each pair (a < b) should meet of the models that are there; of `models`, if any are named.

    A kept checkpoint meets others only where it is named.

    Raises:
        TooFewModels: if there are not two of them.
    """
    alive = [
        model.id
        for model in list_models(session)
        if (model.id in models if models else model.checkpoint_job_id is None)
    ]
    if len(alive) < 2:
        raise TooFewModels(
            f"A battle needs two models; there {'is one' if alive else 'is none'}.",
            "Train or import another on the Train and Models pages.",
        )
    weights = {
        pair: probability
        for pair, probability in standings(session, also=alive).pair_probabilities().items()
        if pair[0] in alive and pair[1] in alive
    }
    total = sum(weights.values())
    return {pair: weight / total for pair, weight in weights.items()}


def how_drawn(models: Collection[int], probability: float, seed: int) -> dict[str, Any]:
    """What is kept of how a pair was drawn."""
    policy = "chosen by hand" if len(models) == 2 else DRAW_POLICY
    return {"policy": policy, "probability": probability, "seed": seed}


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


def open_battles(session: Session, person_id: int, condition: ColumnElement[bool] | None = None) -> Sequence[Battle]:
    """The battles that wait for their answers or for this person's vote, the oldest first."""
    query = select(Battle).where(
        Battle.person_id == person_id,
        Battle.state.in_(("preparing", "ready", "voted")),
        ~Battle.votes.any(Vote.person_id == person_id),
    )
    if condition is not None:
        query = query.where(condition)
    return session.scalars(query.order_by(Battle.created_at, Battle.id)).all()


def open_battle(session: Session, person_id: int, condition: ColumnElement[bool] | None = None) -> Battle | None:
    """The battle that a person is in: the oldest that is open."""
    return next(iter(open_battles(session, person_id, condition)), None)


def save_answers(
    session: Session,
    battle_id: str,
    *,
    answers: tuple[str, str],
    finish_reasons: tuple[str, str],
    provenance: dict[str, Any] | None = None,
) -> None:
    """Keep both answers at once, whole: before that, neither is shown. With them, the hashes of what wrote them."""
    battle = get_battle(session, battle_id)
    if battle.state == "preparing":
        battle.answer_a, battle.answer_b = answers
        battle.finish_a, battle.finish_b = finish_reasons
        battle.provenance = provenance or {}
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
    """Record what a person says of a battle: one vote, which can be changed until that person sees the names.

    Until then a later word replaces the earlier one. After it, the later word is kept in `changes` and the vote stays
    as it is: whoever knows the names no longer judges blindly. Pressing twice is one vote.

    Raises:
        NoBattle: if there is no such battle.
        BadVote: if the outcome is not one, or the answers are not there.
    """
    if outcome not in OUTCOMES:
        raise BadVote(f"{outcome[:40]!r} is not a vote.", f"Choose one of: {', '.join(OUTCOMES)}.")
    session.get(Battle, battle_id, with_for_update=True)  # of two presses at once, the second waits for the first
    battle = get_battle(session, battle_id)
    given = find_vote(session, battle_id, person_id)
    if given is not None:
        return _changed(session, battle, given, outcome, seconds)
    if battle.state not in ("ready", "voted"):
        raise BadVote("The answers to this battle are not there yet.", "Wait for them, or begin a new battle.")
    given = Vote(
        battle_id=battle_id,
        person_id=person_id,
        outcome=outcome,
        uncounted_because=_why_uncounted(session, battle, person_id, outcome),
        seconds=seconds,
    )
    battle.state = "voted"
    session.add(given)
    session.flush()
    if is_revealed(session, given):
        battle.revealed_at = battle.revealed_at or utc_now()
    return given


def is_revealed(session: Session, given: Vote) -> bool:
    """Whether the names are shown to the one who gave this vote: not for a skip, and never by a voting link."""
    return given.outcome != "skip" and session.get_one(Person, given.person_id).link_id is None


def describe(
    session: Session,
    battle_id: str,
    person_id: int,
    *,
    strength: int | None,
    reasons: Sequence[str],
    comment: str,
) -> Vote:
    """Say more of one's vote, before or after the names are shown; its outcome stays as it is.

    Args:
        strength: How much better: 1 slightly, 2 clearly, None for nothing said.
        reasons: Some of `REASONS`.

    Raises:
        BadVote: if the person has not voted on the battle, or the words are not among those that are offered.
    """
    given = find_vote(session, battle_id, person_id)
    if given is None:
        raise BadVote("You have not voted on this battle.", "Vote first, then say why.")
    unknown = [str(reason) for reason in reasons if reason not in REASONS]
    unknown += [] if strength in (None, 1, 2) else [str(strength)]
    if unknown:
        raise BadVote(
            f"{unknown[0][:40]!r} is not among what can be said of a vote.",
            f"Choose a strength of 1 or 2, and reasons of: {', '.join(REASONS)}.",
        )
    if len(comment) > LONGEST_COMMENT:
        raise BadVote(f"The comment has {len(comment):,} characters; {LONGEST_COMMENT:,} are the most.", "Shorten it.")
    given.strength = strength if given.outcome in ("a", "b") else None
    given.reasons = list(reasons)
    given.comment = comment.strip().replace("\0", "") or None
    return given


def _changed(session: Session, battle: Battle, given: Vote, outcome: str, seconds: float | None) -> Vote:
    """What becomes of a vote when the same person votes again."""
    if given.outcome == outcome:
        return given
    if len(given.changes) >= MOST_CHANGES:
        raise BadVote(f"This vote was changed {MOST_CHANGES} times already.", "Go on to the next battle.")
    is_after_reveal = is_revealed(session, given)
    kept = outcome if is_after_reveal else given.outcome
    change = {"outcome": kept, "at": utc_now().isoformat(), "is_after_reveal": is_after_reveal}
    given.changes = [*given.changes, change]
    if not is_after_reveal:
        given.outcome = outcome
        given.seconds = seconds
        given.strength = given.strength if outcome in ("a", "b") else None
        given.uncounted_because = _why_uncounted(session, battle, given.person_id, outcome)
        if is_revealed(session, given):
            battle.revealed_at = battle.revealed_at or utc_now()
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


def _why_uncounted(session: Session, battle: Battle, person_id: int, outcome: str) -> str | None:
    """Why a vote is kept but not counted, in a sentence; None for one that counts."""
    if outcome == "skip":
        return SKIPPED
    for side, answer, finish in (("A", battle.answer_a, battle.finish_a), ("B", battle.answer_b, battle.finish_b)):
        for model in (battle.model_a, battle.model_b):
            if _whole_word(model.name).search(answer or ""):
                return f"Answer {side} says the name {model.name}, so the battle was not blind."
        if finish in _UNFINISHED:
            return f"Answer {side} is unfinished: {_UNFINISHED[finish]}."
    return ASKED_AGAIN if repeats.has_voted_before(session, battle, person_id) else None


def _whole_word(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)
