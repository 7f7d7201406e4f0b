"""The same code over real Redis and PostgreSQL servers, which the test starts on ports and in folders of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from store import attempts, database, jobs
from store.database import reading, writing
from store.schema import JobState
from store.settings import settings
from tests.integration.test_worker import ended, submit, text_rows, wait_for, worker_process
from tests.servers import initdb, redis_server, start_postgres, start_redis
from workers.queue import celery_app

pytestmark = pytest.mark.skipif(
    not (initdb and redis_server), reason="redis-server or PostgreSQL's initdb is not on this machine"
)


@pytest.fixture
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with start_postgres(tmp_path_factory.mktemp("postgres")) as address:
        yield address


@pytest.fixture
def redis_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with start_redis(tmp_path_factory.mktemp("redis")) as address:
        yield address


@pytest.fixture
def fleet(postgres: str, redis_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("HONE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HONE_DATABASE_URL", postgres)
    monkeypatch.setenv("HONE_BROKER_URL", redis_address)
    monkeypatch.setenv("HONE_LEASE_SECONDS", "5")
    settings.cache_clear()
    celery_app.cache_clear()
    database.upgrade()
    yield tmp_path / "home"
    database.engine().dispose()
    database.engine_for.cache_clear()
    settings.cache_clear()
    celery_app.cache_clear()


def test_a_job_runs_over_redis_and_postgresql_after_its_first_worker_was_killed(fleet: Path) -> None:
    text_id = text_rows(fleet)
    job_id = submit(text_id, max_steps=60, checkpoint_every_minutes=0.02)
    with worker_process() as first:
        wait_for(job_id, lambda now: now.step > 3)
        first.kill()
    with worker_process():
        done = wait_for(job_id, ended)
    assert done.state == JobState.SUCCEEDED, done.error_message
    assert [attempt.outcome for attempt in done.attempts] == ["lost", "succeeded"]
    with reading() as session:
        steps = [step for step, _ in jobs.metrics(session, job_id)["loss"]]
    assert steps == sorted(set(steps))
    assert steps[-1] == 60


def test_the_schema_goes_up_and_down_on_postgresql(fleet: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    with database.engine().begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        command.upgrade(config, "head")
    with writing() as session:
        assert attempts.sweep(session) == 0
