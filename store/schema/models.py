"""Models, and the servers elsewhere that answer for some of them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from store.schema.base import Base, utc_now

if TYPE_CHECKING:
    from store.schema.jobs import Job


class Model(Base):
    """A model that can be chatted with and trained from."""

    __tablename__ = "models"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(120), unique=True)
    kind: Mapped[str] = mapped_column(String(20))
    """full, adapter or quantized (see `pipeline.model_folder`); or endpoint, whose weights are another server's."""
    folder: Mapped[str | None] = mapped_column(String(500))
    """Name of its folder under `models/`; None for a model that lies elsewhere."""
    source: Mapped[str | None] = mapped_column(String(500))
    """Hugging Face id or local folder of a model that Hone did not make; of an endpoint, the model's name there."""
    endpoint_id: Mapped[int | None]
    """The server that answers for it, where Hone does not."""
    checkpoint_job_id: Mapped[int | None] = mapped_column(index=True)
    checkpoint_step: Mapped[int | None]
    """The job, and its step, of which it is a checkpoint, kept to be talked to."""
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"), index=True)
    """The model it was trained or quantized from."""
    base_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    """The model whose weights an adapter needs."""
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"), unique=True)
    num_parameters: Mapped[int | None]
    size_bytes: Mapped[int | None]
    manifest: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    deleted_at: Mapped[datetime | None]

    parent: Mapped[Model | None] = relationship(foreign_keys=[parent_id], remote_side=[id])
    base: Mapped[Model | None] = relationship(foreign_keys=[base_id], remote_side=[id])
    job: Mapped[Job | None] = relationship(foreign_keys=[job_id], back_populates="model")


class Endpoint(Base):
    """A server elsewhere that speaks OpenAI's protocol."""

    __tablename__ = "endpoints"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(120), unique=True)
    base_url: Mapped[str] = mapped_column(String(500))
    encrypted_key: Mapped[str | None] = mapped_column(Text)
    """Its key, encrypted with a secret that is not in the database."""
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    deleted_at: Mapped[datetime | None]
