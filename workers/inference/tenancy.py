"""Tenancy: the engine's GPU belongs to it, in the record, while it keeps weights there; otherwise jobs may have it.

A GPU that a job holds is not loaded onto. A GPU that the engine holds is given back when a job waits and nobody has
asked a model anything for a while: the next question loads the model again.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid

from sqlalchemy.exc import SQLAlchemyError

from pipeline.generation.engine import Engine
from pipeline.generation.requests import DeviceBusy
from store import slots, waiting
from store.database import reading, writing

log = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
IDLE_SECONDS = 60.0
"""How long nobody has asked anything before a waiting job gets the GPU."""


class Tenancy:
    """An inference server's hold on one GPU.

    Args:
        slot_id: The GPU's UUID, as the workers of its machine name it.
        idle_seconds: How long nobody has asked anything before a waiting job gets the GPU.
    """

    def __init__(self, slot_id: str, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self.slot_id = slot_id
        self._holder = f"inference-{uuid.uuid4().hex[:20]}"
        self._idle_seconds = idle_seconds
        self._is_held = False
        self._asked_at = time.monotonic()
        self._lock = threading.Lock()

    def take(self) -> None:
        """Hold the GPU from now on; called before weights are put on it.

        Raises:
            DeviceBusy: if a job runs on it.
        """
        with self._lock, writing() as session:
            slots.offer(session, [self.slot_id])
            self._asked_at = time.monotonic()
            self._is_held = slots.hold_for_chat(session, [self.slot_id], self._holder) is not None
            if not self._is_held:
                job, _ = slots.holders(session).get(self.slot_id, (None, None))
                raise DeviceBusy(
                    f"The GPU runs {job.name if job else 'a job'} now, so that no model can be loaded on it.",
                    "Ask again when the job has ended, or pause it; the Workers page shows what runs where.",
                )

    def keep(self, engine: Engine) -> threading.Thread:
        """Renew the hold while the engine has weights, from a daemon thread, and give it back when it is not needed."""

        def beat() -> None:
            rest = threading.Event()
            while not rest.wait(BEAT_SECONDS):
                try:
                    self.renew(engine)
                except SQLAlchemyError as error:
                    log.warning("The record did not answer for the GPU: %s", error)

        thread = threading.Thread(target=beat, name="tenancy", daemon=True)
        thread.start()
        return thread

    def renew(self, engine: Engine) -> None:
        """One beat: keep the GPU, or give it back, or make ready to."""
        if not engine.is_idle:
            self._asked_at = time.monotonic()
        with self._lock, writing() as session:
            if not self._is_held:
                return
            idle = time.monotonic() - self._asked_at
            if engine.is_idle and not engine.holds_weights and idle > min(BEAT_SECONDS, self._idle_seconds):
                slots.release_of_chat(session, self._holder)
                self._is_held = False
            elif slots.hold_for_chat(session, [self.slot_id], self._holder) is None:
                log.warning("The GPU went to a job while the record did not answer; its models are unloaded.")
                self._is_held = False
                engine.let_go()
        if engine.is_idle and idle > self._idle_seconds and self._a_job_waits():
            engine.let_go()

    def _a_job_waits(self) -> bool:
        with reading() as session:
            return waiting.num_due(session) > 0


def gpu_slot(device: str) -> str:
    """The slot of a device that torch names `cuda` or `cuda:1`, as nvidia-smi and the workers name it."""
    import torch

    return f"GPU-{torch.cuda.get_device_properties(torch.device(device)).uuid}"
