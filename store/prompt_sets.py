"""Prompt sets: dataset versions whose prompts several models have answered before anybody votes on them."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline.errors import HoneError
from pipeline.prompt_rows import prompt_of, tags_of
from pipeline.recipes.answer import AnswerSpec
from pipeline.spec import validate_spec
from store import attempts, datasets
from store.models import list_models
from store.schema import Battle, DatasetVersion, Job, PreparedAnswer

Json = dict[str, Any]


class NoPreparedPair(HoneError):
    kind = "no_prepared_pair"


@dataclass(frozen=True)
class Prepared:
    """How many prompts of a set one model has answered, under one set of sampling settings."""

    version_id: int
    model_id: int
    settings_sha256: str
    settings: Json
    num_answers: int


@dataclass(frozen=True)
class Drawn:
    """A prompt of a set with the two answers that meet on it."""

    row: int
    messages: list[Json]
    tags: list[str]
    answers: tuple[PreparedAnswer, PreparedAnswer]
    probability: float


def settings_sha256(settings: Mapping[str, Any]) -> str:
    """Names the sampling settings of an answer, without its seed: only answers that were drawn alike are compared."""
    return hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode()).hexdigest()


def register_answers(session: Session, job_id: int, epoch: int, file: Path, summary: Mapping[str, Any]) -> int:
    """End a job well and, in the same transaction, keep the answers that it wrote; returns how many are new.

    An answer to the same prompt by the same model under the same settings that is there already stays as it is: people
    may have voted on it.

    Raises:
        StaleAttempt: if the job belongs to another attempt by now.
    """
    attempts.succeed(session, job_id, epoch, summary=summary)
    job = session.get_one(Job, job_id)
    spec = validate_spec(AnswerSpec, job.spec)
    version_id, model_id = (int(value.partition(":")[2]) for value in (spec.dataset, spec.model))
    settings_hash = settings_sha256(spec.sampling)
    known = set(
        session.scalars(
            select(PreparedAnswer.row).where(
                PreparedAnswer.prompt_version_id == version_id,
                PreparedAnswer.model_id == model_id,
                PreparedAnswer.settings_sha256 == settings_hash,
            )
        )
    )
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]
    new = [
        PreparedAnswer(
            prompt_version_id=version_id,
            model_id=model_id,
            settings_sha256=settings_hash,
            settings=spec.sampling,
            job_id=job_id,
            row=line["row"],
            seed=line["seed"],
            text=line["text"].replace("\0", "\ufffd"),  # which PostgreSQL takes in no text
            finish_reason=line["finish_reason"],
            provenance=line["provenance"],
        )
        for line in lines
        if line["row"] not in known
    ]
    session.add_all(new)
    return len(new)


def list_prepared(session: Session) -> list[Prepared]:
    """What is prepared of every set, of models that are still there, in the order of sets, settings and models."""
    columns = (PreparedAnswer.prompt_version_id, PreparedAnswer.settings_sha256, PreparedAnswer.model_id)
    query = select(*columns, func.count(), func.min(PreparedAnswer.id)).group_by(*columns).order_by(*columns)
    rows = session.execute(query).all()
    first_ids = [first_id for *_, first_id in rows]
    firsts = session.execute(select(PreparedAnswer.id, PreparedAnswer.settings).where(PreparedAnswer.id.in_(first_ids)))
    settings: dict[int, Json] = {row[0]: row[1] for row in firsts}
    alive = {model.id for model in list_models(session)}
    return [
        Prepared(version_id, model_id, digest, settings[first_id], count)
        for version_id, digest, model_id, count, first_id in rows
        if model_id in alive
    ]


def draw(
    session: Session,
    person_id: int,
    version_id: int,
    chance: random.Random,
    *,
    pair_weights: Mapping[tuple[int, int], float],
) -> Drawn:
    """A prompt that the person has seen least often, and two models that should meet among those that answered it.

    Args:
        pair_weights: How often each pair (a < b) should be shown; only these models come into question.

    Raises:
        NoSuchDataset: if the set is gone.
        NoPreparedPair: if no prompt of it has answers of two of the models, drawn alike.
    """
    version = datasets.get_version(session, version_id)
    models = {model for pair in pair_weights for model in pair}
    by_row = _answers_by_row(session, version_id, models)
    pairs_of_row = {
        row: pairs
        for row, answered in by_row.items()
        if (pairs := [pair for pair in pair_weights if pair[0] in answered and pair[1] in answered])
    }
    if not pairs_of_row:
        raise NoPreparedPair(
            f"No prompt of {version.dataset.name} v{version.number} has answers of two of these models yet.",
            "Prepare answers of at least two models on the Prompt sets page, with the same settings.",
        )
    seen = _times_seen(session, person_id, version_id)
    fewest = min(seen[row] for row in pairs_of_row)
    row = chance.choice(sorted(row for row in pairs_of_row if seen[row] == fewest))
    weights = [pair_weights[pair] for pair in pairs_of_row[row]]
    (pair,) = chance.choices(pairs_of_row[row], weights=weights)
    (values,) = datasets.rows_of(version).read(row, 1)
    answers = tuple(session.get_one(PreparedAnswer, by_row[row][model]) for model in chance.sample(pair, k=2))
    probability = pair_weights[pair] / sum(weights)
    return Drawn(row, prompt_of(values), tags_of(values), (answers[0], answers[1]), probability)


def versions_with_answers(session: Session, version_ids: Sequence[int]) -> dict[int, DatasetVersion]:
    """The sets by id, with their datasets' names; those that were deleted are left out."""
    alive = {version.id: version for version in datasets.list_versions(session, ("instruction",))}
    return {version_id: alive[version_id] for version_id in version_ids if version_id in alive}


def _answers_by_row(session: Session, version_id: int, models: set[int]) -> dict[int, dict[int, int]]:
    """Of each prompt, the id of each model's answer, under the settings by which most pairs of answers were drawn."""
    rows = session.execute(
        select(PreparedAnswer.settings_sha256, PreparedAnswer.row, PreparedAnswer.model_id, PreparedAnswer.id)
        .where(PreparedAnswer.prompt_version_id == version_id)
        .order_by(PreparedAnswer.id)
    )
    by_settings: dict[str, dict[int, dict[int, int]]] = defaultdict(lambda: defaultdict(dict))
    for digest, row, model_id, answer_id in rows:
        if model_id in models:
            by_settings[digest][row][model_id] = answer_id

    def num_pairs(digest: str) -> int:
        return sum(len(answered) * (len(answered) - 1) for answered in by_settings[digest].values())

    return by_settings[max(by_settings, key=num_pairs)] if by_settings else {}


def _times_seen(session: Session, person_id: int, version_id: int) -> Counter[int | None]:
    own = select(Battle.prompt_row).where(Battle.person_id == person_id, Battle.prompt_version_id == version_id)
    return Counter(session.scalars(own))
