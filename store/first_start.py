"""The first start: the shipped datasets are registered, and the first base model is asked for, as an ordinary job."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from sqlalchemy import select

from pipeline.data.importing import import_file
from pipeline.world.files import write_world
from store import datasets, jobs
from store.database import reading, writing
from store.schema import DatasetVersion, Job
from store.settings import settings

FIRST_JOB_KEY = "first-base-model"
FIRST_MODEL = "willow-base"

SHIPPED = {
    "corpus": "willowmere-prose",
    "instruction_heldout": "willowmere-questions-held-out",
    "preference_heldout": "willowmere-preferences-held-out",
    "instruction": "willowmere-questions",
    "preference": "willowmere-preferences",
}
"""The world's files that become datasets, and what people call them; a form offers the last of its kind first."""


def prepare_first_start() -> bool:
    """Do what a new data folder needs; returns False where that was done before, whatever became of it since."""
    with reading() as session:
        if session.scalar(select(Job.id).where(Job.idempotency_key == FIRST_JOB_KEY)) is not None:
            return False
    settings().home.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".first-start-", dir=settings().home))
    try:
        files = write_world(folder / "world")
        versions = {stem: _register(files[stem], folder / stem, name) for stem, name in SHIPPED.items()}
        with writing() as session:
            jobs.submit(
                session,
                "pretrain",
                {"dataset": f"dataset:{versions['corpus'].id}"},
                name=FIRST_MODEL,
                idempotency_key=FIRST_JOB_KEY,
            )
    finally:
        shutil.rmtree(folder)
    return True


def _register(file: Path, out: Path, name: str) -> DatasetVersion:
    import_file(file, file.name, out)
    with writing() as session:
        return datasets.add_version(session, out, name=name, provenance={"made_by": "Hone", "what": "shipped"}).version
