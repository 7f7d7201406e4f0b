"""Shared: what many browsers ask for at the same pace is made once for all of them."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sqlalchemy import event
from sqlalchemy.orm import Session

Value = TypeVar("Value")

SHARED_SECONDS = 0.5
"""How old an answer may be: as long as a worker waits between two reports, so nobody sees a difference."""
MOST_KEPT = 64


class Shared(Generic[Value]):
    """Answers by their keys, each made at most once in `seconds`, however many threads ask.

    Whatever this process writes into the record is seen at once: an answer that is older than that is made anew.
    """

    def __init__(self, seconds: float = SHARED_SECONDS, most: int = MOST_KEPT) -> None:
        self._seconds = seconds
        self._most = most
        self._places: OrderedDict[Hashable, _Place[Value]] = OrderedDict()
        self._lock = threading.Lock()
        self._num_writes = 0
        event.listen(Session, "after_commit", self._note_write)

    def get(self, key: Hashable, make: Callable[[Value | None], Value]) -> Value:
        """What `make` returns for this key, from what it returned before, if that is still kept.

        Where several threads ask at once, one of them makes it and the others wait.
        """
        with self._lock:
            place = self._places.setdefault(key, _Place())
            self._places.move_to_end(key)
            while len(self._places) > self._most:
                self._places.popitem(last=False)
        with place.lock:
            now, before = time.monotonic(), place.made
            if before is not None and before.num_writes == self._num_writes and now < before.until:
                return before.value
            num_writes = self._num_writes
            value = make(before.value if before is not None else None)
            place.made = _Made(value, now + self._seconds, num_writes)
            return value

    def _note_write(self, session: Any) -> None:
        with self._lock:
            self._num_writes += 1


@dataclass(frozen=True)
class _Made(Generic[Value]):
    value: Value
    until: float
    """By the monotonic clock."""
    num_writes: int
    """Writes of this process before it was made."""


@dataclass
class _Place(Generic[Value]):
    lock: threading.Lock = field(default_factory=threading.Lock)
    made: _Made[Value] | None = None
