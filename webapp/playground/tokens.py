"""Playground tokens: what Hone's own server tells of a prompt and of answers, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.errors import HoneError
from webapp.inference_client import ChatError, InferenceClient

NUM_ALTERNATIVES = 8

Shape = TypeVar("Shape", bound=BaseModel)


class NoTokens(HoneError):
    kind = "no_tokens"


class PromptToken(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: int
    text: str
    is_special: bool


class RenderedPrompt(BaseModel):
    """A conversation as a model sees it: its chat template filled in, cut into its tokens."""

    model_config = ConfigDict(frozen=True)

    text: str
    has_template: bool
    tokens: tuple[PromptToken, ...]


class Alternative(BaseModel):
    model_config = ConfigDict(frozen=True)

    text: str
    logprob: float


class AnswerToken(BaseModel):
    """A token of an answer, the natural logarithm of its probability, and the likeliest tokens at its place."""

    model_config = ConfigDict(frozen=True)

    text: str
    logprob: float
    alternatives: tuple[Alternative, ...] = ()


class ScoredAnswer(BaseModel):
    """How likely a model finds an answer, in nats, its end included."""

    model_config = ConfigDict(frozen=True)

    logprob: float
    num_tokens: int = Field(ge=0)
    tokens: tuple[AnswerToken, ...] = ()

    @property
    def logprob_per_token(self) -> float:
        return self.logprob / max(self.num_tokens, 1)


async def render(client: InferenceClient, model_name: str, messages: Sequence[dict[str, str]]) -> RenderedPrompt:
    """Raises:
    NoTokens: if the server cannot be reached, or refuses.
    """
    answer = await _asked(client, "/hone/render", {"model": model_name, "messages": list(messages)})
    return _read(RenderedPrompt, answer)


async def score(
    client: InferenceClient,
    model_name: str,
    messages: Sequence[dict[str, str]],
    answers: Sequence[str],
    *,
    num_alternatives: int = 0,
) -> list[ScoredAnswer]:
    """The log-probability of each answer to a conversation under a model.

    Raises:
        NoTokens: if the server cannot be reached, or refuses.
    """
    body = {
        "model": model_name,
        "messages": list(messages),
        "answers": list(answers),
        "num_alternatives": num_alternatives,
    }
    answer = await _asked(client, "/hone/score", body)
    return [_read(ScoredAnswer, one) for one in answer["answers"]]


async def _asked(client: InferenceClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await client.ask(path, body)
    if isinstance(answer, ChatError):
        raise NoTokens(answer.message, answer.advice)
    return answer


def _read(shape: type[Shape], answer: Any) -> Shape:
    try:
        return shape.model_validate(answer)
    except ValidationError as error:
        raise NoTokens("The inference server answered in a shape that is not known here.", "Restart Hone.") from error
