"""Migrations: they end in the schema that the code has, and leave what people stored as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from store import database, jobs
from store.database import reading
from store.schema import Base
from tests.unit.test_jobs import add_dataset, submit


@pytest.fixture
def alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    return config


@pytest.mark.usefixtures("home")
def test_the_newest_migration_ends_in_the_schema_of_the_code() -> None:
    with database.engine().connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


@pytest.mark.usefixtures("home")
def test_going_down_and_up_again_keeps_jobs_and_what_points_to_them(alembic: Config) -> None:
    job_id = submit(add_dataset("prose", "text"))
    with database.engine().begin() as connection:
        alembic.attributes["connection"] = connection
        command.downgrade(alembic, "0001")
        command.upgrade(alembic, "head")
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
    with reading() as session:
        assert jobs.load_job(session, job_id).datasets
