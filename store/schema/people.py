"""People."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from store.schema.base import Base, utc_now


class Person(Base):
    """Somebody who uses Hone, known by a random cookie whose SHA-256 is kept here."""

    __tablename__ = "people"

    id: Mapped[int] = mapped_column(primary_key=True)
    token_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(80))
    link_id: Mapped[int | None]
    """The voting link that somebody came by who only votes; None for one of the team."""
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
