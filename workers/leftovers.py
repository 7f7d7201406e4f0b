"""Leftovers: folders in `models/` of attempts whose worker died before it could publish them, or take them away."""

from __future__ import annotations

import re
import shutil

from store import models
from store.database import reading
from store.settings import settings

_FOLDER = re.compile(r"(?:\.making-)?(\d+-\d+)")


def remove_leftovers() -> None:
    """Remove the folder of every attempt that has ended without a model.

    A folder that belongs to no attempt in the record is left alone: it may be another Hone's.
    """
    folders = settings().models_folder
    found = sorted(path.name for path in folders.iterdir()) if folders.exists() else []
    attempts = {name: match[1] for name in found if (match := _FOLDER.fullmatch(name))}
    if not attempts:
        return
    with reading() as session:
        ended = set(models.leftovers(session, sorted(set(attempts.values()))))
    for name, attempt in attempts.items():
        if attempt in ended:
            shutil.rmtree(folders / name, ignore_errors=True)
