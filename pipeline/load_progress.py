"""Load progress: how much of a model's weights has been read, while transformers reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.pace import Pace

SECONDS_BETWEEN_WORDS = 0.2
_TITLE = "Loading weights"
"""What transformers calls the progress bar that goes through the tensors."""


@contextmanager
def told_while_loading(tell: Callable[[float], None]) -> Iterator[None]:
    """As a context: `tell` hears the share of the tensors that is read, 0 to 1, a few times a second.

    It is told by whatever thread loads a model in this process meanwhile.
    """
    from transformers.utils import logging

    def drawn(factory: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        bar = factory(*args, **options)
        return _Watched(bar, len(args[0]), tell) if options.get("desc") == _TITLE else bar

    before = logging.set_tqdm_hook(drawn)
    try:
        yield
    finally:
        logging.set_tqdm_hook(before)


class _Watched:
    """A progress bar whose turns are counted."""

    def __init__(self, bar: Any, total: int, tell: Callable[[float], None]) -> None:
        self._bar = bar
        self._total = total
        self._tell = tell

    def __iter__(self) -> Iterator[Any]:
        pace = Pace(SECONDS_BETWEEN_WORDS)
        for number, item in enumerate(self._bar):
            if pace.is_due():
                self._tell(number / self._total)
            yield item

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bar, name)
