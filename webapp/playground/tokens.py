"""Playground tokens: what Hone's own server tells of a prompt and of answers, token by token."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from pipeline.errors import HoneError
from webapp.inference_client import InferenceClient

NUM_ALTERNATIVES = 8


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


class _ScoredAnswers(BaseModel):
    answers: tuple[ScoredAnswer, ...]


async def render(client: InferenceClient, model_name: str, messages: Sequence[dict[str, str]]) -> RenderedPrompt:
    """Raises:
    NoTokens: if the server cannot be reached, or refuses.
    """
    body = {"model": model_name, "messages": list(messages)}
    return await client.ask_for(RenderedPrompt, "/hone/render", body, fault=NoTokens)


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
    scored = await client.ask_for(_ScoredAnswers, "/hone/score", body, fault=NoTokens)
    return list(scored.answers)
