"""Context: what a recipe knows of the world while it runs: where to write, whom to tell, when to stop."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pipeline.events import Checkpointed, Event, LogLine, Metrics, Phase, Progress, Sample
from pipeline.group import Group

StopReason = Literal["cancel", "pause"]


class StopSignal:
    """Says whether the job was asked to stop; set from any thread, read by the training loop."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.reason: StopReason | None = None

    def request(self, reason: StopReason) -> None:
        if self.reason is None:
            self.reason = reason
        self._event.set()

    def obey(self, word: str) -> None:
        """Take a supervisor's word, `cancel` or `pause`, as the wish to stop; any other says nothing."""
        if word == "cancel" or word == "pause":
            self.request(word)  # type: ignore[arg-type]

    @property
    def is_requested(self) -> bool:
        return self._event.is_set()


class Context:
    """One attempt's surroundings.

    Args:
        out: Folder for the result; the recipe writes it whole, and only there. Empty at the start.
        checkpoints: Folder for checkpoints; it outlives the attempt, so that the next one can resume.
        report: Receives every event, in order, from any thread.
        stop: Set when a person cancels or pauses the job; in a group, the first process's is what counts.
        group: The processes that do the job together; only the first writes into `out`.
    """

    def __init__(
        self,
        *,
        out: Path,
        checkpoints: Path,
        report: Callable[[Event], None],
        stop: StopSignal | None = None,
        group: Group | None = None,
    ) -> None:
        self.out = out
        self.checkpoints = checkpoints
        self.report = report
        self.stop = stop or StopSignal()
        self.group = group or Group()

    def phase(self, name: str) -> None:
        self.report(Phase(name=name))

    def progress(self, step: int, total_steps: int, unit: str = "steps") -> None:
        self.report(Progress(step=step, total_steps=total_steps, unit=unit))

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """Report numbers at a step; values that are not finite are left to the caller to judge and are not stored."""
        finite = {name: float(value) for name, value in values.items() if math.isfinite(value)}
        if finite:
            self.report(Metrics(step=step, values=finite))

    def log(self, text: str, level: Literal["info", "warning", "error"] = "info") -> None:
        self.report(LogLine(level=level, text=text))

    def sample(self, step: int, prompt: str, text: str) -> None:
        self.report(Sample(step=step, prompt=prompt, text=text))

    def checkpointed(self, step: int) -> None:
        self.report(Checkpointed(step=step))
