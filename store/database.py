"""The database: one engine a process, transactions, and migrations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import InternalError, OperationalError
from sqlalchemy.orm import Session

from store.settings import settings

BUSY_TIMEOUT_SECONDS = 10

AWAY = (OperationalError, InternalError)
"""What is raised while the database does not answer, or when it has given up waiting for this process."""


@lru_cache(maxsize=4)
def engine_for(address: str) -> Engine:
    """The engine of an address: SQLite tuned for a few writers and many readers, or PostgreSQL."""
    if not address.startswith("sqlite"):
        options = (
            # Whoever is cut off within a transaction would keep a job's row locked, so that nobody could go on with it.
            f"-c idle_in_transaction_session_timeout={round(1000 * settings().lease_seconds)} "
            # Every query here takes milliseconds; PostgreSQL would compile one of the curves' for fifty times as long.
            "-c jit=off"
        )
        return create_engine(
            address, connect_args={"options": options}, pool_size=10, max_overflow=20, pool_pre_ping=True
        )
    engine = create_engine(address, connect_args={"timeout": BUSY_TIMEOUT_SECONDS}, pool_size=10, max_overflow=40)
    event.listen(engine, "connect", _prepare_sqlite_connection)
    event.listen(engine, "begin", _begin_sqlite_transaction)
    return engine


def engine() -> Engine:
    return engine_for(settings().database_address)


@contextmanager
def writing() -> Iterator[Session]:
    """One transaction that may write: committed at the end, rolled back on an error."""
    with Session(engine(), expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def reading() -> Iterator[Session]:
    """One transaction that only reads, and never waits for a writer."""
    reader = engine().execution_options(begin="DEFERRED")
    with Session(reader, expire_on_commit=False) as session:
        yield session


def upgrade() -> None:
    """Bring the database to the newest schema; safe to call from several processes at once."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    settings().home.mkdir(parents=True, exist_ok=True)
    with engine().begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(72616)"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _prepare_sqlite_connection(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # transactions are begun below, in the right mode
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_TIMEOUT_SECONDS}000",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite_transaction(connection: Any) -> None:
    # IMMEDIATE takes the write lock at once: a transaction that reads and then writes cannot be overtaken in between.
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('begin', 'IMMEDIATE')}")
