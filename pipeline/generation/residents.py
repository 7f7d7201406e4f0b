"""Residents: the sets of weights that are in memory, the least recently used of which go first."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable, Collection
from pathlib import Path

from pipeline.generation.requests import DoesNotFit
from pipeline.generation.weights import Weights, shared_part
from pipeline.loading import ResolvedModel


class Residents:
    """Weights by the folder or id they came from, within a memory budget; only the owner thread changes them."""

    def __init__(self, budget_bytes: int, load: Callable[[ResolvedModel], Weights]) -> None:
        self._budget_bytes = budget_bytes
        self._load = load
        self._weights: OrderedDict[str, Weights] = OrderedDict()  # the most recently used last

    @property
    def is_empty(self) -> bool:
        return not self._weights

    def holds(self, model: ResolvedModel) -> bool:
        key, adapter = shared_part(model)
        weights = self._weights.get(key)
        return weights is not None and weights.has(adapter)

    def use(self, model: ResolvedModel) -> tuple[Weights, str]:
        """The weights that answer for a model that is held, and the adapter's name on them."""
        key, adapter = shared_part(model)
        self._weights.move_to_end(key)
        weights = self._weights[key]
        return weights, weights.attach(adapter)

    def make_room_for(self, model: ResolvedModel, busy: Collection[Weights]) -> bool:
        """Let go of idle weights until `model` fits; False while it must wait for busy ones.

        Raises:
            DoesNotFit: if it would not fit into an empty memory.
        """
        key, adapter = shared_part(model)
        needed = 0 if adapter is None else stored_bytes(adapter)
        if key not in self._weights:
            needed += stored_bytes(key)
            self._require_fit(model, needed)
        idle = [name for name, weights in self._weights.items() if name != key and weights not in busy]
        while self._used_bytes() + needed > self._budget_bytes and idle:
            self.drop(idle.pop(0))
        if self._used_bytes() + needed <= self._budget_bytes:
            return True
        if not any(weights in busy for weights in self._weights.values()):
            # Only the model's own base is left, with more adapters than fit: begin again with this one alone.
            self.drop(key)
            self._require_fit(model, needed + stored_bytes(key))
            return True
        return False

    def load(self, model: ResolvedModel) -> None:
        """Read what is missing of `model` into memory.

        Raises:
            DoesNotFit: if its weights turn out larger than the whole budget.
        """
        key, adapter = shared_part(model)
        if key not in self._weights:
            weights = self._load(model)
            self._require_fit(model, weights.size_bytes)
            self._weights[key] = weights
        self._weights[key].attach(adapter)

    def drop(self, key: str) -> None:
        del self._weights[key]
        _return_memory()

    def drop_weights(self, weights: Weights) -> None:
        for key in [name for name, held in self._weights.items() if held is weights]:
            self.drop(key)

    def clear(self) -> None:
        self._weights.clear()
        _return_memory()

    def _used_bytes(self) -> int:
        return sum(weights.size_bytes for weights in self._weights.values())

    def _held(self) -> str:
        if not self._weights:
            return "no other is in memory"
        held = (f"{Path(key).name} {_size(weights.size_bytes)}" for key, weights in self._weights.items())
        return f"in memory are {', '.join(held)}"

    def _require_fit(self, model: ResolvedModel, needed_bytes: int) -> None:
        if needed_bytes > self._budget_bytes:
            raise DoesNotFit(
                f"{Path(str(model.name)).name} needs {_size(needed_bytes)} of memory, and all models together may fill "
                f"{_size(self._budget_bytes)} here; {self._held()}.",
                "Quantize it, choose a smaller model, or give the inference server more memory (HONE_MEMORY_GB).",
            )


def stored_bytes(model: str | Path) -> int:
    """Bytes of a folder's weights; 0 for a Hugging Face id, whose size is known once it is loaded."""
    folder = Path(model)
    return sum(file.stat().st_size for file in folder.glob("*.safetensors")) if folder.is_dir() else 0


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.1f} MB"


def _return_memory() -> None:
    """Give freed weights back to the device: models hold reference cycles, and CUDA keeps what it once had."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
