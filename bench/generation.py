"""Benchmark: comparing 1, 2 and 4 adapters of one base in one batch, against `transformers.generate` one after another.

    python bench/generation.py                      a random Llama of 30M parameters on the CPU
    python bench/generation.py --base FOLDER --adapters FOLDER FOLDER FOLDER FOLDER

All ways are measured interleaved in one run, in seconds of the wall and of the processor: the ratio of the latter holds
even on a machine that is busy with other work.
Every answer has the same number of tokens, greedily chosen.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
from transformers.generation import BaseStreamer

from pipeline.generation.engine import Engine
from pipeline.generation.requests import Failed, Finished, GenerationEvent, GenerationRequest, SamplingSettings
from tests.tiny_models import CHAT_TEMPLATE, byte_tokenizer

MESSAGES = [{"role": "user", "content": "Tell me about the sea and everything that lives in it."}]


def main() -> None:
    options = _parser().parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        base = options.base or make_base(Path(scratch) / "base")
        adapters = options.adapters or [make_adapter(Path(scratch) / f"adapter-{n}", base, n) for n in range(4)]
        report = measure(base, adapters, device=options.device, num_tokens=options.tokens, num_rounds=options.rounds)
    print(json.dumps(report, indent=2))


def measure(base: Path, adapters: Sequence[Path], *, device: str, num_tokens: int, num_rounds: int) -> dict[str, Any]:
    """Medians over the rounds: seconds until all answers are whole, and until the last of them has begun."""
    engine = Engine(memory_budget_bytes=1 << 36, device=device)
    plain = PlainGenerate(base, adapters, device)
    report: dict[str, Any] = {"device": device, "threads": torch.get_num_threads(), "tokens_per_answer": num_tokens}
    for num_models in (count for count in (1, 2, 4) if count <= len(adapters)):
        chosen = list(adapters[:num_models])
        ways: dict[str, Callable[[], tuple[float, float]]] = {
            "engine_one_batch": lambda chosen=chosen: together(engine, chosen, num_tokens),  # type: ignore[misc]
            "engine_one_after_another": lambda chosen=chosen: in_turn(engine, chosen, num_tokens),  # type: ignore[misc]
            "generate_one_after_another": lambda chosen=chosen: plain.in_turn(chosen, num_tokens),  # type: ignore[misc]
        }
        rounds: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
        for number in range(num_rounds + 1):
            for name, run in ways.items():
                processor_at = time.process_time()
                taken = run()
                if number:  # the first round warms everything up
                    rounds[name].append((*taken, time.process_time() - processor_at))
        report[f"{num_models}_models"] = _summary(rounds, num_models * num_tokens)
    engine.close()
    return report


def together(engine: Engine, models: Sequence[Path], num_tokens: int) -> tuple[float, float]:
    """All models at once; returns seconds to the end of all, and to the first token of the slowest."""
    started = time.perf_counter()
    waits: dict[int, float] = {}
    open_answers = threading.Semaphore(0)
    for number, model in enumerate(models):

        def on_event(event: GenerationEvent, number: int = number) -> None:
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Finished):
                waits[number] = event.stats.seconds_to_first_token
                open_answers.release()

        settings = SamplingSettings(temperature=0, max_tokens=num_tokens)
        engine.submit(GenerationRequest(str(model), MESSAGES, settings), on_event)
    for _ in models:
        open_answers.acquire()
    return time.perf_counter() - started, max(waits.values())


def in_turn(engine: Engine, models: Sequence[Path], num_tokens: int) -> tuple[float, float]:
    seconds, to_last_start = 0.0, 0.0
    for model in models:
        taken, to_first = together(engine, [model], num_tokens)
        to_last_start = seconds + to_first
        seconds += taken
    return seconds, to_last_start


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

    def in_turn(self, models: Sequence[Path], num_tokens: int) -> tuple[float, float]:
        started = time.perf_counter()
        to_last_start = 0.0
        for model in models:
            self.model.set_adapter(model.name)
            inputs = self.tokenizer.apply_chat_template(
                MESSAGES, add_generation_prompt=True, return_tensors="pt", return_dict=True
            ).to(self.model.device)
            clock = FirstTokenClock()
            with torch.inference_mode():
                self.model.generate(
                    **inputs, max_new_tokens=num_tokens, min_new_tokens=num_tokens, do_sample=False, streamer=clock
                )
            to_last_start = clock.first_at - started
        return time.perf_counter() - started, to_last_start


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


def _summary(rounds: dict[str, list[tuple[float, float, float]]], num_tokens: int) -> dict[str, Any]:
    def medians(place: int) -> dict[str, float]:
        return {name: statistics.median(one[place] for one in taken) for name, taken in rounds.items()}

    seconds, starts, processor = medians(0), medians(1), medians(2)
    others = [name for name in rounds if name != "engine_one_batch"]
    return {
        "tokens_per_second": {name: round(num_tokens / value, 1) for name, value in seconds.items()},
        "seconds_until_all_have_begun": {name: round(value, 3) for name, value in starts.items()},
        "processor_seconds": {name: round(value, 3) for name, value in processor.items()},
        "one_batch_is_faster_than": {
            name: {
                "by_the_wall": round(seconds[name] / seconds["engine_one_batch"], 2),
                "by_the_processor": round(processor[name] / processor["engine_one_batch"], 2),
            }
            for name in others
        },
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, help="folder of the base model")
    parser.add_argument("--adapters", type=Path, nargs="+", help="folders of LoRA adapters on it")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tokens", type=int, default=96, help="tokens of each answer")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads of torch")
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds; the medians are shown")
    return parser


if __name__ == "__main__":
    main()
