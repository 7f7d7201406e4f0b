"""Weights: one base model on the device, with every LoRA adapter that shares it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import BadModel
from pipeline.generation.few_rows import hasten_few_rows
from pipeline.generation.lora import NO_ADAPTER, LoraRows
from pipeline.generation.past import new_past
from pipeline.generation.threads import fastest_num_threads
from pipeline.loading import ResolvedModel, context_length_of, load_base, load_model

if TYPE_CHECKING:
    from torch import Tensor

ATTENTION_LAYERS = {"full_attention", "sliding_attention", "chunked_attention"}


class Weights:
    """A base model and its adapters; only the thread that owns it may touch it."""

    def __init__(self, model: Any) -> None:
        _require_attention_only(model)
        hasten_few_rows(model)
        self._model = model
        self._peft: Any = None
        self._lora_rows = LoraRows()
        self._adapter_names: dict[Path, str] = {}
        self._takes_logits_to_keep = "logits_to_keep" in inspect.signature(model.forward).parameters
        self.device = model.device
        self.context_length = context_length_of(model)
        self.size_bytes = size_of(model)
        self.eos_token_ids = _eos_token_ids(model)
        self._num_threads = self._measure_threads()

    def forward(
        self, adapters: Sequence[str], tokens: Tensor, *, attention_mask: Tensor | None, positions: Tensor, cache: Any
    ) -> Tensor:
        """Logits of the token after the last column, (rows, vocabulary); else as `last_logits`."""
        return self.last_logits(
            adapters, tokens, attention_mask=attention_mask, positions=positions, cache=cache, num_columns=1
        )[:, -1]

    def last_logits(
        self,
        adapters: Sequence[str],
        tokens: Tensor,
        *,
        attention_mask: Tensor | None,
        positions: Tensor,
        cache: Any,
        num_columns: int,
    ) -> Tensor:
        """Logits of the tokens after each of the last `num_columns` columns.

        Args:
            adapters: One a row: a name from `attach`, or `NO_ADAPTER`.
            tokens: (rows, columns).
            attention_mask: (rows, cached + columns), 0 at padding; None where nothing is padded.
            positions: (rows, columns).
            cache: transformers' cache; the new keys and values are added to it.

        Returns:
            (rows, num_columns, vocabulary), float32.
        """
        self._take_threads()
        self._lora_rows.set_rows(adapters)
        keep: dict[str, Any] = {"logits_to_keep": num_columns} if self._takes_logits_to_keep else {}
        output = self._model(
            input_ids=tokens,
            attention_mask=attention_mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            **keep,
        )
        logits: Tensor = output.logits[:, -num_columns:].float()
        return logits

    def attach(self, adapter: Path | None) -> str:
        """Load an adapter's weights beside the others, once; the name is what `forward` calls it."""
        if adapter is None:
            return NO_ADAPTER
        if adapter not in self._adapter_names:
            name = f"adapter{len(self._adapter_names)}"
            self._load_adapter(adapter, name)
            self._adapter_names[adapter] = name
            self.size_bytes = size_of(self._model)
        return self._adapter_names[adapter]

    def has(self, adapter: Path | None) -> bool:
        return adapter is None or adapter in self._adapter_names

    def _measure_threads(self) -> int | None:
        """On a processor the number of threads that suits a step; None where there is nothing to choose."""
        import torch

        most = torch.get_num_threads()
        if self.device.type != "cpu" or most == 1:
            return None
        token = torch.zeros(1, 1, dtype=torch.long)

        def step() -> None:
            with torch.inference_mode():
                self._model(input_ids=token, position_ids=token, past_key_values=new_past(), use_cache=True)

        try:
            return fastest_num_threads(step, most, torch.set_num_threads)
        finally:
            torch.set_num_threads(most)

    def _take_threads(self) -> None:
        """Other weights of the same engine may want another number."""
        import torch

        if self._num_threads is not None and torch.get_num_threads() != self._num_threads:
            torch.set_num_threads(self._num_threads)

    def _load_adapter(self, adapter: Path, name: str) -> None:
        from peft import PeftModel

        device = str(self.device)
        try:
            if self._peft is None:
                self._peft = PeftModel.from_pretrained(
                    self._model, str(adapter), adapter_name=name, torch_device=device
                )
            else:
                self._peft.load_adapter(str(adapter), adapter_name=name, torch_device=device)
        except (RuntimeError, ValueError, KeyError) as error:
            raise BadModel(
                f"The adapter in {adapter} does not fit its base: {str(error).strip().splitlines()[0][:300]}",
                "Its base was replaced or the folder is damaged; restore the base it was trained on, or train again.",
            ) from error
        self._peft.eval()
        self._lora_rows.follow(self._peft)


def load_weights(model: ResolvedModel, device: str) -> Weights:
    """Read the weights that answer for `model`: its base's where it can share them, else its own."""
    alone = model.adapter is not None and not can_share_base(model.adapter)
    loaded = load_model(model.adapter or model.base, device=device) if alone else load_base(model.base, device=device)
    return Weights(loaded.eval())


def shared_part(model: ResolvedModel) -> tuple[str, Path | None]:
    """Whose weights answer for `model`, and which adapter is to be attached to them."""
    if model.adapter is None or can_share_base(model.adapter):
        return str(model.base), model.adapter
    return str(model.adapter), None


def can_share_base(adapter: Path) -> bool:
    """Whether the adapter is plain LoRA of linear layers: two matrices a layer, nothing else of the base changed."""
    from safetensors import safe_open

    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    if config.get("peft_type") != "LORA" or any(config.get(key) for key in _MORE_THAN_PLAIN_LORA):
        return False
    return all(
        name.endswith((".lora_A.weight", ".lora_B.weight"))
        for file in adapter.glob("*.safetensors")
        for name in safe_open(file, framework="numpy").keys()  # noqa: SIM118 - it is no mapping
    )


_MORE_THAN_PLAIN_LORA = (
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "layer_replication",
    "lora_bias",
    "target_parameters",
    "monteclora_config",
    "use_bdlora",
    "use_dora",
    "use_qalora",
    "velora_config",
)


def size_of(model: Any) -> int:
    """Bytes that a model's parameters and buffers hold."""
    tensors = [*model.parameters(), *model.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _require_attention_only(model: Any) -> None:
    """Refuse models whose memory of the past is not keys and values that rows can bring along and take away."""
    layer_types = set(getattr(model.config.get_text_config(), "layer_types", None) or ())
    if model._is_stateful or not layer_types <= ATTENTION_LAYERS:
        raise BadModel(
            f"{type(model).__name__} has recurrent layers, and the engine batches attention models only.",
            "Serve it with another engine, or choose another model.",
        )


def _eos_token_ids(model: Any) -> frozenset[int]:
    named = model.generation_config.eos_token_id
    if named is None:
        return frozenset()
    return frozenset(named if isinstance(named, list) else [named])
