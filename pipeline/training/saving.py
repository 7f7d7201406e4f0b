"""Saving: a result written as a whole model folder, with the manifest that says what it is."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.model_folder import ModelKind, ModelManifest, relative_base, write_atomically, write_manifest
from pipeline.spec import Spec

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, Trainer

Weights = dict[str, Any]
"""Tensors by the model's names for them."""

PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "tokenizers")


def save_result(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    kind: ModelKind,
    recipe: str,
    spec: Spec,
    base: Path | str | None = None,
    weights: Weights | None = None,
) -> ModelManifest:
    """Write the model, its tokenizer and `hone.json` into `folder`.

    Args:
        base: What an adapter stands on; named relative to `folder`, so that a moved data folder still works.
        weights: What an adapter weighs, where `model` itself holds only this process's share of it.
    """
    if kind == "adapter":
        # Peft would otherwise ask the hub whether the base's vocabulary was resized.
        model.save_pretrained(folder, selected_adapters=["default"], save_embedding_layers=False, state_dict=weights)
        (folder / "README.md").unlink(missing_ok=True)
        _name_base_relatively(folder / "adapter_config.json", base)
    else:
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    template = tokenizer.chat_template
    return write_manifest(
        folder,
        ModelManifest(
            kind=kind,
            base=relative_base(folder, base) if base is not None else None,
            recipe=recipe,
            spec=spec.model_dump(mode="json"),
            num_parameters=num_parameters(model),
            size_bytes=sum(path.stat().st_size for path in folder.glob("*.safetensors")),
            chat_template_sha256=hashlib.sha256(str(template).encode()).hexdigest() if template else None,
            versions={package: version(package) for package in PACKAGES},
            hardware=hardware_in_words(),
        ),
    )


def gathered_weights(trainer: Trainer) -> Weights | None:
    """All weights of a model that its processes hold a share of each, in the first of them (the others get nothing).

    All must call it. None where each holds the whole model, which can be saved as it is.
    """
    return trainer.accelerator.get_state_dict(trainer.model) if trainer.is_fsdp_enabled else None


def with_weights(model: Any, weights: Weights) -> Any:
    """A plain model of `model`'s configuration around gathered weights, in main memory."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        plain = AutoModelForCausalLM.from_config(model.config)
    plain.load_state_dict(weights, assign=True)
    plain.tie_weights()
    return plain


def num_parameters(model: Any) -> int:
    """Weights of the whole model; 4-bit weights, stored two to a byte, are counted one by one."""
    return sum(_num_weights(parameter) for parameter in model.parameters())


def hardware_in_words() -> str:
    import psutil
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} × {torch.cuda.get_device_name(0)}"
    return f"{psutil.cpu_count(logical=True)} CPU cores ({platform.machine()})"


def _num_weights(parameter: Any) -> int:
    quant_state = getattr(parameter, "quant_state", None)
    return int(quant_state.shape.numel()) if quant_state is not None else int(parameter.numel())


def _name_base_relatively(path: Path, base: Path | str | None) -> None:
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = relative_base(path.parent, base) if base is not None else None
    write_atomically(path, json.dumps(config, indent=2, sort_keys=True).encode())
