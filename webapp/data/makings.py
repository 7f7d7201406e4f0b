"""Makings: splits and mixtures on their way, in threads of this server; a page that is loaded again finds them."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from pipeline.errors import HoneError, as_hone_error
from store.datasets import Added
from store.mixing import Told

MAX_KEPT = 40


class _Stopped(Exception):
    """Somebody has asked for the end of it."""


@dataclass
class Making:
    """One piece of work: what it is for, how far it is, and what came of it."""

    title: str
    dataset_id: int
    """The dataset on whose page it was begun."""
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    started: float = field(default_factory=time.monotonic)
    share: float = 0.0
    is_going: bool = True
    is_stopped: bool = False
    results: tuple[Added, ...] = ()
    error: HoneError | None = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started


class Makings:
    """What is being made, and the latest of what was."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: dict[str, Making] = {}

    def begin(self, title: str, dataset_id: int, work: Callable[[Told], tuple[Added, ...]]) -> Making:
        """Start `work` in a thread of its own; what is still going under the same title is not begun again."""
        with self._lock:
            for other in self._all.values():
                if other.is_going and (other.title, other.dataset_id) == (title, dataset_id):
                    return other
            making = Making(title, dataset_id)
            self._all[making.id] = making
            for old in [one for one in self._all.values() if not one.is_going][: max(0, len(self._all) - MAX_KEPT)]:
                del self._all[old.id]
        threading.Thread(target=self._do, args=(making, work), name=f"making-{making.id}", daemon=True).start()
        return making

    def of(self, dataset_id: int) -> list[Making]:
        """What was begun on a dataset's page, the latest first."""
        with self._lock:
            return [one for one in reversed(self._all.values()) if one.dataset_id == dataset_id]

    def stop(self, making_id: str) -> None:
        """Ask for the end of a making; what it has written is removed."""
        with self._lock:
            making = self._all.get(making_id)
        if making is not None:
            making.is_stopped = True

    def _do(self, making: Making, work: Callable[[Told], tuple[Added, ...]]) -> None:
        def tell(done: int, total: int) -> None:
            making.share = done / max(1, total)
            if making.is_stopped:
                raise _Stopped

        try:
            making.results = work(tell)
        except _Stopped:
            pass
        except Exception as error:
            making.error = as_hone_error(error)
        finally:
            making.is_going = False


@lru_cache(maxsize=1)
def makings() -> Makings:
    """The makings of this process."""
    return Makings()
