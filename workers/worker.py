"""The worker process: waits for the queue's bell, and runs one job on each of its devices at a time."""

from __future__ import annotations

import logging
import os
import queue
import socket
import threading
import uuid
from dataclasses import asdict
from typing import Any

from celery import signals
from sqlalchemy.exc import SQLAlchemyError

from store import attempts, fleet
from store.database import writing
from store.settings import settings
from workers.attempt import run_attempt
from workers.children import cool_down, warm_up
from workers.devices import Device, find_devices
from workers.queue import WORK, celery_app, wake
from workers.sweeper import start_sweeper

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0
SECONDS_TO_WARM_UP = 10.0


class Worker:
    """One machine's devices, and the jobs on them."""

    def __init__(self) -> None:
        devices = find_devices(settings().slots)
        self.id = uuid.uuid4().hex
        self.name = f"{socket.gethostname()}-{os.getpid()}"
        self.num_slots = len(devices)
        self.shutting_down = threading.Event()
        self._free: queue.SimpleQueue[Device] = queue.SimpleQueue()
        for device in devices:
            self._free.put(device)

    def work(self) -> None:
        """Run queued jobs, one after another, until none waits. Called on a thread of its own for each slot."""
        try:
            device = self._free.get_nowait()
        except queue.Empty:
            return  # every device is busy: whoever gets free looks for more work by itself
        try:
            while not self.shutting_down.is_set():
                with writing() as session:
                    claim = attempts.claim(session, worker_id=self.id, worker_name=self.name, device=device.name)
                if claim is None:
                    return
                log.info("Runs job %d (%s) on %s.", claim.job_id, claim.name, device.name)
                run_attempt(claim, device, self.shutting_down)
        finally:
            self._free.put(device)

    def beat(self) -> None:
        """Say that this worker is there, until it shuts down."""
        while True:
            try:
                with writing() as session:
                    devices: list[Any] = [asdict(device) for device in find_devices(settings().slots)]
                    fleet.beat(session, worker_id=self.id, name=self.name, slots=self.num_slots, devices=devices)
            except SQLAlchemyError as error:
                log.warning("The database did not take the heartbeat: %s", error)
            if self.shutting_down.wait(HEARTBEAT_SECONDS):
                return

    def leave(self) -> None:
        try:
            with writing() as session:
                fleet.leave(session, self.id)
        except SQLAlchemyError as error:
            log.warning("The database was not told that this worker leaves: %s", error)


def run_worker() -> None:
    """Work until SIGTERM or Ctrl-C, which lets running jobs save a checkpoint and gives them back to the queue."""
    warm_up(after_seconds=SECONDS_TO_WARM_UP)
    worker = Worker()
    app = celery_app()
    app.task(worker.work, name=WORK, ignore_result=True)

    def stop_jobs(**_: Any) -> None:
        worker.shutting_down.set()

    signals.worker_shutting_down.connect(stop_jobs, weak=False)
    threading.Thread(target=worker.beat, name="heartbeat", daemon=True).start()
    start_sweeper()
    wake()
    options = ["--pool", "threads", "--concurrency", str(worker.num_slots), "--loglevel", "WARNING"]
    options += ["--without-gossip", "--without-mingle", "--hostname", f"{worker.name}@%h"]
    try:
        app.worker_main(["--quiet", "worker", *options])
    finally:
        worker.leave()
        cool_down()
