"""Sums: what is made of all votes together, kept for as long as no vote is given or changed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from sqlalchemy.orm import Session

from store.judgements import state_of_votes

Value = TypeVar("Value")

MOST_KEPT = 16


class SumsOfVotes(Generic[Value]):
    """Sums by their keys, the latest `MOST_KEPT`; a hundred thousand votes are added up once and not with each look."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, session: Session, key: Hashable, make: Callable[[], Value]) -> Value:
        full_key = (state_of_votes(session), key)
        with self._lock:
            if full_key not in self._kept:
                self._kept[full_key] = make()
            self._kept.move_to_end(full_key)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
            return self._kept[full_key]
