"""The real server process over tiny models, spoken to by OpenAI's own client and by ours."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from tests.tiny_models import CONTEXT_TOKENS, make_adapter, make_base
from webapp.inference_client import ChatError, ChatSettings, Delta, Done, InferenceClient, StillLoading

GREEDY = ChatSettings(temperature=0, max_tokens=30)
QUESTION = [{"role": "user", "content": "What is 2 + 2?"}]


def start_server(home: Path, *arguments: str, **environment: str) -> tuple[subprocess.Popen[str], str]:
    """A server on a free port, and its address once it answers."""
    process = subprocess.Popen(
        [sys.executable, "-m", "workers.inference", "--port", "0", "--device", "cpu", "--watch-stdin", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"HONE_HOME": str(home), "HONE_INFERENCE_HOST": "127.0.0.1"} | environment,
        text=True,
    )
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    assert address.startswith("http://127.0.0.1:"), f"the server did not start: {address!r}"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{address}/health", timeout=2)
            return process, address
        except httpx.HTTPError:
            time.sleep(0.1)
    raise AssertionError("the server never answered")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("served")
    base = make_base(home / "base", seed=1)
    return {
        "base-1": base,
        "sft-1": make_adapter(home / "sft", base, seed=2),
        "other-1": make_base(home / "other", seed=9, hidden=32),
        "picky": make_base(home / "picky", chat_template="{{ raise_exception('System prompts are not known') }}"),
        "gone": home / "gone",
    }


@pytest.fixture(scope="module")
def address(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    named = [part for name, folder in folders.items() for part in ("--model", f"{name}={folder}")]
    process, address = start_server(tmp_path_factory.mktemp("home"), *named)
    yield address
    process.terminate()
    process.wait(20)


@pytest.fixture(scope="module")
def client(address: str) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{address}/v1", api_key="none", max_retries=0, http_client=httpx.Client(trust_env=False)
    )


def ask(client: openai.OpenAI, model: str, **options: object) -> openai.types.chat.ChatCompletion:
    wanted = {"temperature": 0, "max_tokens": 30, "messages": QUESTION} | options
    return client.chat.completions.create(model=model, **wanted)  # type: ignore[call-overload, no-any-return]


def test_the_models_are_listed_with_their_state(client: openai.OpenAI) -> None:
    ask(client, "base-1")
    listed = {model.id: model.hone["state"] for model in client.models.list()}  # type: ignore[attr-defined]
    assert listed["base-1"] == "ready"
    assert listed["gone"] == "unusable"


def test_a_stream_joins_to_the_whole_answer_and_counts_the_same(client: openai.OpenAI) -> None:
    whole = ask(client, "sft-1")
    stream = client.chat.completions.create(
        model="sft-1",
        messages=QUESTION,  # type: ignore[arg-type]
        temperature=0,
        max_tokens=30,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert reasons == [whole.choices[0].finish_reason]


def test_an_adapter_answers_otherwise_than_its_base(client: openai.OpenAI) -> None:
    assert ask(client, "base-1").choices[0].message.content != ask(client, "sft-1").choices[0].message.content


def test_n_answers_are_drawn_by_seeds_that_follow_one_another(client: openai.OpenAI) -> None:
    three = ask(client, "base-1", n=3, temperature=1.2, seed=40)
    texts = [choice.message.content for choice in three.choices]
    assert len(set(texts)) == 3
    assert texts[2] == ask(client, "base-1", temperature=1.2, seed=42).choices[0].message.content
    assert three.usage is not None
    assert three.usage.completion_tokens > 30


def test_stop_strings_and_limits_say_why_the_answer_ended(client: openai.OpenAI) -> None:
    whole = ask(client, "base-1")
    text = whole.choices[0].message.content or ""
    assert whole.choices[0].finish_reason == "length"
    stopped = ask(client, "base-1", stop=[text[6:9]])
    assert stopped.choices[0].finish_reason == "stop"
    assert stopped.choices[0].message.content == text[: text.index(text[6:9])]


def test_logprobs_come_with_every_token(client: openai.OpenAI) -> None:
    choice = ask(client, "base-1", max_tokens=5, logprobs=True, top_logprobs=2).choices[0]
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    assert len(choice.logprobs.content) == 5
    for token in choice.logprobs.content:
        assert len(token.top_logprobs) == 2
        assert token.logprob == token.top_logprobs[0].logprob <= 0


def test_text_parts_are_read_as_one_text(client: openai.OpenAI) -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "What is "}, {"type": "text", "text": "2 + 2?"}]}]
    assert ask(client, "base-1", messages=parts).choices[0] == ask(client, "base-1").choices[0]


def test_a_model_that_is_not_served_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="'nobody'") as caught:
        ask(client, "nobody")
    assert caught.value.code == "model_not_found"


def test_a_model_whose_folder_is_gone_says_so(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="no model folder"):
        ask(client, "gone")


def test_a_prompt_beyond_the_context_says_how_long_it_is_and_what_fits(client: openai.OpenAI) -> None:
    long = [{"role": "user", "content": "x" * 400}]
    said = rf"4\d\d tokens long, and at most {CONTEXT_TOKENS - 1} "
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match=said) as caught:
            ask(client, "base-1", messages=long, stream=stream)
        assert caught.value.code == "context_length_exceeded"


def test_a_template_that_refuses_is_told_in_its_own_words(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="System prompts are not known"):
        ask(client, "picky")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temperature": 9}, "temperature"),
        ({"messages": []}, "messages"),
        ({"frequency_penalty": 1.5}, "frequency_penalty is not supported"),
        ({"stop": [str(number) for number in range(40)]}, "stop"),
    ],
)
def test_settings_out_of_bounds_are_refused_by_name(
    client: openai.OpenAI, options: dict[str, object], said: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=said):
        ask(client, "base-1", **options)


def test_a_stranger_page_cannot_reach_it_by_another_host_name(address: str) -> None:
    assert httpx.get(f"{address}/v1/models", headers={"Host": "evil.example"}, trust_env=False).status_code == 400


def test_closing_the_connection_frees_its_rows(client: openai.OpenAI, address: str) -> None:
    def seconds_until_free(*, should_read_all: bool) -> float:
        stream = client.chat.completions.create(
            model="base-1", messages=[{"role": "user", "content": "Go on"}], temperature=0, stream=True, n=16
        )
        started = time.monotonic()
        next(iter(stream))
        if should_read_all:
            list(stream)
        stream.close()
        while httpx.get(f"{address}/health", trust_env=False).json()["num_running"]:
            time.sleep(0.01)
        return time.monotonic() - started

    seconds_to_the_end = seconds_until_free(should_read_all=True)
    assert seconds_until_free(should_read_all=False) < seconds_to_the_end / 2


async def collect(client: InferenceClient, model: str, prompt: str) -> tuple[str, Done]:
    text, done = "", None
    async for event in client.stream_chat(model, [{"role": "user", "content": prompt}], GREEDY):
        assert not isinstance(event, ChatError), event
        if isinstance(event, Delta):
            text += event.text
        elif isinstance(event, Done):
            done = event
    assert done is not None
    return text, done


def test_models_of_one_base_and_of_another_answer_at_the_same_time(client: openai.OpenAI, address: str) -> None:
    async def both() -> list[tuple[str, Done]]:
        own = InferenceClient(address)
        try:
            names = ("base-1", "sft-1", "other-1", "sft-1")
            return await asyncio.gather(*(collect(own, name, "What is 2 + 2?") for name in names))
        finally:
            await own.close()

    answers = asyncio.run(both())
    for (text, done), name in zip(answers, ("base-1", "sft-1", "other-1", "sft-1"), strict=True):
        assert text == ask(client, name).choices[0].message.content
        assert done.num_tokens == 30
        assert done.seconds_to_first_token > 0
        assert done.tokens_per_second > 0
        assert done.finish_reason == "length"


def test_our_client_turns_trouble_into_sentences(address: str) -> None:
    async def errors() -> list[ChatError]:
        own, nowhere = InferenceClient(address), InferenceClient("http://127.0.0.1:9")
        asked = [(own, "nobody", "Hi"), (own, "base-1", "x" * 400), (nowhere, "base-1", "Hi")]
        told = []
        for client, model, prompt in asked:
            events = [event async for event in client.stream_chat(model, [{"role": "user", "content": prompt}], GREEDY)]
            told += [event for event in events if not isinstance(event, StillLoading)]
        listed = await nowhere.list_models()
        await own.close()
        await nowhere.close()
        assert isinstance(listed, ChatError)
        return [*told, listed]  # type: ignore[list-item]

    unknown, too_long, unreachable, unlisted = asyncio.run(errors())
    assert "'nobody'" in unknown.message
    assert too_long.code == "context_length_exceeded"
    assert "cannot be reached" in unreachable.message
    assert "cannot be reached" in unlisted.message


def test_a_key_is_asked_for_where_one_is_set(folders: dict[str, Path], tmp_path: Path) -> None:
    process, address = start_server(tmp_path, "--model", f"base-1={folders['base-1']}", HONE_INFERENCE_KEY="sesame")
    try:
        assert httpx.get(f"{address}/v1/models", trust_env=False).status_code == 401
        allowed = httpx.get(f"{address}/v1/models", headers={"Authorization": "Bearer sesame"}, trust_env=False)
        assert allowed.json()["data"][0]["id"] == "base-1"
    finally:
        process.kill()
        process.wait(20)


def test_the_server_ends_with_the_process_that_started_it(folders: dict[str, Path], tmp_path: Path) -> None:
    process, address = start_server(tmp_path, "--model", f"base-1={folders['base-1']}")
    assert httpx.get(f"{address}/health", trust_env=False).json()["status"] == "ok"
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(10) != 0


def test_a_taken_port_and_an_open_door_are_each_one_clear_line(address: str, tmp_path: Path) -> None:
    port = address.rsplit(":", 1)[1]
    for arguments, said in ((["--port", port], "Cannot listen"), (["--host", "0.0.0.0"], "HONE_INFERENCE_KEY")):
        ended = subprocess.run(
            [sys.executable, "-m", "workers.inference", "--port", "0", *arguments],
            env=os.environ | {"HONE_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode != 0
        assert said in ended.stderr
        assert ended.stderr.count("\n") == 1


def complete(client: openai.OpenAI, prompt: object, **options: object) -> openai.types.Completion:
    wanted = {"temperature": 0, "max_tokens": 12, "model": "base-1"} | options
    return client.completions.create(prompt=prompt, **wanted)  # type: ignore[call-overload, no-any-return]


def test_a_completion_carries_the_text_on_without_a_template(client: openai.OpenAI) -> None:
    turn = "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\n"
    whole = complete(client, turn)
    chat = ask(client, "base-1", max_tokens=12)
    assert whole.choices[0].text == chat.choices[0].message.content
    assert whole.usage == chat.usage
    assert complete(client, turn, echo=True).choices[0].text == turn + whole.choices[0].text
    assert complete(client, [list(turn.encode())], max_tokens=2).choices[0].finish_reason == "length"


def test_a_completion_streams_what_it_would_say_at_once(client: openai.OpenAI) -> None:
    whole = complete(client, "The sea", n=2, seed=3, temperature=1, echo=True)
    chunks = list(
        client.completions.create(
            model="base-1",
            prompt="The sea",
            n=2,
            seed=3,
            temperature=1,
            max_tokens=12,
            echo=True,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    for choice in whole.choices:
        parts = [part.text for chunk in chunks for part in chunk.choices if part.index == choice.index]
        assert "".join(parts) == choice.text
    assert chunks[-1].usage == whole.usage


def test_several_prompts_have_n_answers_each_in_their_order(client: openai.OpenAI) -> None:
    both = complete(client, ["The sea", "A much longer text about hills"], n=2, seed=7, temperature=1.1)
    assert [choice.index for choice in both.choices] == [0, 1, 2, 3]
    alone = complete(client, "A much longer text about hills", n=2, seed=7, temperature=1.1)
    assert [choice.text for choice in both.choices[2:]] == [choice.text for choice in alone.choices]
    assert both.usage is not None
    assert alone.usage is not None
    assert both.usage.prompt_tokens == len("The sea") + alone.usage.prompt_tokens


def test_a_completion_stops_and_reports_logprobs_in_the_older_shape(client: openai.OpenAI) -> None:
    whole = complete(client, "The sea", logprobs=2)
    choice = whole.choices[0]
    assert choice.logprobs is not None
    assert choice.logprobs.tokens is not None
    assert len(choice.logprobs.tokens) == 12
    for logprob, likeliest in zip(
        choice.logprobs.token_logprobs or [], choice.logprobs.top_logprobs or [], strict=True
    ):
        assert logprob == pytest.approx(max(likeliest.values()))
    stop = choice.text[3:5]
    assert complete(client, "The sea", stop=stop).choices[0].text == choice.text[: choice.text.index(stop)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prompt": [9999]}, "token 9999"),
        ({"prompt": ["Hi"] * 65}, "1 to 64 answers"),
        ({"suffix": "the end"}, "suffix"),
        ({"echo": True, "logprobs": 1}, "/hone/score"),
        ({"logprobs": 99}, "logprobs"),
        ({"max_tokens": -1}, "max_tokens"),
    ],
)
def test_a_completion_that_cannot_be_done_is_refused_by_name(
    client: openai.OpenAI, options: dict[str, object], said: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=said):
        complete(client, **({"prompt": "Hi"} | options))  # type: ignore[arg-type]
    with pytest.raises(openai.NotFoundError):
        complete(client, "Hi", model="nobody")


def test_the_same_seed_draws_the_same_answer_and_another_seed_another(client: openai.OpenAI) -> None:
    first, again, other = (
        ask(client, "sft-1", temperature=1.2, seed=seed).choices[0].message.content for seed in (5, 5, 6)
    )
    assert first == again != other


def test_an_answer_that_was_begun_is_carried_on_as_if_never_interrupted(client: openai.OpenAI) -> None:
    whole = ask(client, "base-1", max_tokens=12).choices[0].message.content or ""
    begun = [*QUESTION, {"role": "assistant", "content": "Four, because"}]
    goes_on = ask(client, "base-1", messages=begun, max_tokens=8, extra_body={"continue_final_message": True})
    prompt = "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\nFour, because"
    assert goes_on.choices[0].message.content == complete(client, prompt, max_tokens=8).choices[0].text
    assert goes_on.choices[0].message.content != whole[:8]
    with pytest.raises(openai.BadRequestError, match="role 'user'"):
        ask(client, "base-1", extra_body={"continue_final_message": True})


def post(address: str, path: str, **body: object) -> httpx.Response:
    return httpx.post(f"{address}{path}", json={"model": "base-1", "messages": QUESTION} | body, trust_env=False)


def test_a_rendered_prompt_is_what_the_model_reads(client: openai.OpenAI, address: str) -> None:
    shown = post(address, "/hone/render").json()
    assert shown["text"] == "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\n"
    assert shown["has_template"] is True
    assert "".join(token["text"] for token in shown["tokens"]) == shown["text"]
    usage = ask(client, "base-1").usage
    assert usage is not None
    assert len(shown["tokens"]) == usage.prompt_tokens
    assert shown["tokens"][0]["is_special"]
    assert not shown["tokens"][1]["is_special"]


def test_a_score_names_the_alternatives_that_the_model_would_have_written(client: openai.OpenAI, address: str) -> None:
    written = ask(client, "sft-1", max_tokens=1, logprobs=True, top_logprobs=2).choices[0].logprobs
    assert written is not None
    assert written.content is not None
    expected = {one.token: pytest.approx(one.logprob, abs=1e-4) for one in written.content[0].top_logprobs}
    body = {"model": "sft-1", "answers": ["Four", "I cannot say"], "num_alternatives": 2}
    for answer, told in zip(
        ("Four", "I cannot say"), post(address, "/hone/score", **body).json()["answers"], strict=True
    ):
        assert "".join(token["text"] for token in told["tokens"]) == f"{answer}<|im_end|>\n"
        assert told["num_tokens"] == len(told["tokens"])
        assert told["logprob"] == pytest.approx(sum(token["logprob"] for token in told["tokens"]))
        assert {one["text"]: one["logprob"] for one in told["tokens"][0]["alternatives"]} == expected


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/hone/render", {"model": "nobody"}, 404, "'nobody'"),
        ("/hone/render", {"model": "picky"}, 400, "System prompts are not known"),
        ("/hone/render", {"messages": []}, 400, "messages"),
        ("/hone/score", {"answers": []}, 400, "answers"),
        ("/hone/score", {"answers": ["Hi"], "num_alternatives": 21}, 400, "num_alternatives"),
        ("/hone/score", {"answers": ["x" * CONTEXT_TOKENS]}, 400, "tokens long"),
    ],
)
def test_what_cannot_be_shown_or_scored_is_refused_in_openai_shape(
    address: str, path: str, body: dict[str, object], status: int, said: str
) -> None:
    response = post(address, path, **body)
    assert response.status_code == status
    assert said in response.json()["error"]["message"]


def test_keys_of_the_store_open_the_server_until_they_are_revoked(tmp_path: Path) -> None:
    def in_store(code: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", f"from store import api_keys, database\n{code}"],
            env=os.environ | {"HONE_HOME": str(tmp_path)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    in_store("database.upgrade()")
    process, address = start_server(tmp_path)
    try:
        models = f"{address}/v1/models"
        assert httpx.get(models, trust_env=False).status_code == 200, "there is no key yet, so none is asked for"
        key = in_store("with database.writing() as session: print(api_keys.create(session, name='script')[1])")
        own = in_store("print(api_keys.own_key())")
        for sent, status in (("", 401), ("wrong", 401), (key, 200), (own, 200)):
            headers = {"Authorization": f"Bearer {sent}"} if sent else {}
            assert httpx.get(models, headers=headers, trust_env=False).status_code == status
            assert httpx.post(f"{address}/hone/render", headers=headers, trust_env=False).status_code == (
                401 if status == 401 else 400
            )
        stranger = openai.OpenAI(
            base_url=f"{address}/v1", api_key="wrong", max_retries=0, http_client=httpx.Client(trust_env=False)
        )
        with pytest.raises(openai.AuthenticationError):
            ask(stranger, "anything")
        in_store("with database.writing() as session: api_keys.revoke(session, 1)")
        assert httpx.get(models, trust_env=False).status_code == 200, "the only key is revoked"
    finally:
        process.kill()
        process.wait(20)
