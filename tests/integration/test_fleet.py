"""The same code over real Redis and PostgreSQL servers, which the test starts on ports and in folders of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
import yaml
from alembic import command
from alembic.config import Config
from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from pipeline.events import Sample
from pipeline.reporting import EventFile
from store import attempts, database, jobs
from store.curves import thin, width_for
from store.database import reading, writing
from store.fleet import beat
from store.schema import Job, JobState, Metric
from store.settings import settings
from tests.real_jobs import TINY, submit, text_rows
from tests.servers import free_port, initdb, redis_server, start_postgres, start_redis
from workers.attempt import EventRelay
from workers.queue import celery_app

ROOT = Path(__file__).parents[2]
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


def test_two_presses_of_one_button_at_the_same_moment_give_one_job(fleet: Path) -> None:
    values = TINY | {"dataset": f"dataset:{text_rows(fleet)}"}

    def press() -> int:
        with writing() as session:
            return jobs.submit(session, "pretrain", values, name="mine", idempotency_key="draw-1").id

    with ThreadPoolExecutor() as pool:
        with writing() as first:
            job_id = jobs.submit(first, "pretrain", values, name="mine", idempotency_key="draw-1").id
            second = pool.submit(press)
            _wait_until_one_waits_for_a_lock()
        assert second.result() == job_id


def test_a_cancel_that_meets_a_claim_reaches_the_worker(fleet: Path) -> None:
    job_id = submit(text_rows(fleet))

    def cancel() -> None:
        with writing() as session:
            jobs.request_stop(session, job_id, "cancel")

    with ThreadPoolExecutor() as pool:
        with writing() as session:
            beat(session, worker_id="w", name="worker", machine="box", devices=[{"id": "w/cpu-0"}])
            claim = attempts.claim(session, worker_id="w", worker_name="worker", free={"w/cpu-0": "CPU"}, most_slots=1)
            second = pool.submit(cancel)
            _wait_until_one_waits_for_a_lock()
        second.result()
    assert claim is not None
    with writing() as session:
        assert attempts.renew(session, job_id, claim.epoch) == "cancel"


def test_a_job_is_swept_from_a_worker_that_was_cut_off_within_a_transaction(fleet: Path) -> None:
    job_id = submit(text_rows(fleet))
    with writing() as session:
        beat(session, worker_id="w", name="worker", machine="box", devices=[{"id": "w/cpu-0"}])
        claim = attempts.claim(session, worker_id="w", worker_name="worker", free={"w/cpu-0": "CPU"}, most_slots=1)
    assert claim is not None

    def is_swept() -> bool:
        with writing() as session:
            attempts.sweep(session)
            return jobs.get_job(session, job_id).state == JobState.QUEUED

    with Session(database.engine()) as cut_off:
        attempts.renew(cut_off, job_id, claim.epoch)
        _wait_until(is_swept)
        with pytest.raises(database.AWAY):
            cut_off.commit()


def test_what_a_model_says_is_kept_even_with_a_character_that_postgresql_refuses(fleet: Path) -> None:
    job_id = submit(text_rows(fleet))
    with writing() as session:
        beat(session, worker_id="w", name="worker", machine="box", devices=[{"id": "w/cpu-0"}])
        claim = attempts.claim(session, worker_id="w", worker_name="worker", free={"w/cpu-0": "CPU"}, most_slots=1)
    assert claim is not None
    with EventFile(fleet / "events.jsonl") as report:
        report(Sample(step=1, prompt="Say nothing.", text="a\0b"))
    EventRelay(claim, fleet / "events.jsonl").relay()
    with reading() as session:
        assert [sample.text for sample in jobs.samples(session, job_id)] == ["a\ufffdb"]


def test_the_services_of_the_compose_file_work_together_as_plain_processes(
    postgres: str, redis_address: str, tmp_path: Path
) -> None:
    """Without a container engine, what the compose file starts is started here: its commands, in its environment."""
    ports = {"web": free_port(), "inference": free_port()}
    places = {
        "postgresql+psycopg://hone:secret@postgres/hone": postgres,
        "redis://:secret@redis:6379/0": redis_address,
        "http://inference:7862": f"http://127.0.0.1:{ports['inference']}",
        "/data": str(tmp_path / "data"),
        "0.0.0.0": "127.0.0.1",
        "7862": str(ports["inference"]),
    }
    services = yaml.safe_load(ROOT.joinpath("docker-compose.yml").read_text(encoding="utf-8"))["services"]
    with ExitStack() as stack:
        for name in ("web", "worker-cpu", "inference"):
            environment = {
                key: places.get(value := _substituted(text), value)
                for key, text in services[name]["environment"].items()
            }
            environment |= {"HONE_PORT": str(ports["web"])}
            stack.enter_context(_service(services[name]["command"], environment, tmp_path / f"{name}.log"))
        web = httpx.Client(base_url=f"http://127.0.0.1:{ports['web']}", follow_redirects=True, timeout=30)
        inference = httpx.Client(base_url=places["http://inference:7862"], timeout=30)
        _wait_until(lambda: inference.get("/health").status_code == 200 and web.get("/").status_code == 401)
        assert "Overview" in web.get("/", headers={"Authorization": "Bearer secret"}).text
        assert inference.get("/v1/models").status_code == 401
        health = _command(services["worker-cpu"]["healthcheck"]["test"][1:])
        _wait_until(lambda: subprocess.run(health, env=os.environ | environment, check=False).returncode == 0)


def test_a_long_curve_is_thinned_in_postgresql_as_in_python(fleet: Path) -> None:
    first, second = ([(step, step * seed % 1009 / 7) for step in range(1, 4001)] for seed in (7919, 6007))
    attempts_of_it = [(1, first[:3000]), (2, second[2500:])]
    with writing() as session:
        session.add(Job(id=7, name="long", recipe="sft", spec={}, epoch=2))
        session.flush()
        for epoch, points in attempts_of_it:
            place = {"job_id": 7, "name": "loss", "epoch": epoch}
            session.execute(insert(Metric), [place | {"step": step, "value": value} for step, value in points])
    with reading() as session:
        assert jobs.metrics(session, 7) == {"loss": thin(first[:2500] + second[2500:], width_for(4000))}


def test_the_schema_goes_up_and_down_on_postgresql(fleet: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    with database.engine().begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        command.upgrade(config, "head")
    with writing() as session:
        assert attempts.sweep(session) == 0


def _substituted(text: str) -> str:
    """A value of the compose file with its variables filled in: a default, or `secret` where one must be set."""
    text = re.sub(r"\$\{\w+:\?[^}]*\}", "secret", str(text))
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


@contextmanager
def _service(command: list[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(command), env=os.environ | environment, stdout=output, stderr=output, cwd=ROOT
        )
        try:
            yield
            assert process.poll() is None, log.read_text(encoding="utf-8", errors="replace")
        finally:
            process.terminate()
            process.wait(60)


def _command(words: list[str]) -> list[str]:
    """A command of the image in this environment: its `hone` and `python`."""
    programs = {"hone": [sys.executable, "-m", "webapp.cli"], "python": [sys.executable]}
    return [*programs[words[0]], *words[1:]]


def _wait_until_one_waits_for_a_lock() -> None:
    with reading() as session:
        _wait_until(lambda: session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")) == 1)


def _wait_until(is_so: Callable[[], bool], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with suppress(httpx.TransportError):
            if is_so():
                return
        assert time.monotonic() < deadline
        time.sleep(0.2)
