"""Offers: which rows somebody is looking at, so that two people who review at once are not given the same one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

SECONDS_HELD = 60.0
"""How long a row is kept for whom it was shown to; a decision about it is never lost, however late."""


class Offers:
    """Who looks at which row of which version; one for the whole web process.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._shown: dict[tuple[int, int | None], tuple[int, float]] = {}

    def hold(self, version_id: int, row: int, person_id: int | None) -> None:
        """A row was shown to somebody: it is kept for them, and what they saw before no longer is."""
        with self._lock:
            now = self._clock()
            self._shown = {key: shown for key, shown in self._shown.items() if now - shown[1] < SECONDS_HELD}
            self._shown[version_id, person_id] = row, now

    def held_by_others(self, version_id: int, person_id: int | None) -> list[int]:
        with self._lock:
            now = self._clock()
            return [
                row
                for (version, person), (row, at) in self._shown.items()
                if version == version_id and person != person_id and now - at < SECONDS_HELD
            ]
