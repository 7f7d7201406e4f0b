"""The sweeper: gives jobs of silent workers back to the queue, with nothing left of them, and rings for jobs that wait.

It runs in every worker and in the web process; any number of them do no harm to each other.
"""

from __future__ import annotations

import logging
import threading

from sqlalchemy.exc import SQLAlchemyError

from store import attempts
from store.database import writing
from workers.leftovers import remove_leftovers
from workers.queue import wake

log = logging.getLogger(__name__)

PERIOD_SECONDS = 5.0


def start_sweeper() -> threading.Thread:
    """Sweep every few seconds, from a daemon thread."""
    thread = threading.Thread(target=_sweep_forever, name="sweeper", daemon=True)
    thread.start()
    return thread


def _sweep_forever() -> None:
    rest = threading.Event()
    while True:
        try:
            with writing() as session:
                num_waiting = attempts.sweep(session)
            remove_leftovers()
        except (SQLAlchemyError, OSError) as error:
            log.warning("Nothing could be swept; trying again in %.0f s: %s", PERIOD_SECONDS, error)
        else:
            if num_waiting:
                wake()
        rest.wait(PERIOD_SECONDS)
