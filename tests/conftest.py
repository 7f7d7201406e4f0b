"""What every test may ask for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from store import database
from store.settings import settings

LONGEST_FIRST = ("test_whole_loop", "test_several_processes", "test_chaos", "test_steered_queue", "test_fleet")
"""Test files of minutes: where several processes share the tests, one that is begun last is waited for alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file of the newest schema, to be copied: migrating one for each test takes a minute of them all."""
    folder = tmp_path_factory.mktemp("empty")
    with pytest.MonkeyPatch.context() as patch, own_settings(patch, folder):
        database.upgrade()
    return folder / "hone.db"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> Iterator[Path]:
    """A data folder of the test's own, with an empty database in it."""
    folder = tmp_path / "home"
    folder.mkdir()
    shutil.copy(empty_database, folder)
    with own_settings(monkeypatch, folder):
        yield folder


@contextmanager
def own_settings(patch: pytest.MonkeyPatch, home: Path) -> Iterator[None]:
    """This process's data folder for a while."""
    patch.setenv("HONE_HOME", str(home))
    settings.cache_clear()
    yield
    database.engine().dispose()
    database.engine_for.cache_clear()
    settings.cache_clear()
