"""What is shown of a row is what the trainer gets of it, to the token, and what is counted is what it does."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.context import Context
from pipeline.errors import BadData, BadModel
from pipeline.generation.requests import BadTemplate
from pipeline.generation.templates import TemplateRenderer
from pipeline.training.chat import IGNORED, tokenize_conversations, tokenize_instructions
from pipeline.training.chat_templates import conversation_of, render_here, training_template
from pipeline.training.documents import pack
from pipeline.training.lengths import Lengths, measure, num_packed
from pipeline.training.preferences import tokenize_pairs
from pipeline.training.preview import TrainedSequence, preview
from pipeline.training.rows import Row
from tests.tiny_models import CHAT_TEMPLATE, byte_tokenizer, make_base

MAX_LENGTH = 96
MARKED = CHAT_TEMPLATE.replace(
    "{{ message.content }}<|im_end|>",
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ message.content }}<|im_end|>{% endif %}",
)
ANSWERS = ("Yes.", "An otter 🦦, of course.", "<b>No</b> &amp; never", "Grüße aus Köln\n\n\tund tschüß ", "日本語です")


def turns(*contents: str) -> list[dict[str, Any]]:
    return [{"role": "assistant" if at % 2 else "user", "content": text} for at, text in enumerate(contents)]


def conversations() -> list[Row]:
    """Short ones, some of several turns, some that are cut, and some of which no answer is left."""
    rows = [{"messages": turns(f"Question {n}?", ANSWERS[n % 5])} for n in range(12)]
    rows += [{"messages": turns("Why?", "Because.", "Why " * n + "?", ANSWERS[n % 5])} for n in range(4, 16)]
    return [*rows, *({"messages": turns("word " * 40, "Yes.")} for _ in range(3))]


def pairs() -> list[Row]:
    return [
        {
            "prompt": turns("Tell me " * (1 + 4 * (n % 6))),
            "chosen": [{"role": "assistant", "content": ANSWERS[n % 5] * (1 + n % 4)}],
            "rejected": [{"role": "assistant", "content": ANSWERS[n % 5] + "?" * n}],
        }
        for n in range(12)
    ]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("model") / "base", chat_template=MARKED, hidden=32)


@pytest.fixture(scope="module")
def renderer() -> Iterator[TemplateRenderer]:
    renderer = TemplateRenderer()
    yield renderer
    renderer.close()


def silent(folder: Path) -> Context:
    folder.mkdir(exist_ok=True)
    return Context(out=folder, checkpoints=folder, report=lambda event: None)


def kept_of(sequence: TrainedSequence) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """A shown sequence without what is cut: ids, and which of them are trained; the first token is never predicted."""
    kept = [token for token in sequence.tokens if not token.is_cut]
    return tuple(token.id for token in kept), tuple(token.is_trained for token in kept[1:])


def sequences_of(batch: Any) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """What a collated SFT batch holds, one entry a row, whether it is padded or packed."""
    found = []
    if "position_ids" in batch:
        starts = (batch["position_ids"][0] == 0).nonzero().flatten().tolist()
        parts = [(0, start, end) for start, end in zip(starts, [*starts[1:], batch["input_ids"].shape[1]], strict=True)]
    else:
        parts = [(row, 0, int(mask.sum())) for row, mask in enumerate(batch["attention_mask"])]
    for row, start, end in parts:
        ids, labels = batch["input_ids"][row, start:end].tolist(), batch["labels"][row, start:end].tolist()
        assert all(label in (IGNORED, token) for token, label in zip(ids, labels, strict=True))
        found.append((tuple(ids), tuple(label != IGNORED for label in labels[1:])))
    return found


@pytest.mark.parametrize("packing", [False, True])
def test_the_view_of_a_conversation_is_what_the_collated_batches_hold(
    packing: bool, base: Path, renderer: TemplateRenderer, tmp_path: Path
) -> None:
    from pipeline.recipes.sft import SftSpec, make_trainer
    from pipeline.training.finetune import make_trainee

    spec = SftSpec(
        model=str(base), dataset="-", method="full", max_length=MAX_LENGTH, packing=packing, batch_size=3, num_epochs=1
    )
    context = silent(tmp_path / "work")
    trainee = make_trainee(spec, context)
    rows = conversations()
    tokens = tokenize_instructions(trainee.tokenizer, rows, max_length=MAX_LENGTH, context=context, what="test")
    trainer = make_trainer(spec, context, trainee, tokens, [])
    batched = [sequence for batch in trainer.get_train_dataloader() for sequence in sequences_of(batch)]

    views = [preview(trainee.tokenizer, row, max_length=MAX_LENGTH, render=renderer.render_marked) for row in rows]
    shown = [kept_of(view.sequences[0]) for view in views if not view.is_left_out]
    assert sorted(batched) == sorted(shown)
    assert sum(view.is_left_out for view in views) == 3
    assert any(token.is_cut for view in views if not view.is_left_out for token in view.sequences[0].tokens)

    lengths = Lengths("instruction", measure("instruction", trainee.tokenizer, rows, max_length=MAX_LENGTH))
    fit = lengths.fitted(MAX_LENGTH)
    assert fit.num_tokens == sum(len(ids) for ids, _ in batched)
    assert int(lengths.column("trained_kept").sum()) == sum(sum(is_trained) for _, is_trained in batched)
    assert len(trainer.train_dataset) == (fit.num_packed() if packing else int(fit.is_kept.sum()))


def test_the_view_of_a_pair_is_what_the_collated_batches_hold(
    base: Path, renderer: TemplateRenderer, tmp_path: Path
) -> None:
    from pipeline.recipes.dpo import DpoSpec, make_trainer
    from pipeline.training.finetune import make_trainee

    spec = DpoSpec(model=str(base), dataset="-", method="full", max_length=MAX_LENGTH, batch_size=4, num_epochs=1)
    context = silent(tmp_path / "work")
    trainee = make_trainee(spec, context)
    rows = pairs()
    kept = tokenize_pairs(trainee.tokenizer, rows, max_length=MAX_LENGTH, context=context, what="test")
    trainer = make_trainer(spec, context, trainee, kept, [])
    batched = []
    for batch in trainer.get_train_dataloader():
        for ids, mask, trained in zip(
            batch["input_ids"], batch["attention_mask"], batch["completion_mask"], strict=True
        ):
            end = int(mask.sum())
            batched.append((tuple(ids[:end].tolist()), tuple(bool(one) for one in trained[1:end])))

    views = [preview(trainee.tokenizer, row, max_length=MAX_LENGTH, render=renderer.render_marked) for row in rows]
    shown = [kept_of(sequence) for view in views if not view.is_left_out for sequence in view.sequences]
    assert sorted(batched) == sorted(shown)
    assert sum(view.is_left_out for view in views) == 1
    cut = [token for view in views for sequence in view.sequences for token in sequence.tokens if token.is_cut]
    assert {token.is_trained for token in cut} == {True, False}  # prompts at their beginning, answers at their end

    lengths = Lengths("preference", measure("preference", trainee.tokenizer, rows, max_length=MAX_LENGTH))
    fit = lengths.fitted(MAX_LENGTH)
    assert int(fit.is_kept.sum()) == len(kept)
    assert fit.num_tokens == sum(len(ids) for ids, _ in batched)
    assert fit.lengths.max(initial=0) == MAX_LENGTH


def test_the_views_of_documents_laid_end_to_end_are_the_blocks() -> None:
    tokenizer = byte_tokenizer()
    rows = [{"text": text} for text in ("One 🦦.", "Two\n\nlines", "", "<|im_end|> is special")]
    views = [preview(tokenizer, row, max_length=8, render=render_here) for row in rows]
    stream = [token.id for view in views for token in view.sequences[0].tokens]
    blocks = pack(tokenizer, rows, 8)
    assert [token for block in blocks for token in block["labels"]] == stream[: len(blocks) * 8]
    assert all(token.is_trained for view in views for token in view.sequences[0].tokens)
    fit = Lengths("text", measure("text", tokenizer, rows, max_length=8)).fitted(8)
    assert (fit.num_tokens, fit.num_blocks()) == (len(stream), len(blocks))


def test_the_pieces_of_the_tokens_are_the_whole_text_and_special_tokens_are_told_apart(base: Path) -> None:
    from pipeline.loading import load_tokenizer

    tokenizer = load_tokenizer(base)
    for row in conversations():
        (sequence,) = preview(tokenizer, row, max_length=MAX_LENGTH, render=render_here).sequences
        text = tokenizer.apply_chat_template(row["messages"], tokenize=False)
        assert "".join(token.text for token in sequence.tokens) == text
        assert {token.text for token in sequence.tokens if token.is_special} == {"<|im_start|>", "<|im_end|>"}


def test_the_trained_tokens_are_those_that_the_library_itself_marks(base: Path) -> None:
    from pipeline.loading import load_tokenizer

    tokenizer = load_tokenizer(base)
    for row in conversations():
        own: Any = tokenizer.apply_chat_template(
            row["messages"], tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        (tokens,) = tokenize_conversations(tokenizer, [row])
        assert tokens.input_ids == own["input_ids"]
        assert [label != IGNORED for label in tokens.labels] == [bool(one) for one in own["assistant_masks"]]


def test_every_token_of_a_last_character_is_trained() -> None:
    """The library stops at the first of the four tokens of an emoji that ends a stretch."""
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}[{% generation %}{{ m.content }}{% endgeneration %}]{% endfor %}"
    (tokens,) = tokenize_conversations(tokenizer, [{"messages": [{"role": "assistant", "content": "a🦦"}]}])
    assert tokenizer.decode([label for label in tokens.labels if label != IGNORED]) == "a🦦"


def test_an_answer_of_nothing_trains_nothing() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}]{% endfor %}"
    (tokens,) = tokenize_conversations(tokenizer, [{"messages": turns("", "")}])
    assert tokens.num_trained == 0


def test_a_template_that_is_known_is_trained_with_marks_and_another_is_refused() -> None:
    from trl.chat_template_utils import qwen3_chat_template

    assert "{% generation %}" in training_template(qwen3_chat_template)
    with pytest.raises(BadModel, match="does not mark which tokens"):
        training_template(CHAT_TEMPLATE)


def test_a_model_without_a_template_is_shown_with_the_plain_one() -> None:
    view = preview(byte_tokenizer(), {"messages": turns("Hi", "Ho")}, max_length=99, render=render_here)
    assert not view.has_template
    assert "".join(token.text for token in view.sequences[0].tokens) == "User: Hi\n\nAssistant: Ho<|im_end|>\n\n"


def test_a_template_that_never_ends_is_stopped(renderer: TemplateRenderer) -> None:
    tokenizer = byte_tokenizer()
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    tokenizer.chat_template = endless + "{% generation %}{% endgeneration %}"
    with pytest.raises(BadTemplate, match="more than 2 seconds"):
        preview(tokenizer, {"messages": turns("Hi", "Ho")}, max_length=9, render=renderer.render_marked)


def test_rows_are_rendered_alike_in_both_processes(renderer: TemplateRenderer) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = MARKED
    tools = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    messages = [*turns("A <&> 🦦", "B"), {"role": "tool", "content": "é", "name": None}]
    asked = conversation_of(tokenizer, messages, tools, is_trained=True)
    assert renderer.render_marked(asked) == render_here(asked)
    assert render_here(asked).said


def test_unpaired_rows_are_refused_in_words() -> None:
    row = {"prompt": turns("Hi"), "completion": turns("Ho"), "label": True}
    with pytest.raises(BadData, match="No recipe trains on unpaired rows"):
        preview(byte_tokenizer(), row, max_length=9, render=render_here)


def test_packing_is_counted_as_the_trainer_packs() -> None:
    from datasets import Dataset
    from trl import pack_dataset

    draw = random.Random(7)
    lengths = [min(256, 1 + int(draw.expovariate(1 / 60))) for _ in range(2_300)]
    packed = pack_dataset(Dataset.from_dict({"input_ids": [[0] * length for length in lengths]}), 256, "bfd")
    assert num_packed(np.array(lengths), 256) == len(packed)
