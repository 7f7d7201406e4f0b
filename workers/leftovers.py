"""Leftovers: folders of attempts whose worker died before it could publish what they made, or take it away."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from sqlalchemy.orm import InstrumentedAttribute

from store import attempts
from store.database import reading
from store.schema import DataReport, Model
from store.settings import settings

_FOLDER = re.compile(r"(?:\.making-)?(\d+-\d+)")


def remove_leftovers() -> None:
    """Remove the folder of every attempt that has ended without a model, or a report, in it.

    A folder that belongs to no attempt in the record is left alone: it may be another Hone's.
    """
    _remove_from(settings().models_folder, Model.folder)
    _remove_from(settings().reports_folder, DataReport.folder)


def _remove_from(folders: Path, kept: InstrumentedAttribute[Any]) -> None:
    found = sorted(path.name for path in folders.iterdir()) if folders.exists() else []
    places = {name: match[1] for name in found if (match := _FOLDER.fullmatch(name))}
    if not places:
        return
    with reading() as session:
        ended = set(attempts.leftovers(session, sorted(set(places.values())), kept))
    for name, place in places.items():
        if place in ended:
            shutil.rmtree(folders / name, ignore_errors=True)
