"""LoRA rows: several adapters of one base in one forward pass, each row by its own.

In every layer the ranks of all adapters of the batch stand side by side, as one pair of matrices. A row's hidden ranks
are computed for all of them, a mask keeps its own, and the second matrix adds what is left:

    y = W x + up (mask_row * (down x))      down (ranks, in), up (out, ranks), with each adapter's scaling in `up`

That is two products a layer however many adapters there are. peft's own mixed batches (`adapter_names`) loop over the
adapters in every layer, and leave hooks behind when a forward pass raises, which makes every later answer wrong. A
layer's own `forward` is put in the place of peft's, so that nothing else of peft runs in a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

NO_ADAPTER = ""
"""The name of a row that is answered by the base alone."""


@dataclass(frozen=True)
class SideBySide:
    """One layer's adapters as one pair of matrices; `ranks` says whose the rows of `down` are, in order."""

    down: Tensor
    up: Tensor
    ranks: tuple[tuple[str, int], ...]


class LoraRows:
    """Adds to every LoRA layer of a model what the adapter of each row adds."""

    def __init__(self) -> None:
        self._taken_over: set[nn.Module] = set()
        self._row_adapters: tuple[str, ...] = ()
        self._present: tuple[str, ...] = ()
        self._layers: dict[nn.Module, SideBySide | None] = {}
        self._masks: dict[tuple[tuple[str, int], ...], Tensor | None] = {}

    def follow(self, peft_model: Any) -> None:
        """Take over the LoRA layers of a model, also those that a new adapter has brought."""
        from peft.tuners.lora import LoraLayer

        layers: list[Any] = [module for module in peft_model.modules() if isinstance(module, LoraLayer)]
        for layer in layers:
            if layer not in self._taken_over:
                layer.forward = partial(self._forward, layer, layer.base_layer)
                self._taken_over.add(layer)
        self._layers.clear()

    def set_rows(self, adapters: Sequence[str]) -> None:
        """Say which adapter each row of the next forward pass belongs to."""
        rows = tuple(adapters)
        if rows == self._row_adapters:
            return
        self._row_adapters = rows
        self._masks.clear()
        present = tuple(sorted(set(rows) - {NO_ADAPTER}))
        if present != self._present:
            self._present = present
            self._layers.clear()

    def _forward(self, layer: nn.Module, base_layer: nn.Module, states: Tensor) -> Tensor:
        from torch.nn.functional import linear

        output: Tensor = base_layer(states)
        if layer not in self._layers:
            self._layers[layer] = self._side_by_side(layer)
        matrices = self._layers[layer]
        if matrices is None:
            return output
        hidden = linear(states.to(matrices.down.dtype), matrices.down)  # (rows, columns, ranks)
        mask = self._mask(matrices)
        if mask is not None:
            hidden *= mask
        return output + linear(hidden, matrices.up).to(output.dtype)

    def _side_by_side(self, layer: Any) -> SideBySide | None:
        import torch

        names = [name for name in self._present if name in layer.lora_A]
        if not names:
            return None
        return SideBySide(
            down=torch.cat([layer.lora_A[name].weight for name in names]),
            up=torch.cat([layer.lora_B[name].weight * layer.scaling[name] for name in names], dim=1),
            ranks=tuple((name, layer.lora_A[name].weight.shape[0]) for name in names),
        )

    def _mask(self, matrices: SideBySide) -> Tensor | None:
        """(rows, 1, ranks): 1 where a rank is of the row's own adapter; None where all rows have the only one."""
        import torch

        if matrices.ranks not in self._masks:
            owners = [name for name, rank in matrices.ranks for _ in range(rank)]
            own = [[float(owner == adapter) for owner in owners] for adapter in self._row_adapters]
            mask = torch.tensor(own, dtype=matrices.down.dtype, device=matrices.down.device).unsqueeze(1)
            self._masks[matrices.ranks] = None if bool(mask.all()) else mask
        return self._masks[matrices.ranks]
