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


@contextmanager
def start_postgres(folder: Path) -> Iterator[str]:
    """The address of an empty database on a server in `folder`, which listens on loopback only."""
    assert initdb is not None
    owner = _unprivileged_owner(folder)
    data, port = folder / "data", free_port()
    subprocess.run([initdb, "-D", data, "-A", "trust", "-U", "hone"], check=True, capture_output=True, user=owner)
    options = ["-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder)]
    server = subprocess.Popen([Path(initdb).with_name("postgres"), *options], stderr=subprocess.DEVNULL, user=owner)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(f"host=127.0.0.1 port={port} user=hone dbname=postgres").close()
                break
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, "PostgreSQL did not start"
                time.sleep(0.1)
        yield f"postgresql+psycopg://hone@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)  # "fast": SIGTERM would wait until every client has gone
        server.wait(30)


@contextmanager
def start_redis(folder: Path) -> Iterator[str]:
    """The address of an empty Redis with a password, whose files lie in `folder`."""
    assert redis_server is not None
    port = free_port()
    options = [
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--requirepass",
        "secret",
        "--dir",
        str(folder),
    ]
    server = subprocess.Popen([redis_server, *options], stdout=subprocess.DEVNULL)
    try:
        client = redis.Redis(port=port, password="secret")
        for _ in range(100):
            with suppress(redis.ConnectionError):
                if client.ping():
                    break
            time.sleep(0.1)
        yield f"redis://:secret@127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(30)


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
