"""Ranks: a job done by several processes, which the job's own process starts, watches and ends.

    worker ─── words ──▶ supervisor ─── words, to the first ──▶ rank 0, rank 1, …
    worker ◀── events ── supervisor ◀── events, of the first ── rank 0, rank 1, …

A rank is a fork of the supervisor, with the libraries that a warm one has loaded. It reads words from its standard
input, as a job of one process does, and ends when that closes (`pipeline.watchdog`). When it has said how it ended it
waits: a rank that left before the others would look to them like one that had died.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import NoReturn

from pipeline.closing import Closing, to_the_end
from pipeline.context import Context, StopSignal
from pipeline.events import Event, Failed
from pipeline.group import join_group
from pipeline.recipes import Recipe
from pipeline.spec import Spec
from pipeline.watchdog import exit_when_stdin_closes, kill_descendants

SECONDS_BETWEEN_LOOKS = 0.1
SECONDS_TO_FIND_THE_CAUSE = 1.0
"""An unexpected error may be the echo of another rank's death, which is seen a moment later."""


class LostRank(Exception):
    """A rank died without a word, so that the others had to be ended too."""

    def __init__(self, rank: int, size: int, exit_code: int) -> None:
        how = f"was ended by {signal.Signals(-exit_code).name}" if exit_code < 0 else f"ended with code {exit_code}"
        super().__init__(f"Process {rank + 1} of {size} {how} and said nothing; the others were ended with it.")
        self._exit_code = exit_code

    def follow(self) -> NoReturn:
        """End this process as the rank ended, so that whoever started the job sees what became of it."""
        if self._exit_code < 0:
            os.kill(os.getpid(), -self._exit_code)
        os._exit(self._exit_code or 1)


@dataclass
class _Rank:
    """A rank as the supervisor sees it: `told` carries words to it, `heard` its messages: events, then its closing."""

    process: BaseProcess
    told: Connection
    heard: Connection
    closing: Closing | None = None
    is_gone: bool = False

    @property
    def is_lost(self) -> bool:
        """Whether it died without a word."""
        return self.is_gone and self.closing is None

    @property
    def failure(self) -> Failed | None:
        """What it failed of; stopping when asked to is no failure."""
        last = self.closing[-1] if self.closing else None
        return last if isinstance(last, Failed) and last.kind != "stopped" else None

    def messages(self) -> Iterator[Event | Closing]:
        """What it has sent and nobody has read yet; where that ends for good, it is gone."""
        try:
            while self.heard.poll():
                yield self.heard.recv()
        except EOFError:
            self.is_gone = True


class Ranks:
    """The processes of one job, running from the moment this is made.

    Make it before this process has a second thread: they are forks.
    """

    def __init__(self, recipe: Recipe, spec: Spec, context: Context) -> None:
        self._context = context
        self._ranks: list[_Rank] = []
        self._told = False
        self._failed_at: float | None = None
        try:
            with socket.create_server(("127.0.0.1", 0)) as meeting_point:
                for _ in range(spec.num_slots):
                    self._start_one(recipe, spec, meeting_point)
        except BaseException:
            self._end()
            raise

    def see_through(self) -> Closing:
        """Pass on what the first rank reports until the job has ended; returns the events that say how.

        Raises:
            LostRank: if one died without a word.
        """
        try:
            while (closing := self._closing()) is None:
                self._pass_on_the_wish()
                wait([rank.heard for rank in self._ranks if not rank.is_gone], SECONDS_BETWEEN_LOOKS)
                self._listen()
            return closing
        finally:
            self._end()

    def _start_one(self, recipe: Recipe, spec: Spec, meeting_point: socket.socket) -> None:
        fork = multiprocessing.get_context("fork")
        words, told = fork.Pipe(duplex=False)
        heard, sent = fork.Pipe(duplex=False)
        ours = [told, heard, *(end for rank in self._ranks for end in (rank.told, rank.heard))]
        place = len(self._ranks), spec.num_slots, meeting_point
        process = fork.Process(target=_be_a_rank, args=(recipe, spec, self._context, place, words, sent, ours))
        process.start()
        words.close()
        sent.close()
        self._ranks.append(_Rank(process, told, heard))

    def _listen(self) -> None:
        for rank in self._ranks:
            for message in () if rank.is_gone else rank.messages():
                if isinstance(message, Event):
                    self._context.report(message)
                else:
                    rank.closing = message

    def _pass_on_the_wish(self) -> None:
        """A wish to stop goes to the first rank, which makes it known to the others between two steps."""
        if self._context.stop.is_requested and not self._told:
            self._told = True
            try:
                os.write(self._ranks[0].told.fileno(), f"{self._context.stop.reason}\n".encode())
            except BrokenPipeError:
                return  # it has died, which the next look will find

    def _closing(self) -> Closing | None:
        """How the job ended, or None while it goes on. What the first rank achieved stands, whatever the others do."""
        first = self._ranks[0]
        if first.closing is not None and first.failure is None:
            return first.closing
        for number, rank in enumerate(self._ranks):
            if rank.is_lost:
                rank.process.join()
                raise LostRank(number, len(self._ranks), rank.process.exitcode or 0)
        failed = [rank for rank in self._ranks if rank.failure is not None]
        if not failed:
            return None
        self._failed_at = self._failed_at or time.monotonic()
        expected = [rank for rank in failed if rank.failure is not None and rank.failure.kind != "error"]
        if not expected and time.monotonic() - self._failed_at < SECONDS_TO_FIND_THE_CAUSE:
            return None
        return (expected or failed)[0].closing

    def _end(self) -> None:
        kill_descendants()
        for rank in self._ranks:
            rank.process.join()
            rank.told.close()
            rank.heard.close()


def _be_a_rank(
    recipe: Recipe,
    spec: Spec,
    context: Context,
    place: tuple[int, int, socket.socket],
    words: Connection,
    sent: Connection,
    of_the_supervisor: list[Connection],
) -> None:
    """What a rank does: join the others, run the recipe, say how it ended, and wait to be ended."""
    for end in of_the_supervisor:
        end.close()  # a copy held here would keep the others from seeing that the supervisor is gone
    os.dup2(words.fileno(), sys.stdin.fileno())
    words.close()
    # Whoever asks a whole process group to end asks the supervisor too, which passes the wish on in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    stop = StopSignal()
    exit_when_stdin_closes(stop.obey)
    tell = _Teller(sent)

    def work() -> dict[str, object]:
        group = join_group(*place)
        report = tell if group.is_first else _say_nothing
        return recipe.run(
            spec, Context(out=context.out, checkpoints=context.checkpoints, report=report, stop=stop, group=group)
        )

    tell(to_the_end(work))
    threading.Event().wait()


class _Teller:
    """Sends messages to the supervisor; any thread may."""

    def __init__(self, sent: Connection) -> None:
        self._sent = sent
        self._lock = threading.Lock()

    def __call__(self, message: Event | Closing) -> None:
        with self._lock:
            self._sent.send(message)


def _say_nothing(event: Event) -> None:
    """The first rank reports for all."""
