"""Events: what an attempt reports while it runs, numbered, one JSON object a line."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class Event(BaseModel):
    model_config = ConfigDict(frozen=True)


class Phase(Event):
    """What the job is doing now, in a few words: "Loading the model", "Training", "Saving"."""

    type: Literal["phase"] = "phase"
    name: str


class Progress(Event):
    """How far the job is: `step` of `total_steps` optimizer steps (or whatever `unit` counts)."""

    type: Literal["progress"] = "progress"
    step: int
    total_steps: int
    unit: str = "steps"


class Metrics(Event):
    """Numbers measured at one step: loss, learning rate, reward margin and so on."""

    type: Literal["metrics"] = "metrics"
    step: int
    values: dict[str, float]


class LogLine(Event):
    type: Literal["log"] = "log"
    level: Literal["info", "warning", "error"] = "info"
    text: str


class Sample(Event):
    """What the model answered to `prompt` at `step`."""

    type: Literal["sample"] = "sample"
    step: int
    prompt: str
    text: str


class Checkpointed(Event):
    """A whole checkpoint exists: a later attempt can start from it."""

    type: Literal["checkpoint"] = "checkpoint"
    step: int


class Finished(Event):
    """The attempt succeeded; `summary` has the recipe's closing figures."""

    type: Literal["finished"] = "finished"
    summary: dict[str, Any] = {}


class Failed(Event):
    """The attempt ended without a result."""

    type: Literal["failed"] = "failed"
    kind: str
    message: str
    advice: str = ""


AnyEvent = Annotated[
    Phase | Progress | Metrics | LogLine | Sample | Checkpointed | Finished | Failed, Field(discriminator="type")
]


class Numbered(BaseModel):
    """An event with its number in the attempt (from 1, without gaps) and its time (seconds since 1970, UTC)."""

    seq: int
    at: float = Field(default_factory=time.time)
    event: AnyEvent


_numbered = TypeAdapter(Numbered)


def parse_line(line: bytes | str) -> Numbered:
    """Read one line of an event file."""
    return _numbered.validate_json(line)
