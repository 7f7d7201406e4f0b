"""Requests: what is asked of the engine, and what it says back while it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.errors import HoneError, OutOfMemory

FinishReason = Literal["stop", "length", "cancelled"]


class SamplingSettings(BaseModel):
    """How one answer is drawn from a model's probabilities."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(
        default=0.7, ge=0, le=2, description="0 always takes the likeliest token; higher is more varied."
    )
    top_p: float = Field(
        default=1.0, gt=0, le=1, description="Draw only from the likeliest tokens that together have this share."
    )
    top_k: int = Field(default=0, ge=0, description="Draw only from this many likeliest tokens; 0 means from all.")
    max_tokens: int | None = Field(
        default=None, ge=1, description="The longest answer; nothing means what the context still holds."
    )
    seed: int | None = Field(
        default=None, ge=0, lt=2**63, description="The same seed and settings give the same answer."
    )
    stop: tuple[str, ...] = Field(default=(), max_length=16, description="The answer ends before any of these strings.")
    num_alternatives: int | None = Field(
        default=None,
        ge=0,
        le=20,
        description="Report each token's log-probability, and those of this many likeliest tokens.",
    )


@dataclass(frozen=True)
class GenerationRequest:
    """One answer wanted from one model.

    Args:
        model: A model folder or a Hugging Face id, as `pipeline.loading.resolve_model` takes it.
        messages: The conversation so far, `{"role", "content"}` each.
        tools: JSON schemas that the model's chat template may show it.
        continue_final_message: Whether the last message is the beginning of the answer, to be carried on.
        prompt: Text or tokens to be carried on as they are, in the place of messages and a template.
    """

    model: str
    messages: Sequence[dict[str, Any]] = ()
    settings: SamplingSettings = field(default_factory=SamplingSettings)
    tools: Sequence[dict[str, Any]] | None = None
    continue_final_message: bool = False
    prompt: str | Sequence[int] | None = None


@dataclass(frozen=True)
class ScoreRequest:
    """How likely a model finds an answer that is already there.

    Args:
        prompt_tokens: What the model reads first; at least one token.
        answer_tokens: What is scored, each token given all before it; at least one.
        num_alternatives: Likeliest tokens to name at each place, 0 to 20.
    """

    model: str
    prompt_tokens: Sequence[int]
    answer_tokens: Sequence[int]
    num_alternatives: int = 0


@dataclass(frozen=True)
class TokenLogprob:
    """How likely a token was, by the model's own distribution before temperature and cuts.

    Args:
        token: Its text.
        logprob: Natural logarithm of its probability.
        alternatives: The likeliest tokens at its place, each with its log-probability.
    """

    token: str
    logprob: float
    alternatives: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Stats:
    """What one answer took.

    Args:
        seconds_loading: Time that went into loading the model before work on the answer could begin.
        seconds_to_first_token: From the request to its first token, without the time for loading.
        tokens_per_second: Of the tokens after the first; 0 where there is only one.
        num_tokens: Tokens of the answer, counting one that ended it.
    """

    num_prompt_tokens: int
    num_tokens: int
    seconds_loading: float
    seconds_to_first_token: float
    tokens_per_second: float
    finish_reason: FinishReason
    seed: int


@dataclass(frozen=True)
class Loading:
    """The model's weights are being read; the answer starts when they are there.

    Args:
        share: How much of them has been read, 0 to 1.
    """

    share: float = 0.0


@dataclass(frozen=True)
class Piece:
    """The next part of the answer: whole characters, and never a part of a stop string."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Finished:
    """The answer is whole; `tail_logprobs` are of tokens that added no text of their own."""

    stats: Stats
    tail_logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Scored:
    """Every token of the answer that was given, with its log-probability."""

    logprobs: tuple[TokenLogprob, ...]


@dataclass(frozen=True)
class Failed:
    """The answer ended with an error; what was streamed before stands."""

    error: HoneError


GenerationEvent = Loading | Piece | Finished | Failed
ScoreEvent = Loading | Scored | Failed


class BadPrompt(HoneError):
    """The prompt cannot be read as it is."""

    kind = "bad_prompt"


class ContextTooLong(HoneError):
    """The prompt leaves no room for an answer."""

    kind = "context_too_long"

    def __init__(self, num_received: int, num_fit: int) -> None:
        super().__init__(
            f"The prompt is {num_received:,} tokens long, and at most {num_fit:,} fit into this model's context "
            "with room for an answer.",
            "Shorten the conversation or start a new one.",
        )
        self.num_received = num_received
        self.num_fit = num_fit


class DeviceBusy(HoneError):
    """The device belongs to a job now."""

    kind = "device_busy"


class DoesNotFit(HoneError):
    """The model is larger than the memory that models may fill."""

    kind = "does_not_fit"


class BadTemplate(HoneError):
    """The model's chat template cannot be rendered."""

    kind = "bad_template"


class EngineFailed(HoneError):
    """The engine broke while it was answering."""

    kind = "engine_failed"


def as_failure(error: Exception) -> HoneError:
    """What a person is told of an exception in the engine."""
    if isinstance(error, HoneError):
        return error
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return OutOfMemory(
            "The inference server ran out of memory while answering; its weights are being loaded again.",
            "Ask for fewer answers at once or a shorter one, or give models less memory (HONE_MEMORY_GB).",
        )
    return EngineFailed(
        f"The inference engine failed while answering ({type(error).__name__}: {str(error)[:300]}) and was restarted.",
        "Send again; if it fails again, the inference server's log has the details.",
    )
