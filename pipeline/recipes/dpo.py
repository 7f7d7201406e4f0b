"""DPO: direct preference optimization: a model learns to prefer the chosen answer of a pair to the rejected one."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pipeline.context import Context
from pipeline.recipes import Chart, Recipe
from pipeline.spec import DatasetRef, setting
from pipeline.training.rows import read_rows, split_rows
from pipeline.training.settings import EpochsByRows, FineTuneSpec

if TYPE_CHECKING:
    from trl import DPOTrainer

    from pipeline.training.finetune import Trainee
    from pipeline.training.preferences import Pair, PairScores

NUM_SAMPLES, SAMPLE_TOKENS = 2, 64
LEARNING_RATE_SCALE = 0.25
"""Alignment starts from a model that answers well, so it takes smaller steps than fine-tuning."""

LossType = Literal[
    "sigmoid",
    "hinge",
    "ipo",
    "robust",
    "exo_pair",
    "nca_pair",
    "bco_pair",
    "sppo_hard",
    "aot",
    "apo_zero",
    "apo_down",
    "discopop",
    "sigmoid_norm",
]


class DpoSpec(FineTuneSpec):
    epochs_by_rows = EpochsByRows(least=1, most=10, enough_rows=150)

    dataset: Annotated[str, DatasetRef(("preference",))] = setting(
        help="Pairs of answers to one prompt, one of them chosen over the other.", basic=True, min_length=1
    )
    learning_rate: float = setting(
        0.0, help="Peak step size of the optimizer; 0 chooses one for the method and the model's size.", ge=0, le=1
    )
    beta: float = setting(
        0.1, help="How strongly the model is held to its parent: higher stays closer.", basic=True, gt=0, le=10
    )
    loss_type: LossType = setting("sigmoid", help="The loss, by TRL's name; sigmoid is the DPO of the paper.")
    chosen_weight: float = setting(
        1.0,
        help="Weight of the chosen answers' own likelihood beside that loss, to keep them likely; 0 is plain DPO.",
        ge=0,
        le=100,
    )


def run(spec: DpoSpec, context: Context) -> dict[str, Any]:
    """Measure the parent on held-out pairs, train against it as the reference, measure again, save."""
    split = split_rows(read_rows(spec.dataset, "preference"), held_out_share=spec.held_out_share, seed=spec.seed)

    context.phase("Loading the libraries")
    from transformers import set_seed

    from pipeline.training.chat_templates import give_template
    from pipeline.training.finetune import make_trainee
    from pipeline.training.generation import answer_greedily
    from pipeline.training.loop import raise_if_stopped, train
    from pipeline.training.preferences import score_pairs, tokenize_pairs
    from pipeline.training.saving import gathered_weights

    raise_if_stopped(context)
    context.phase("Loading the model")
    set_seed(spec.seed)
    trainee = make_trainee(spec, context)
    model, tokenizer = trainee.model, trainee.tokenizer
    give_template(tokenizer, context)
    raise_if_stopped(context)

    context.phase("Reading the data")
    pairs, held_out_pairs = (
        tokenize_pairs(tokenizer, rows, max_length=trainee.max_length, context=context, what=what)
        for rows, what in ((split.train, "training"), (split.held_out, "held-out"))
    )
    context.log(f"{len(pairs):,} pairs to train on, {len(held_out_pairs):,} held out.")

    scoring = {"pad_id": tokenizer.pad_token_id, "batch_size": spec.batch_size}
    before = None
    if held_out_pairs and spec.sharding == "none":
        context.phase("Measuring the parent")
        before = score_pairs(model, held_out_pairs, **scoring)
        raise_if_stopped(context)

    trainer = make_trainer(spec, context, trainee, pairs, held_out_pairs)
    questions = [row["prompt"] for row in split.held_out[:NUM_SAMPLES]]
    last = train(
        trainer,
        spec,
        context,
        sample=lambda: answer_greedily(model, tokenizer, questions, max_new_tokens=SAMPLE_TOKENS),
    )

    summary: dict[str, Any] = {}
    if held_out_pairs:
        context.phase("Measuring the result")
        after = score_pairs(model, held_out_pairs, **scoring)
        if before is None:  # a model to be split was in main memory before; now its parent is on the GPUs too
            before = _score_the_reference(trainer, held_out_pairs, **scoring)
        summary = {
            "held_out_pairs": len(held_out_pairs),
            "parent_prefers_chosen": before.prefers_chosen,
            "result_prefers_chosen": after.prefers_chosen,
            "held_out_reward_accuracy": after.reward_accuracy(before),
        }
    context.phase("Saving")
    weights = gathered_weights(trainer)
    if not context.group.is_first:
        return {}
    manifest = trainee.save(context.out, recipe=RECIPE.name, spec=spec, weights=weights)
    return {
        "result": manifest.kind,
        "pairs_trained_on": len(pairs),
        "steps": trainer.state.global_step,
        "loss": last.get("loss"),
        "reward_margin": last.get("reward_margin"),
        **summary,
    }


def make_trainer(
    spec: DpoSpec, context: Context, trainee: Trainee, pairs: list[Pair], held_out_pairs: list[Pair]
) -> DPOTrainer:
    """TRL's trainer on pairs that are tokenized and fitted already; the reference is the parent as it is now."""
    from trl import DPOConfig

    from pipeline.training.finetune import learning_rate_for
    from pipeline.training.loop import training_arguments

    model = trainee.model
    return _trainer_of_pairs()(
        model=model,
        # The reference is the parent as it is now: a copy of a whole model, or of its adapter, which TRL makes itself.
        ref_model=copy.deepcopy(model).eval() if trainee.kind == "full" else None,
        args=training_arguments(
            DPOConfig,
            spec,
            context,
            num_train_epochs=spec.epochs_for(len(pairs)),
            learning_rate=learning_rate_for(spec, model, context, scale=LEARNING_RATE_SCALE),
            max_length=trainee.max_length,
            beta=spec.beta,
            loss_type=[spec.loss_type, "sft"] if spec.chosen_weight else [spec.loss_type],
            loss_weights=[1.0, spec.chosen_weight] if spec.chosen_weight else [1.0],
        ),
        train_dataset=_as_dataset(pairs),
        eval_dataset=_as_dataset(held_out_pairs) if held_out_pairs else None,
        processing_class=trainee.tokenizer,
    )


def _trainer_of_pairs() -> Any:
    """TRL's DPOTrainer on pairs that are tokenized already: its own preparation drops long rows without a word."""
    from trl import DPOTrainer

    class TrainerOfPairs(DPOTrainer):
        def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
            return dataset

    return TrainerOfPairs


def _score_the_reference(trainer: Any, pairs: list[Pair], **scoring: int) -> PairScores:
    """Score the parent as the trainer keeps it: a model of its own, or an adapter beside the one that learned."""
    from trl.trainer.utils import use_adapter

    from pipeline.training.preferences import score_pairs

    if trainer.ref_model is not None:
        return score_pairs(trainer.ref_model, pairs, **scoring)
    with use_adapter(trainer.model, adapter_name="ref"):
        return score_pairs(trainer.model, pairs, **scoring)


def _as_dataset(pairs: list[Pair]) -> Any:
    from datasets import Dataset

    names = ("prompt_ids", "chosen_ids", "rejected_ids")
    return Dataset.from_dict({name: [getattr(pair, name) for pair in pairs] for name in names})


RECIPE = Recipe(
    name="dpo",
    title="Align (DPO)",
    summary="Moves a model towards the answers that people chose, from preference rows.",
    verb="Start alignment",
    spec=DpoSpec,
    run=run,
    charts=(
        Chart(
            "Reward margin", ("reward_margin", "eval_reward_margin"), "", "Chosen minus rejected; it starts at zero."
        ),
        Chart("Reward accuracy", ("reward_accuracy", "eval_reward_accuracy"), "share", "Pairs with the chosen ahead."),
        Chart("Loss", ("loss", "eval_loss"), "nats", "It starts at 0.69 (ln 2) for the sigmoid loss."),
        Chart("Log-probability", ("logp_chosen", "logp_rejected"), "nats", "Of whole answers; both often fall."),
        Chart("Learning rate", ("learning_rate",)),
        Chart("Gradient norm", ("gradient_norm",)),
        Chart("Speed", ("tokens_per_second",), "tokens/s"),
        Chart("Memory", ("memory_gib",), "GiB"),
    ),
)
