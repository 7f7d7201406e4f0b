"""Past: the keys and values of a batch, in room that is made ahead: a step writes one column and copies none."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

COLUMNS_AHEAD = 64
"""Columns that room is made for at once: what stands there already is copied once in so many steps."""


def new_past() -> Any:
    """An empty cache of transformers', whose layers are made as the model asks for them."""
    from transformers import DynamicCache

    past = DynamicCache()
    past.layer_class_to_replicate = _roomy_layer()
    return past


def stacked(upper: Any, lower: Any) -> Any:
    """The rows of two pasts in one, aligned at their ends."""
    import torch

    width = max(upper.get_seq_length(), lower.get_seq_length())
    past = new_past()
    for number, (first, second) in enumerate(zip(upper.layers, lower.layers, strict=True)):
        keys = torch.cat([_padded(first.keys, width), _padded(second.keys, width)])
        values = torch.cat([_padded(first.values, width), _padded(second.values, width)])
        past.update(keys, values, number)
    return past


def selected(past: Any, indices: Sequence[int], width: int) -> Any:
    """Some rows of a past, and its last `width` columns."""
    kept = new_past()
    rows = list(indices)
    for number, layer in enumerate(past.layers):
        kept.update(layer.keys[rows, :, -width:], layer.values[rows, :, -width:], number)
    return kept


def _padded(states: Tensor, width: int) -> Tensor:
    """Pad (rows, heads, columns, size) on the left to `width` columns."""
    import torch

    return torch.nn.functional.pad(states, (0, 0, width - states.shape[2], 0))


def _with_room(states: Tensor, width: int) -> Tensor:
    """A copy of (rows, heads, columns, size) at the start of a room of `width` columns."""
    room = states.new_empty((*states.shape[:2], width, states.shape[3]))
    room[:, :, : states.shape[2]] = states
    return room


@cache
def _roomy_layer() -> type:
    """The class of a layer; it is made here because importing this module must not import torch."""
    from transformers.cache_utils import DynamicLayer

    class RoomyLayer(DynamicLayer):
        """One layer's past: `keys` and `values`, (rows, heads, columns, size), are views of rooms that may be wider."""

        keys: Tensor | None
        values: Tensor | None
        _rooms: tuple[Tensor, Tensor] | None = None

        def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
            if self.keys is None or self.values is None:
                self.lazy_initialization(key_states, value_states)
                self.keys, self.values = key_states, value_states
                return key_states, value_states
            start = self.keys.shape[-2]
            end = start + key_states.shape[-2]
            if self._rooms is None or self._rooms[0].shape[-2] < end:
                self._rooms = _with_room(self.keys, end + COLUMNS_AHEAD), _with_room(self.values, end + COLUMNS_AHEAD)
            for room, states in zip(self._rooms, (key_states, value_states), strict=True):
                room[:, :, start:end] = states
            self.keys, self.values = (room[:, :, :end] for room in self._rooms)
            return self.keys, self.values

    return RoomyLayer
