"""Inference client: chat with any OpenAI-compatible server, and errors from it as sentences for people."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, Field

from store.settings import settings

SECONDS_TO_CONNECT = 5.0
SECONDS_BETWEEN_PARTS = 600.0
"""A model of many gigabytes may take minutes to load before the first part of an answer comes."""


class ChatSettings(BaseModel):
    """How the answers of a conversation are drawn; a field that is None is left to the server."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    system_prompt: str = ""
    temperature: float = Field(default=0.7, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=1)
    max_tokens: int | None = Field(default=512, ge=1)
    seed: int | None = Field(default=None, ge=0)
    stop: tuple[str, ...] = ()

    def as_request(self) -> dict[str, Any]:
        """OpenAI's names for them; the system prompt is a message, not a setting."""
        given = self.model_dump(exclude={"system_prompt"}, exclude_none=True)
        return given | {"stop": list(self.stop)} if self.stop else {k: v for k, v in given.items() if k != "stop"}


@dataclass(frozen=True)
class ServedModel:
    """A model that the server offers; `state` is known of our own server only."""

    name: str
    state: str | None = None


@dataclass(frozen=True)
class StillLoading:
    """The server is reading the model's weights."""


@dataclass(frozen=True)
class Delta:
    """The next part of the answer."""

    text: str


@dataclass(frozen=True)
class Done:
    """The answer is whole.

    Args:
        seconds_to_first_token: From the request, without the time for loading where the server reports it.
        num_tokens: As the server counted them; where it does not, the number of parts that came.
        finish_reason: stop, length or cancelled.
    """

    seconds_to_first_token: float
    tokens_per_second: float
    num_prompt_tokens: int | None
    num_tokens: int
    finish_reason: str

    def as_stats(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class ChatError:
    """The answer could not be had, or broke off: what happened, and what to do."""

    message: str
    advice: str = ""
    code: str = ""


ChatEvent = StillLoading | Delta | Done | ChatError


class InferenceClient:
    """A client of one server.

    Args:
        base_url: Where its `/v1` is, such as http://127.0.0.1:8000.
        key: Bearer key, where it asks for one.
    """

    def __init__(self, base_url: str, *, key: str = "") -> None:
        self.base_url = base_url.rstrip("/").removesuffix("/v1")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        timeout = httpx.Timeout(SECONDS_BETWEEN_PARTS, connect=SECONDS_TO_CONNECT)
        # Not through a proxy of the environment: the server is usually this machine, and a key must not travel.
        self._http = httpx.AsyncClient(base_url=self.base_url, headers=headers, timeout=timeout, trust_env=False)

    async def close(self) -> None:
        await self._http.aclose()

    async def list_models(self) -> list[ServedModel] | ChatError:
        """The models that the server offers now."""
        try:
            response = await self._http.get("/v1/models", timeout=SECONDS_TO_CONNECT)
        except httpx.HTTPError as error:
            return self._unreachable(error)
        if response.is_error:
            return _refusal(response.status_code, response.text)
        entries = response.json()["data"]
        return [ServedModel(entry["id"], (entry.get("hone") or {}).get("state")) for entry in entries]

    async def ask(self, path: str, body: dict[str, Any]) -> dict[str, Any] | ChatError:
        """What the server says to one question, such as `/hone/score`."""
        try:
            response = await self._http.post(path, json=body)
        except httpx.HTTPError as error:
            return self._unreachable(error)
        if response.is_error:
            return _refusal(response.status_code, response.text)
        answer: dict[str, Any] = response.json()
        return answer

    async def stream_chat(
        self,
        model: str,
        messages: Sequence[dict[str, Any]],
        chat_settings: ChatSettings,
        *,
        continue_final_message: bool = False,
    ) -> AsyncGenerator[ChatEvent, None]:
        """One answer as it is written; the last event is `Done` or `ChatError`.

        Closing the iterator closes the connection, upon which the server stops writing.

        Args:
            continue_final_message: Carry the last message on, which is the beginning of an answer: our own server does.
        """
        body = {
            "model": model,
            "messages": list(messages),
            "stream": True,
            "stream_options": {"include_usage": True},
            **chat_settings.as_request(),
        }
        if continue_final_message:
            body["continue_final_message"] = True
        reading = _Reading()
        try:
            async with self._http.stream("POST", "/v1/chat/completions", json=body) as response:
                if response.is_error:
                    yield _refusal(response.status_code, (await response.aread()).decode("utf-8", errors="replace"))
                    return
                async for line in response.aiter_lines():
                    for event in reading.read_line(line):
                        yield event
                    if reading.is_over:
                        return
        except httpx.HTTPError as error:
            yield self._broken_off() if reading.num_parts else self._unreachable(error)
            return
        yield reading.done() if reading.finish_reason else self._broken_off()

    def _unreachable(self, error: httpx.HTTPError) -> ChatError:
        if isinstance(error, httpx.ReadTimeout):
            return ChatError(
                f"The inference server at {self.base_url} has not answered in time. Send again.", "timeout"
            )
        return ChatError(
            f"The inference server at {self.base_url} cannot be reached ({type(error).__name__}). It may still be "
            "starting: wait a moment and send again; if it stays away, restart Hone.",
            "unreachable",
        )

    def _broken_off(self) -> ChatError:
        return ChatError(
            f"The inference server at {self.base_url} broke off in mid-answer.",
            "It may have been restarted: send again.",
            "broken_off",
        )


@lru_cache(maxsize=1)
def own_server() -> InferenceClient:
    """The client of this installation's inference server, shared by all pages."""
    return InferenceClient(settings().inference_url, key=settings().inference_key)


@dataclass
class _Reading:
    """What was read of one stream so far."""

    started_at: float = field(default_factory=time.monotonic)
    first_at: float = 0.0
    last_at: float = 0.0
    num_parts: int = 0
    finish_reason: str = ""
    usage: dict[str, Any] = field(default_factory=dict)
    stats: dict[str, Any] = field(default_factory=dict)
    is_over: bool = False

    def read_line(self, line: str) -> list[ChatEvent]:
        if not line.startswith("data:"):
            return []
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            self.is_over = True
            return [self.done()]
        chunk = json.loads(data)
        if "error" in chunk:
            self.is_over = True
            return [_error_of(chunk)]
        self.usage = chunk.get("usage") or self.usage
        ours = chunk.get("hone") or {}
        self.stats = ours.get("stats") or self.stats
        events: list[ChatEvent] = [StillLoading()] if ours.get("state") == "loading" else []
        for choice in chunk.get("choices") or []:
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
            if text := (choice.get("delta") or {}).get("content"):
                events.append(self._part(text))
        return events

    def done(self) -> Done:
        """The server's own measure of the answer, or where it gives none, ours."""
        num_tokens = self.stats.get("num_tokens") or self.usage.get("completion_tokens") or self.num_parts
        writing_seconds = self.last_at - self.first_at
        own_speed = (num_tokens - 1) / writing_seconds if writing_seconds > 0 else 0.0
        own_wait = (self.first_at or time.monotonic()) - self.started_at
        return Done(
            seconds_to_first_token=self.stats.get("seconds_to_first_token", own_wait),
            tokens_per_second=self.stats.get("tokens_per_second", own_speed),
            num_prompt_tokens=self.usage.get("prompt_tokens"),
            num_tokens=num_tokens,
            finish_reason=self.finish_reason or "stop",
        )

    def _part(self, text: str) -> Delta:
        self.last_at = time.monotonic()
        self.first_at = self.first_at or self.last_at
        self.num_parts += 1
        return Delta(text)


def _refusal(status: int, text: str) -> ChatError:
    try:
        return _error_of(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError):
        return ChatError(f"The inference server answered with status {status}: {text[:200]}", code=str(status))


def _error_of(body: dict[str, Any]) -> ChatError:
    error = body["error"]
    if isinstance(error, str):
        return ChatError(error)
    ours = body.get("hone") or {}
    message, advice = ours.get("message", error["message"]), ours.get("advice", "")
    return ChatError(str(message), str(advice), str(error.get("code") or error.get("type") or ""))
