"""Batch: the rows that one forward pass carries on together, each with its own adapter and its own past.

Rows are aligned at their ends. Row `i` owns the last `lengths[i]` columns of the key-value cache; what stands to the
left of them is padding that the attention mask hides. So a row may join or leave at any step, and the mask and the
positions follow from the lengths alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pipeline.generation.past import new_past, selected, stacked
from pipeline.generation.weights import Weights

if TYPE_CHECKING:
    from torch import Tensor


class BatchRow(Protocol):
    """What a batch needs to know of a row."""

    prompt_tokens: list[int]
    adapter: str
    last_token: int


RowT = TypeVar("RowT", bound=BatchRow)


class Batch(Generic[RowT]):
    """Rows that are decoded together on one set of weights."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._cache: Any = None
        self._lengths: list[int] = []
        self.rows: list[RowT] = []

    def join(self, newcomers: Sequence[RowT]) -> Tensor:
        """Read the newcomers' prompts and take them in; returns their logits, (newcomers, vocabulary)."""
        import torch

        lengths = [len(row.prompt_tokens) for row in newcomers]
        tokens = torch.tensor(
            [[0] * (max(lengths) - len(row.prompt_tokens)) + row.prompt_tokens for row in newcomers],
            device=self._weights.device,
        )
        cache = new_past()
        logits = self._forward(newcomers, tokens, lengths, cache)
        self._cache = cache if not self.rows else stacked(self._cache, cache)
        self._lengths += lengths
        self.rows += newcomers
        return logits

    def step(self) -> Tensor:
        """Carry every row on by its last token; returns the logits of the next, (rows, vocabulary)."""
        import torch

        tokens = torch.tensor([[row.last_token] for row in self.rows], device=self._weights.device)
        self._lengths = [length + 1 for length in self._lengths]
        return self._forward(self.rows, tokens, self._lengths, self._cache)

    def keep(self, indices: Sequence[int]) -> None:
        """Let go of every other row, and of the columns that only they used."""
        self.rows = [self.rows[index] for index in indices]
        self._lengths = [self._lengths[index] for index in indices]
        self._cache = selected(self._cache, indices, max(self._lengths)) if self.rows else None

    def _forward(self, rows: Sequence[RowT], tokens: Tensor, lengths: list[int], cache: Any) -> Tensor:
        import torch

        num_columns = cache.get_seq_length() + tokens.shape[1]
        padding = num_columns - torch.tensor(lengths, device=tokens.device).unsqueeze(1)  # (rows, 1)
        columns = torch.arange(num_columns, device=tokens.device)
        is_padded = min(lengths) < num_columns
        return self._weights.forward(
            [row.adapter for row in rows],
            tokens,
            attention_mask=(columns >= padding).long() if is_padded else None,
            positions=(columns[-tokens.shape[1] :] - padding).clamp(min=0),
            cache=cache,
        )
