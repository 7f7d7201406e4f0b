"""Benchmark: the engine against `transformers.generate`, for models that are compared and for people who come at once.

    python -m bench.generation                      a random Llama of 30M parameters on the CPU
    python -m bench.generation --base FOLDER --adapters FOLDER FOLDER FOLDER FOLDER

One person compares 1, 2 and 4 adapters of one base; then 1, 8 and 32 people ask one model, each something else.
`generate` answers one request after another: that is a server with a lock around the model, in which people wait
for those before them. All ways are measured interleaved in one run, in seconds of the wall and of the processor: the
ratio of the latter holds even on a machine that is busy with other work.
Every answer has the same number of tokens, greedily chosen.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
from transformers.generation import BaseStreamer

from pipeline.generation.engine import Engine
from pipeline.generation.requests import Failed, Finished, GenerationEvent, GenerationRequest, SamplingSettings
from tests.tiny_models import CHAT_TEMPLATE, byte_tokenizer

PROMPT = "Tell me about the sea and everything that lives in it."


def main() -> None:
    options = _parser().parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        base = options.base or make_base(Path(scratch) / "base")
        adapters = options.adapters or [make_adapter(Path(scratch) / f"adapter-{n}", base, n) for n in range(4)]
        report = measure(base, adapters, device=options.device, num_tokens=options.tokens, num_rounds=options.rounds)
    print(json.dumps(report, indent=2))


@dataclass(frozen=True)
class Question:
    """What one person asks one model."""

    model: Path
    messages: list[dict[str, str]]


Waits = list[float]
"""Seconds from the moment when all were asked until each answer's first token."""
Way = Callable[[Sequence[Question], int], Waits]


@dataclass(frozen=True)
class Run:
    """What one way of answering took once."""

    seconds: float
    processor_seconds: float
    waits: Waits


def measure(base: Path, adapters: Sequence[Path], *, device: str, num_tokens: int, num_rounds: int) -> dict[str, Any]:
    """Medians over the rounds of what each way takes for each set of questions."""
    engine = Engine(memory_budget_bytes=1 << 36, device=device)
    plain = PlainGenerate(base, adapters, device)
    ways: dict[str, Way] = {
        "engine": lambda asked, num_tokens: together(engine, asked, num_tokens),
        "engine_one_after_another": lambda asked, num_tokens: one_after_another(engine, asked, num_tokens),
        "generate": plain.one_after_another,
    }
    same = [{"role": "user", "content": PROMPT}]
    report: dict[str, Any] = {"device": device, "threads": torch.get_num_threads(), "tokens_per_answer": num_tokens}
    for num_models in (count for count in (1, 2, 4) if count <= len(adapters)):
        asked = [Question(model, same) for model in adapters[:num_models]]
        report[f"{num_models}_models"] = compare(ways, asked, num_tokens=num_tokens, num_rounds=num_rounds)
    for num_people in (1, 8, 32):
        asked = [Question(adapters[0], own_question(number)) for number in range(num_people)]
        two_ways = {name: way for name, way in ways.items() if name != "engine_one_after_another"}
        report[f"{num_people}_people"] = compare(two_ways, asked, num_tokens=num_tokens // 2, num_rounds=1)
    engine.close()
    return report


def own_question(number: int) -> list[dict[str, str]]:
    """A question like no other's, and of another length."""
    return [{"role": "user", "content": f"{PROMPT} This is question {number}." + " Be brief." * (number % 7)}]


def compare(ways: dict[str, Way], asked: Sequence[Question], *, num_tokens: int, num_rounds: int) -> dict[str, Any]:
    runs: dict[str, list[Run]] = {name: [] for name in ways}
    for way in ways.values():
        way(asked[:1], 2)  # warms everything up
    for _ in range(num_rounds):
        for name, way in ways.items():
            started, processor_at = time.perf_counter(), time.process_time()
            waits = way(asked, num_tokens)
            runs[name].append(Run(time.perf_counter() - started, time.process_time() - processor_at, waits))
    return {name: _summary(runs[name], runs["engine"], len(asked) * num_tokens) for name in ways}


def together(engine: Engine, asked: Sequence[Question], num_tokens: int) -> Waits:
    """All questions at once."""
    asked_at: list[float] = []
    waits: dict[int, float] = {}
    ends = threading.Semaphore(0)
    settings = SamplingSettings(temperature=0, max_tokens=num_tokens)
    started = time.perf_counter()
    for number, question in enumerate(asked):

        def on_event(event: GenerationEvent, number: int = number) -> None:
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Finished):
                stats = event.stats
                waits[number] = asked_at[number] + stats.seconds_loading + stats.seconds_to_first_token
                ends.release()

        asked_at.append(time.perf_counter() - started)
        engine.submit(GenerationRequest(str(question.model), question.messages, settings), on_event)
    for _ in asked:
        ends.acquire()
    return [waits[number] for number in range(len(asked))]


def one_after_another(engine: Engine, asked: Sequence[Question], num_tokens: int) -> Waits:
    started = time.perf_counter()
    waits = []
    for question in asked:
        waited = time.perf_counter() - started
        waits.append(waited + together(engine, [question], num_tokens)[0])
    return waits


class PlainGenerate:
    """transformers and peft as their documentation uses them: `set_adapter`, then `generate`."""

    def __init__(self, base: Path, adapters: Sequence[Path], device: str) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(adapters[0])
        self.model: Any = PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(base).to(device), str(adapters[0]), adapter_name=adapters[0].name
        )
        for adapter in adapters[1:]:
            self.model.load_adapter(str(adapter), adapter_name=adapter.name)
        self.model.eval()

    def one_after_another(self, asked: Sequence[Question], num_tokens: int) -> Waits:
        started = time.perf_counter()
        waits = []
        for question in asked:
            self.model.set_adapter(question.model.name)
            inputs = self.tokenizer.apply_chat_template(
                question.messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
            ).to(self.model.device)
            clock = FirstTokenClock()
            with torch.inference_mode():
                self.model.generate(
                    **inputs, max_new_tokens=num_tokens, min_new_tokens=num_tokens, do_sample=False, streamer=clock
                )
            waits.append(clock.first_at - started)
        return waits


class FirstTokenClock(BaseStreamer):
    """Notes when `generate` puts its first new token; the put before it is the prompt."""

    def __init__(self) -> None:
        self.num_puts = 0
        self.first_at = 0.0

    def put(self, value: torch.Tensor) -> None:
        self.num_puts += 1
        if self.num_puts == 2:
            self.first_at = time.perf_counter()

    def end(self) -> None:
        """Nothing is left to note."""


def make_base(folder: Path) -> Path:
    """About 30 million parameters, as the smallest useful models have."""
    torch.manual_seed(0)
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=8192,
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        bos_token_id=None,
        eos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def make_adapter(folder: Path, base: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    config = LoraConfig(r=16, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(str(folder))
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


def _summary(runs: Sequence[Run], of_engine: Sequence[Run], num_tokens: int) -> dict[str, float]:
    def median(values: Iterable[float]) -> float:
        return statistics.median(values)

    seconds, processor = median(run.seconds for run in runs), median(run.processor_seconds for run in runs)
    return {
        "tokens_per_second": round(num_tokens / seconds, 1),
        "first_token_median_seconds": round(median(median(run.waits) for run in runs), 3),
        "first_token_last_seconds": round(median(max(run.waits) for run in runs), 3),
        "processor_seconds": round(processor, 3),
        "engine_is_faster_by_the_wall": round(seconds / median(run.seconds for run in of_engine), 2),
        "engine_is_faster_by_the_processor": round(processor / median(run.processor_seconds for run in of_engine), 2),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, help="folder of the base model")
    parser.add_argument("--adapters", type=Path, nargs="+", help="folders of LoRA adapters on it")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--tokens", type=int, default=128, help="tokens of each answer; of half as many where many people ask"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads of torch")
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds; the medians are shown")
    return parser


if __name__ == "__main__":
    main()
