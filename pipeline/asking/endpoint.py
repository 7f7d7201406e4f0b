"""Endpoint: a model that another server answers for, by OpenAI's protocol."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import httpx

from pipeline.asking.access import EndpointAccess
from pipeline.asking.questions import CannotAnswer, Outcome, Question, Said
from pipeline.errors import HoneError
from pipeline.fingerprints import Fingerprint

MOST_AT_ONCE = 8
MOST_TRIES = 6
LONGEST_PAUSE_SECONDS = 60.0
SECONDS_TO_CONNECT = 10.0
SECONDS_FOR_AN_ANSWER = 600.0
PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Statuses after which the same request may well be answered a little later."""
OF_THE_QUESTION = frozenset({400, 413, 422})
"""Statuses that are about what was asked, not about who asks."""


class EndpointFailed(HoneError):
    """An endpoint cannot be had, or does not let us in."""

    kind = "endpoint_failed"


class ModelElsewhere:
    """A model of an endpoint; it is sent only what every server of the protocol takes.

    Args:
        name: Of the model, there.
        pause_seconds: How long to wait before a request that failed for a passing reason is sent again; each time
            twice as long.
    """

    most_at_once = MOST_AT_ONCE

    def __init__(self, access: EndpointAccess, name: str, *, pause_seconds: float = 1.0) -> None:
        self.access = access
        self.name = name
        self.fingerprint: Fingerprint = {"source": name, "endpoint": access.name}
        self.told: dict[str, Any] = {"name": name, "endpoint": access.name}
        self._pause_seconds = pause_seconds
        self._closing = threading.Event()
        self._refusals: list[tuple[int, str]] = []
        timeout = httpx.Timeout(SECONDS_FOR_AN_ANSWER, connect=SECONDS_TO_CONNECT)
        headers = {"Authorization": f"Bearer {access.key}"} if access.key else {}
        # Not through a proxy of the environment: a key must not travel.
        self._http = httpx.Client(headers=headers, timeout=timeout, trust_env=False)

    def ask(self, question: Question, on_end: Callable[[Outcome], None]) -> Callable[[], None]:
        cancelled = threading.Event()

        def work() -> None:
            try:
                outcome: Outcome = self._answer(question, cancelled)
            except HoneError as error:
                outcome = error
            except Exception as error:  # closed under it, or an answer of another shape: never a thread that only ends
                outcome = EndpointFailed(self._hidden(f"{self._called} failed ({type(error).__name__}: {error})."))
            on_end(outcome)

        # A thread of its own that the process need not wait for: an answer may take minutes, and a stop may not.
        threading.Thread(target=work, name="endpoint", daemon=True).start()
        return cancelled.set

    def close(self) -> None:
        self._closing.set()
        self._http.close()

    def _answer(self, question: Question, cancelled: threading.Event) -> Said:
        body = self._body(question)
        failure: HoneError = EndpointFailed(f"{self._called} was not asked.")
        for number in range(MOST_TRIES):
            pause = self._pause_seconds * 2**number
            try:
                response = self._http.post(f"{self.access.base_url}/chat/completions", json=body)
            except httpx.HTTPError as error:
                failure = self._unreachable(error)
            else:
                if response.is_success:
                    return self._read(response)
                milder = without_refused(body, response.status_code, response.text)
                if milder is not None:
                    self._refusals.append((response.status_code, response.text))
                    body = milder
                    continue
                failure = self._refusal(response)
                if response.status_code not in PASSING:
                    break
                pause = _asked_pause(response, pause)
            if cancelled.is_set() or self._closing.wait(min(pause, LONGEST_PAUSE_SECONDS)):
                break
        raise failure

    def _body(self, question: Question) -> dict[str, Any]:
        settings = question.settings
        body: dict[str, Any] = {"model": self.name, "messages": list(question.messages), "stream": False}
        body["temperature"] = settings.temperature
        if settings.top_p != 1:
            body["top_p"] = settings.top_p
        if settings.max_tokens is not None:
            body["max_tokens"] = settings.max_tokens
        for status, text in list(self._refusals):  # what this model has refused once, it is not sent again
            body = without_refused(body, status, text) or body
        return body

    def _read(self, response: httpx.Response) -> Said:
        try:
            answer = response.json()
            choice = answer["choices"][0]
            text = choice["message"].get("content") or ""
            num_tokens = int((answer.get("usage") or {}).get("completion_tokens") or 0)
            return Said(str(text), num_tokens, choice.get("finish_reason") != "length")
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            kind = response.headers.get("content-type", "of no kind")[:60]
            raise EndpointFailed(
                f"{self._called} answers, but not as OpenAI's protocol has it: it sent {kind}.",
                "Check its address on the Settings page: it usually ends in /v1.",
            ) from None

    @property
    def _called(self) -> str:
        return f"The endpoint {self.access.name}"

    def _unreachable(self, error: httpx.HTTPError) -> EndpointFailed:
        return EndpointFailed(
            f"{self._called} cannot be reached ({type(error).__name__}), after {MOST_TRIES} tries.",
            "Check that it is running and that this machine may reach it, then retry: what is written is kept.",
        )

    def _refusal(self, response: httpx.Response) -> HoneError:
        status = response.status_code
        said = self._hidden(_message_of(response))
        words = f"{self._called} answered with status {status}{f': {said}' if said else ''}."
        if status in OF_THE_QUESTION:
            return CannotAnswer(words, "Check the model's name there, and what it is asked.")
        return EndpointFailed(words, _ADVICE.get(status, "Retry later: what is written is kept."))

    def _hidden(self, text: str) -> str:
        """What was said, without the key and the address, which a server may repeat."""
        for secret in filter(None, (self.access.key, self.access.base_url)):
            text = text.replace(secret, "…")
        return text


_ADVICE = {
    401: "Its key is missing or wrong: enter it again on the Settings page, then retry.",
    403: "Its key may not do this: ask who gave it out, or enter another on the Settings page, then retry.",
    404: "Check the endpoint's address (it usually ends in /v1) and the model's name there.",
    429: "It limits how often it is asked, or its credit is used up: retry later; what is written is kept.",
}


def without_refused(body: dict[str, Any], status: int, refused: str) -> dict[str, Any] | None:
    """The request without the field that a server has refused, or None where it was refused for another reason.

    Models that reason take no temperature, and call the limit of an answer by another name.
    """
    if status not in (400, 422):
        return None
    if "max_tokens" in body and "max_completion_tokens" in refused:
        return {name: value for name, value in body.items() if name != "max_tokens"} | {
            "max_completion_tokens": body["max_tokens"]
        }
    for name in ("temperature", "top_p"):
        if name in body and name in refused:
            return {kept: value for kept, value in body.items() if kept != name}
    return None


def _asked_pause(response: httpx.Response, pause: float) -> float:
    """How long the server asks to be left alone, in seconds."""
    asked = response.headers.get("retry-after", "")
    return float(asked) if asked.replace(".", "", 1).isdecimal() else pause


def _message_of(response: httpx.Response) -> str:
    try:
        error = response.json()["error"]
        return str(error["message"] if isinstance(error, dict) else error)[:300].rstrip(". ")
    except (ValueError, KeyError, TypeError):
        return "" if "<html" in response.text.lower() else response.text.strip()[:200]
