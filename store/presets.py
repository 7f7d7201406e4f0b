"""Presets: settings of the playground under a name, shared by everybody who uses this Hone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline.errors import HoneError
from store.schema import Preset, utc_now

MAX_NAME_CHARACTERS = 80


class NoPreset(HoneError):
    kind = "no_preset"


def save_preset(session: Session, name: str, settings: dict[str, Any], *, person_id: int | None = None) -> Preset:
    """Keep settings under a name; what the name stood for before is replaced.

    Raises:
        NoPreset: if the name is empty or too long.
    """
    tidy = " ".join(name.split())
    if not tidy:
        raise NoPreset("The preset has no name.", "Give it one, such as “terse, greedy”.")
    if len(tidy) > MAX_NAME_CHARACTERS:
        raise NoPreset(f"The name has {len(tidy)} characters; {MAX_NAME_CHARACTERS} are the most.", "Shorten it.")
    preset = session.scalar(_live().where(Preset.name == tidy))
    if preset is None:
        preset = Preset(name=tidy, created_by_id=person_id)
        session.add(preset)
    preset.settings = settings
    session.flush()
    return preset


def list_presets(session: Session) -> Sequence[Preset]:
    """All presets, by name."""
    return session.scalars(_live().order_by(func.lower(Preset.name))).all()


def get_preset(session: Session, preset_id: int) -> Preset:
    """Raises:
    NoPreset: if it is not there.
    """
    preset = session.scalar(_live().where(Preset.id == preset_id))
    if preset is None:
        raise NoPreset("This preset is not there any more.", "Somebody may have deleted it: choose another.")
    return preset


def delete_preset(session: Session, preset_id: int) -> None:
    get_preset(session, preset_id).deleted_at = utc_now()


def _live() -> Any:
    return select(Preset).where(Preset.deleted_at.is_(None))
