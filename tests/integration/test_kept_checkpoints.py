"""Checkpoints of a real job: offered while it is not over, kept as models that load, and safe from rotation."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import BadModel
from pipeline.loading import load_model, load_tokenizer
from store import checkpoints, jobs, models, votes
from store.database import reading, writing
from store.schema import JobState, Model
from tests.real_jobs import ended, has_checkpoint, job, submit, text_rows, wait_for, worker_process
from webapp import talkers
from workers.leftovers import remove_leftovers


@pytest.fixture(scope="module")
def paused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A job that was paused with a checkpoint."""
    from store import database
    from store.settings import settings

    with pytest.MonkeyPatch.context() as environment:
        home = tmp_path_factory.mktemp("kept") / "home"
        environment.setenv("HONE_HOME", str(home))
        environment.setenv("HONE_WARM_START", "0")
        settings.cache_clear()
        database.upgrade()
        with worker_process():
            job_id = submit(text_rows(home), max_steps=100_000, checkpoint_every_minutes=0.05)
            wait_for(job_id, has_checkpoint)
            with writing() as session:
                jobs.request_stop(session, job_id, "pause")
            wait_for(job_id, ended)
        assert job(job_id).state == JobState.PAUSED
        yield job_id
        database.engine().dispose()
        database.engine_for.cache_clear()
    settings.cache_clear()


def offered() -> list[tuple[str, str]]:
    with reading() as session:
        return talkers.choices(session)


def test_a_checkpoint_is_offered_kept_once_loaded_and_outlives_its_job_folder(paused: int) -> None:
    values = [value for words, value in offered() if "(paused)" in words and words.startswith(job(paused).name)]
    assert values
    newest = values[-1]
    model = talkers.model_of(newest)
    assert talkers.model_of(newest).id == model.id
    assert model.name == f"{job(paused).name}-step-{model.checkpoint_step}"
    assert model.kind == "full"
    assert model.num_parameters
    assert newest not in [value for _, value in offered()]
    assert (model.name, str(model.id)) in offered()

    folder = Path(models.location_of(model))
    assert not {"optimizer.pt", "trainer_state.json", "hashes.json"} & {path.name for path in folder.iterdir()}
    remove_leftovers()
    away = folder.parents[1] / "jobs" / str(paused) / "checkpoints"
    shutil.move(away, away.with_name("away"))
    try:
        tokens = load_tokenizer(folder)("The hen", return_tensors="pt")
        assert load_model(folder).generate(**tokens, max_new_tokens=3).shape[1] > tokens["input_ids"].shape[1]
    finally:
        shutil.move(away.with_name("away"), away)


def test_a_checkpoint_that_was_rotated_away_is_told_of_and_leaves_nothing_behind(paused: int) -> None:
    with pytest.raises(BadModel, match="a newer one has taken its place"):
        checkpoints.keep_checkpoint(paused, 999_999)
    with reading() as session:
        folders = {path.name for path in (Path(models.location_of(one)) for one in models.list_models(session))}
        assert {path.name for path in _models_folder().iterdir()} == folders


def test_a_damaged_checkpoint_is_not_kept(paused: int) -> None:
    with reading() as session:
        left = checkpoints.list_checkpoints(session)
    one = next(one for one in left if checkpoints_of(one.job_id, one.step).is_dir())
    config = checkpoints_of(one.job_id, one.step) / "config.json"
    whole = config.read_bytes()
    with writing() as session:
        known = checkpoints.find_kept(session, one.job_id, one.step)
        if known is not None:
            models.delete_model(session, known.id)
    config.write_bytes(whole + b" ")
    try:
        with pytest.raises(BadModel, match=r"config\.json is not as it was written"):
            checkpoints.keep_checkpoint(one.job_id, one.step)
    finally:
        config.write_bytes(whole)


def test_a_kept_checkpoint_is_not_drawn_and_can_be_deleted_and_kept_again(paused: int) -> None:
    with reading() as session:
        one = checkpoints.list_checkpoints(session)[-1]
    model = checkpoints.keep_checkpoint(one.job_id, one.step)
    with writing() as session:
        session.add_all([Model(name=name, kind="full", folder=name) for name in ("left", "right")])
        session.flush()
        for seed in range(20):
            assert model.id not in votes.draw_pair(session, random.Random(seed))[0]
        models.delete_model(session, model.id)
    again = checkpoints.keep_checkpoint(one.job_id, one.step)
    assert again.id != model.id
    assert again.name == model.name.partition(" (deleted")[0]


def checkpoints_of(job_id: int, step: int) -> Path:
    return _models_folder().parent / "jobs" / str(job_id) / "checkpoints" / f"checkpoint-{step}"


def _models_folder() -> Path:
    from store.settings import settings

    return settings().models_folder
