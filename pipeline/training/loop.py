"""The training loop as Hone sees it: what the trainer is told, what it reports, when it stops and where it resumes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import psutil

from pipeline.context import Context, StopReason
from pipeline.errors import Diverged, Stopped
from pipeline.spec import Fault, SpecFaults
from pipeline.training.checkpoints import (
    WRITING_NAME,
    checkpoint_of,
    latest_whole,
    publish,
    step_of,
    writing_folder,
)
from pipeline.training.settings import TrainingSpec

if TYPE_CHECKING:
    from transformers import Trainer, TrainingArguments

    ArgumentsT = TypeVar("ArgumentsT", bound=TrainingArguments)

SECONDS_BETWEEN_REPORTS = 0.25

NAMES = {
    "loss": "loss",
    "grad_norm": "gradient_norm",
    "learning_rate": "learning_rate",
    "mean_token_accuracy": "token_accuracy",
    "rewards/chosen": "reward_chosen",
    "rewards/rejected": "reward_rejected",
    "rewards/margins": "reward_margin",
    "rewards/accuracies": "reward_accuracy",
    "logps/chosen": "logp_chosen",
    "logps/rejected": "logp_rejected",
}
"""The trainers' names for what is worth a curve, and ours; measured on held-out rows they begin with `eval_`."""

Sampler = Callable[[], list[tuple[str, str]]]

WISHES: tuple[StopReason | None, ...] = (None, "cancel", "pause")
"""What a person may wish of a running job, by the number under which its processes agree on it."""


def device_name() -> str:
    """The GPU of this process, or the processor."""
    import torch

    return f"cuda:{torch.cuda.current_device()}" if torch.cuda.is_available() else "cpu"


def loading_device(spec: TrainingSpec) -> str:
    """Where weights are read to: the device that trains, or main memory if the processes then split them."""
    return device_name() if spec.sharding == "none" else "cpu"


def uses_bfloat16(spec: TrainingSpec) -> bool:
    import torch

    if spec.precision == "auto":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return spec.precision == "bfloat16"


def training_arguments(
    config_class: type[ArgumentsT], spec: TrainingSpec, context: Context, **extra: Any
) -> ArgumentsT:
    """The settings of `spec` in the trainer's own words.

    Logging, evaluation and checkpoints are asked for by `TrainingReporter`, by time rather than by a count of steps.
    """
    is_split = spec.sharding == "fsdp"
    return config_class(
        output_dir=str(_empty_writing_folder(context)),
        num_train_epochs=extra.pop("num_train_epochs", spec.num_epochs),
        max_steps=spec.max_steps or -1,
        learning_rate=extra.pop("learning_rate", spec.learning_rate),
        per_device_train_batch_size=spec.batch_size,
        per_device_eval_batch_size=spec.batch_size,
        gradient_accumulation_steps=spec.gradient_accumulation,
        lr_scheduler_type="constant_with_warmup" if spec.schedule == "constant" else spec.schedule,
        weight_decay=spec.weight_decay,
        max_grad_norm=spec.max_gradient_norm,
        bf16=uses_bfloat16(spec),
        # By the model itself also where it is split: FSDP's own renames the layers, and an adapter is saved by name.
        gradient_checkpointing=spec.gradient_checkpointing,
        fsdp=is_split,
        fsdp_config={"version": 2, "state_dict_type": "SHARDED_STATE_DICT"} if is_split else None,
        ddp_backend="gloo" if context.group.size > 1 and device_name() == "cpu" else None,
        ddp_find_unused_parameters=False,  # a causal model trains all that it is said to train
        seed=spec.seed,
        use_cpu=device_name() == "cpu",
        dataloader_pin_memory=device_name() != "cpu",
        logging_strategy="no",
        eval_strategy="no",
        save_strategy="no",
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
        **extra,
    )


def train(trainer: Trainer, spec: TrainingSpec, context: Context, *, sample: Sampler | None = None) -> dict[str, float]:
    """Train to the end, from the last whole checkpoint where there is one.

    Returns:
        The last value of every metric reported.

    Raises:
        SpecFaults: if the model is to be split and cannot be.
        Stopped: if asked to stop, after a checkpoint.
        Diverged: if the loss or the gradient stopped being a finite number.
    """
    from transformers import PrinterCallback, TrainerCallback

    if spec.sharding == "fsdp" and not trainer.is_fsdp_enabled:  # accelerate would train whole models without a word
        raise SpecFaults([Fault("sharding", "fsdp splits a model between GPUs, and there are none; choose none")])

    class Callback(TrainingReporter, TrainerCallback):
        """The reporter as the trainer calls it."""

    reporter = Callback(spec, context, can_evaluate=trainer.eval_dataset is not None, sample=sample)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(reporter)
    trainer.args.warmup_steps = warmup_steps(trainer, spec)
    checkpoint = _last_checkpoint(context)
    if checkpoint is not None:
        context.log(f"Resuming from the checkpoint of step {step_of(checkpoint)}.")
    context.phase("Training")
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    raise_if_stopped(context)
    return reporter.last


def _empty_writing_folder(context: Context) -> Path:
    folder = context.checkpoints / WRITING_NAME
    if context.group.is_first:
        writing_folder(context.checkpoints)
    context.group.wait()
    return folder


def _last_checkpoint(context: Context) -> Path | None:
    """Where to resume from, the same for the whole group: the first process looks, and hashes what it finds."""
    found = None
    if context.group.is_first:
        found = latest_whole(context.checkpoints, warn=lambda text: context.log(text, level="warning"))
    (step,) = context.group.agree([step_of(found) if found else -1])
    return checkpoint_of(step, context.checkpoints) if step >= 0 else None


def warmup_steps(trainer: Trainer, spec: TrainingSpec) -> int:
    """Whole steps of the warm-up, rounded down: a first step of size zero would be the only one of a very short run."""
    batches = math.ceil(len(trainer.get_train_dataloader()) / spec.gradient_accumulation)
    num_steps = spec.max_steps or math.ceil(trainer.args.num_train_epochs * batches)
    return math.floor(spec.warmup_share * num_steps)


def raise_if_stopped(context: Context) -> None:
    """End the job here if a person asked for that; between the phases of a recipe nothing is half written."""
    (number,) = context.group.agree([WISHES.index(context.stop.reason)])
    wish = WISHES[number]
    if wish is not None:
        context.stop.request(wish)
        verb = "paused" if context.stop.reason == "pause" else "cancelled"
        raise Stopped(f"The job was {verb}.", "Its last checkpoint is kept; resume it to go on from there.")


class TrainingReporter:
    """Tells the context what the trainer does, and tells the trainer when to log, measure, save and stop."""

    def __init__(self, spec: TrainingSpec, context: Context, *, can_evaluate: bool, sample: Sampler | None) -> None:
        self.last: dict[str, float] = {}
        self._spec = spec
        self._context = context
        self._can_evaluate = can_evaluate
        self._sample = sample
        self._reported_at = 0.0
        self._saved_at = time.monotonic()
        self._step_began_at = 0.0
        self._seconds_in_steps = 0.0
        self._tokens_at_last_log = 0.0
        self._evaluation_steps: set[int] = set()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        parts = self._spec.evaluations if self._can_evaluate else 0
        self._evaluation_steps = {math.ceil(state.max_steps * part / parts) for part in range(1, parts + 1)}
        self._tokens_at_last_log = float(state.num_input_tokens_seen)
        self._context.progress(state.global_step, state.max_steps)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._step_began_at = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        now = time.monotonic()
        self._seconds_in_steps += now - self._step_began_at
        is_last = state.global_step >= state.max_steps
        is_time_to_report = now - self._reported_at > SECONDS_BETWEEN_REPORTS or is_last or state.global_step == 1
        is_time_to_save = now - self._saved_at > 60 * self._spec.checkpoint_every_minutes
        wish = WISHES.index(self._context.stop.reason)
        reports, saves, wish = self._context.group.agree([is_time_to_report, is_time_to_save, wish])
        reason = WISHES[wish]
        if reason is not None:
            self._context.stop.request(reason)
            control.should_training_stop = True
        control.should_save = bool(saves or wish)
        control.should_evaluate = state.global_step in self._evaluation_steps and not wish
        # A checkpoint is always preceded by a log, so that weights that diverged are seen before they are saved.
        control.should_log = bool(reports or control.should_save)
        if control.should_log:
            self._reported_at = now
            self._context.progress(state.global_step, state.max_steps)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        for name in ("loss", "grad_norm", "eval_loss"):
            if name in logs and not math.isfinite(logs[name]):
                raise _diverged(name, logs[name], state.global_step)
        values = {ours: logs[theirs] for theirs, ours in NAMES.items() if theirs in logs}
        values |= {f"eval_{ours}": logs[f"eval_{theirs}"] for theirs, ours in NAMES.items() if f"eval_{theirs}" in logs}
        if "loss" in logs:
            values |= self._speed(float(logs.get("num_tokens", state.num_input_tokens_seen)))
            values["memory_gib"] = memory_gib()
        self.last |= values
        self._context.metrics(state.global_step, values)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for prompt, text in self._sample() if self._sample else []:
            self._context.sample(state.global_step, prompt, text)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._context.group.wait()  # each process adds its random state
        if self._context.group.is_first:
            publish(checkpoint_of(state.global_step, Path(args.output_dir)), self._context.checkpoints)
        self._saved_at = time.monotonic()
        self._context.checkpointed(state.global_step)

    def _speed(self, num_tokens: float) -> dict[str, float]:
        """Tokens a second of training alone: the time spent evaluating, sampling and saving is left out."""
        tokens, seconds = num_tokens - self._tokens_at_last_log, self._seconds_in_steps
        self._tokens_at_last_log, self._seconds_in_steps = num_tokens, 0.0
        return {"tokens_per_second": tokens / seconds} if tokens > 0 and seconds > 0 else {}


def memory_gib() -> float:
    """Most GPU memory held so far, or without a GPU the memory of this process now."""
    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated() / 2**30)
    return float(psutil.Process().memory_info().rss / 2**30)


def _diverged(name: str, value: float, step: int) -> Diverged:
    what = {"loss": "loss", "grad_norm": "gradient norm", "eval_loss": "held-out loss"}[name]
    return Diverged(
        f"Training diverged: at step {step} the {what} was {value}.",
        "Lower the learning rate (a tenth is a good next try) or lengthen the warm-up, then run again.",
    )
