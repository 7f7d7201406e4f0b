"""Wire: OpenAI's chat protocol, as much of it as the engine does, and what the engine says put into its shapes.

Source: https://platform.openai.com/docs/api-reference/chat. What is ours beyond it stands under the key `hone`.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.errors import BadData, BadModel, BadSpec, HoneError
from pipeline.generation.requests import (
    BadPrompt,
    BadTemplate,
    ContextTooLong,
    DeviceBusy,
    DoesNotFit,
    Finished,
    GenerationRequest,
    Piece,
    SamplingSettings,
    Stats,
    TokenLogprob,
)

UNSUPPORTED = ("frequency_penalty", "presence_penalty", "logit_bias", "response_format", "tool_choice", "functions")


class BadRequest(HoneError):
    """The request cannot be understood, or asks for what the engine does not do."""

    kind = "invalid_request"


class UnknownModel(BadModel):
    """No model of that name is served here."""

    kind = "model_not_found"


class TextPart(BaseModel):
    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    model_config = ConfigDict(extra="allow")  # tool calls and names are the chat template's business

    role: str
    content: str | list[TextPart] | None = None

    def as_template_message(self) -> dict[str, Any]:
        parts = [part.text for part in self.content] if isinstance(self.content, list) else [self.content or ""]
        return self.model_dump(exclude_none=True) | {"content": "".join(parts)}


class StreamOptions(BaseModel):
    include_usage: bool = False


class AnswerRequest(BaseModel):
    """What both protocols ask for alike; fields not named here are read only to refuse what is not done."""

    model_config = ConfigDict(extra="allow")

    model: str
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    n: int = Field(default=1, ge=1, le=16)

    @property
    def includes_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def sampling(self, number: int, *, max_tokens: int | None, num_alternatives: int | None) -> SamplingSettings:
        """The engine's settings for one of the `n` answers; the seeds of several follow one another.

        None is what the protocol or the engine takes by default.

        Raises:
            BadRequest: if one is out of its bounds.
        """
        given = {
            "temperature": 1.0 if self.temperature is None else self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "max_tokens": max_tokens,
            "stop": (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ()),
            "seed": None if self.seed is None else self.seed + number,
            "num_alternatives": num_alternatives,
        }
        try:
            return SamplingSettings.model_validate({name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            raise BadRequest(describe_faults(error.errors()), "Mend the settings and send again.") from error

    def refuse_unsupported(self) -> None:
        """Raises BadRequest if it asks for what the engine does not do."""
        asked_for = [name for name in UNSUPPORTED if (self.model_extra or {}).get(name)]
        if asked_for:
            raise BadRequest(f"{', '.join(asked_for)} is not supported here.", "Leave it out.")


class ChatRequest(AnswerRequest):
    """The body of `POST /v1/chat/completions`."""

    messages: list[ChatMessage] = Field(min_length=1)
    max_completion_tokens: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    tools: list[dict[str, Any]] | None = None
    continue_final_message: bool = False

    def generation_requests(self, location: str) -> list[GenerationRequest]:
        """One request to the engine for each of the `n` answers.

        Raises:
            BadRequest: if a setting is out of its bounds, or is one that the engine does not have.
        """
        self.refuse_unsupported()
        messages = [message.as_template_message() for message in self.messages]
        return [
            GenerationRequest(
                location,
                messages,
                self._settings(number),
                self.tools,
                continue_final_message=self.continue_final_message,
            )
            for number in range(self.n)
        ]

    def _settings(self, number: int) -> SamplingSettings:
        return self.sampling(
            number,
            max_tokens=self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens,
            num_alternatives=(self.top_logprobs or 0) if self.logprobs else None,
        )


def describe_faults(faults: Sequence[Any]) -> str:
    """Pydantic's faults in one sentence: which field, what is wrong, what was received."""
    told = (f"{_place(fault)}: {fault['msg'].lower()} (received {str(fault['input'])[:100]!r})" for fault in faults)
    return "The request cannot be used: " + "; ".join(told) + "."


def _place(fault: Any) -> str:
    return ".".join(str(part) for part in fault["loc"] if part != "body") or "body"


def status_of(error: HoneError) -> int:
    """The HTTP status that tells a program what kind of trouble it met."""
    if isinstance(error, UnknownModel):
        return 404
    if isinstance(error, BadRequest | BadPrompt | BadTemplate | ContextTooLong | BadModel | BadData | BadSpec):
        return 400
    return 503 if isinstance(error, DoesNotFit | DeviceBusy) else 500


def error_body(error: HoneError) -> dict[str, Any]:
    code = "context_length_exceeded" if isinstance(error, ContextTooLong) else error.kind
    kind = "invalid_request_error" if status_of(error) < 500 else "server_error"
    return {
        "error": {"message": str(error), "type": kind, "param": None, "code": code},
        "hone": {"message": error.message, "advice": error.advice},
    }


class ChatReply:
    """The reply to one request of the chat protocol, and its parts in OpenAI's shapes."""

    def __init__(self, request_id: str, model: str, *, num_answers: int) -> None:
        self._head = {"id": f"chatcmpl-{request_id}", "created": int(time.time()), "model": model}
        self._num_answers = num_answers

    def openings(self) -> list[dict[str, Any]]:
        """What a stream says of each answer before the model does."""
        opening = {"role": "assistant", "content": ""}
        return [self._chunk([delta_choice(number, opening)]) for number in range(self._num_answers)]

    def loading(self, share: float) -> dict[str, Any]:
        return self._chunk([], hone={"state": "loading", "share": round(share, 3)})

    def piece(self, number: int, piece: Piece) -> dict[str, Any]:
        return self._chunk([delta_choice(number, {"content": piece.text}, logprobs=piece.logprobs)])

    def end(self, number: int, end: Finished) -> dict[str, Any]:
        choice = delta_choice(number, {}, logprobs=end.tail_logprobs, finish_reason=end.stats.finish_reason)
        return self._chunk([choice], hone={"stats": stats_body(end.stats)})

    def usage(self, stats: Sequence[Stats]) -> dict[str, Any]:
        return self._chunk([], usage=usage(stats, num_each=self._num_answers))

    def whole(
        self, texts: Sequence[str], logprobs: Sequence[Sequence[TokenLogprob]], stats: Sequence[Stats]
    ) -> dict[str, Any]:
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [
                message_choice(number, text, logprobs=logprobs[number], finish_reason=stats[number].finish_reason)
                for number, text in enumerate(texts)
            ],
            "usage": usage(stats, num_each=self._num_answers),
            "hone": {"stats": [stats_body(one) for one in stats]},
        }

    def _chunk(self, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return {**self._head, "object": "chat.completion.chunk", "choices": choices, **more}


def delta_choice(
    index: int, delta: dict[str, Any], *, logprobs: Sequence[TokenLogprob] = (), finish_reason: str | None = None
) -> dict[str, Any]:
    return {
        "index": index,
        "delta": delta,
        "logprobs": logprobs_body(logprobs) if logprobs else None,
        "finish_reason": finish_reason,
    }


def message_choice(index: int, text: str, *, logprobs: Sequence[TokenLogprob], finish_reason: str) -> dict[str, Any]:
    return {
        "index": index,
        "message": {"role": "assistant", "content": text},
        "logprobs": logprobs_body(logprobs) if logprobs else None,
        "finish_reason": finish_reason,
    }


def logprobs_body(logprobs: Sequence[TokenLogprob]) -> dict[str, Any]:
    def body(token: str, logprob: float) -> dict[str, Any]:
        return {"token": token, "logprob": logprob, "bytes": list(token.encode())}

    return {
        "content": [
            {**body(one.token, one.logprob), "top_logprobs": [body(*alternative) for alternative in one.alternatives]}
            for one in logprobs
        ]
    }


def usage(stats: Sequence[Stats], *, num_each: int) -> dict[str, int]:
    """Tokens read and written; a prompt that has `num_each` answers counts once."""
    prompt_tokens = sum(one.num_prompt_tokens for one in stats[::num_each])
    completion_tokens = sum(one.num_tokens for one in stats)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def stats_body(stats: Stats) -> dict[str, Any]:
    return dataclasses.asdict(stats)
