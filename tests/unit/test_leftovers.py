"""Leftovers: what a dead worker left half-made goes; results, work in progress and foreign folders stay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from store import attempts
from store.attempts import Claim
from store.database import reading, writing
from store.schema import Attempt, Model
from tests.unit.test_jobs import add_dataset, let_lease_run_out, must_claim, submit, sweep
from workers.leftovers import remove_leftovers


@pytest.fixture
def models_folder(home: Path) -> Path:
    folder = home / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def claim(home: Path) -> Claim:
    submit(add_dataset("prose", "text"))
    return must_claim()


def make(folder: Path) -> Path:
    folder.mkdir()
    (folder / "model.safetensors").touch()
    return folder


@pytest.mark.parametrize("name", [".making-1-1", "1-1"], ids=["half made", "published and not registered"])
def test_the_folder_of_a_lost_attempt_is_removed(models_folder: Path, claim: Claim, name: str) -> None:
    left = make(models_folder / name)
    remove_leftovers()
    assert left.exists(), "its attempt is not over"
    let_lease_run_out(claim.job_id)
    sweep()
    remove_leftovers()
    assert not left.exists()


def test_the_folder_of_a_model_stays_whatever_is_said_of_its_attempt(models_folder: Path, claim: Claim) -> None:
    made = make(models_folder / "1-1")
    with writing() as session:
        session.add(Model(name="made", kind="full", folder="1-1", job_id=claim.job_id))
        session.get_one(Attempt, (claim.job_id, claim.epoch)).outcome = "lost"
    remove_leftovers()
    assert made.exists()


def test_folders_that_no_attempt_in_the_record_has_made_stay(models_folder: Path, claim: Claim) -> None:
    foreign = [make(models_folder / name) for name in ("7-1", ".making-7-1", "my-own-model")]
    remove_leftovers()
    assert all(folder.exists() for folder in foreign)


class ReadCommitted:
    """A session whose every statement sees what is committed by then, as on PostgreSQL; `meanwhile` comes after one."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self._meanwhile: Callable[[], None] | None = meanwhile

    def execute(self, statement: Any) -> list[Any]:
        return self._read(lambda session: session.execute(statement).all())

    def scalars(self, statement: Any) -> list[Any]:
        return self._read(lambda session: session.scalars(statement).all())

    def _read(self, ask: Callable[[Session], Any]) -> list[Any]:
        with reading() as session:
            found = list(ask(session))
        if self._meanwhile is not None:
            self._meanwhile()
            self._meanwhile = None
        return found


def test_a_model_that_is_registered_while_the_sweeper_looks_is_not_taken_for_left(claim: Claim) -> None:
    def register() -> None:
        with writing() as session:
            session.add(Model(name="made", kind="full", folder="1-1", job_id=claim.job_id))
            session.get_one(Attempt, (claim.job_id, claim.epoch)).outcome = "succeeded"

    asked: Any = ReadCommitted(meanwhile=register)
    assert attempts.leftovers(asked, ["1-1"], Model.folder) == []
    with reading() as session:
        assert session.get_one(Attempt, (claim.job_id, claim.epoch)).outcome == "succeeded"
