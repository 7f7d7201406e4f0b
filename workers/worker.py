"""The worker process: waits for the queue's bell, and runs one job on each of its devices at a time."""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from dataclasses import asdict
from typing import Any

from celery import signals
from sqlalchemy.exc import SQLAlchemyError

from store import attempts, fleet
from store.attempts import Claim
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
        self.id = uuid.uuid4().hex
        self.machine = socket.gethostname()
        self.name = f"{self.machine}-{os.getpid()}"
        self.devices = {device.slot_id(self.id): device for device in find_devices(settings().slots)}
        self.shutting_down = threading.Event()
        self._free = dict(self.devices)
        self._claiming = threading.Lock()

    def work(self) -> None:
        """Run queued jobs, one after another, until none waits. Called on a thread of its own for each device."""
        while not self.shutting_down.is_set():
            claim, devices = self._claim()
            if claim is None:
                return  # whoever gets free looks for more work by itself
            log.info("Runs job %d (%s) on %s.", claim.job_id, claim.name, ", ".join(claim.slot_ids))
            try:
                run_attempt(claim, devices, self.shutting_down)
            finally:
                with self._claiming:
                    self._free |= {slot_id: self.devices[slot_id] for slot_id in claim.slot_ids}

    def _claim(self) -> tuple[Claim | None, list[Device]]:
        with self._claiming:
            if not self._free:
                return None, []
            with writing() as session:
                claim = attempts.claim(
                    session,
                    worker_id=self.id,
                    worker_name=self.name,
                    free={slot_id: device.name for slot_id, device in self._free.items()},
                    most_slots=len(self.devices),
                )
            return claim, [self._free.pop(slot_id) for slot_id in claim.slot_ids] if claim else []

    def beat(self) -> None:
        """Say that this worker is there, until it shuts down."""
        while True:
            try:
                with writing() as session:
                    fleet.beat(
                        session, worker_id=self.id, name=self.name, machine=self.machine, devices=self._devices_now()
                    )
            except SQLAlchemyError as error:
                log.warning("The database did not take the heartbeat: %s", error)
            if self.shutting_down.wait(HEARTBEAT_SECONDS):
                return

    def _devices_now(self) -> list[Any]:
        """The devices with their memory and use at the moment, each under the id of its slot."""
        found = find_devices(settings().slots)
        return [asdict(device) | {"id": device.slot_id(self.id)} for device in found]

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
    options = ["--pool", "threads", "--concurrency", str(len(worker.devices)), "--loglevel", "WARNING"]
    options += ["--without-gossip", "--without-mingle", "--hostname", f"{worker.name}@%h"]
    try:
        app.worker_main(["--quiet", "worker", *options])
    finally:
        worker.leave()
        cool_down()
