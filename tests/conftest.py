"""What every test may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store import database
from store.settings import settings

LONGEST_FIRST = ("test_whole_loop", "test_several_processes", "test_chaos", "test_steered_queue", "test_fleet")
"""Test files of minutes: where several processes share the tests, one that is begun last is waited for alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder of the test's own, with an empty database in it."""
    monkeypatch.setenv("HONE_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    database.upgrade()
    yield tmp_path / "home"
    database.engine().dispose()
    database.engine_for.cache_clear()
    settings.cache_clear()
