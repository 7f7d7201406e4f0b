"""An attempt: one child process does the job; this side keeps its lease, relays its events and publishes its result."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from pipeline.context import StopReason
from pipeline.errors import DiskFull, HoneError, as_hone_error
from pipeline.events import Event, Failed, Finished, LogLine, Numbered, parse_line
from store import attempts, endpoints, jobs
from store.attempts import Claim, LostWorker, StaleAttempt
from store.database import AWAY, reading, writing
from store.settings import settings
from workers.children import Child, NotStarted
from workers.devices import Device, environment_of
from workers.results import publish

log = logging.getLogger(__name__)

RELAY_SECONDS = 0.5
BEAT_SECONDS = 1.0
GRACE_SECONDS = 60.0
"""How long a child may take to save its checkpoint and stop when asked."""
LAST_LINES = 40

Result = TypeVar("Result")


class JobKilled(HoneError):
    kind = "killed"


def run_attempt(claim: Claim, devices: Sequence[Device], shutting_down: threading.Event) -> None:
    """Do one claimed job, to its end, whatever that is. Never raises for what happens to the job."""
    attempt = _Attempt(claim, devices, shutting_down)
    try:
        try:
            attempt.run()
        except NotStarted as error:
            attempt.lose(error)
        except (OSError, HoneError) as error:  # of this side: a full disk, or an endpoint that is gone
            attempt.fail(error)
    except StaleAttempt as error:
        log.warning("Gave up an attempt: %s", error)
    finally:
        attempt.clean_up()


class _Attempt:
    def __init__(self, claim: Claim, devices: Sequence[Device], shutting_down: threading.Event) -> None:
        self.claim = claim
        self.devices = devices
        self.shutting_down = shutting_down
        job_folder = settings().jobs_folder / str(claim.job_id)
        self.folder = job_folder / str(claim.epoch)
        self.checkpoints = job_folder / "checkpoints"
        self.out = settings().models_folder / f".making-{claim.job_id}-{claim.epoch}"
        self.relay = EventRelay(claim, self.folder / "events.jsonl")
        self.lease = _Lease(claim, self._vouch)
        self.child: Child | None = None

    def run(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self.lease.start()
        self.child = self._start_child()
        self._accompany(self.child)
        self.relay.relay()
        self._close(self.child.exit_code)

    def fail(self, error: OSError | HoneError) -> None:
        """End the job because something could not be written or read."""
        known = as_hone_error(error)
        self._in_time(lambda: _write(attempts.fail, self.claim.job_id, self.claim.epoch, known))

    def lose(self, error: HoneError) -> None:
        """End the attempt because its process died, or never was."""
        self._in_time(lambda: _write(attempts.lose, self.claim.job_id, self.claim.epoch, error))

    def clean_up(self) -> None:
        """Leave nothing running and nothing half-made."""
        self.lease.end()
        if self.child is not None:
            self.child.kill()
        shutil.rmtree(self.out, ignore_errors=True)

    def _start_child(self) -> Child:
        spec_file = self.folder / "spec.json"
        spec_file.write_text(json.dumps({"recipe": self.claim.recipe} | self.claim.spec), encoding="utf-8")
        arguments = ["run", str(spec_file), "--watch-stdin", "--lease-seconds", str(settings().lease_seconds)]
        arguments += ["--out", str(self.out)]
        arguments += ["--checkpoints", str(self.checkpoints), "--events", str(self.relay.path)]
        with reading() as session:  # keys travel by the environment alone
            environment = environment_of(self.devices) | endpoints.environment_of(session, self.claim.endpoint_ids)
        return Child(arguments, environment=environment, output=self.folder / "output.log")

    def _vouch(self) -> None:
        """Tell the child that its job is still ours: without that for as long as a lease it ends by itself.

        A worker that is frozen, or waits for a database that does not answer, could not end it in time; another has the
        job by then, and the device.
        """
        if self.child is not None:
            self.child.tell("held")

    def _accompany(self, child: Child) -> None:
        """Relay events until the child ends; pass on a wish to stop, and insist on it after a while."""
        told_at: float | None = None
        while child.exit_code is None:
            self.lease.check()
            wish = self.lease.stop_requested or ("pause" if self.shutting_down.is_set() else None)
            if wish is not None and told_at is None:
                told_at = time.monotonic()
                child.tell(wish)
            if told_at is not None and time.monotonic() - told_at > GRACE_SECONDS:
                log.warning("Job %d did not stop within %.0f s and was killed.", self.claim.job_id, GRACE_SECONDS)
                child.kill()
            self.relay.relay()
            child.wait(RELAY_SECONDS)

    def _close(self, exit_code: int | None) -> None:
        """Write down how the attempt ended."""
        place = self.claim.job_id, self.claim.epoch
        match self.relay.last:
            case Finished(summary=summary) if exit_code == 0:
                self._publish(summary)
            case Failed(kind="stopped"):
                self._record_stop()
            case Failed(kind=kind, message=message, advice=advice):
                error = HoneError(message, advice)
                error.kind = kind  # type: ignore[misc]
                self._in_time(lambda: _write(attempts.fail, *place, error))
            case _ if self.lease.stop_requested is not None:
                self._record_stop()
            case _:
                self._record_death(exit_code)

    def _publish(self, summary: dict[str, object]) -> None:
        publish(self.claim, self.out, summary, self._in_time)
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def _record_stop(self) -> None:
        place = self.claim.job_id, self.claim.epoch
        with reading() as session:
            wish = jobs.get_job(session, self.claim.job_id).stop_requested or self.lease.stop_requested
        if wish == "cancel" or wish == "pause":
            self._in_time(lambda: _write(attempts.stopped, *place, wish))
        else:
            self._in_time(lambda: _write(attempts.release, *place))

    def _record_death(self, exit_code: int | None) -> None:
        """The child died without a word: say what can be known from outside."""
        if exit_code == DiskFull.exit_code:
            self.fail(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder)))
            return
        self.relay.add(LogLine(level="error", text=_end_of_file(self.folder / "output.log")))
        if exit_code == -signal.SIGKILL:
            error: HoneError = JobKilled(
                "The job's process was killed, most likely because the machine ran out of memory.",
                "Halve the batch size and double the accumulation, or choose a smaller model, then run it again.",
            )
        else:
            error = LostWorker(
                f"The job's process ended with exit code {exit_code} and said nothing.", "Look at the last log lines."
            )
        self.lose(error)

    def _in_time(self, operation: Callable[[], Result]) -> Result:
        """Try again while the database is away, as long as the lease may still be ours."""
        while True:
            try:
                return operation()
            except AWAY as error:
                self.lease.check()
                log.warning("The database did not answer; trying again: %s", error)
                time.sleep(BEAT_SECONDS)


class _Lease:
    """Renews a job's lease on a clock of its own, and learns on the way whether a person wants the job to stop.

    Args:
        renewed: Called, on that clock's thread, each time that the lease has been renewed.
    """

    def __init__(self, claim: Claim, renewed: Callable[[], None]) -> None:
        self.claim = claim
        self._renewed = renewed
        self.stop_requested: StopReason | None = None
        self._lost: str | None = None
        self._held_at = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease-{claim.job_id}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def check(self) -> None:
        """Raises:
        StaleAttempt: if the lease is lost, or could not be renewed for as long as it lasts.
        """
        if self._lost is not None:
            raise StaleAttempt(self._lost)
        silence = time.monotonic() - self._held_at
        if silence > settings().lease_seconds:
            raise StaleAttempt(f"the lease of job {self.claim.job_id} could not be renewed for {silence:.0f} s")

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            asked_at = time.monotonic()
            try:
                with writing() as session:
                    wish = attempts.renew(session, self.claim.job_id, self.claim.epoch)
            except StaleAttempt as error:
                if not self._ended.is_set():
                    self._lost = str(error)
                return
            except AWAY as error:
                log.warning("The lease of job %d was not renewed: %s", self.claim.job_id, error)
                continue
            self._held_at = asked_at
            self._renewed()
            self.stop_requested = self.stop_requested or wish


class EventRelay:
    """Copies the lines of the child's event file into the database, in batches."""

    def __init__(self, claim: Claim, path: Path) -> None:
        self.claim = claim
        self.path = path
        self.last: Event | None = None
        self._last_seq = 0
        self._offset = 0
        self._pending: list[Numbered] = []

    def relay(self) -> None:
        """Send what is new; what the database does not take now is kept for the next time."""
        self._read()
        if not self._pending:
            return
        try:
            with writing() as session:
                attempts.record_events(session, self.claim.job_id, self.claim.epoch, self._pending)
        except AWAY as error:
            log.warning("Events of job %d wait for the database: %s", self.claim.job_id, error)
            return
        self._pending = []

    def add(self, event: Event) -> None:
        """Report something on behalf of a child that no longer can."""
        self._last_seq += 1
        self._pending.append(Numbered.model_validate({"seq": self._last_seq, "event": event}))
        self.relay()

    def _read(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # still being written
                self._offset += len(line)
                self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            # A model may well say NUL, which PostgreSQL takes in no text.
            numbered = parse_line(line.replace(rb"\u0000", rb"\ufffd"))
        except ValidationError as error:
            log.error("Job %d wrote a line that is no event: %s", self.claim.job_id, error)
            return
        self._pending.append(numbered)
        self.last = numbered.event
        self._last_seq = numbered.seq


def _write(operation: Callable[..., object], *place: object, **values: object) -> None:
    with writing() as session:
        operation(session, *place, **values)


def _end_of_file(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    return "\n".join(lines[-LAST_LINES:]) or "The process printed nothing."
