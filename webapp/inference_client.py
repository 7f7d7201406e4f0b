"""Inference client: chat with any OpenAI-compatible server, and errors from it as sentences for people."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.asking.endpoint import without_refused
from pipeline.errors import HoneError
from store import api_keys, endpoints
from store.database import reading
from store.schema import Endpoint, Model
from store.settings import settings

Shape = TypeVar("Shape", bound=BaseModel)

SECONDS_TO_CONNECT = 5.0
SECONDS_FOR_A_LIST = 10.0
MOST_FIELDS_TAKEN_BACK = 3
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
    """The server is reading the model's weights; `share` of them, 0 to 1, is there."""

    share: float = 0.0


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
        base_url: Where its `/v1` is, such as http://127.0.0.1:8000; of an endpoint, where its `/chat/completions` is.
        key: Bearer key, where it asks for one.
        endpoint_name: What people call the server, where it is not our own.
    """

    def __init__(self, base_url: str, *, key: str = "", endpoint_name: str = "") -> None:
        self.base_url = base_url.rstrip("/") if endpoint_name else base_url.rstrip("/").removesuffix("/v1")
        self.endpoint_name = endpoint_name
        self._root = self.base_url if endpoint_name else f"{self.base_url}/v1"
        self._key = key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        timeout = httpx.Timeout(SECONDS_BETWEEN_PARTS, connect=SECONDS_TO_CONNECT)
        # Not through a proxy of the environment: the server is usually this machine, and a key must not travel.
        self._http = httpx.AsyncClient(headers=headers, timeout=timeout, trust_env=False)

    async def close(self) -> None:
        await self._http.aclose()

    async def list_models(self) -> list[ServedModel] | ChatError:
        """The models that the server offers now."""
        try:
            response = await self._http.get(f"{self._root}/models", timeout=SECONDS_FOR_A_LIST)
        except httpx.HTTPError as error:
            return self._unreachable(error)
        if not response.is_success:
            return self._refusal(response.status_code, response.text)
        try:
            entries = response.json()["data"]
            return [ServedModel(str(entry["id"]), (entry.get("hone") or {}).get("state")) for entry in entries]
        except (ValueError, KeyError, TypeError, AttributeError):
            return self._not_openai(response.headers.get("content-type", ""))

    async def ask(self, path: str, body: dict[str, Any]) -> dict[str, Any] | ChatError:
        """What the server says to one question, such as `/hone/score`."""
        try:
            response = await self._http.post(f"{self.base_url}{path}", json=body)
        except httpx.HTTPError as error:
            return self._unreachable(error)
        if not response.is_success:
            return self._refusal(response.status_code, response.text)
        answer: dict[str, Any] = response.json()
        return answer

    async def ask_for(self, shape: type[Shape], path: str, body: dict[str, Any], *, fault: type[HoneError]) -> Shape:
        """What our own server says to one question, read into the shape that its answer has.

        Raises:
            HoneError: of the class `fault`, if the server cannot be reached, refuses, or answers in another shape.
        """
        answer = await self.ask(path, body)
        if isinstance(answer, ChatError):
            raise fault(answer.message, answer.advice)
        try:
            return shape.model_validate(answer)
        except ValidationError as error:
            raise fault("The inference server answered in a shape that is not known here.", "Restart Hone.") from error

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
        body = self._body(model, messages, chat_settings)
        if continue_final_message:
            body["continue_final_message"] = True
        stream = _Reading()
        try:
            for _ in range(1 + MOST_FIELDS_TAKEN_BACK):
                async with self._http.stream("POST", f"{self._root}/chat/completions", json=body) as response:
                    if not response.is_success:
                        refused = (await response.aread()).decode("utf-8", errors="replace")
                        if self.endpoint_name and (milder := without_refused(body, response.status_code, refused)):
                            body = milder
                            continue
                        yield self._refusal(response.status_code, refused)
                        return
                    if "html" in (kind := response.headers.get("content-type", "")):
                        yield self._not_openai(kind)
                        return
                    async for line in response.aiter_lines():
                        for event in stream.read_line(line):
                            yield self._without_key(event) if isinstance(event, ChatError) else event
                        if stream.is_over:
                            return
                break
        except httpx.HTTPError as error:
            yield self._broken_off() if stream.num_parts else self._unreachable(error)
            return
        except (ValueError, KeyError, TypeError, AttributeError):
            yield self._broken_off() if stream.num_parts else self._not_openai("a stream of another shape")
            return
        yield stream.done() if stream.finish_reason else self._broken_off()

    def _body(self, model: str, messages: Sequence[dict[str, Any]], chat_settings: ChatSettings) -> dict[str, Any]:
        """The request; to an endpoint only what every server of the protocol takes."""
        body = {"model": model, "messages": list(messages), "stream": True, **chat_settings.as_request()}
        if not self.endpoint_name:
            return body | {"stream_options": {"include_usage": True}}
        needless = {"seed", *(["top_p"] if body.get("top_p") == 1 else [])}
        return {name: value for name, value in body.items() if name not in needless}

    @property
    def _called(self) -> str:
        if self.endpoint_name:
            return f"The endpoint {self.endpoint_name} ({self.base_url})"
        return f"The inference server at {self.base_url}"

    def _unreachable(self, error: httpx.HTTPError) -> ChatError:
        if isinstance(error, httpx.ReadTimeout):
            return ChatError(f"{self._called} has not answered in time.", "Send again.", "timeout")
        advice = (
            "Check that it is running and that this machine may reach it, then send again."
            if self.endpoint_name
            else "It may still be starting: wait a moment and send again; if it stays away, restart Hone."
        )
        return ChatError(f"{self._called} cannot be reached ({type(error).__name__}).", advice, "unreachable")

    def _broken_off(self) -> ChatError:
        return ChatError(
            f"{self._called} broke off in mid-answer.", "It may have been restarted: send again.", "broken_off"
        )

    def _not_openai(self, kind: str) -> ChatError:
        is_page = "html" in kind
        what = "a web page" if is_page else f"something else ({kind[:60] or 'of no kind'})"
        return ChatError(
            f"{self._called} answers, but not as OpenAI's protocol has it: it sent {what}.",
            "Check the address: it usually ends in /v1.",
            "web_page" if is_page else "not_openai",
        )

    def _refusal(self, status: int, text: str) -> ChatError:
        """What a server that refused has said, in words that never hold the key."""
        try:
            refused = _error_of(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError):
            said = "" if "<html" in text.lower() else f": {text.strip()[:200]}"
            refused = ChatError(f"{self._called} answered with status {status}{said.rstrip(': ')}.", code=str(status))
        else:
            if self.endpoint_name:
                refused = replace(refused, message=f"{self._called} refused: {refused.message[:500]}")
        if self.endpoint_name and status in _ADVICE_ON_STATUS:
            refused = replace(refused, advice=_ADVICE_ON_STATUS[status], code=str(status))
        return self._without_key(refused)

    def _without_key(self, error: ChatError) -> ChatError:
        """What a server said went wrong, where it repeats the key it was sent without that."""
        return replace(error, message=error.message.replace(self._key, "…")) if self._key else error


_ADVICE_ON_STATUS = {
    401: "Its key is missing or wrong: enter it again on the Settings page.",
    403: "Its key may not do this: ask who gave it out, or enter another on the Settings page.",
    404: "Check the address (it usually ends in /v1) and the model's name there.",
    429: "It limits how often it is asked, or its credit is used up: wait, then send again.",
}


@lru_cache(maxsize=1)
def own_server() -> InferenceClient:
    """The client of this installation's inference server, shared by all pages."""
    return InferenceClient(settings().inference_url, key=settings().inference_key or api_keys.own_key())


def client_for(model: Model) -> tuple[InferenceClient, str]:
    """Who answers for a model, and the model's name there.

    Raises:
        BadEndpoint: if its endpoint was removed.
        LostSecret: if the endpoint's key cannot be read any more.
    """
    if model.endpoint_id is None:
        return own_server(), model.name
    with reading() as session:
        endpoint = endpoints.get_endpoint(session, model.endpoint_id)
    return client_of(endpoint), model.source or model.name


def client_of(endpoint: Endpoint) -> InferenceClient:
    """The client of an endpoint, kept for as long as neither its address nor its key changes.

    Raises:
        LostSecret: if its key cannot be read any more.
    """
    return _client(endpoint.base_url, endpoints.key_of(endpoint), endpoint.name)


@lru_cache(maxsize=64)
def _client(base_url: str, key: str, name: str) -> InferenceClient:
    return InferenceClient(base_url, key=key, endpoint_name=name)


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
        events: list[ChatEvent] = [StillLoading(ours.get("share", 0.0))] if ours.get("state") == "loading" else []
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


def _error_of(body: dict[str, Any]) -> ChatError:
    error = body["error"]
    if isinstance(error, str):
        return ChatError(error)
    ours = body.get("hone") or {}
    message, advice = ours.get("message", error["message"]), ours.get("advice", "")
    return ChatError(str(message), str(advice), str(error.get("code") or error.get("type") or ""))
