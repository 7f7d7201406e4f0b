"""Completions: OpenAI's older protocol, in which a model carries a text on and no template is applied.

Source: https://platform.openai.com/docs/api-reference/completions.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from pipeline.generation.requests import Finished, GenerationRequest, Piece, SamplingSettings, Stats, TokenLogprob
from workers.inference import wire

DEFAULT_MAX_TOKENS = 16
"""As OpenAI has it for this protocol."""
MAX_ANSWERS = 64


class CompletionRequest(wire.AnswerRequest):
    """The body of `POST /v1/completions`."""

    prompt: str | list[int] | list[str] | list[list[int]]
    best_of: int | None = None
    logprobs: int | None = Field(default=None, ge=0, le=20)
    echo: bool = False
    suffix: str | None = None

    @property
    def prompts(self) -> list[str | list[int]]:
        if isinstance(self.prompt, str) or all(isinstance(part, int) for part in self.prompt):
            return [self.prompt]  # type: ignore[list-item]  # one text, or the tokens of one
        return list(self.prompt)  # type: ignore[arg-type]

    def generation_requests(self, location: str) -> list[GenerationRequest]:
        """`n` requests to the engine for each prompt, in the order of the prompts.

        Raises:
            BadRequest: if a setting is out of its bounds, or is one that the engine does not have.
        """
        self.refuse_unsupported()
        if self.suffix or (self.best_of or self.n) != self.n:
            raise wire.BadRequest("suffix, and best_of beyond n, are not supported here.", "Leave them out.")
        if self.echo and self.logprobs is not None:
            raise wire.BadRequest(
                "echo together with logprobs is not supported here.", "Ask POST /hone/score for the log-probabilities."
            )
        if not self.prompts or len(self.prompts) * self.n > MAX_ANSWERS:
            raise wire.BadRequest(
                f"1 to {MAX_ANSWERS} answers may be asked for at once, and this asks for {len(self.prompts) * self.n}.",
                "Send more requests with fewer prompts each.",
            )
        return [
            GenerationRequest(location, settings=self._settings(number), prompt=prompt)
            for prompt in self.prompts
            for number in range(self.n)
        ]

    def _settings(self, number: int) -> SamplingSettings:
        return self.sampling(
            number,
            max_tokens=DEFAULT_MAX_TOKENS if self.max_tokens is None else self.max_tokens,
            num_alternatives=self.logprobs,
        )


class CompletionReply:
    """The reply to one request, and its parts in OpenAI's shapes.

    Args:
        prompts: The text before each answer: the prompt's where it is to be echoed, else nothing.
        num_each: Answers to one prompt.
    """

    def __init__(self, request_id: str, model: str, *, prompts: Sequence[str], num_each: int) -> None:
        self._head = {
            "id": f"cmpl-{request_id}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
        }
        self._prompts = prompts
        self._num_each = num_each
        self._offsets = [len(prompt) for prompt in prompts]

    def openings(self) -> list[dict[str, Any]]:
        """What a stream says of each answer before the model does."""
        return [
            self._chunk([_choice(number, prompt, None, None)]) for number, prompt in enumerate(self._prompts) if prompt
        ]

    def loading(self, share: float) -> dict[str, Any]:
        return self._chunk([], hone={"state": "loading", "share": round(share, 3)})

    def piece(self, number: int, piece: Piece) -> dict[str, Any]:
        return self._chunk([_choice(number, piece.text, self._logprobs(number, piece.logprobs), None)])

    def end(self, number: int, end: Finished) -> dict[str, Any]:
        choice = _choice(number, "", self._logprobs(number, end.tail_logprobs), end.stats.finish_reason)
        return self._chunk([choice], hone={"stats": wire.stats_body(end.stats)})

    def usage(self, stats: Sequence[Stats]) -> dict[str, Any]:
        return self._chunk([], usage=wire.usage(stats, num_each=self._num_each))

    def whole(
        self, texts: Sequence[str], logprobs: Sequence[Sequence[TokenLogprob]], stats: Sequence[Stats]
    ) -> dict[str, Any]:
        choices = [
            _choice(number, self._prompts[number] + text, self._logprobs(number, logprobs[number]), one.finish_reason)
            for number, (text, one) in enumerate(zip(texts, stats, strict=True))
        ]
        return self._chunk(
            choices,
            usage=wire.usage(stats, num_each=self._num_each),
            hone={"stats": [wire.stats_body(one) for one in stats]},
        )

    def _chunk(self, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return {**self._head, "choices": choices, **more}

    def _logprobs(self, number: int, logprobs: Sequence[TokenLogprob]) -> dict[str, Any] | None:
        """The older shape: one list a property; offsets are in characters from the beginning of the text."""
        if not logprobs:
            return None
        offsets = []
        for one in logprobs:
            offsets.append(self._offsets[number])
            self._offsets[number] += len(one.token)
        return {
            "tokens": [one.token for one in logprobs],
            "token_logprobs": [one.logprob for one in logprobs],
            "top_logprobs": [_by_text(one.alternatives) for one in logprobs],
            "text_offset": offsets,
        }


def _choice(index: int, text: str, logprobs: dict[str, Any] | None, finish_reason: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}


def _by_text(alternatives: Sequence[tuple[str, float]]) -> dict[str, float]:
    """One number a text, as the older shape has it: of tokens that look alike, the likeliest's."""
    return dict(sorted(alternatives, key=lambda one: one[1]))
