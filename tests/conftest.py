"""What every test may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store import database
from store.settings import settings


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
