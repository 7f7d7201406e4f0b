from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipeline.generation.engine import Engine
from pipeline.generation.requests import (
    ContextTooLong,
    EngineFailed,
    Failed,
    GenerationEvent,
    GenerationRequest,
    Loading,
    SamplingSettings,
    Scored,
    ScoreEvent,
    ScoreRequest,
)
from pipeline.generation.scoring import STRETCH_TOKENS
from pipeline.generation.weights import Weights, load_weights
from pipeline.loading import ResolvedModel
from pipeline.training.preferences import score_pairs, tokenize_pairs
from tests.tiny_models import make_adapter, make_base

QUESTION = [{"role": "user", "content": "What is 2 + 2?"}]
ANSWER = "It is four."


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("scored")
    base = make_base(home / "base", seed=1)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 4 * STRETCH_TOKENS}))
    return {"base": base, "sft": make_adapter(home / "sft", base, seed=2)}


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine(memory_budget_bytes=1 << 30)
    yield engine
    engine.close()


def score(engine: Engine, model: Path, answer: str, messages: Any = QUESTION, num_alternatives: int = 0) -> Scored:
    prompt, scored = engine.tokenizer_of(str(model)).scored_tokens(messages, answer)
    end = end_of(engine, ScoreRequest(str(model), prompt, scored, num_alternatives))
    assert isinstance(end, Scored), end
    return end


def end_of(engine: Engine, request: ScoreRequest) -> Scored | Failed:
    events: queue.Queue[ScoreEvent] = queue.Queue()
    engine.score(request, events.put)
    while isinstance(event := events.get(timeout=60), Loading):
        pass
    return event


def model_alone(models: dict[str, Path], name: str) -> Any:
    model: Any = AutoModelForCausalLM.from_pretrained(models["base"])
    return (model if name == "base" else PeftModel.from_pretrained(model, models[name])).eval()


@pytest.mark.parametrize("name", ["base", "sft"])
def test_a_score_is_the_sum_that_a_plain_forward_pass_gives(engine: Engine, models: dict[str, Path], name: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(models["base"])
    prompt = "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\n"
    answer_ids = tokenizer.encode(f"{ANSWER}<|im_end|>\n", add_special_tokens=False)
    prompt_ids = tokenizer.encode(prompt, add_special_tokens=False)
    with torch.no_grad():
        logits = model_alone(models, name)(torch.tensor([prompt_ids + answer_ids])).logits[0]
    logprobs = logits.log_softmax(-1)
    by_hand = [float(logprobs[len(prompt_ids) - 1 + at, token]) for at, token in enumerate(answer_ids)]
    told = score(engine, models[name], ANSWER).logprobs
    assert [one.logprob for one in told] == pytest.approx(by_hand, abs=1e-4)
    assert "".join(one.token for one in told) == f"{ANSWER}<|im_end|>\n"


def test_a_score_is_the_sum_that_preference_training_compares(
    engine: Engine, models: dict[str, Path], tmp_path: Path
) -> None:
    row: Any = {
        "prompt": QUESTION,
        "chosen": [{"role": "assistant", "content": ANSWER}],
        "rejected": [{"role": "assistant", "content": "I do not know"}],
    }
    context: Any = None
    pairs = tokenize_pairs(
        AutoTokenizer.from_pretrained(models["base"]), [row], max_length=200, context=context, what="test"
    )
    trained = score_pairs(model_alone(models, "sft"), pairs, pad_id=0, batch_size=1)
    for answer, expected in ((ANSWER, trained.chosen[0]), ("I do not know", trained.rejected[0])):
        told = sum(one.logprob for one in score(engine, models["sft"], answer).logprobs)
        assert told == pytest.approx(expected, abs=1e-3)


def test_a_long_prompt_and_answer_read_in_stretches_score_as_in_one(engine: Engine, models: dict[str, Path]) -> None:
    messages = [{"role": "user", "content": "Why? " * (STRETCH_TOKENS // 4)}]
    answer = "Because. " * (STRETCH_TOKENS // 6)
    prompt, scored = engine.tokenizer_of(str(models["sft"])).scored_tokens(messages, answer)
    assert min(len(prompt), len(scored)) > STRETCH_TOKENS
    with torch.no_grad():
        logits = model_alone(models, "sft")(torch.tensor([prompt + scored])).logits[0]
    expected = logits.log_softmax(-1)[len(prompt) - 1 : -1].gather(1, torch.tensor(scored).unsqueeze(1)).squeeze(1)
    told = [one.logprob for one in score(engine, models["sft"], answer, messages).logprobs]
    assert told == pytest.approx(expected.tolist(), abs=1e-3)


def test_alternatives_are_the_likeliest_and_name_what_the_model_would_have_said(
    engine: Engine, models: dict[str, Path]
) -> None:
    for one in score(engine, models["base"], ANSWER, num_alternatives=3).logprobs:
        values = [value for _, value in one.alternatives]
        assert len(values) == 3
        assert values == sorted(values, reverse=True)
        assert one.logprob <= values[0] + 1e-6


def test_scores_are_read_between_the_steps_of_an_answer_and_change_nothing_in_it(
    engine: Engine, models: dict[str, Path]
) -> None:
    def answer_beside(num_scores: int) -> tuple[str, list[str]]:
        events: queue.Queue[tuple[str, GenerationEvent | ScoreEvent]] = queue.Queue()
        settings = SamplingSettings(temperature=0, max_tokens=60)
        engine.submit(
            GenerationRequest(str(models["base"]), QUESTION, settings), lambda event: events.put(("answer", event))
        )
        prompt, scored = engine.tokenizer_of(str(models["sft"])).scored_tokens(QUESTION, ANSWER)
        for _ in range(num_scores):
            engine.score(ScoreRequest(str(models["sft"]), prompt, scored), lambda event: events.put(("score", event)))
        text, order = "", []
        while order.count("answer") < 1 or order.count("score") < num_scores:
            whose, event = events.get(timeout=60)
            text += getattr(event, "text", "")
            if not isinstance(event, Loading) and not hasattr(event, "text"):
                order.append(whose)
        return text, order

    alone, _ = answer_beside(0)
    beside, order = answer_beside(3)
    assert beside == alone
    assert order == ["score", "score", "score", "answer"]


def test_what_is_longer_than_the_context_is_refused_with_both_lengths(engine: Engine, models: dict[str, Path]) -> None:
    end = end_of(engine, ScoreRequest(str(models["base"]), [5] * 10, [6] * 4 * STRETCH_TOKENS))
    assert isinstance(end, Failed)
    assert isinstance(end.error, ContextTooLong)
    assert end.error.num_received == 10 + 4 * STRETCH_TOKENS


def test_a_score_that_breaks_fails_and_the_next_one_is_right(engine: Engine, models: dict[str, Path]) -> None:
    expected = score(engine, models["sft"], ANSWER)
    num_loads = 0

    class Breaking(Weights):
        def last_logits(self, *args: Any, **kwargs: Any) -> Any:
            raise RuntimeError("the device went away")

    def load(model: ResolvedModel, device: str) -> Weights:
        nonlocal num_loads
        num_loads += 1
        weights = load_weights(model, device)
        return Breaking(weights._model) if num_loads == 1 else weights

    breaking = Engine(memory_budget_bytes=1 << 30, load=load)
    prompt, scored = breaking.tokenizer_of(str(models["sft"])).scored_tokens(QUESTION, ANSWER)
    end = end_of(breaking, ScoreRequest(str(models["sft"]), prompt, scored))
    assert isinstance(end, Failed)
    assert isinstance(end.error, EngineFailed)
    assert score(breaking, models["sft"], ANSWER) == expected
    assert breaking.num_restarts == 1
    breaking.close()
