"""Scoring: the log-probability of an answer that is already there, read by the model a stretch at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.errors import HoneError
from pipeline.generation.lora import NO_ADAPTER
from pipeline.generation.past import new_past
from pipeline.generation.requests import (
    ContextTooLong,
    Failed,
    Loading,
    Scored,
    ScoreEvent,
    ScoreRequest,
    TokenLogprob,
)
from pipeline.generation.tokenizer import ChatTokenizer
from pipeline.generation.weights import Weights
from pipeline.loading import ResolvedModel

if TYPE_CHECKING:
    from torch import Tensor

STRETCH_TOKENS = 256
"""Tokens read between two steps of the answers that are being written, so that nobody waits long for a score."""

log = logging.getLogger(__name__)


class Scoring:
    """One answer being scored: every token of it given all before it (teacher forcing)."""

    def __init__(
        self,
        request: ScoreRequest,
        *,
        model: ResolvedModel,
        tokenizer: ChatTokenizer,
        on_event: Callable[[ScoreEvent], None],
    ) -> None:
        self.model = model
        self.is_cancelled = False
        self.is_over = False
        self._tokens = [*request.prompt_tokens, *request.answer_tokens]
        self._answer_start = len(request.prompt_tokens)
        self._num_alternatives = request.num_alternatives
        self._tokenizer = tokenizer
        self._on_event = on_event
        self._share_loaded = -1.0
        self._weights: Weights | None = None
        self._adapter = NO_ADAPTER
        self._past = new_past()
        self._num_read = 0
        self._logprobs: list[TokenLogprob] = []

    @property
    def weights(self) -> Weights | None:
        """What it is read by, once that is in memory."""
        return self._weights

    def wait_for_loading(self, share: float = 0.0) -> None:
        if share > self._share_loaded:
            self._share_loaded = share
            self._tell(Loading(share))

    def add_loading_time(self, seconds: float) -> None:
        """A score reports no times."""

    def begin(self, weights: Weights, adapter: str) -> None:
        """Settle what depends on the weights.

        Raises:
            ContextTooLong: if prompt and answer together are longer than the model's context.
        """
        if weights.context_length is not None and len(self._tokens) > weights.context_length:
            raise ContextTooLong(len(self._tokens), weights.context_length)
        self._weights, self._adapter = weights, adapter

    def advance(self) -> None:
        """Read the next stretch, and tell the whole score after the last one."""
        import torch

        assert self._weights is not None
        start, end = self._num_read, min(self._num_read + STRETCH_TOKENS, len(self._tokens) - 1)
        # Column c says how likely token c + 1 is, so the last token is scored and never read.
        num_wanted = min(end - start, max(0, end + 1 - self._answer_start))
        logits = self._weights.last_logits(
            [self._adapter],
            torch.tensor([self._tokens[start:end]], device=self._weights.device),
            attention_mask=None,
            positions=torch.arange(start, end, device=self._weights.device).unsqueeze(0),
            cache=self._past,
            num_columns=max(num_wanted, 1),
        )
        self._num_read = end
        if num_wanted:
            self._take(logits[0], self._tokens[end + 1 - num_wanted : end + 1])
        if end == len(self._tokens) - 1:
            self.is_over = True
            self._tell(Scored(tuple(self._logprobs)))

    def finish(self, reason: str) -> None:
        """End without a score: nobody waits for it any more."""
        self.fail(HoneError(f"The score ended before its answer was read ({reason}).", "Ask again."))

    def fail(self, error: HoneError) -> None:
        self.is_over = True
        self._tell(Failed(error))

    def _tell(self, event: ScoreEvent) -> None:
        try:
            self._on_event(event)
        except Exception:  # whoever listens has gone: that ends this one, and costs no one else
            log.exception("A listener failed")
            self.is_cancelled = True

    def _take(self, logits: Tensor, tokens: list[int]) -> None:
        """Note the log-probabilities of `tokens`, each by its row of `logits`, (tokens, vocabulary)."""
        import torch

        logprobs = logits.log_softmax(dim=-1)
        own = logprobs.gather(1, torch.tensor(tokens, device=logits.device).unsqueeze(1)).squeeze(1).tolist()
        values, places = logprobs.topk(min(self._num_alternatives, logits.shape[1]), dim=-1)
        text = self._tokenizer.token_text
        for token, logprob, likely, at in zip(tokens, own, values.tolist(), places.tolist(), strict=True):
            alternatives = tuple((text(other), value) for other, value in zip(at, likely, strict=True))
            self._logprobs.append(TokenLogprob(text(token), logprob, alternatives))
