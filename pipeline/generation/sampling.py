"""Sampling: the next token of every row of a batch, each by its own settings and its own random numbers."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.generation.requests import SamplingSettings

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Sampler:
    """One row's settings, with the generator that only this row draws from."""

    settings: SamplingSettings
    seed: int = field(init=False)
    _generator: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.seed = secrets.randbits(31) if self.settings.seed is None else self.settings.seed

    def draw_uniform(self) -> float:
        """The row's next random number in [0, 1): one a token, on the CPU, so that a seed means the same anywhere."""
        import torch

        if self._generator is None:
            self._generator = torch.Generator().manual_seed(self.seed)
        return float(torch.rand((), generator=self._generator))


def choose_tokens(logits: Tensor, samplers: Sequence[Sampler]) -> list[int]:
    """The next token of each row.

    Args:
        logits: (rows, vocabulary), float32.
        samplers: One a row. A temperature of 0 takes the likeliest token.
    """
    chosen: list[int] = logits.argmax(dim=-1).tolist()
    drawn = [row for row, sampler in enumerate(samplers) if sampler.settings.temperature > 0]
    if drawn:
        for row, token in zip(drawn, _draw(logits[drawn], [samplers[row] for row in drawn]), strict=True):
            chosen[row] = token
    return chosen


def _draw(logits: Tensor, samplers: Sequence[Sampler]) -> list[int]:
    """Draw by inverting the cumulative distribution of what temperature, top-k and top-p leave of each row."""
    import torch

    def column(values: list[float]) -> Tensor:
        return torch.tensor(values, device=logits.device).unsqueeze(1)  # (rows, 1)

    settings = [sampler.settings for sampler in samplers]
    logits = logits - logits.amax(dim=-1, keepdim=True)  # the likeliest at 0: a tiny temperature cannot overflow
    probabilities = (logits / column([row.temperature for row in settings])).softmax(dim=-1)
    order = None
    if any(row.top_p < 1 or row.top_k > 0 for row in settings):
        probabilities, order = probabilities.sort(dim=-1, descending=True)
        places = torch.arange(probabilities.shape[1], device=logits.device)
        top_k = column([float(row.top_k or probabilities.shape[1]) for row in settings])
        probabilities = probabilities.masked_fill(places >= top_k, 0)
        # A token stays while the share of the likelier ones is below top-p: the token that crosses the line is kept.
        share_before = (probabilities.cumsum(dim=-1) - probabilities) / probabilities.sum(dim=-1, keepdim=True)
        probabilities = probabilities.masked_fill(share_before >= column([row.top_p for row in settings]), 0)
    cumulative = probabilities.cumsum(dim=-1)
    uniform = column([sampler.draw_uniform() for sampler in samplers])
    # Strictly below the whole mass, so that rounding never reaches a token of probability 0 at the end.
    target = torch.minimum(uniform * cumulative[:, -1:], torch.nextafter(cumulative[:, -1:], cumulative.new_zeros(1)))
    places_drawn = torch.searchsorted(cumulative, target, right=True)
    tokens: list[int] = (places_drawn if order is None else order.gather(1, places_drawn)).squeeze(1).tolist()
    return tokens
