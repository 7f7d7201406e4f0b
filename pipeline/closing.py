"""Closing: the events that say how an attempt ended, the last of them `Finished` or `Failed`."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from pipeline.errors import as_hone_error
from pipeline.events import Event, Failed, Finished, LogLine

Closing = tuple[Event, ...]


def to_the_end(work: Callable[[], dict[str, Any]]) -> Closing:
    """Do the work, which returns closing figures; a crash of it is an end like any other, and never raised."""
    try:
        return (Finished(summary=work()),)
    except BaseException as error:
        return closing_of(error)


def closing_of(error: BaseException) -> Closing:
    """What is said of an attempt that an exception ended: the failure, after its details where nobody expected it."""
    known = as_hone_error(error)
    failed = Failed(kind=known.kind, message=known.message, advice=known.advice)
    if known is error:
        return (failed,)
    return LogLine(level="error", text="".join(traceback.format_exception(error))), failed
