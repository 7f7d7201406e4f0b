"""Settings that every training recipe has: how far, how fast, what to hold back, when to checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ValidationInfo, field_validator, model_validator

from pipeline.spec import ModelRef, Spec, setting

MOST_TOKENS_BY_DEFAULT = 2048


def usual_length(context_length: int | None) -> int:
    """The longest sequence, in tokens, where no maximum is asked for: what the model reads, within reason."""
    return min(context_length or MOST_TOKENS_BY_DEFAULT, MOST_TOKENS_BY_DEFAULT)


@dataclass(frozen=True)
class EpochsByRows:
    """How often rows are gone through where that is left open: until about `enough_rows` were seen, within bounds."""

    least: int
    most: int
    enough_rows: int

    def of(self, num_rows: int) -> int:
        return min(self.most, max(self.least, round(self.enough_rows / max(num_rows, 1))))


class TrainingSpec(Spec):
    """The optimizer, its schedule, and what is measured and saved on the way."""

    num_epochs: float = setting(
        1.0, help="How many times the training rows are gone through.", unit="epochs", gt=0, le=1000
    )
    max_steps: int = setting(
        0,
        help="Stop after this many optimizer steps instead of after whole epochs; 0 counts epochs.",
        unit="steps",
        ge=0,
    )
    learning_rate: float = setting(2e-4, help="Peak step size of the optimizer.", basic=True, gt=0, le=1)
    batch_size: int = setting(8, help="Sequences that the device computes at once.", unit="sequences", ge=1, le=4096)
    gradient_accumulation: int = setting(
        1, help="Batches whose gradients are added up before each optimizer step.", unit="batches", ge=1, le=4096
    )
    num_processes: int = setting(
        1,
        help="GPUs, or processes on a machine without one, that train together; each step sees batch size x gradient "
        "accumulation x this many sequences.",
        unit="processes",
        ge=1,
        le=64,
    )
    sharding: Literal["none", "fsdp"] = setting(
        "none",
        help="What each of several processes holds: the whole model (none), or its share of the weights, gradients and "
        "optimizer state (fsdp: FSDP2, on GPUs, for models too large for one).",
    )
    schedule: Literal["cosine", "linear", "constant"] = setting(
        "cosine", help="How the learning rate falls after the warm-up."
    )
    warmup_share: float = setting(
        0.05, help="Share of the steps over which the learning rate rises from zero.", ge=0, lt=1
    )
    weight_decay: float = setting(0.0, help="Pull of the weights towards zero (AdamW).", ge=0, le=1)
    max_gradient_norm: float = setting(1.0, help="Longer gradients are scaled down to this norm.", gt=0)
    precision: Literal["auto", "float32", "bfloat16"] = setting(
        "auto", help="Number format of the computation; auto is bfloat16 on a GPU that has it and float32 elsewhere."
    )
    gradient_checkpointing: bool = setting(
        False, help="Recompute activations in the backward pass: less memory, about a fifth slower."
    )
    held_out_share: float = setting(
        0.05, help="Share of the rows (256 at most) kept out of training and used to measure.", ge=0, le=0.5
    )
    evaluations: int = setting(
        4, help="How often the held-out rows are measured during training, evenly spread.", unit="times", ge=0, le=100
    )
    checkpoint_every_minutes: float = setting(
        5.0, help="How much work a crash may cost: time between checkpoints.", unit="minutes", gt=0, le=1440
    )
    seed: int = setting(42, help="Fixes the order of the rows, the split and every random start.", ge=0, lt=2**31)

    @property
    def num_slots(self) -> int:
        return self.num_processes

    @property
    def sequences_each_step(self) -> int:
        """How many sequences an optimizer step learns from: the global batch."""
        return self.batch_size * self.gradient_accumulation * self.num_processes

    def epochs_for(self, num_rows: int) -> float:
        """How many times `num_rows` training rows are gone through."""
        return self.num_epochs

    @field_validator("sharding")
    @classmethod
    def _has_somebody_to_share_with(cls, value: str, info: ValidationInfo) -> str:
        if value == "fsdp" and info.data.get("num_processes") == 1:
            raise ValueError("needs num_processes of 2 or more: one process has nobody to share the model with")
        return value


class FineTuneSpec(TrainingSpec):
    """Settings of the recipes that start from a model and may train an adapter on it."""

    epochs_by_rows: ClassVar[EpochsByRows]

    model: Annotated[str, ModelRef()] = setting(
        help="The model to start from: one of yours, a local folder or a Hugging Face id.", basic=True, min_length=1
    )
    method: Literal["auto", "lora", "full", "qlora"] = setting(
        "auto",
        help="Train a small adapter (lora), every weight (full), or an adapter on a 4-bit base (qlora); auto trains "
        "every weight of a whole model of yours under 100 million weights, and an adapter on any other.",
        basic=True,
    )
    num_epochs: float = setting(
        0.0,
        help="How many times the training rows are gone through; 0 chooses: up to 10 for few rows, less for many.",
        unit="epochs",
        basic=True,
        ge=0,
        le=1000,
    )
    max_length: int = setting(
        0,
        help="Longest sequence kept, longer ones are shortened and counted; 0 is the model's limit, 2,048 at most.",
        unit="tokens",
        basic=True,
        ge=0,
        le=1 << 20,
    )
    lora_rank: int = setting(16, help="Width of the adapter: more learns more and costs more.", ge=1, le=1024)
    lora_alpha: int = setting(32, help="Strength of the adapter; its output is scaled by alpha / rank.", ge=1)
    lora_dropout: float = setting(0.0, help="Share of the adapter's inputs dropped while training.", ge=0, lt=1)
    lora_targets: str = setting(
        "all-linear",
        help="Layers that get an adapter: all-linear, or names separated by commas, such as q_proj, v_proj.",
        min_length=1,
    )

    def epochs_for(self, num_rows: int) -> float:
        return self.num_epochs or self.epochs_by_rows.of(num_rows)

    @field_validator("method")
    @classmethod
    def _can_be_shared(cls, value: str, info: ValidationInfo) -> str:
        if value == "qlora" and info.data.get("sharding") == "fsdp":
            raise ValueError("cannot go with fsdp, which does not split 4-bit weights; choose lora, or sharding none")
        return value

    @model_validator(mode="before")
    @classmethod
    def _read_alpha_as_twice_the_rank(cls, values: Any) -> Any:
        """Where only the rank is given, keep the adapter's scale of two."""
        if isinstance(values, dict) and "lora_rank" in values and "lora_alpha" not in values:
            rank = values["lora_rank"]
            return {**values, "lora_alpha": 2 * rank} if isinstance(rank, int) else values
        return values
