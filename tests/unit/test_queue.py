"""The bell: a queue of files rings again after its folder was removed, or a message was read half written."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store.settings import settings
from workers.queue import celery_app, wake


@pytest.fixture(autouse=True)
def queue_folder(home: Path) -> Iterator[Path]:
    celery_app.cache_clear()
    yield settings().queue_folder
    celery_app.cache_clear()


def num_messages(folder: Path) -> int:
    return len(list(folder.glob("messages/*.hone.msg")))


def test_a_call_makes_the_folder_again(queue_folder: Path) -> None:
    wake()
    assert num_messages(queue_folder) == 1
    shutil.rmtree(queue_folder)
    wake()
    assert num_messages(queue_folder) == 1


def write_half_a_message(queue_folder: Path) -> None:
    (queue_folder / "messages" / "1_a.hone.msg").touch()


@pytest.mark.parametrize("fault", [shutil.rmtree, write_half_a_message])
def test_what_a_listener_cannot_read_is_a_lost_connection_that_can_be_made_again(
    queue_folder: Path, fault: Callable[[Path], None]
) -> None:
    with celery_app().connection_for_read() as connection:
        listener = connection.SimpleQueue("hone")
        fault(queue_folder)
        with pytest.raises(connection.connection_errors):
            listener.get(timeout=1)
    with celery_app().connection_for_read() as connection:
        listener = connection.SimpleQueue("hone")
        wake()
        assert listener.get(timeout=10) is not None
