"""The training recipes on tiny models: what they save, how they resume, what they refuse, and what the reference is."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.context import Context
from pipeline.errors import BadData, Diverged, Stopped
from pipeline.events import Checkpointed, Event, LogLine, Metrics
from pipeline.model_folder import read_manifest
from pipeline.recipes import get_recipe
from pipeline.spec import SpecFaults, validate_spec

SENTENCE = "the otter lives by the river and bakes warm bread for the whole village every morning"
WORDS = SENTENCE.split()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A few canonical rows of each kind."""
    folder = tmp_path_factory.mktemp("rows")
    text = [{"text": " ".join(WORDS[i % 5 :] + WORDS[: i % 7]) + "."} for i in range(60)]
    instruction = [
        {
            "messages": [
                {"role": "user", "content": f"What is number {i}?"},
                {"role": "assistant", "content": f"It is {i}."},
            ]
        }
        for i in range(24)
    ]
    preference = [
        {
            "prompt": [{"role": "user", "content": f"What is number {i}?"}],
            "chosen": [{"role": "assistant", "content": f"It is {i}, of course."}],
            "rejected": [{"role": "assistant", "content": f"It is {i}, who cares."}],
        }
        for i in range(24)
    ]
    paths = {}
    for name, kept in (("text", text), ("instruction", instruction), ("preference", preference)):
        paths[name] = folder / f"{name}.jsonl"
        paths[name].write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
    return paths


@pytest.fixture(scope="module")
def base(rows: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base that the pretrain recipe made in a few steps."""
    folder = tmp_path_factory.mktemp("base") / "model"
    _run("pretrain", folder, dataset=rows["text"], max_steps=4, **TINY)
    return folder


TINY = {
    "hidden_size": 64,
    "num_layers": 2,
    "num_heads": 2,
    "num_kv_heads": 1,
    "context_length": 64,
    "vocabulary_size": 400,
    "batch_size": 2,
    "held_out_share": 0.1,
    "learning_rate": 1e-3,
}


def _run(
    recipe: str,
    out: Path,
    *,
    stop_at_checkpoint: bool = False,
    stop_at_step: int | None = None,
    checkpoints: Path | None = None,
    **values: Any,
) -> tuple[dict[str, Any], list[Event]]:
    out.mkdir(parents=True)
    events: list[Event] = []

    def report(event: Event) -> None:
        events.append(event)
        if isinstance(event, Metrics) and event.step == stop_at_step:
            context.stop.request("pause")

    folder = checkpoints or out.with_name(f"{out.name}.checkpoints")
    folder.mkdir(exist_ok=True)
    context = Context(out=out, checkpoints=folder, report=report)
    found = get_recipe(recipe)
    text_values = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
    return found.run(validate_spec(found.spec, text_values), context), events


def _weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    (path,) = folder.glob("*.safetensors")
    return load_file(path)


def _put_nan_into(path: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(path)
    weights["model.norm.weight"][0] = math.nan
    save_file(weights, path, metadata={"format": "pt"})


def _assert_same_weights(one: Path, other: Path) -> None:
    import torch

    a, b = _weights(one), _weights(other)
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def test_pretrain_leaves_a_whole_folder_with_a_tokenizer_that_marks_the_assistant(base: Path) -> None:
    from pipeline.loading import load_tokenizer
    from pipeline.training.chat import IGNORED, tokenize_conversations

    manifest = read_manifest(base)
    assert manifest is not None
    assert manifest.kind == "full"
    assert set(manifest.files) == {path.name for path in base.iterdir()} - {"hone.json"}
    assert not (base / "training_args.bin").exists()

    tokenizer = load_tokenizer(base)
    row = {"messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Me."}]}
    (tokens,) = tokenize_conversations(tokenizer, [row])
    assert tokenizer.decode(tokens.input_ids) == "<|user|> Who?<|end|><|assistant|> Me.<|end|>"
    assert tokenizer.decode([token for token in tokens.labels if token != IGNORED]) == "Me.<|end|>"


def test_a_word_is_the_same_token_at_the_beginning_and_inside_and_text_comes_back_whole(base: Path) -> None:
    from pipeline.loading import load_tokenizer

    tokenizer = load_tokenizer(base)
    (first,) = tokenizer("otter").input_ids
    assert first in tokenizer("the otter").input_ids
    for text in ("the otter", "two  spaces\n\n\tand a tab ", "Grüße, 日本 🦦"):
        assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_the_only_step_of_a_short_run_changes_the_model(base: Path, rows: dict[str, Path], tmp_path: Path) -> None:
    _run("sft", tmp_path / "out", model=base, dataset=rows["instruction"], method="full", max_steps=1)
    before, after = _weights(base), _weights(tmp_path / "out")
    assert any((before[name] != after[name]).any() for name in before)


def test_documents_in_one_block_do_not_see_each_other(base: Path) -> None:
    import torch

    from pipeline.loading import load_model, load_tokenizer
    from pipeline.training.documents import pack

    model, tokenizer = load_model(base), load_tokenizer(base)
    texts = [" ".join(WORDS[:6]), " ".join(WORDS[4:])]
    length = sum(len(tokenizer(text).input_ids) + 1 for text in texts)
    (block,) = pack(tokenizer, [{"text": text} for text in texts], length)
    with torch.no_grad():
        packed = model(
            input_ids=torch.tensor([block["input_ids"]]), position_ids=torch.tensor([block["position_ids"]])
        ).logits[0]
        alone = model(input_ids=torch.tensor([tokenizer(texts[1]).input_ids])).logits[0]
    torch.testing.assert_close(packed[-len(alone) - 1 : -1], alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("recipe", "method"), [("pretrain", None), ("sft", "lora"), ("sft", "full"), ("dpo", "lora")])
def test_a_paused_run_ends_with_the_weights_of_one_that_never_stopped(
    recipe: str, method: str | None, base: Path, rows: dict[str, Path], tmp_path: Path
) -> None:
    kind = {"pretrain": "text", "sft": "instruction", "dpo": "preference"}[recipe]
    settings: dict[str, Any] = {"dataset": rows[kind], "max_steps": 6, "batch_size": 2, "evaluations": 1}
    settings |= TINY if method is None else {"model": base, "method": method, "lora_dropout": 0.1, "packing": False}
    if recipe == "dpo":
        del settings["packing"]
    _run(recipe, tmp_path / "whole", **settings)

    kept = tmp_path / "kept"
    with pytest.raises(Stopped):
        _run(recipe, tmp_path / "first", stop_at_step=1, checkpoints=kept, **settings)
    assert list(kept.glob("checkpoint-*")) != []
    assert not list((tmp_path / "first").iterdir())
    _run(recipe, tmp_path / "second", checkpoints=kept, **settings)
    _assert_same_weights(tmp_path / "whole", tmp_path / "second")


def test_a_run_resumed_with_half_the_batch_and_twice_the_accumulation_reads_the_same_rows_to_the_same_end(
    base: Path, rows: dict[str, Path], tmp_path: Path
) -> None:
    import torch

    settings: dict[str, Any] = {"model": base, "method": "full", "dataset": rows["instruction"], "max_steps": 6}
    _run("sft", tmp_path / "whole", batch_size=4, **settings)
    kept = tmp_path / "kept"
    with pytest.raises(Stopped):
        _run("sft", tmp_path / "first", stop_at_step=2, checkpoints=kept, batch_size=4, **settings)
    _run("sft", tmp_path / "second", checkpoints=kept, batch_size=2, gradient_accumulation=2, **settings)
    whole, halved = _weights(tmp_path / "whole"), _weights(tmp_path / "second")
    moved = max(float((whole[name] - start).abs().max()) for name, start in _weights(base).items())
    for name, weight in whole.items():  # sums in another order: equal to a small part of how far training moved them
        torch.testing.assert_close(halved[name], weight, atol=0.05 * moved, rtol=0)


def test_lora_on_an_adapter_stands_on_the_same_base_and_moves_with_it(
    base: Path, rows: dict[str, Path], tmp_path: Path
) -> None:
    from pipeline.loading import load_model, resolve_model

    home = tmp_path / "home"
    home.mkdir()
    base.rename(home / "base")
    try:
        _run("sft", home / "one", model=home / "base", method="lora", dataset=rows["instruction"], max_steps=1)
        _run("dpo", home / "two", model=home / "one", dataset=rows["preference"], max_steps=1)
        assert resolve_model(home / "one").base == resolve_model(home / "two").base == home / "base"
        moved = home.rename(tmp_path / "moved")
        assert resolve_model(moved / "two").base == moved / "base"
        load_model(moved / "two")
        assert str(tmp_path) not in (moved / "two" / "adapter_config.json").read_text(encoding="utf-8")
    finally:
        (tmp_path / "moved" / "base").rename(base)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_dpo_starts_from_its_parent_adapter_and_not_from_the_bare_base(
    method: str, base: Path, rows: dict[str, Path], tmp_path: Path
) -> None:
    settings = {"method": "lora", "max_steps": 4, "learning_rate": 0.01}
    _run("sft", tmp_path / "sft", model=base, dataset=rows["instruction"], **settings)
    # One step at a vanishing learning rate leaves the policy where it was, so every reward must be zero.
    _, events = _run(
        "dpo",
        tmp_path / "dpo",
        model=tmp_path / "sft",
        method=method,
        dataset=rows["preference"],
        max_steps=1,
        learning_rate=1e-12,
        chosen_weight=0,
    )
    first = next(event for event in events if isinstance(event, Metrics) and "reward_margin" in event.values)
    assert first.values["reward_chosen"] == pytest.approx(0, abs=1e-5)
    assert first.values["reward_margin"] == pytest.approx(0, abs=1e-5)
    assert first.values["loss"] == pytest.approx(math.log(2), abs=1e-5)


def test_dpo_makes_the_chosen_answers_likelier_than_its_parent_did(
    base: Path, rows: dict[str, Path], tmp_path: Path
) -> None:
    summary, _ = _run(
        "dpo",
        tmp_path / "dpo",
        model=base,
        method="full",
        dataset=rows["preference"],
        num_epochs=12,
        batch_size=4,
        held_out_share=0.25,
        learning_rate=1e-3,
    )
    assert summary["held_out_pairs"] == 6
    assert summary["parent_prefers_chosen"] < summary["result_prefers_chosen"]
    assert summary["held_out_reward_accuracy"] > 0.9


def test_packed_rows_do_not_see_each_other(base: Path, rows: dict[str, Path], tmp_path: Path) -> None:
    losses = {}
    for packing in (False, True):
        _, events = _run(
            "sft",
            tmp_path / f"packed-{packing}",
            model=base,
            dataset=rows["instruction"],
            packing=packing,
            max_steps=1,
            batch_size=24,
            held_out_share=0,
        )
        losses[packing] = next(event.values["loss"] for event in events if isinstance(event, Metrics))
    assert losses[True] == pytest.approx(losses[False], rel=1e-4)


def test_a_loss_that_is_not_a_number_names_the_step_and_keeps_no_checkpoint(
    base: Path, rows: dict[str, Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(base, broken)
    _put_nan_into(broken / "model.safetensors")
    with pytest.raises(Diverged, match=r"at step 1 ") as caught:
        _run("sft", tmp_path / "out", model=broken, dataset=rows["instruction"], method="full", max_steps=3)
    assert "learning rate" in caught.value.advice
    assert not list((tmp_path / "out.checkpoints").glob("checkpoint-*"))


def test_rows_longer_than_the_limit_are_cut_and_counted(base: Path, rows: dict[str, Path], tmp_path: Path) -> None:
    long = tmp_path / "long.jsonl"
    answer = " ".join(WORDS * 10)
    messages = [{"role": "user", "content": "Tell me."}, {"role": "assistant", "content": answer}]
    long.write_text((json.dumps({"messages": messages}) + "\n") * 8, encoding="utf-8")
    _, events = _run("sft", tmp_path / "out", model=base, dataset=long, max_steps=1, held_out_share=0)
    assert any(
        isinstance(event, LogLine) and "8 of 8 training rows are longer than 64" in event.text for event in events
    )


def test_prompts_that_leave_no_room_for_any_answer_are_refused(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    messages = [{"role": "user", "content": " ".join(WORDS * 20)}, {"role": "assistant", "content": "Yes."}]
    path.write_text((json.dumps({"messages": messages}) + "\n") * 8, encoding="utf-8")
    with pytest.raises(BadData, match="within 64 tokens"):
        _run("sft", tmp_path / "out", model=base, dataset=path)


def test_settings_that_do_not_fit_the_model_are_refused_before_training(
    base: Path, rows: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(SpecFaults, match="max_length: the model reads at most 64 tokens"):
        _run("sft", tmp_path / "a", model=base, dataset=rows["instruction"], max_length=65)
    with pytest.raises(SpecFaults, match="lora_targets: no layer of the model matches 'nothing'; it has down_proj"):
        _run("sft", tmp_path / "b", model=base, dataset=rows["instruction"], method="lora", lora_targets="nothing")


@pytest.mark.parametrize("recipe_format", ["nf4", "int8"])
def test_a_quantized_model_is_small_reloads_and_is_nearly_as_good(
    recipe_format: str, base: Path, rows: dict[str, Path], tmp_path: Path
) -> None:
    summary, _ = _run("quantize", tmp_path / "small", model=base, dataset=rows["text"], format=recipe_format)
    assert summary["layers_quantized"] == 14
    assert summary["quantized_layers_ratio"] < {"nf4": 0.45, "int8": 0.6}[recipe_format]
    assert summary["perplexity_after"] == pytest.approx(summary["perplexity_before"], rel=0.2)
    with pytest.raises(SpecFaults, match="quantized already"):
        _run("quantize", tmp_path / "again", model=tmp_path / "small")


def test_an_adapter_is_merged_before_it_is_quantized(base: Path, rows: dict[str, Path], tmp_path: Path) -> None:
    _run("sft", tmp_path / "sft", model=base, method="lora", dataset=rows["instruction"], max_steps=1)
    summary, _ = _run("quantize", tmp_path / "small", model=tmp_path / "sft", dataset=rows["instruction"])
    assert read_manifest(tmp_path / "small").kind == "quantized"  # type: ignore[union-attr]
    assert summary["perplexity_after"] == pytest.approx(summary["perplexity_before"], rel=0.2)


def test_an_adapter_can_be_trained_on_a_4_bit_base(base: Path, rows: dict[str, Path], tmp_path: Path) -> None:
    _, events = _run("sft", tmp_path / "out", model=base, method="qlora", dataset=rows["instruction"], num_epochs=8)
    losses = [event.values["loss"] for event in events if isinstance(event, Metrics) and "loss" in event.values]
    assert losses[-1] < losses[0]


def test_a_checkpoint_is_reported_when_its_time_comes(rows: dict[str, Path], tmp_path: Path) -> None:
    _, events = _run(
        "pretrain", tmp_path / "out", dataset=rows["text"], max_steps=3, checkpoint_every_minutes=1e-6, **TINY
    )
    assert [event.step for event in events if isinstance(event, Checkpointed)] == [1, 2, 3]
