"""Comparisons: whether a model that was trained on votes is better than the one that it was trained from."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline.agreement import wilson_interval
from store.judgements import is_held_out, judgements
from store.schema import Battle, Dataset, DatasetVersion, Job, JobDataset, Model
from store.vote_pairs import DATASET_NAME, LABELS_DATASET_NAME


@dataclass(frozen=True)
class Record:
    """Votes on battles of a new model against an old one."""

    wins: int = 0
    ties: int = 0
    losses: int = 0

    @property
    def votes(self) -> int:
        return self.wins + self.ties + self.losses

    @property
    def share(self) -> float | None:
        """Of the votes that the new one won, a tie counted as half; None without votes."""
        return (self.wins + self.ties / 2) / self.votes if self.votes else None

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of that share, by Wilson's score; with ties it is a little wider than it need be."""
        return wilson_interval(self.wins + self.ties / 2, self.votes)


@dataclass(frozen=True)
class Comparison:
    """A model that was trained on votes, the one that it was trained from, and what people said of the two.

    Args:
        held_out: Votes on prompts that are never trained on.
        every: All votes on the two, those on trained prompts among them.
    """

    new: Model
    old: Model
    held_out: Record
    every: Record


def trained_on_votes(session: Session, limit: int = 6) -> list[Comparison]:
    """Of each model that learned from votes and is there still, the newest first."""
    job_ids = (
        select(JobDataset.job_id)
        .join(DatasetVersion, DatasetVersion.id == JobDataset.dataset_version_id)
        .join(Dataset)
        .where(Dataset.name.in_((DATASET_NAME, LABELS_DATASET_NAME)))
    )
    query = select(Model).join(Job, Job.id == Model.job_id).where(Job.id.in_(job_ids), Model.deleted_at.is_(None))
    found = []
    for model in session.scalars(query.order_by(Model.id.desc()).limit(limit)):
        old = session.get(Model, model.parent_id) if model.parent_id is not None else None
        if old is not None and old.deleted_at is None:
            found.append(Comparison(model, old, *records(session, model.id, old.id)))
    return found


def records(session: Session, new_id: int, old_id: int) -> tuple[Record, Record]:
    """What the votes that count say of two models: on held-out prompts, and on all."""
    given = [
        vote
        for vote in judgements(session, among=(new_id, old_id))
        if vote.uncounted_because is None and vote.outcome != "skip"
    ]
    root_ids = {vote.root_id for vote in given}
    held_out = {
        battle_id
        for battle_id, messages in session.execute(select(Battle.id, Battle.messages).where(Battle.id.in_(root_ids)))
        if is_held_out(messages)
    }
    wins = {"a": lambda a: a == new_id, "b": lambda a: a != new_id}
    counts = {True: [0, 0, 0], False: [0, 0, 0]}
    for vote in given:
        won = wins.get(vote.outcome)
        place = 1 if won is None else 0 if won(vote.model_a_id) else 2
        counts[vote.root_id in held_out][place] += 1
    every = [kept + other for kept, other in zip(counts[True], counts[False], strict=True)]
    return Record(*counts[True]), Record(*every)
