"""Conversations of the playground."""

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
    return secrets.token_urlsafe(9)


class Conversation(Base):
    """A playground conversation: one list of turns, answered by the models of its columns."""

    __tablename__ = "conversations"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=_new_id)
    title: Mapped[str] = mapped_column(String(200))
    model_ids: Mapped[list[Any]] = mapped_column(default=list)
    """Model ids, one a column."""
    settings: Mapped[dict[str, Any]] = mapped_column(default=dict)
    branched_from_id: Mapped[str | None] = mapped_column(String(32))
    """The conversation whose first turns it shares, where somebody changed one of its turns."""
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now, index=True)
    deleted_at: Mapped[datetime | None]

    turns: Mapped[list[Turn]] = relationship(order_by="Turn.number", back_populates="conversation")


class Turn(Base):
    __tablename__ = "turns"
    __table_args__ = (UniqueConstraint("conversation_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id"))
    number: Mapped[int]
    prompt: Mapped[str] = mapped_column(Text)

    conversation: Mapped[Conversation] = relationship(back_populates="turns")
    answers: Mapped[list[Answer]] = relationship(order_by="Answer.column", back_populates="turn")


class Answer(Base):
    __tablename__ = "answers"
    __table_args__ = (UniqueConstraint("turn_id", "column"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"))
    column: Mapped[int]
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    text: Mapped[str] = mapped_column(Text, default="")
    state: Mapped[str] = mapped_column(String(20), default="waiting")
    """waiting (with the text that it is to be carried on from, if any), streaming, finished, stopped or failed."""
    error: Mapped[str | None] = mapped_column(Text)
    stats: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """seconds_to_first_token, tokens_per_second, num_prompt_tokens, num_tokens, finish_reason."""

    turn: Mapped[Turn] = relationship(back_populates="answers")
    model: Mapped[Model] = relationship()


class Preset(Base):
    """Settings of a playground conversation under a name, to be used again: system prompt, sampling, examples."""

    __tablename__ = "presets"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    settings: Mapped[dict[str, Any]]
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    deleted_at: Mapped[datetime | None]
