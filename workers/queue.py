"""The queue's doorbell: a Celery message that says "there is work". Which job runs is decided in the database.

So a message may be lost, late or doubled and nothing is: a worker that wakes up claims the best job there is, or none,
and the sweeper rings again for jobs that wait.
"""

from __future__ import annotations

import logging
from functools import lru_cache

from celery import Celery
from kombu.exceptions import OperationalError
from kombu.transport import filesystem

from store.settings import settings

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
WORK = "hone.work"


class QueueOfFiles(filesystem.Transport):
    """Kombu's queue of files, for which a removed folder, or a message read while it is written, is a lost connection.

    A worker makes a new one then, and the folders with it, where it would end otherwise.
    """

    connection_errors = (*filesystem.Transport.connection_errors, OSError, ValueError)  # type: ignore[assignment]

    def establish_connection(self) -> object:
        _make_queue_folders()
        return super().establish_connection()


@lru_cache(maxsize=1)
def celery_app() -> Celery:
    """The Celery application: Redis where one is set, else files in the data folder."""
    app = Celery("hone", broker=settings().broker_url or "filesystem://")
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        task_default_queue="hone",
        event_queue_expires=60,
    )
    if not settings().broker_url:
        app.conf.broker_transport = "workers.queue:QueueOfFiles"
        app.conf.broker_transport_options = _make_queue_folders()
    return app


def wake() -> None:
    """Tell one worker that a job waits. When the broker is away, the sweeper tells it later."""
    try:
        if not settings().broker_url:
            _make_queue_folders()
        celery_app().send_task(WORK, retry=False)
    except (OperationalError, OSError) as error:
        log.warning("The queue could not be reached (%s); waiting jobs will be announced again.", error)


def _make_queue_folders() -> dict[str, object]:
    folder = settings().queue_folder
    for part in ("messages", "control"):
        (folder / part).mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    return {
        "data_folder_in": str(folder / "messages"),
        "data_folder_out": str(folder / "messages"),
        "control_folder": str(folder / "control"),
        "polling_interval": POLL_SECONDS,
    }
