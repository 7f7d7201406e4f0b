"""Insight: our own endpoints, which show a prompt as the model sees it and score answers that are there already."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel, Field

from pipeline.generation.engine import Engine
from pipeline.generation.requests import ScoreRequest, TokenLogprob
from workers.inference.answers import Answers
from workers.inference.wire import BadRequest, ChatMessage

MAX_SCORED = 64


class RenderRequest(BaseModel):
    """The body of `POST /hone/render`."""

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    tools: list[dict[str, Any]] | None = None
    continue_final_message: bool = False


class ScoreBody(BaseModel):
    """The body of `POST /hone/score`."""

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    answers: list[str] = Field(min_length=1, max_length=MAX_SCORED)
    num_alternatives: int = Field(default=0, ge=0, le=20)


def render(engine: Engine, location: str, body: RenderRequest) -> dict[str, Any]:
    """The prompt that the model would be given, as text and token by token.

    Raises:
        HoneError: if the model cannot be found or its template refuses the conversation.
    """
    tokenizer = engine.tokenizer_of(location)
    messages = [message.as_template_message() for message in body.messages]
    tokens = tokenizer.shown_prompt(messages, body.tools, continue_final_message=body.continue_final_message)
    return {
        "text": "".join(token.text for token in tokens),
        "has_template": tokenizer.has_template,
        "tokens": [{"id": token.id, "text": token.text, "is_special": token.is_special} for token in tokens],
    }


async def score(engine: Engine, location: str, body: ScoreBody, answers: Answers) -> dict[str, Any]:
    """The log-probability of each answer, with that of each of its tokens, the one that ends the turn included.

    Args:
        answers: Takes what is asked of the engine, so that the caller can cancel it.

    Raises:
        HoneError: if the model cannot be found or loaded, or an answer does not fit into its context.
    """
    requests = await asyncio.to_thread(_score_requests, engine, location, body)
    scored = await answers.scores(engine, requests)
    return {"answers": [_answer_body(logprobs) for logprobs in scored]}


def _score_requests(engine: Engine, location: str, body: ScoreBody) -> list[ScoreRequest]:
    tokenizer = engine.tokenizer_of(location)
    messages = [message.as_template_message() for message in body.messages]
    requests = []
    for answer in body.answers:
        prompt, scored = tokenizer.scored_tokens(messages, answer)
        if not prompt or not scored:
            raise BadRequest("The prompt or an answer has no tokens, so there is nothing to score.", "Send text.")
        requests.append(ScoreRequest(location, prompt, scored, body.num_alternatives))
    return requests


def _answer_body(logprobs: tuple[TokenLogprob, ...]) -> dict[str, Any]:
    return {
        "logprob": sum(one.logprob for one in logprobs),
        "num_tokens": len(logprobs),
        "tokens": [
            {
                "text": one.token,
                "logprob": one.logprob,
                "alternatives": [{"text": text, "logprob": logprob} for text, logprob in one.alternatives],
            }
            for one in logprobs
        ],
    }
