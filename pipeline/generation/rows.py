"""Rows: one answer while it is being written."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.errors import HoneError
from pipeline.generation.lora import NO_ADAPTER
from pipeline.generation.requests import (
    ContextTooLong,
    Failed,
    Finished,
    FinishReason,
    GenerationEvent,
    GenerationRequest,
    Loading,
    Piece,
    Stats,
    TokenLogprob,
)
from pipeline.generation.sampling import Sampler
from pipeline.generation.text import Detokenizer, StopFilter
from pipeline.generation.tokenizer import ChatTokenizer
from pipeline.generation.weights import Weights
from pipeline.loading import ResolvedModel

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)


class Row:
    """One answer: its prompt, its settings, and what of it was told to the person who asked."""

    def __init__(
        self,
        request: GenerationRequest,
        *,
        model: ResolvedModel,
        prompt_tokens: list[int],
        tokenizer: ChatTokenizer,
        on_event: Callable[[GenerationEvent], None],
    ) -> None:
        self.model = model
        self.prompt_tokens = prompt_tokens
        self.adapter = NO_ADAPTER
        self.last_token = -1
        self.sampler = Sampler(request.settings)
        self.is_cancelled = False  # set by any thread, acted on by the owner before the next token
        self.is_over = False
        self._settings = request.settings
        self._tokenizer = tokenizer
        self._on_event = on_event
        self._detokenizer = Detokenizer(tokenizer.decode)
        self._stop_filter = StopFilter(request.settings.stop)
        self._eos_token_ids: frozenset[int] = frozenset()
        self._max_tokens = 0
        self._untold_logprobs: list[TokenLogprob] = []
        self._num_tokens = 0
        self._share_loaded = -1.0
        self._asked_at = time.monotonic()
        self._seconds_loading = 0.0
        self._first_token_at = 0.0
        self._last_token_at = 0.0

    def wait_for_loading(self, share: float = 0.0) -> None:
        if share > self._share_loaded:
            self._share_loaded = share
            self._tell(Loading(share))

    def add_loading_time(self, seconds: float) -> None:
        self._seconds_loading += seconds

    def begin(self, weights: Weights, adapter: str) -> None:
        """Settle what depends on the weights.

        Raises:
            ContextTooLong: if the prompt fills the model's context.
        """
        self.adapter = adapter
        own_eos = () if self._tokenizer.eos_token_id is None else (self._tokenizer.eos_token_id,)
        self._eos_token_ids = weights.eos_token_ids.union(own_eos)
        room = None if weights.context_length is None else weights.context_length - len(self.prompt_tokens)
        if room is not None and room < 1:
            assert weights.context_length is not None
            raise ContextTooLong(len(self.prompt_tokens), weights.context_length - 1)
        limits = [limit for limit in (room, self._settings.max_tokens) if limit is not None]
        self._max_tokens = min(limits, default=DEFAULT_MAX_TOKENS)

    def accept(self, token: int, logits: Tensor) -> None:
        """Take the next token in: show what it completes, and finish the answer if it was the last.

        Args:
            logits: (vocabulary,), from which `token` was chosen.
        """
        now = time.monotonic()
        self._first_token_at = self._first_token_at or now
        self._last_token_at = now
        self._num_tokens += 1
        self.last_token = token
        if self._settings.num_alternatives is not None:
            self._untold_logprobs.append(self._logprob_of(token, logits))
        if token in self._eos_token_ids:
            self._show(self._stop_filter.push(self._detokenizer.flush()) + self._stop_filter.flush())
            return self.finish("stop")
        self._show(self._stop_filter.push(self._detokenizer.push(token)))
        if self._stop_filter.has_stopped:
            return self.finish("stop")
        if self._num_tokens >= self._max_tokens:
            self._show(self._stop_filter.push(self._detokenizer.flush()) + self._stop_filter.flush())
            return self.finish("length")
        return None

    def finish(self, reason: FinishReason) -> None:
        self.is_over = True
        self._tell(Finished(self._stats(reason), tuple(self._untold_logprobs)))

    def fail(self, error: HoneError) -> None:
        self.is_over = True
        self._tell(Failed(error))

    def _tell(self, event: GenerationEvent) -> None:
        try:
            self._on_event(event)
        except Exception:  # whoever listens has gone: that ends this one, and costs no one else
            log.exception("A listener failed")
            self.is_cancelled = True

    def _show(self, text: str) -> None:
        if text:
            self._tell(Piece(text, tuple(self._untold_logprobs)))
            self._untold_logprobs.clear()

    def _logprob_of(self, token: int, logits: Tensor) -> TokenLogprob:
        logprobs = logits.log_softmax(dim=-1)
        values, places = logprobs.topk(min(self._settings.num_alternatives or 0, len(logprobs)))
        text = self._tokenizer.token_text
        alternatives = tuple((text(at), value) for at, value in zip(places.tolist(), values.tolist(), strict=True))
        return TokenLogprob(text(token), float(logprobs[token]), alternatives)

    def _stats(self, reason: FinishReason) -> Stats:
        writing_seconds = self._last_token_at - self._first_token_at
        waited = max(0.0, (self._first_token_at or time.monotonic()) - self._asked_at - self._seconds_loading)
        return Stats(
            num_prompt_tokens=len(self.prompt_tokens),
            num_tokens=self._num_tokens,
            seconds_loading=self._seconds_loading,
            seconds_to_first_token=waited,
            tokens_per_second=(self._num_tokens - 1) / writing_seconds if writing_seconds > 0 else 0.0,
            finish_reason=reason,
            seed=self.sampler.seed,
        )


DEFAULT_MAX_TOKENS = 2048
"""Where neither the request nor the model says how long an answer may be."""
