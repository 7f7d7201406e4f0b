"""Asking servers elsewhere over real HTTP: what is sent to them, what their refusals become, and who answers for what."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from store import endpoints
from store.database import writing
from store.schema import Model
from webapp.inference_client import ChatError, ChatSettings, Delta, InferenceClient, client_for

KEY = "sk-very-secret-1234567890"
SAYS = [{"role": "user", "content": "Hello"}]


class Elsewhere:
    """A server whose model named `strict` refuses what reasoning models refuse, and which knows one key."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        elsewhere = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith("/page"):
                    self.reply(200, "<html>Welcome</html>", "text/html")
                elif self.headers.get("authorization") != f"Bearer {KEY}":
                    self.refuse(401, f"Incorrect key: {self.headers.get('authorization')}")
                elif self.path == "/v1/models":
                    self.reply(200, json.dumps({"data": [{"id": "strict"}, {"id": "plain"}]}))
                else:
                    self.reply(200, json.dumps({"models": []}))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                elsewhere.requests.append(body)
                if body["model"] == "strict" and "max_tokens" in body:
                    self.refuse(400, "Use 'max_completion_tokens' instead of 'max_tokens'.")
                elif body["model"] == "strict" and "temperature" in body:
                    self.refuse(400, "Unsupported value: 'temperature'.")
                elif body["model"] == "gone":
                    self.refuse(404, "No such model.")
                else:
                    chunk = {"model": body["model"], "choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}
                    self.reply(200, f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n", "text/event-stream")

            def refuse(self, status: int, message: str) -> None:
                self.reply(status, json.dumps({"error": {"message": message}}))

            def reply(self, status: int, text: str, kind: str = "application/json") -> None:
                self.send_response(status)
                self.send_header("content-type", kind)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    elsewhere = Elsewhere()
    yield elsewhere
    elsewhere.server.shutdown()


def listed(address: str, key: str = KEY) -> list[str] | ChatError:
    async def ask() -> list[str] | ChatError:
        client = InferenceClient(address, key=key, endpoint_name="There")
        found = await client.list_models()
        await client.close()
        return found if isinstance(found, ChatError) else [one.name for one in found]

    return asyncio.run(ask())


def answered(client: InferenceClient, name: str) -> tuple[str, ChatError | None]:
    async def ask() -> tuple[str, ChatError | None]:
        words, fault = "", None
        async for event in client.stream_chat(name, SAYS, ChatSettings(seed=3)):
            words += event.text if isinstance(event, Delta) else ""
            fault = event if isinstance(event, ChatError) else fault
        return words, fault

    return asyncio.run(ask())


def test_a_server_is_asked_for_its_models_with_its_key(elsewhere: Elsewhere) -> None:
    assert listed(f"{elsewhere.address}/v1") == ["strict", "plain"]


def test_refusals_become_sentences_that_name_the_endpoint_and_hide_the_key(elsewhere: Elsewhere) -> None:
    for address, key, words in (
        (f"{elsewhere.address}/v1", "sk-wrong", "refused"),
        (f"{elsewhere.address}/page", KEY, "it sent a web page"),
        (f"{elsewhere.address}/v2", KEY, "not as OpenAI's protocol has it"),
        ("http://127.0.0.1:9/v1", KEY, "cannot be reached"),
    ):
        fault = listed(address, key)
        assert isinstance(fault, ChatError)
        assert "The endpoint There" in fault.message
        assert words in fault.message
        assert fault.advice
        assert key not in fault.message


def test_an_endpoint_is_sent_only_what_the_protocol_has_everywhere(elsewhere: Elsewhere) -> None:
    client = InferenceClient(f"{elsewhere.address}/v1", key=KEY, endpoint_name="There")
    assert answered(client, "plain") == ("Hi", None)
    assert set(elsewhere.requests[0]) == {"model", "messages", "stream", "temperature", "max_tokens"}


def test_fields_that_a_model_refuses_are_taken_back(elsewhere: Elsewhere) -> None:
    client = InferenceClient(f"{elsewhere.address}/v1", key=KEY, endpoint_name="There")
    assert answered(client, "strict") == ("Hi", None)
    assert set(elsewhere.requests[-1]) == {"model", "messages", "stream", "max_completion_tokens"}


def test_a_model_that_is_not_there_is_told_of(elsewhere: Elsewhere) -> None:
    client = InferenceClient(f"{elsewhere.address}/v1", key=KEY, endpoint_name="There")
    words, fault = answered(client, "gone")
    assert words == ""
    assert fault is not None
    assert "No such model." in fault.message
    assert "model's name there" in fault.advice


@pytest.mark.usefixtures("home")
def test_a_model_is_answered_by_its_endpoint_under_its_name_there(elsewhere: Elsewhere) -> None:
    with writing() as session:
        endpoint = endpoints.add_endpoint(session, name="There", base_url=elsewhere.address, key=KEY)
        (model,) = endpoints.add_models(session, endpoint.id, ["org/plain"])
        own = Model(name="own", kind="full", folder="own")
        session.add(own)
    client, name_there = client_for(model)
    assert (client.endpoint_name, name_there) == ("There", "org/plain")
    assert client_for(model)[0] is client
    assert client_for(own)[1] == "own"
    with writing() as session:
        endpoints.change_key(session, endpoint.id, "another")
    assert client_for(model)[0] is not client
