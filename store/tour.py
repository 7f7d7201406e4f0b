"""The tour: how far this data folder has gone round the loop, read from what is there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, joinedload

from store import vote_pairs
from store.schema import (
    ACTIVE_STATES,
    Conversation,
    Dataset,
    DatasetVersion,
    Job,
    JobDataset,
    JobState,
    Model,
    Vote,
    utc_now,
)

VOTES_TO_WALK = 20


@dataclass(frozen=True)
class Tour:
    """Where the loop stands.

    Args:
        active: The job at work on each recipe, by the recipe's name; those not at work are absent.
        active_on_votes: The job that is learning from votes now.
        newest_model_id: The model to go on from.
        votes_dataset_id: The dataset version made from votes, once there is one.
    """

    has_model: bool
    has_data: bool
    has_tuned: bool
    has_compared: bool
    num_votes: int
    has_trained_on_votes: bool
    active: dict[str, Job]
    active_on_votes: Job | None
    newest_model_id: int | None
    votes_dataset_id: int | None

    @property
    def has_voted(self) -> bool:
        return self.num_votes >= VOTES_TO_WALK

    @property
    def is_walked(self) -> bool:
        return all(
            (
                self.has_model,
                self.has_data,
                self.has_tuned,
                self.has_compared,
                self.has_voted,
                self.has_trained_on_votes,
            )
        )


def read_tour(session: Session) -> Tour:
    on_votes = (
        select(Job)
        .join(JobDataset, JobDataset.job_id == Job.id)
        .join(DatasetVersion, DatasetVersion.id == JobDataset.dataset_version_id)
        .join(Dataset)
        .where(Dataset.name == vote_pairs.DATASET_NAME)
        .order_by(Job.id.desc())
    )
    running = session.scalars(select(Job).where(Job.state.in_(ACTIVE_STATES)).order_by(Job.state, Job.id.desc()))
    votes_version = session.scalar(
        select(func.max(DatasetVersion.id)).join(Dataset).where(Dataset.name == vote_pairs.DATASET_NAME)
    )
    return Tour(
        has_model=_exists(session, select(Model.id).where(Model.deleted_at.is_(None))),
        has_data=_exists(session, select(DatasetVersion.id).where(DatasetVersion.kind == "instruction")),
        has_tuned=_exists(session, select(Job.id).where(Job.recipe == "sft", Job.state == JobState.SUCCEEDED)),
        has_compared=_exists(
            session, select(Conversation.id).where(func.json_array_length(Conversation.model_ids) >= 2)
        ),
        num_votes=num_votes(session),
        has_trained_on_votes=_exists(session, on_votes.where(Job.state == JobState.SUCCEEDED)),
        active_on_votes=session.scalar(on_votes.where(Job.state.in_(ACTIVE_STATES)).limit(1)),
        active={job.recipe: job for job in running},
        newest_model_id=session.scalar(
            select(func.max(Model.id)).where(Model.deleted_at.is_(None), Model.kind != "quantized")
        ),
        votes_dataset_id=votes_version,
    )


def running_jobs(session: Session, limit: int = 4) -> list[Job]:
    query = select(Job).where(Job.state == JobState.RUNNING).order_by(Job.started_at).limit(limit)
    return list(session.scalars(query.options(joinedload(Job.parent_model))))


def num_votes(session: Session, *, since: datetime | None = None) -> int:
    query = select(func.count()).select_from(Vote)
    return session.scalar(query.where(Vote.created_at >= since) if since else query) or 0


def votes_by_day(session: Session, days: int = 7) -> list[int]:
    """How many votes each of the last days had, the oldest first and today last (days of UTC)."""
    midnight = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
    first = midnight - timedelta(days=days - 1)
    counts = [0] * days
    for moment in session.scalars(select(Vote.created_at).where(Vote.created_at >= first)):
        counts[(moment - first).days] += 1
    return counts


def _exists(session: Session, query: Select[Any]) -> bool:
    return session.scalar(query.limit(1)) is not None
