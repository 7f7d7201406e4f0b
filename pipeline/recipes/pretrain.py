"""Pre-train: a small Llama-architecture model, and its own tokenizer, from plain text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import field_validator, model_validator

from pipeline.context import Context
from pipeline.errors import BadData
from pipeline.recipes import Chart, Recipe
from pipeline.spec import DatasetRef, setting
from pipeline.training.chat_templates import BEGIN, END, OWN_TEMPLATE, PAD, ROLES
from pipeline.training.documents import pack
from pipeline.training.rows import Row, read_rows, split_rows
from pipeline.training.settings import TrainingSpec

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

NUM_SAMPLES, SAMPLE_TOKENS = 2, 48


class PretrainSpec(TrainingSpec):
    dataset: Annotated[str, DatasetRef(("text",))] = setting(
        help="Plain text to learn from, one document a row.", basic=True, min_length=1
    )
    num_epochs: float = setting(
        5.0, help="How many times the text is gone through.", unit="epochs", basic=True, gt=0, le=1000
    )
    learning_rate: float = setting(
        5e-3, help="Peak step size of the optimizer; small models take large steps.", basic=True, gt=0, le=1
    )
    batch_size: int = setting(2, help="Blocks that the device computes at once.", unit="blocks", ge=1, le=4096)
    weight_decay: float = setting(0.1, help="Pull of the weights towards zero (AdamW).", ge=0, le=1)
    held_out_share: float = setting(
        0.02, help="Share of the documents (256 at most) kept out of training and used to measure.", ge=0, le=0.5
    )
    vocabulary_size: int = setting(
        2048, help="Tokens in the tokenizer that is trained on the text.", unit="tokens", ge=320, le=200_000
    )
    hidden_size: int = setting(
        128, help="Width of the model; a multiple of 64 quantizes well.", unit="features", basic=True, ge=32, le=16_384
    )
    num_layers: int = setting(3, help="Depth of the model.", unit="layers", basic=True, ge=1, le=200)
    num_heads: int = setting(8, help="Attention heads in each layer.", unit="heads", ge=1, le=256)
    num_kv_heads: int = setting(
        8,
        help="Key-value heads; fewer than the attention heads share them in groups (GQA).",
        unit="heads",
        ge=1,
        le=256,
    )
    mlp_size: int = setting(
        0, help="Width inside each SwiGLU block; 0 takes 8/3 of the hidden size.", unit="features", ge=0, le=65_536
    )
    context_length: int = setting(
        256, help="How many tokens the model reads at once.", unit="tokens", basic=True, ge=32, le=131_072
    )

    @field_validator("hidden_size")
    @classmethod
    def _is_even_enough(cls, value: int) -> int:
        if value % 32:
            raise ValueError("must be a multiple of 32")
        return value

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> PretrainSpec:
        if self.hidden_size % self.num_heads or (self.hidden_size // self.num_heads) % 2:
            raise ValueError(
                f"num_heads ({self.num_heads}) must divide hidden_size ({self.hidden_size}) into even parts"
            )
        if self.num_heads % self.num_kv_heads:
            raise ValueError(f"num_kv_heads ({self.num_kv_heads}) must divide num_heads ({self.num_heads})")
        return self


def run(spec: PretrainSpec, context: Context) -> dict[str, Any]:
    """Train the tokenizer, pack the text, train the model, and save both as a full model folder."""
    split = split_rows(read_rows(spec.dataset, "text"), held_out_share=spec.held_out_share, seed=spec.seed)

    context.phase("Loading the libraries")
    from transformers import Trainer, TrainingArguments, default_data_collator, set_seed

    from pipeline.training.loop import raise_if_stopped, train, training_arguments
    from pipeline.training.saving import gathered_weights, num_parameters, save_result, with_weights

    raise_if_stopped(context)
    context.phase("Training the tokenizer")
    tokenizer = train_tokenizer(split.train, spec.vocabulary_size, spec.context_length)
    blocks = pack(tokenizer, split.train, spec.context_length)
    held_out_blocks = pack(tokenizer, split.held_out, spec.context_length)
    if not len(blocks):
        raise BadData(
            f"The text has fewer than {spec.context_length} tokens, so it does not fill one block.",
            "Add text, or make the context shorter.",
        )
    raise_if_stopped(context)

    set_seed(spec.seed)
    model = build_model(spec, tokenizer)
    context.log(
        f"{num_parameters(model):,} weights, {len(tokenizer):,} tokens in the vocabulary, "
        f"{len(blocks):,} blocks of {spec.context_length} tokens."
    )
    trainer = Trainer(
        model=model,
        args=training_arguments(TrainingArguments, spec, context, include_num_input_tokens_seen="all", adam_beta2=0.95),
        train_dataset=blocks,
        eval_dataset=held_out_blocks if len(held_out_blocks) else None,
        data_collator=default_data_collator,
        processing_class=tokenizer,  # saved in each checkpoint, so that one can be loaded alone
    )
    openings = [_opening(row["text"]) for row in split.held_out[:NUM_SAMPLES]]
    last = train(trainer, spec, context, sample=lambda: continue_texts(model, tokenizer, openings))

    context.phase("Saving")
    weights = gathered_weights(trainer)
    if not context.group.is_first:
        return {}
    whole = model if weights is None else with_weights(model, weights)
    manifest = save_result(whole, tokenizer, context.out, kind="full", recipe=RECIPE.name, spec=spec)
    held_out_loss = last.get("eval_loss")
    return {
        "parameters": manifest.num_parameters,
        "vocabulary": len(tokenizer),
        "training_tokens": int(trainer.state.num_input_tokens_seen),
        "loss": last.get("loss"),
        "held_out_loss": held_out_loss,
        "held_out_perplexity": math.exp(held_out_loss) if held_out_loss is not None else None,
    }


def train_tokenizer(rows: list[Row], vocabulary_size: int, context_length: int) -> PreTrainedTokenizerFast:
    """Learn a byte-level BPE: any text can be written with it, and the commonest words are one token each."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    # A word is one and the same token at the beginning of a turn and inside a sentence: both follow a space, and the
    # one that was added is taken off again when tokens become text.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    tokenizer.train_from_iterator(
        (row["text"] for row in rows),
        trainers.BpeTrainer(
            vocab_size=vocabulary_size,
            min_frequency=2,
            special_tokens=[PAD, BEGIN, END, *ROLES],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens=list(ROLES),
        chat_template=OWN_TEMPLATE,
        model_max_length=context_length,
        clean_up_tokenization_spaces=False,
    )


def build_model(spec: PretrainSpec, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama of random weights: RMSNorm, SwiGLU, rotary positions, grouped-query attention, tied embeddings."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=spec.hidden_size,
            intermediate_size=spec.mlp_size or _multiple_of_64(spec.hidden_size * 8 / 3),
            num_hidden_layers=spec.num_layers,
            num_attention_heads=spec.num_heads,
            num_key_value_heads=spec.num_kv_heads,
            max_position_embeddings=spec.context_length,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def continue_texts(model: Any, tokenizer: PreTrainedTokenizerFast, openings: list[str]) -> list[tuple[str, str]]:
    """How the model goes on from each opening, taking the likeliest token every time."""
    import torch

    continued = []
    for opening in openings:
        ids = torch.tensor([tokenizer(opening).input_ids], device=model.device)  # (1, T)
        with torch.no_grad():
            out = model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=SAMPLE_TOKENS, do_sample=False
            )
        continued.append((opening, str(tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))))
    return continued


def _opening(text: str) -> str:
    """The first few words of a document, for the model to go on from."""
    return " ".join(text.split()[:4])


def _multiple_of_64(value: float) -> int:
    return 64 * math.ceil(value / 64)


RECIPE = Recipe(
    name="pretrain",
    title="Pre-train",
    summary="Trains a new small language model and its tokenizer from plain text.",
    verb="Start pre-training",
    spec=PretrainSpec,
    run=run,
    charts=(
        Chart("Loss", ("loss", "eval_loss"), "nats per token", "Lower is better; held-out is text not trained on."),
        Chart("Learning rate", ("learning_rate",)),
        Chart("Gradient norm", ("gradient_norm",)),
        Chart("Speed", ("tokens_per_second",), "tokens/s"),
        Chart("Memory", ("memory_gib",), "GiB"),
    ),
)
