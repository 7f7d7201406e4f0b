"""Fine-tuning: the model to train, made ready by its method: an adapter, every weight, or an adapter on 4 bits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.context import Context
from pipeline.loading import (
    Dtype,
    ResolvedModel,
    context_length_of,
    load_base,
    load_model,
    load_tokenizer,
    resolve_model,
)
from pipeline.model_folder import ModelKind, ModelManifest
from pipeline.spec import Fault, Spec, SpecFaults
from pipeline.training.loop import loading_device, uses_bfloat16
from pipeline.training.saving import Weights, num_parameters, save_result, with_weights
from pipeline.training.settings import FineTuneSpec, usual_length

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Method = Literal["lora", "full", "qlora"]

LARGE = 100_000_000
"""From this many weights on, a model counts as large: adapters by default, and no larger steps than the usual."""

LEARNING_RATE_OF_LARGE: dict[Method, float] = {"lora": 2e-4, "qlora": 2e-4, "full": 2e-5}
"""Peak learning rates that suit large models; smaller ones take larger steps, most of all when trained in full."""

LARGEST_LEARNING_RATE: dict[Method, float] = {"lora": 3e-3, "qlora": 3e-3, "full": 1e-3}


@dataclass(frozen=True)
class Trainee:
    """A model ready to be trained.

    Args:
        model: A `PeftModel` whose adapter `default` is trainable, or a whole model.
        tokenizer: Its tokenizer; what it learns to say ends with the tokenizer's end token.
        kind: What will be saved.
        base: What the saved adapter will stand on; None for a whole model.
        max_length: Longest sequence to train on, in tokens.
        saved_dtype: The number format in which the parent was saved, and in which a whole model is saved again.
    """

    model: Any
    tokenizer: PreTrainedTokenizerBase
    kind: ModelKind
    base: Path | str | None
    max_length: int
    saved_dtype: Any

    def save(self, folder: Path, *, recipe: str, spec: Spec, weights: Weights | None = None) -> ModelManifest:
        """Write the result.

        Args:
            weights: All the weights, where the processes that trained the model hold a share of them each.
        """
        if self.kind == "full":
            model = self.model if weights is None else with_weights(self.model, weights)
            model, weights = model.to(self.saved_dtype), None
        else:
            model = self.model
        return save_result(
            model, self.tokenizer, folder, kind=self.kind, recipe=recipe, spec=spec, base=self.base, weights=weights
        )


def make_trainee(spec: FineTuneSpec, context: Context) -> Trainee:
    """Load the parent and prepare it by `spec.method`.

    An adapter parent goes on as an adapter on the same base, so that a family shares one base in memory; trained in
    full, it is merged into its base first.

    Raises:
        SpecFaults: if the method, the length or the adapter's layers do not fit the model.
    """
    found = resolve_model(spec.model)
    if spec.sharding == "fsdp" and is_quantized(found):
        raise SpecFaults([Fault("sharding", "fsdp does not split the weights of a quantized model; choose none")])
    tokenizer = load_tokenizer(spec.model)
    if method_for(spec, found) == "full":
        model, base = _whole(spec, found), None
    else:
        model, base = _with_adapter(spec, found, context), found.base
    return Trainee(
        model=model,
        tokenizer=tokenizer,
        kind="full" if base is None else "adapter",
        base=base,
        max_length=length_within(context_length_of(model), spec.max_length),
        saved_dtype=_dtype_of(found, model),
    )


def learning_rate_for(spec: FineTuneSpec, model: Any, context: Context, *, scale: float = 1.0) -> float:
    """The peak learning rate: what was asked for, or else one that suits the method and the model's size."""
    if spec.learning_rate:
        return spec.learning_rate
    method = method_for(spec, resolve_model(spec.model))
    shrink = max(1.0, LARGE / num_parameters(model)) ** (1.0 if method == "full" else 0.5)
    rate = scale * min(LARGEST_LEARNING_RATE[method], LEARNING_RATE_OF_LARGE[method] * shrink)
    context.log(f"Learning rate {rate:.2g}, chosen for {method} on {num_parameters(model):,} weights.")
    return rate


def method_for(spec: FineTuneSpec, found: ResolvedModel) -> Method:
    """The method asked for; for auto, full where the model is whole, known and small, and lora elsewhere."""
    if spec.method != "auto":
        return spec.method
    manifest = found.manifest
    is_small = manifest is not None and manifest.kind == "full" and manifest.num_parameters < LARGE
    return "full" if is_small else "lora"


def _whole(spec: FineTuneSpec, found: ResolvedModel) -> Any:
    """Every weight trainable, in float32: small steps are lost in 16 bits."""
    if is_quantized(found):
        raise SpecFaults([Fault("method", "a quantized model cannot be trained in full; choose lora")])
    model: Any = load_model(spec.model, device=loading_device(spec), dtype="float32")
    if found.adapter is not None:
        model = model.merge_and_unload()
    return model.requires_grad_(True)  # peft freezes the base that an adapter is put on


def _with_adapter(spec: FineTuneSpec, found: ResolvedModel, context: Context) -> Any:
    from peft import PeftModel, prepare_model_for_kbit_training

    dtype: Dtype = "bfloat16" if uses_bfloat16(spec) else "float32"
    quantization = nf4_config(dtype) if spec.method == "qlora" and not is_quantized(found) else None
    model: Any = load_model(
        spec.model, device=loading_device(spec), dtype=dtype, for_training=True, quantization=quantization
    )
    if isinstance(model, PeftModel):
        context.log("The parent is an adapter: training goes on from its weights, rank and layers, on the same base.")
        return model
    if getattr(model, "is_quantized", False):
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=spec.gradient_checkpointing)
    return _new_adapter(spec, model)


def _new_adapter(spec: FineTuneSpec, model: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    names = [name.strip() for name in spec.lora_targets.split(",") if name.strip()]
    config = LoraConfig(
        r=spec.lora_rank,
        lora_alpha=spec.lora_alpha,
        lora_dropout=spec.lora_dropout,
        target_modules="all-linear" if names == ["all-linear"] else names,
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        layers = sorted({name.rsplit(".", 1)[-1] for name, _ in model.named_modules() if name.endswith("_proj")})
        fault = f"no layer of the model matches {spec.lora_targets!r}; it has {', '.join(layers) or 'other names'}"
        raise SpecFaults([Fault("lora_targets", fault)]) from error


def nf4_config(compute_dtype: Dtype) -> Any:
    """4-bit NormalFloat with double quantization (QLoRA, arXiv 2305.14314), computed in `compute_dtype`."""
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, compute_dtype),
    )


def merged(model: str, *, device: str, dtype: Dtype = "auto") -> Any:
    """A whole model: the model itself, or an adapter merged into its base."""
    if resolve_model(model).adapter is None:
        return load_base(resolve_model(model).base, device=device, dtype=dtype)
    loaded: Any = load_model(model, device=device, dtype=dtype)
    return loaded.merge_and_unload()


def length_within(longest: int | None, asked: int) -> int:
    """The longest sequence to train on, in tokens: what was asked for, or for 0 what the model reads, within reason.

    Raises:
        SpecFaults: if the model reads less than was asked for.
    """
    if not asked:
        return usual_length(longest)
    if longest is not None and asked > longest:
        raise SpecFaults([Fault("max_length", f"the model reads at most {longest} tokens at once (received {asked})")])
    return asked


def is_quantized(found: ResolvedModel) -> bool:
    return found.manifest is not None and found.manifest.kind == "quantized"


def _dtype_of(found: ResolvedModel, model: Any) -> Any:
    """The number format that the parent's configuration names."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(str(found.base), trust_remote_code=False).dtype or model.dtype
