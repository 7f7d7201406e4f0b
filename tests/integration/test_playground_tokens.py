"""What the playground shows of tokens and carries on, asked of the real inference server over tiny models."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator

import pytest

from tests.integration.test_inference_server import start_server
from tests.tiny_models import make_adapter, make_base
from webapp.inference_client import ChatSettings, Delta, Done, InferenceClient
from webapp.playground.tokens import NoTokens, render, score

QUESTION = [{"role": "user", "content": "What is 2 + 2?"}]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("served")
    base = make_base(home / "base", seed=1)
    adapter = make_adapter(home / "sft", base, seed=2)
    process, address = start_server(
        tmp_path_factory.mktemp("home"), "--model", f"base-1={base}", "--model", f"sft-1={adapter}"
    )
    yield address
    process.terminate()
    process.wait(20)


async def written(client: InferenceClient, messages: list[dict[str, str]], num_tokens: int) -> tuple[str, Done]:
    """An exact answer of so many tokens; one that ends with the assistant's words is carried on."""
    text, end = "", None
    async for event in client.stream_chat(
        "sft-1",
        messages,
        ChatSettings(temperature=0, max_tokens=num_tokens),
        continue_final_message=messages[-1]["role"] == "assistant",
    ):
        if isinstance(event, Delta):
            text += event.text
        elif isinstance(event, Done):
            end = event
    assert end is not None
    return text, end


def test_the_prompt_is_shown_as_the_model_sees_it(address: str) -> None:
    async def run() -> None:
        client = InferenceClient(address)
        rendered = await render(client, "base-1", QUESTION)
        await client.close()
        assert rendered.has_template
        assert rendered.text == "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\n"
        assert "".join(token.text for token in rendered.tokens) == rendered.text
        assert "<|im_end|>" in [token.text for token in rendered.tokens if token.is_special]

    asyncio.run(run())


def test_each_model_scores_each_answer_to_its_end(address: str) -> None:
    async def run() -> None:
        client = InferenceClient(address)
        base = await score(client, "base-1", QUESTION, ["Four.", "Five."], num_alternatives=3)
        tuned = await score(client, "sft-1", QUESTION, ["Four.", "Five."])
        await client.close()
        for one in (*base, *tuned):
            assert one.num_tokens > len("Four.")  # a byte a token, and what ends the turn
            assert one.logprob == pytest.approx(sum(token.logprob for token in one.tokens), abs=1e-3)
        assert "".join(token.text for token in base[0].tokens).startswith("Four.<|im_end|>")
        assert all(len(token.alternatives) == 3 for token in base[0].tokens)
        assert all(token.alternatives[0].logprob >= token.logprob - 1e-4 for token in base[0].tokens)
        assert all(sum(math.exp(other.logprob) for other in token.alternatives) <= 1.001 for token in base[0].tokens)
        assert abs(base[0].logprob - tuned[0].logprob) > 0.01

    asyncio.run(run())


def test_a_begun_answer_is_carried_on_and_not_answered(address: str) -> None:
    async def run() -> None:
        client = InferenceClient(address)
        answered, _ = await written(client, [*QUESTION], 6)
        carried, end = await written(client, [*QUESTION, {"role": "assistant", "content": "The sea is"}], 6)
        await client.close()
        assert carried != answered
        assert end.num_tokens > 0

    asyncio.run(run())


def test_a_model_that_is_not_served_is_an_error_for_a_person(address: str) -> None:
    async def run() -> None:
        client = InferenceClient(address)
        with pytest.raises(NoTokens, match="No model named 'nobody'"):
            await render(client, "nobody", QUESTION)
        await client.close()

    asyncio.run(run())
