"""Real servers for tests and benchmarks: a PostgreSQL and a Redis of their own, on free ports, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import redis

POSTGRES_BIN = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
initdb = shutil.which("initdb") or (POSTGRES_BIN and str(POSTGRES_BIN / "initdb"))
redis_server = shutil.which("redis-server")

ENVIRONMENT = {"PATH": os.environ["PATH"]}
"""They serve a Hone and are no part of it: its variables would make them look as if they were."""


class PostgresServer:
    """A PostgreSQL on loopback only; what is in it outlives a stop.

    Args:
        folder: Where its files lie; an empty one.
    """

    def __init__(self, folder: Path) -> None:
        assert initdb is not None
        self.port = free_port()
        self._folder = folder
        self._owner = _unprivileged_owner(folder)
        self._process: subprocess.Popen[bytes] | None = None
        command = [initdb, "-D", folder / "data", "-A", "trust", "-U", "hone"]
        subprocess.run(command, check=True, capture_output=True, user=self._owner)

    @property
    def address(self) -> str:
        return f"postgresql+psycopg://hone@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        assert initdb is not None
        options = ["-D", str(self._folder / "data"), "-p", str(self.port), "-h", "127.0.0.1", "-k", str(self._folder)]
        self._process = subprocess.Popen(
            [Path(initdb).with_name("postgres"), *options],
            stderr=subprocess.DEVNULL,
            user=self._owner,
            env=ENVIRONMENT,
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(f"host=127.0.0.1 port={self.port} user=hone dbname=postgres").close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, "PostgreSQL did not start"
                time.sleep(0.1)

    def stop(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)  # "fast": SIGTERM would wait until every client has gone
        self._process.wait(30)


class RedisServer:
    """A Redis with a password, on loopback only, which keeps nothing on disk: a restart empties it.

    Args:
        folder: Where its files would lie.
    """

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"redis://:secret@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        assert redis_server is not None
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--requirepass", "secret"]
        options += ["--save", "", "--dir", str(self._folder)]
        self._process = subprocess.Popen([redis_server, *options], stdout=subprocess.DEVNULL, env=ENVIRONMENT)
        deadline = time.monotonic() + 30
        while True:
            with suppress(redis.ConnectionError):
                if self.client().ping():
                    return
            assert time.monotonic() < deadline, "Redis did not start"
            time.sleep(0.1)

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(30)

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, password="secret")


@contextmanager
def start_postgres(folder: Path) -> Iterator[str]:
    """The address of an empty database on a server in `folder`."""
    server = PostgresServer(folder)
    server.start()
    try:
        yield server.address
    finally:
        server.stop()


@contextmanager
def start_redis(folder: Path) -> Iterator[str]:
    """The address of an empty Redis whose files lie in `folder`."""
    server = RedisServer(folder)
    server.start()
    try:
        yield server.address
    finally:
        server.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _unprivileged_owner(folder: Path) -> int | None:
    """PostgreSQL refuses to run as root: give the folder to another account where we are root."""
    if os.getuid() != 0:
        return None
    account = pwd.getpwnam("postgres")
    os.chown(folder, account.pw_uid, account.pw_gid)
    for parent in folder.parents:
        if parent.is_relative_to("/tmp") and parent != Path("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o011)
    return account.pw_uid
