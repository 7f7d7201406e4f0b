"""SFT: supervised fine-tuning: a model learns to answer as the assistant's turns of conversations do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from pipeline.context import Context
from pipeline.recipes import Chart, Recipe
from pipeline.spec import DatasetRef, setting
from pipeline.training.rows import Row, read_rows, split_rows
from pipeline.training.settings import EpochsByRows, FineTuneSpec

if TYPE_CHECKING:
    from trl import SFTTrainer

    from pipeline.training.chat import Tokens
    from pipeline.training.finetune import Trainee

NUM_SAMPLES, SAMPLE_TOKENS = 2, 64


class SftSpec(FineTuneSpec):
    epochs_by_rows = EpochsByRows(least=3, most=10, enough_rows=3500)

    dataset: Annotated[str, DatasetRef(("instruction",))] = setting(
        help="Conversations to learn from; the assistant's turns are what is trained.", basic=True, min_length=1
    )
    batch_size: int = setting(2, help="Sequences that the device computes at once.", unit="sequences", ge=1, le=4096)
    learning_rate: float = setting(
        0.0,
        help="Peak step size of the optimizer; 0 chooses one for the method and the model's size.",
        basic=True,
        ge=0,
        le=1,
    )
    packing: bool = setting(
        True, help="Lay several short rows in one sequence, each blind to the others: faster, and the same result."
    )


def run(spec: SftSpec, context: Context) -> dict[str, Any]:
    """Tokenize with the model's own template, train on the assistant's tokens alone, save the adapter or model."""
    split = split_rows(read_rows(spec.dataset, "instruction"), held_out_share=spec.held_out_share, seed=spec.seed)

    context.phase("Loading the libraries")
    from transformers import set_seed

    from pipeline.training.chat import tokenize_instructions
    from pipeline.training.chat_templates import give_template
    from pipeline.training.finetune import make_trainee
    from pipeline.training.generation import answer_greedily
    from pipeline.training.loop import raise_if_stopped, train
    from pipeline.training.saving import gathered_weights

    raise_if_stopped(context)
    context.phase("Loading the model")
    set_seed(spec.seed)
    trainee = make_trainee(spec, context)
    raise_if_stopped(context)

    context.phase("Reading the data")
    give_template(trainee.tokenizer, context)
    train_rows, held_out_rows = (
        tokenize_instructions(trainee.tokenizer, rows, max_length=trainee.max_length, context=context, what=what)
        for rows, what in ((split.train, "training"), (split.held_out, "held-out"))
    )
    num_trained, num_tokens = (
        sum(row.num_trained for row in train_rows),
        sum(len(row.input_ids) for row in train_rows),
    )
    context.log(
        f"{len(train_rows):,} rows to train on, {len(held_out_rows):,} held out; "
        f"{num_trained:,} of {num_tokens:,} tokens are trained."
    )
    trainer = make_trainer(spec, context, trainee, train_rows, held_out_rows)
    questions = [prompt_of(row) for row in split.held_out[:NUM_SAMPLES]]
    last = train(
        trainer,
        spec,
        context,
        sample=lambda: answer_greedily(trainee.model, trainee.tokenizer, questions, max_new_tokens=SAMPLE_TOKENS),
    )

    context.phase("Saving")
    weights = gathered_weights(trainer)
    if not context.group.is_first:
        return {}
    manifest = trainee.save(context.out, recipe=RECIPE.name, spec=spec, weights=weights)
    held_out_loss = last.get("eval_loss")
    return {
        "result": manifest.kind,
        "rows_trained_on": len(train_rows),
        "steps": trainer.state.global_step,
        "loss": last.get("loss"),
        "held_out_loss": held_out_loss,
        "held_out_perplexity": math.exp(held_out_loss) if held_out_loss is not None else None,
        "held_out_token_accuracy": last.get("eval_token_accuracy"),
    }


def make_trainer(
    spec: SftSpec, context: Context, trainee: Trainee, train_rows: list[Tokens], held_out_rows: list[Tokens]
) -> SFTTrainer:
    """TRL's trainer on rows that are tokenized, labelled and cut already."""
    from trl import SFTConfig, SFTTrainer

    from pipeline.training.chat import as_dataset
    from pipeline.training.finetune import learning_rate_for
    from pipeline.training.loop import training_arguments

    return SFTTrainer(
        model=trainee.model,
        args=training_arguments(
            SFTConfig,
            spec,
            context,
            num_train_epochs=spec.epochs_for(len(train_rows)),
            learning_rate=learning_rate_for(spec, trainee.model, context),
            max_length=trainee.max_length,
            packing=spec.packing,
        ),
        train_dataset=as_dataset(train_rows),
        eval_dataset=as_dataset(held_out_rows) if held_out_rows else None,
        processing_class=trainee.tokenizer,
    )


def prompt_of(row: Row) -> list[dict[str, Any]]:
    """The turns before the row's last answer."""
    messages: list[dict[str, Any]] = row["messages"]
    last = max(index for index, message in enumerate(messages) if message["role"] == "assistant")
    return messages[:last]


RECIPE = Recipe(
    name="sft",
    title="Fine-tune",
    summary="Teaches a model to answer, from conversations (instruction rows).",
    verb="Start fine-tune",
    spec=SftSpec,
    run=run,
    charts=(
        Chart("Loss", ("loss", "eval_loss"), "nats per token", "Lower is better; held-out rows are not trained on."),
        Chart("Token accuracy", ("token_accuracy", "eval_token_accuracy"), "share", "Tokens guessed right at first."),
        Chart("Learning rate", ("learning_rate",)),
        Chart("Gradient norm", ("gradient_norm",)),
        Chart("Speed", ("tokens_per_second",), "tokens/s"),
        Chart("Memory", ("memory_gib",), "GiB"),
    ),
)
