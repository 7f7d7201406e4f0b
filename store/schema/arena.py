"""Battles, votes, and the answers and links that they are made with."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from store.schema.base import Base, utc_now

if TYPE_CHECKING:
    from store.schema.jobs import Model


def _new_id() -> str:
    """An address that nobody can guess."""
    return secrets.token_urlsafe(12)


class Battle(Base):
    """Two models' answers to one prompt, shown without their names."""

    __tablename__ = "battles"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=_new_id)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"), index=True)
    messages: Mapped[list[Any]]
    """The conversation both models answer; its last message is the prompt."""
    model_a_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    model_b_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    answer_a: Mapped[str | None] = mapped_column(Text)
    answer_b: Mapped[str | None] = mapped_column(Text)
    finish_a: Mapped[str | None] = mapped_column(String(20))
    finish_b: Mapped[str | None] = mapped_column(String(20))
    settings: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Sampling settings and the seed of each side."""
    draw: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """How the pair was drawn: policy, probability, seed."""
    provenance: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    """Of each side, the hashes of its weights and of its chat template."""
    tags: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
    """What the prompt is about, as its prompt set says."""
    prompt_version_id: Mapped[int | None] = mapped_column(index=True)
    """The dataset version that the prompt is of, where it is of one, and its row there, from 0."""
    prompt_row: Mapped[int | None]
    repeat_of_id: Mapped[str | None] = mapped_column(String(32), index=True)
    """The battle whose answers are shown again: to somebody else, or, with its sides swapped, to the same person."""
    state: Mapped[str] = mapped_column(String(20), default="preparing")
    """preparing, ready, voted or failed."""
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)
    revealed_at: Mapped[datetime | None]

    model_a: Mapped[Model] = relationship(foreign_keys=[model_a_id])
    model_b: Mapped[Model] = relationship(foreign_keys=[model_b_id])
    votes: Mapped[list[Vote]] = relationship(back_populates="battle")


class Vote(Base):
    """One person's judgement of one battle."""

    __tablename__ = "votes"
    __table_args__ = (UniqueConstraint("battle_id", "person_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    battle_id: Mapped[str] = mapped_column(ForeignKey("battles.id"))
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"), index=True)
    outcome: Mapped[str] = mapped_column(String(10))
    """a, b, both_good, both_bad, tie (of earlier days) or skip."""
    strength: Mapped[int | None]
    """How much better: 1 slightly, 2 clearly; None where nothing was said or neither is better."""
    reasons: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
    comment: Mapped[str | None] = mapped_column(Text)
    changes: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
    """Earlier and refused outcomes: {outcome, at, is_after_reveal}, the oldest first."""
    uncounted_because: Mapped[str | None] = mapped_column(String(200))
    """Why the vote is kept but not counted; None for a vote that counts."""
    seconds: Mapped[float | None]
    """Time from seeing both answers to the vote."""
    created_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)

    battle: Mapped[Battle] = relationship(back_populates="votes")


class VotingLink(Base):
    """A public address where colleagues vote without an account; whoever has the link may, until it is revoked."""

    __tablename__ = "voting_links"

    id: Mapped[int] = mapped_column(primary_key=True)
    token_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(80))
    prompt_version_id: Mapped[int | None]
    """The prompt set whose prepared answers are voted on; None for the prompts that ship with Hone."""
    model_ids: Mapped[list[Any]] = mapped_column(default=list)
    """The models that meet; empty for all."""
    votes_an_hour: Mapped[int] = mapped_column(default=120)
    """The most that one voter may give."""
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    revoked_at: Mapped[datetime | None]


class PreparedAnswer(Base):
    """What a model answered to a prompt of a prompt set, written by a job before anybody votes."""

    __tablename__ = "prepared_answers"
    __table_args__ = (UniqueConstraint("prompt_version_id", "row", "model_id", "settings_sha256"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    prompt_version_id: Mapped[int] = mapped_column(ForeignKey("dataset_versions.id"))
    row: Mapped[int]
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"), index=True)
    settings_sha256: Mapped[str] = mapped_column(String(64))
    """Of the sampling settings: only answers that were drawn alike are set against each other."""
    settings: Mapped[dict[str, Any]] = mapped_column(default=dict)
    seed: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    finish_reason: Mapped[str] = mapped_column(String(20))
    provenance: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """The hashes of the model's weights and of its chat template."""
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
