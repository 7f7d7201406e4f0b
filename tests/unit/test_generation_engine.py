from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipeline.errors import BadModel
from pipeline.generation.engine import Engine, Ticket
from pipeline.generation.requests import (
    ContextTooLong,
    DoesNotFit,
    EngineFailed,
    Failed,
    Finished,
    GenerationEvent,
    GenerationRequest,
    Loading,
    Piece,
    SamplingSettings,
    Stats,
)
from pipeline.generation.residents import stored_bytes
from pipeline.generation.weights import Weights, load_weights
from pipeline.loading import ResolvedModel
from tests.tiny_models import CONTEXT_TOKENS, make_adapter, make_base

MEMORY = 1 << 30


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("models")
    base = make_base(home / "base", seed=1)
    return {
        "base": base,
        "sft": make_adapter(home / "sft", base, seed=2),
        "dpo": make_adapter(home / "dpo", base, seed=3),
        "dora": make_adapter(home / "dora", base, seed=4, use_dora=True),
        "other": make_base(home / "other", seed=5, hidden=32),
    }


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine(memory_budget_bytes=MEMORY)
    yield engine
    engine.close()


@dataclass
class Answer:
    """Collects one answer's events."""

    ticket: Ticket | None = None
    events: queue.Queue[GenerationEvent] = field(default_factory=queue.Queue)
    pieces: list[Piece] = field(default_factory=list)
    was_loading: bool = False

    def end(self) -> Finished | Failed:
        while True:
            event = self.events.get(timeout=60)
            if isinstance(event, Piece):
                self.pieces.append(event)
            elif isinstance(event, Loading):
                self.was_loading = True
            else:
                return event

    def stats(self) -> Stats:
        end = self.end()
        assert isinstance(end, Finished), end
        return end.stats

    def error(self) -> Exception:
        end = self.end()
        assert isinstance(end, Failed), end
        return end.error

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)


def ask(engine: Engine, model: Path, prompt: str = "What is 2 + 2?", **settings: Any) -> Answer:
    answer = Answer()
    request = GenerationRequest(
        model=str(model),
        messages=[{"role": "user", "content": prompt}],
        settings=SamplingSettings(**({"temperature": 0, "max_tokens": 24} | settings)),
    )
    answer.ticket = engine.submit(request, answer.events.put)
    return answer


def generate_alone(models: dict[str, Path], name: str, prompt: str, max_tokens: int) -> str:
    """What plain `transformers.generate` answers, one model and one prompt at a time."""
    base = "other" if name == "other" else "base"
    model: Any = AutoModelForCausalLM.from_pretrained(models[base])
    if name != base:
        model = PeftModel.from_pretrained(model, models[name])
    tokenizer = AutoTokenizer.from_pretrained(models[base])
    chat = [{"role": "user", "content": prompt}]
    inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    out = model.eval().generate(**inputs, max_new_tokens=max_tokens, do_sample=False)
    text: str = tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return text.rstrip("\N{REPLACEMENT CHARACTER}")


def test_rows_that_join_and_leave_a_mixed_batch_answer_as_each_model_does_alone(
    engine: Engine, models: dict[str, Path]
) -> None:
    asked = [
        ("base", "Tell me everything about the sea", 90),
        ("sft", "Hi", 8),
        ("dpo", "Name three colours, please", 60),
        ("sft", "A much longer question that makes its row the widest of the whole batch by far, I think", 40),
        ("base", "x", 1),
        ("dpo", "Late", 70),
    ]
    answers = []
    for name, prompt, max_tokens in asked:
        answer = ask(engine, models[name], prompt, max_tokens=max_tokens)
        answers.append(answer)
        if max_tokens > 1:  # the next joins while this one runs
            answer.pieces.append(next_piece(answer))
    for (name, prompt, max_tokens), answer in zip(asked, answers, strict=True):
        answer.stats()
        assert answer.text == generate_alone(models, name, prompt, max_tokens), (name, prompt)
    assert len({answers[at].text[:8] for at in (0, 1, 2)}) == 3, "the adapters must change the answers"


def next_piece(answer: Answer) -> Piece:
    while not isinstance(event := answer.events.get(timeout=60), Piece):
        assert isinstance(event, Loading), event
    return event


def test_an_adapter_that_cannot_share_its_base_is_loaded_on_its_own(engine: Engine, models: dict[str, Path]) -> None:
    answer = ask(engine, models["dora"], "Hello", max_tokens=30)
    answer.stats()
    assert answer.text == generate_alone(models, "dora", "Hello", 30)


def test_a_seed_gives_the_same_answer_beside_others_as_alone(engine: Engine, models: dict[str, Path]) -> None:
    drawn = {"temperature": 1.0, "top_p": 0.9, "seed": 5, "max_tokens": 40}
    alone = ask(engine, models["sft"], **drawn)
    alone_stats = alone.stats()
    beside = [ask(engine, models[name], temperature=1.3, max_tokens=40) for name in ("base", "dpo")]
    again = ask(engine, models["sft"], **drawn)
    assert again.stats().seed == alone_stats.seed == 5
    assert again.text == alone.text
    for answer in beside:
        answer.stats()


def test_stats_count_tokens_and_say_why_the_answer_ended(engine: Engine, models: dict[str, Path]) -> None:
    first = ask(engine, models["base"], "Hi", max_tokens=12)
    stats = first.stats()
    tokenizer = AutoTokenizer.from_pretrained(models["base"])
    chat = [{"role": "user", "content": "Hi"}]
    assert stats.num_prompt_tokens == len(tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"])
    assert (stats.num_tokens, stats.finish_reason) == (12, "length")
    assert first.was_loading
    assert stats.seconds_loading > 0
    assert stats.seconds_to_first_token > 0
    assert stats.tokens_per_second > 0


def test_a_stop_string_ends_the_answer_and_does_not_show(engine: Engine, models: dict[str, Path]) -> None:
    whole = ask(engine, models["base"], max_tokens=40)
    whole.stats()
    stop = whole.text[5:8]
    stopped = ask(engine, models["base"], max_tokens=40, stop=(stop,))
    assert stopped.stats().finish_reason == "stop"
    assert stopped.text == whole.text[: whole.text.index(stop)]


def test_cancelling_ends_one_row_and_leaves_the_other_whole(engine: Engine, models: dict[str, Path]) -> None:
    cancelled = ask(engine, models["sft"], max_tokens=200)
    other = ask(engine, models["base"], max_tokens=200)
    next_piece(cancelled)
    assert cancelled.ticket is not None
    cancelled.ticket.cancel()
    assert cancelled.stats().finish_reason == "cancelled"
    assert other.stats().num_tokens > 0
    expected = generate_alone(models, "base", "What is 2 + 2?", 200)
    assert other.text == expected
    assert engine.num_running == 0


def test_cancelling_frees_the_row_within_one_token(models: dict[str, Path]) -> None:
    steps = 0
    cancelled_at = 0

    def load(model: ResolvedModel, device: str) -> Weights:
        return Counting(load_weights(model, device)._model)

    class Counting(Weights):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            nonlocal steps
            steps += 1
            return super().forward(*args, **kwargs)

    engine = Engine(memory_budget_bytes=MEMORY, load=load)
    answer = Answer()
    ready = threading.Event()

    def on_event(event: GenerationEvent) -> None:
        nonlocal cancelled_at
        answer.events.put(event)
        if isinstance(event, Piece) and not cancelled_at:
            ready.wait(10)
            cancelled_at = steps
            assert answer.ticket is not None
            threading.Thread(target=answer.ticket.cancel).start()
            time.sleep(0.1)

    request = GenerationRequest(
        str(models["base"]), [{"role": "user", "content": "Hi"}], SamplingSettings(max_tokens=200)
    )
    answer.ticket = engine.submit(request, on_event)
    ready.set()
    assert answer.stats().finish_reason == "cancelled"
    assert steps - cancelled_at <= 1
    engine.close()


def test_a_prompt_longer_than_the_context_says_how_long_it_is_and_what_fits(
    engine: Engine, models: dict[str, Path]
) -> None:
    error = ask(engine, models["base"], "x" * 500).error()
    assert isinstance(error, ContextTooLong)
    assert error.num_received > 500
    assert error.num_fit == CONTEXT_TOKENS - 1
    assert f"{error.num_received:,}" in str(error)
    assert ask(engine, models["base"]).stats().num_tokens > 0


def test_an_answer_ends_where_the_context_does(engine: Engine, models: dict[str, Path]) -> None:
    stats = ask(engine, models["base"], "x" * 200, max_tokens=None).stats()
    assert stats.num_prompt_tokens + stats.num_tokens <= CONTEXT_TOKENS


def test_a_model_that_does_not_exist_is_refused_at_once(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(BadModel):
        ask(engine, tmp_path / "nothing")


def test_a_model_larger_than_the_memory_is_refused_with_both_sizes(models: dict[str, Path]) -> None:
    engine = Engine(memory_budget_bytes=50_000)
    error = ask(engine, models["base"]).error()
    assert isinstance(error, DoesNotFit)
    assert "0.3 MB" in str(error) or "0.4 MB" in str(error)
    assert "0.1 MB" in str(error)
    engine.close()


def test_the_least_recently_used_model_makes_room_for_the_next(models: dict[str, Path]) -> None:
    base, other = str(models["base"]), str(models["other"])
    engine = Engine(memory_budget_bytes=stored_bytes(base) + stored_bytes(other) // 2)
    assert ask(engine, models["base"]).stats().num_tokens
    assert (engine.state_of(base), engine.state_of(other)) == ("ready", "not_loaded")
    running = ask(engine, models["base"], max_tokens=150)
    waiting = ask(engine, models["other"])
    assert running.stats().num_tokens > 0
    assert waiting.stats().num_tokens > 0
    assert waiting.text == generate_alone(models, "other", "What is 2 + 2?", 24)
    assert (engine.state_of(base), engine.state_of(other)) == ("not_loaded", "ready")
    engine.close()


def test_a_forward_pass_that_fails_costs_its_rows_and_the_next_answer_is_right(models: dict[str, Path]) -> None:
    num_loads = 0

    def load(model: ResolvedModel, device: str) -> Weights:
        nonlocal num_loads
        num_loads += 1
        weights = load_weights(model, device)
        return Breaking(weights._model) if num_loads == 1 else weights

    class Breaking(Weights):
        num_calls = 0

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            self.num_calls += 1
            if self.num_calls == 4:
                raise RuntimeError("the device went away")
            return super().forward(*args, **kwargs)

    engine = Engine(memory_budget_bytes=MEMORY, load=load)
    error = ask(engine, models["sft"]).error()
    assert isinstance(error, EngineFailed)
    assert "the device went away" in str(error)
    assert "restarted" in str(error)
    again = ask(engine, models["sft"])
    again.stats()
    assert again.text == generate_alone(models, "sft", "What is 2 + 2?", 24)
    assert engine.num_restarts == 1
    engine.close()


@pytest.mark.parametrize("kind", [Loading, Piece, Finished])
def test_a_listener_that_raises_costs_only_its_own_row(
    engine: Engine, models: dict[str, Path], kind: type[GenerationEvent]
) -> None:
    def broken(event: GenerationEvent) -> None:
        if isinstance(event, kind):
            raise ValueError("no one is there")

    request = GenerationRequest(
        str(models["base"]), [{"role": "user", "content": "Hi"}], SamplingSettings(max_tokens=30)
    )
    engine.submit(request, broken)
    beside = ask(engine, models["base"], max_tokens=50)
    beside.stats()
    assert beside.text == generate_alone(models, "base", "What is 2 + 2?", 50)
    assert engine.num_restarts == 0


def test_logprobs_are_those_of_the_model(engine: Engine, models: dict[str, Path]) -> None:
    answer = ask(engine, models["base"], max_tokens=6, num_alternatives=3)
    end = answer.end()
    assert isinstance(end, Finished)
    told = [logprob for piece in answer.pieces for logprob in piece.logprobs] + list(end.tail_logprobs)
    assert len(told) == end.stats.num_tokens
    for logprob in told:
        assert logprob.logprob == logprob.alternatives[0][1] == max(value for _, value in logprob.alternatives)
        assert logprob.token == logprob.alternatives[0][0]
    model = AutoModelForCausalLM.from_pretrained(models["base"])
    tokenizer = AutoTokenizer.from_pretrained(models["base"])
    chat = [{"role": "user", "content": "What is 2 + 2?"}]
    inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        expected = model(**inputs).logits[0, -1].log_softmax(-1).max()
    assert told[0].logprob == pytest.approx(float(expected), abs=1e-4)


def test_a_broken_template_is_refused_and_the_engine_goes_on(
    engine: Engine, models: dict[str, Path], tmp_path: Path
) -> None:
    refusing = make_base(tmp_path / "refusing", chat_template="{{ raise_exception('Only poems') }}")
    with pytest.raises(Exception, match="Only poems"):
        ask(engine, refusing)
    assert ask(engine, models["base"]).stats().num_tokens > 0


def test_a_model_without_a_template_continues_the_text(engine: Engine, tmp_path: Path) -> None:
    plain = make_base(tmp_path / "plain", chat_template=None)
    answer = ask(engine, plain, "abc", max_tokens=5)
    assert answer.stats().num_prompt_tokens == 3


def test_many_people_at_once_all_get_their_own_answer(engine: Engine, models: dict[str, Path]) -> None:
    prompts = [f"Question number {number}" for number in range(70)]
    names = ["base", "sft", "dpo"]
    answers: list[Answer] = []
    lock = threading.Lock()

    def submit(number: int) -> None:
        answer = ask(engine, models[names[number % 3]], prompts[number], max_tokens=10)
        with lock:
            answers.append(answer)

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.stats().num_tokens > 0 for answer in answers] == [True] * 70
    checked = ask(engine, models["dpo"], prompts[2], max_tokens=10)
    checked.stats()
    assert checked.text == generate_alone(models, "dpo", prompts[2], 10)
