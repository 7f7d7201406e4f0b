"""Pace: how often something that goes on all the time is told."""

from __future__ import annotations

import time


class Pace:
    """Says when it is time for the next word.

    Args:
        seconds: The least time between two words; the first is due when so much has passed.
    """

    def __init__(self, seconds: float = 1.0) -> None:
        self._seconds = seconds
        self._told_at = time.monotonic()

    def is_due(self) -> bool:
        """Whether it is time; if so, the next word is due so many seconds from now."""
        now = time.monotonic()
        if now - self._told_at < self._seconds:
            return False
        self._told_at = now
        return True
