"""Quantize: a model's linear layers in 4 or 8 bits by bitsandbytes, with what it saves and what it costs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pipeline.context import Context
from pipeline.errors import BadModel
from pipeline.recipes import Recipe
from pipeline.spec import DatasetRef, Fault, ModelRef, Spec, SpecFaults, setting
from pipeline.training.rows import read_rows, split_rows

MOST_ROWS_MEASURED = 256
MOST_TOKENS_MEASURED = 1024


class QuantizeSpec(Spec):
    model: Annotated[str, ModelRef()] = setting(
        help="The model to quantize; an adapter is merged into its base first.", basic=True, min_length=1
    )
    dataset: Annotated[str | None, DatasetRef(("text", "instruction"))] = setting(
        None, help="Rows to measure perplexity on before and after; without them only the size is reported.", basic=True
    )
    format: Literal["nf4", "int8"] = setting(
        "nf4", help="4-bit NormalFloat (nf4), or 8-bit integers with outliers kept in 16 bits (int8).", basic=True
    )
    double_quantization: bool = setting(
        True, help="Quantize the scales of nf4 as well: about 0.4 bits less a weight.", basic=True
    )
    compute_dtype: Literal["float16", "bfloat16"] = setting(
        "bfloat16", help="Number format of the weights that stay whole, and of the computation.", basic=True
    )
    rows_measured: int = setting(
        64, help="How many rows the perplexity is measured on.", unit="rows", ge=1, le=MOST_ROWS_MEASURED
    )
    seed: int = setting(42, help="Fixes which rows are measured.", ge=0, lt=2**31)


@dataclass(frozen=True)
class Sizes:
    """Bytes on disk of the layers that were quantized, and of the same layers at 16 bits a weight."""

    quantized_bytes: int
    float16_bytes: int
    num_layers: int

    @property
    def ratio(self) -> float:
        return self.quantized_bytes / self.float16_bytes


def run(spec: QuantizeSpec, context: Context) -> dict[str, Any]:
    """Merge where needed, quantize, save, read back what was saved, and measure that."""
    rows = read_rows(spec.dataset, "text", "instruction") if spec.dataset else []

    context.phase("Loading the libraries")
    from pipeline.loading import context_length_of, load_model, load_tokenizer, resolve_model
    from pipeline.training.finetune import is_quantized, merged
    from pipeline.training.loop import device_name, raise_if_stopped
    from pipeline.training.perplexity import perplexity, tokenize_for_perplexity
    from pipeline.training.saving import save_result

    if is_quantized(resolve_model(spec.model)):
        raise SpecFaults([Fault("model", "is quantized already; choose the model that it was made from")])
    device = device_name()
    context.phase("Loading the model")
    tokenizer = load_tokenizer(spec.model)
    whole = merged(spec.model, device=device, dtype=spec.compute_dtype)
    raise_if_stopped(context)

    tokens = []
    if rows:
        context.phase("Measuring before")
        length = min(context_length_of(whole) or MOST_TOKENS_MEASURED, MOST_TOKENS_MEASURED)
        measured = _some(rows, spec)
        tokens = tokenize_for_perplexity(tokenizer, measured, max_length=length, context=context)
    before = perplexity(whole, tokens) if tokens else None
    raise_if_stopped(context)

    context.phase("Quantizing")
    whole_folder = context.checkpoints / "whole"
    shutil.rmtree(whole_folder, ignore_errors=True)
    whole.save_pretrained(whole_folder)
    whole_bytes = _weights_in(whole_folder)
    del whole
    quantized = load_model(whole_folder, device=device, dtype=spec.compute_dtype, quantization=_config(spec))
    # Saved before it computes anything: some CPUs repack 4-bit weights at their first use.
    context.phase("Saving")
    manifest = save_result(quantized, tokenizer, context.out, kind="quantized", recipe=RECIPE.name, spec=spec)
    shutil.rmtree(whole_folder)
    sizes = sizes_of_quantized_layers(context.out, quantized)
    del quantized
    raise_if_stopped(context)

    context.phase("Reading it back")
    restored = load_model(context.out, device=device)
    after = perplexity(restored, tokens) if tokens else None
    context.log(
        f"{sizes.num_layers} linear layers take {sizes.ratio:.1%} of their size at 16 bits. The embeddings and the "
        "output layer stay at 16 bits, as bitsandbytes leaves them, so the whole model takes "
        f"{manifest.size_bytes / whole_bytes:.1%} of its size at 16 bits."
    )
    return {
        "format": spec.format,
        "layers_quantized": sizes.num_layers,
        "quantized_layers_bytes": sizes.quantized_bytes,
        "quantized_layers_at_16_bits_bytes": sizes.float16_bytes,
        "quantized_layers_ratio": sizes.ratio,
        "kept_at_16_bits": "embeddings, output layer and norms",
        "model_bytes": manifest.size_bytes,
        "model_at_16_bits_bytes": whole_bytes,
        "perplexity_before": before,
        "perplexity_after": after,
        "rows_measured": len(tokens),
    }


def sizes_of_quantized_layers(folder: Path, model: Any) -> Sizes:
    """Add up what the quantized layers of `model` take in the files of `folder`, scales and tables included."""
    from safetensors import safe_open

    layers = {
        name: module.in_features * module.out_features
        for name, module in model.named_modules()
        if type(module).__module__.startswith("bitsandbytes")
    }
    if not layers:
        raise BadModel("No layer of the model could be quantized.", "Choose a model with linear layers.")
    quantized_bytes = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a dict: it can only be asked for its keys
                if _layer_of(name) in layers:
                    tensor = tensors.get_tensor(name)
                    quantized_bytes += tensor.numel() * tensor.element_size()
    return Sizes(quantized_bytes, 2 * sum(layers.values()), len(layers))


def _layer_of(tensor_name: str) -> str:
    """`a.q_proj` for `a.q_proj.weight`, `a.q_proj.weight.absmax` and `a.q_proj.SCB`."""
    before_weight, _, _ = tensor_name.partition(".weight")
    return before_weight.removesuffix(".SCB").removesuffix(".weight_format")


def _config(spec: QuantizeSpec) -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    if spec.format == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=spec.double_quantization,
        bnb_4bit_compute_dtype=getattr(torch, spec.compute_dtype),
    )


def _some(rows: list[dict[str, Any]], spec: QuantizeSpec) -> list[dict[str, Any]]:
    if len(rows) <= spec.rows_measured:
        return rows
    share = spec.rows_measured / len(rows)
    return split_rows(rows, held_out_share=share, seed=spec.seed, most_held_out=spec.rows_measured).held_out


def _weights_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


RECIPE = Recipe(
    name="quantize",
    title="Quantize",
    summary="Makes a model smaller, in 4 or 8 bits, and measures what that costs on rows of your choice.",
    verb="Start quantizing",
    spec=QuantizeSpec,
    run=run,
)
