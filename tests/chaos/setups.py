"""Set-ups: a whole Hone of the suite's own, embedded or a fleet, with hands on everything in it that can break."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import psutil
import psycopg

from store import database, fleet, jobs
from store.database import reading, writing
from store.first_start import FIRST_JOB_KEY
from store.schema import Job
from store.settings import settings
from tests.chaos.watching import PATIENCE_SECONDS, end, eventually, tail_of_log
from tests.real_jobs import TINY, ended, job, lives, start_worker, text_rows, trains, wait_for, worker_log
from tests.servers import PostgresServer, RedisServer
from workers.queue import celery_app, wake

LEASE_SECONDS = 5.0


class NotHere(Exception):
    """A fault cannot be made on this machine; says why."""


class Setup(ABC):
    """A Hone of its own. While it is open, this process is a client of it, as a web process is.

    Args:
        folder: Where everything of it lies; an empty one.
    """

    name: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.job_ids: list[int] = []
        """What was asked for since `begin`."""
        self.text_id = 0
        self._workers: list[tuple[subprocess.Popen[bytes], dict[str, str]]] = []

    @contextmanager
    def opened(self) -> Iterator[Setup]:
        """Start what it stands on; at the end its workers are told to end, and nothing of it may be left.

        Raises:
            AssertionError: if a process of it is.
        """
        with ExitStack() as stack:
            servers = stack.enter_context(self._servers())
            own = {"HONE_HOME": str(self.home), "HONE_LEASE_SECONDS": str(LEASE_SECONDS)}
            stack.enter_context(_environment(own | servers))
            database.upgrade()
            self.text_id = text_rows(self.home)
            self._skip_first_start()
            worker_log().touch()
            stack.callback(self.kill_everything)
            yield self
            self.workers(0)
            eventually(lambda: not self.processes(), "processes are left when every worker has ended")

    def _skip_first_start(self) -> None:
        """Let `hone up` find its first start done: training Hone's first model would take a minute."""
        with writing() as session:
            tiny = TINY | {"dataset": f"dataset:{self.text_id}"}
            first = jobs.submit(session, "pretrain", tiny, idempotency_key=FIRST_JOB_KEY)
            jobs.request_stop(session, first.id, "cancel")

    # ------------------------------------------------------------------------------------------------- its parts

    @abstractmethod
    def _servers(self) -> AbstractContextManager[dict[str, str]]:
        """As a context: start the servers that it stands on; gives the variables that name them."""

    @abstractmethod
    def stop_broker(self) -> None:
        """Take the broker away, with everything in it."""

    @abstractmethod
    def start_broker(self) -> None:
        """Have it back, empty."""

    @abstractmethod
    def empty_broker(self) -> None:
        """Remove everything from the broker while it runs."""

    @abstractmethod
    def lock_database(self) -> AbstractContextManager[None]:
        """As a context: nobody else can write."""

    @abstractmethod
    def without_database(self) -> AbstractContextManager[None]:
        """As a context: the database cannot be used at all."""

    # ---------------------------------------------------------------------------------------------- its processes

    def workers(self, number: int, **environment: str) -> list[subprocess.Popen[bytes]]:
        """Have exactly `number` workers, with these variables of their own; those that are there and fit stay."""
        fit, misfit = [], []
        for process, given in self._workers:
            is_fit = process.poll() is None and given == environment and len(fit) < number
            (fit if is_fit else misfit).append((process, given))
        end([process for process, _ in misfit])
        fit += [(start_worker(environment), environment) for _ in range(number - len(fit))]
        self._workers = fit
        processes = [process for process, _ in fit]
        eventually(lambda: self._all_are_there(processes), "the workers did not say that they are there")
        return processes

    def add_worker(self, *, most_bytes: int | None = None) -> subprocess.Popen[bytes]:
        """One more worker, beside whatever is there.

        Args:
            most_bytes: How much address space it and every process that it starts may have.
        """
        process = start_worker()
        if most_bytes is not None:
            psutil.Process(process.pid).rlimit(psutil.RLIMIT_AS, (most_bytes, most_bytes))
        self.adopt(process)
        eventually(lambda: self._all_are_there([process]), "the worker did not say that it is there")
        return process

    def adopt(self, process: subprocess.Popen[bytes]) -> None:
        """Count a process, and those that it starts, among the set-up's own; `workers` ends it."""
        self._workers.append((process, {"": "adopted"}))

    def living_workers(self) -> list[subprocess.Popen[bytes]]:
        return [process for process, _ in self._workers if process.poll() is None]

    def worker_of(self, job_id: int) -> subprocess.Popen[bytes]:
        """The worker that runs the job at present."""
        name = job(job_id).attempts[-1].worker_name
        return next(process for process, _ in self._workers if name.endswith(f"-{process.pid}"))

    def freeze(self, process: subprocess.Popen[bytes]) -> None:
        """Let it do nothing until it gets SIGCONT."""
        process.send_signal(signal.SIGSTOP)

    def processes(self) -> list[psutil.Process]:
        """Every living process that works on its data folder, whoever started it."""
        return [process for process in psutil.process_iter() if _works_on(process, self.home)]

    def started_processes(self) -> list[psutil.Process]:
        """The workers that are there, and every process that they have started."""
        workers = [psutil.Process(process.pid) for process in self.living_workers()]
        return workers + [child for worker in workers for child in worker.children(recursive=True)]

    def trainers(self) -> list[psutil.Process]:
        """The processes that do a job now."""
        return [process for process in self.started_processes() if trains(process)]

    def kill_everything(self) -> None:
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for process, _ in self._workers:
            end([process])
        self._workers = []

    def _all_are_there(self, processes: list[subprocess.Popen[bytes]]) -> bool:
        with reading() as session:
            names = [worker.name for worker in fleet.live_workers(session)]
        assert all(process.poll() is None for process in processes), f"a worker ended\n{tail_of_log()}"
        return all(any(name.endswith(f"-{process.pid}") for name in names) for process in processes)

    # --------------------------------------------------------------------------------------------------- its jobs

    def begin(self) -> None:
        self.job_ids = []

    def submit(self, *, num_calls: int = 1, recipe: str = "pretrain", **values: Any) -> int:
        """Ask for a tiny job.

        Args:
            num_calls: How often workers are called: 0 for a call that was lost, 2 for one that was doubled.
        """
        tiny = TINY | {"dataset": f"dataset:{self.text_id}"} if recipe == "pretrain" else {}
        with writing() as session:
            job_id = jobs.submit(session, recipe, tiny | values).id
        self.job_ids.append(job_id)
        for _ in range(num_calls):
            wake()
        return job_id

    def running_job(self, until: Callable[[Job], bool] = lambda now: now.step > 5, **values: Any) -> int:
        """A job that has come as far as `until`, and has not ended yet: where one was too short, a longer one."""
        for max_steps in (500, 2_000, 8_000, 32_000):
            job_id = self.submit(max_steps=max_steps, **values)
            now = self.wait_for(job_id, lambda now: ended(now) or until(now))
            if not ended(now):
                return job_id
        raise AssertionError(f"every job ended too soon, the last as {now.state}: {now.error_message}")

    def endless_job(self, **values: Any) -> int:
        """A job that trains until it is told to stop."""
        job_id = self.submit(max_steps=10_000_000, **values)
        self.wait_for(job_id, lambda now: now.step > 5)
        return job_id

    def cancel(self, job_id: int) -> None:
        with writing() as session:
            jobs.request_stop(session, job_id, "cancel")

    def wait_for(self, job_id: int, condition: Callable[[Job], bool]) -> Job:
        return wait_for(job_id, condition, PATIENCE_SECONDS)


class Embedded(Setup):
    """Everything in the data folder: SQLite, and a queue of files."""

    name = "embedded"

    @contextmanager
    def _servers(self) -> Iterator[dict[str, str]]:
        yield {"HONE_DATABASE_URL": "", "HONE_BROKER_URL": ""}

    def stop_broker(self) -> None:
        shutil.rmtree(settings().queue_folder)

    def start_broker(self) -> None:
        """Files need no server."""

    def empty_broker(self) -> None:
        for file in settings().queue_folder.glob("*/*"):
            file.unlink(missing_ok=True)

    def freeze(self, process: subprocess.Popen[bytes]) -> None:
        """Between two transactions: within one, it would keep everybody from SQLite's file until it goes on."""
        super().freeze(process)
        while not self._can_be_written():
            process.send_signal(signal.SIGCONT)
            time.sleep(0.05)
            super().freeze(process)

    def _can_be_written(self) -> bool:
        with closing(sqlite3.connect(self.home / "hone.db", isolation_level=None, timeout=1)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            connection.execute("ROLLBACK")
            return True

    @contextmanager
    def lock_database(self) -> Iterator[None]:
        connection = sqlite3.connect(self.home / "hone.db", isolation_level=None, timeout=PATIENCE_SECONDS)
        connection.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")
            connection.close()

    def without_database(self) -> AbstractContextManager[None]:
        """A file cannot be stopped: it is locked, and nobody can write."""
        return self.lock_database()


class Fleet(Setup):
    """Redis and PostgreSQL, on servers that it starts on ports of its own."""

    name = "fleet"

    @contextmanager
    def _servers(self) -> Iterator[dict[str, str]]:
        for part in ("postgres", "redis"):
            (self.folder / part).mkdir()
        self.postgres, self.redis = PostgresServer(self.folder / "postgres"), RedisServer(self.folder / "redis")
        self.postgres.start()
        self.redis.start()
        try:
            yield {"HONE_DATABASE_URL": self.postgres.address, "HONE_BROKER_URL": self.redis.address}
        finally:
            self.redis.stop()
            self.postgres.stop()

    def stop_broker(self) -> None:
        self.redis.stop()

    def start_broker(self) -> None:
        self.redis.start()

    def empty_broker(self) -> None:
        self.redis.client().flushall()

    @contextmanager
    def lock_database(self) -> Iterator[None]:
        with psycopg.connect(self.postgres.address.replace("+psycopg", "")) as connection:
            connection.execute("LOCK TABLE jobs, attempts IN ACCESS EXCLUSIVE MODE")
            yield
            connection.rollback()

    @contextmanager
    def without_database(self) -> Iterator[None]:
        self.postgres.stop()
        try:
            yield
        finally:
            self.postgres.start()


SETUPS: tuple[type[Setup], ...] = (Embedded, Fleet)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Be a process of the Hone that these variables describe."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    _forget_settings()
    try:
        yield
    finally:
        database.engine().dispose()
        database.engine_for.cache_clear()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
        _forget_settings()


def _forget_settings() -> None:
    settings.cache_clear()
    celery_app.cache_clear()


def _works_on(process: psutil.Process, home: Path) -> bool:
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return lives(process) and process.environ().get("HONE_HOME") == str(home)
    return False
