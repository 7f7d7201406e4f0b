"""Reporting: where an attempt's events go: numbered lines in a file, or readable lines on the terminal."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import TextIO

from pipeline.events import (
    Checkpointed,
    Event,
    Failed,
    Finished,
    LogLine,
    Metrics,
    Numbered,
    Phase,
    Progress,
    Sample,
)


class EventFile:
    """Appends each event as one JSON line, numbered from 1, flushed at once; any thread may report."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()
        self._seq = 0

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._seq += 1
            line = Numbered.model_validate({"seq": self._seq, "event": event}).model_dump_json()
            self._file.write(line + "\n")
            self._file.flush()

    def __enter__(self) -> EventFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()


class PrintedEvents:
    """Prints events for a person at a terminal; progress is shown with the metrics, not by lines of its own."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._total_steps: int | None = None

    def __call__(self, event: Event) -> None:
        with self._lock:
            if isinstance(event, Progress):
                self._total_steps = event.total_steps
                return
            print(self._as_text(event), file=self._stream, flush=True)

    def __enter__(self) -> PrintedEvents:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stream.flush()

    def _as_text(self, event: Event) -> str:
        match event:
            case Phase(name=name):
                return f"── {name}"
            case Metrics(step=step, values=values):
                of_total = f"/{self._total_steps}" if self._total_steps else ""
                figures = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
                return f"   step {step}{of_total}  {figures}"
            case LogLine(level=level, text=text):
                return f"   {text}" if level == "info" else f"   {level}: {text}"
            case Sample(step=step, prompt=prompt, text=text):
                return f"   step {step} sample  {prompt!r} → {text!r}"
            case Checkpointed(step=step):
                return f"   checkpoint at step {step}"
            case Finished(summary=summary):
                return "── Finished\n" + "\n".join(f"   {name}: {value}" for name, value in summary.items())
            case Failed(message=message, advice=advice):
                return f"── Not finished: {message} {advice}".rstrip()
        raise TypeError(f"{type(event).__name__} is not an event that can be printed")
