"""A turn of the playground over a real HTTP server that speaks OpenAI's protocol, and a real database."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from store import conversations
from store.database import engine_for, reading, upgrade, writing
from store.schema import Model
from store.settings import settings
from webapp.inference_client import ChatSettings, InferenceClient
from webapp.playground.answering import TurnInProgress, turn_in_progress

app = FastAPI()


@app.post("/v1/chat/completions")
async def chat(request: Request) -> Response:
    """`quick` says three words, `slow` never ends, `refusing` refuses, `broken` hangs up."""
    body = await request.json()
    model = body["model"]
    if model == "refusing":
        return JSONResponse({"error": {"message": "It does not fit.", "code": "does_not_fit"}}, status_code=503)

    async def stream() -> AsyncIterator[str]:
        said = body["messages"][-1]["content"]
        for number in range(10_000):
            if model == "quick" and number == 3:
                yield 'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
                return
            if model == "broken" and number == 2:
                return
            yield f"data: {json.dumps({'choices': [{'delta': {'content': f'{said}{number} '}}]})}\n\n"
            await asyncio.sleep(0.02)

    return StreamingResponse(stream(), media_type="text/event-stream")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("HONE_HOME", str(tmp_path))
    settings.cache_clear()
    upgrade()
    names = ("quick", "slow", "refusing", "broken")
    with writing() as session:
        session.add_all([Model(id=number, name=name, kind="full") for number, name in enumerate(names, 1)])
    yield tmp_path
    engine_for.cache_clear()
    settings.cache_clear()


def begin(*model_ids: int) -> str:
    with writing() as session:
        return conversations.create_conversation(
            session, prompt="sea", model_ids=model_ids, settings=ChatSettings(temperature=0).model_dump(mode="json")
        ).id


def saved(conversation_id: str) -> dict[str, tuple[str, str, str | None]]:
    with reading() as session:
        turn = conversations.load_conversation(session, conversation_id).turns[-1]
        return {one.model.name: (one.text, one.state, one.error) for one in turn.answers}


def test_columns_stream_at_once_and_each_ends_in_its_own_way(home: Path, address: str) -> None:
    conversation_id = begin(1, 2, 3, 4)

    async def run() -> int:
        client = InferenceClient(address)
        turn = TurnInProgress(conversation_id, lambda model: (client, model.name))
        num_views = 0
        async for _ in turn.run():
            num_views += 1
            states = {answer.model.name: answer.state for answer in turn.answers}
            others_are_over = all(state != "streaming" for name, state in states.items() if name != "slow")
            if others_are_over and states["slow"] == "streaming":
                assert turn_in_progress(conversation_id) is turn
                turn.stop(column=1)
        await client.close()
        return num_views

    assert asyncio.run(run()) >= 2
    answers = saved(conversation_id)
    assert answers["quick"] == ("sea0 sea1 sea2 ", "finished", None)
    assert answers["slow"][0].startswith("sea0 sea1 sea2 ")
    assert answers["slow"][1:] == ("stopped", None)
    assert answers["refusing"] == ("", "failed", "It does not fit.")
    assert answers["broken"][:2] == ("sea0 sea1 ", "failed")
    assert "broke off in mid-answer" in (answers["broken"][2] or "")
    assert turn_in_progress(conversation_id) is None


def test_a_browser_that_leaves_in_mid_answer_leaves_what_was_streamed(home: Path, address: str) -> None:
    conversation_id = begin(2)

    async def run() -> None:
        client = InferenceClient(address)
        views = TurnInProgress(conversation_id, lambda model: (client, model.name)).run()
        while True:
            (answer,) = await anext(views)
            if "sea4" in answer.text:
                break
        await views.aclose()
        await client.close()

    asyncio.run(run())
    text, state, _ = saved(conversation_id)["slow"]
    assert text.startswith("sea0 sea1 sea2 sea3 sea4 ")
    assert state == "stopped"


def test_a_long_answer_is_saved_while_it_is_written(home: Path, address: str) -> None:
    conversation_id = begin(2)

    async def run() -> tuple[str, str, str | None]:
        client = InferenceClient(address)
        views = TurnInProgress(conversation_id, lambda model: (client, model.name)).run()
        while not saved(conversation_id)["slow"][0]:
            await anext(views)
        so_far = saved(conversation_id)["slow"]
        await views.aclose()
        await client.close()
        return so_far

    text, state, _ = asyncio.run(asyncio.wait_for(run(), 10))
    assert text.startswith("sea0 ")
    assert state == "streaming"
