"""Engine: one thread that owns every weight and carries all answers on together, a token at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

from pipeline.errors import HoneError
from pipeline.generation.batch import Batch
from pipeline.generation.requests import (
    EngineFailed,
    GenerationEvent,
    GenerationRequest,
    ScoreEvent,
    ScoreRequest,
    as_failure,
)
from pipeline.generation.residents import Residents
from pipeline.generation.rows import Row
from pipeline.generation.sampling import choose_tokens
from pipeline.generation.scoring import Scoring
from pipeline.generation.templates import TemplateRenderer
from pipeline.generation.tokenizer import ChatTokenizer, Tokenizers
from pipeline.generation.weights import Weights, load_weights
from pipeline.load_progress import told_while_loading
from pipeline.loading import ResolvedModel, resolve_model

if TYPE_CHECKING:
    from torch import Tensor

ModelState = Literal["not_loaded", "loading", "ready"]

MAX_ROWS = 64
"""Answers at once on one set of weights; more wait their turn."""
MAX_PREFILL_TOKENS = 4096
"""Prompt tokens (padding counted) read between two steps of the answers that are already running."""

log = logging.getLogger(__name__)


class Ticket:
    """A running answer or score, as the one who asked for it sees it."""

    def __init__(self, row: Row | Scoring, wake: Callable[[], None]) -> None:
        self._row = row
        self._wake = wake

    def cancel(self) -> None:
        """End the answer before its next token; it is then finished with the reason "cancelled"."""
        self._row.is_cancelled = True
        self._wake()


class Engine:
    """Answers requests for any number of models; every method may be called from any thread.

    Args:
        memory_budget_bytes: What all weights together may take.
        device: Where they live: "cpu", "cuda", "cuda:1".
        load: Reads a model's weights.
        may_load: Called before weights are put on the device; raises a HoneError where it belongs to others now.
    """

    def __init__(
        self,
        *,
        memory_budget_bytes: int,
        device: str = "cpu",
        load: Callable[[ResolvedModel, str], Weights] = load_weights,
        may_load: Callable[[], None] = lambda: None,
    ) -> None:
        self.device = device
        self.num_restarts = 0
        self._may_load = may_load
        self._should_let_go = False
        self._renderer = TemplateRenderer()
        self._residents = Residents(memory_budget_bytes, lambda model: load(model, device))
        self._tokenizers = Tokenizers(self._renderer)
        self._changed = threading.Condition()
        self._arrivals: list[Row | Scoring] = []
        self._waiting: list[Row | Scoring] = []
        self._scorings: list[Scoring] = []
        self._batches: dict[Weights, Batch[Row]] = {}
        self._loading: ResolvedModel | None = None
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def submit(self, request: GenerationRequest, on_event: Callable[[GenerationEvent], None]) -> Ticket:
        """Ask for an answer. The prompt is rendered in the calling thread, so that a slow template delays no one else.

        Args:
            on_event: Receives every event of the answer, in order, on the engine's thread; it must not block. The last
                is `Finished` or `Failed`.

        Raises:
            HoneError: if the model cannot be found or its template does not take the conversation.
        """
        model = resolve_model(request.model)
        tokenizer = self.tokenizer_of(request.model)
        prompt_tokens = _prompt_tokens(tokenizer, request)
        if not prompt_tokens:
            raise HoneError("The prompt is empty: the model has nothing to answer.", "Write something and send again.")
        return self._enter(
            Row(request, model=model, prompt_tokens=prompt_tokens, tokenizer=tokenizer, on_event=on_event)
        )

    def score(self, request: ScoreRequest, on_event: Callable[[ScoreEvent], None]) -> Ticket:
        """Ask how likely a model finds an answer; it is read between the steps of the answers that are being written.

        Args:
            on_event: As for `submit`; the last event is `Scored` or `Failed`.

        Raises:
            HoneError: if the model cannot be found, or there is nothing to read or to score.
        """
        model = resolve_model(request.model)
        if not request.prompt_tokens or not request.answer_tokens:
            raise HoneError("A score needs a prompt and an answer, and one of them is empty.", "Send both.")
        tokenizer = self.tokenizer_of(request.model)
        return self._enter(Scoring(request, model=model, tokenizer=tokenizer, on_event=on_event))

    def tokenizer_of(self, model: str) -> ChatTokenizer:
        """A model's tokenizer, read once.

        Raises:
            HoneError: if the model or its tokenizer cannot be found.
        """
        return self._tokenizers.of(model)

    def state_of(self, model: str) -> ModelState:
        """Whether a model's weights are in memory."""
        found = resolve_model(model)
        if self._residents.holds(found):
            return "ready"
        return "loading" if self._loading == found else "not_loaded"

    @property
    def num_running(self) -> int:
        """Answers being written now."""
        return sum(len(batch.rows) for batch in list(self._batches.values()))

    @property
    def is_idle(self) -> bool:
        """Whether nobody is being answered or waits to be."""
        return not (self._arrivals or self._waiting or self._batches or self._scorings)

    @property
    def holds_weights(self) -> bool:
        return not self._residents.is_empty

    def let_go(self) -> None:
        """Free the device of all weights, unless somebody is being answered: the next request loads its model again."""
        with self._changed:
            self._should_let_go = True
            self._changed.notify()

    def close(self) -> None:
        """Cancel every answer and let go of the weights."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()
        self._renderer.close()

    # What follows runs on the engine's own thread.

    def _run(self) -> None:
        import torch

        with torch.inference_mode():
            while not self._is_closing:
                try:
                    self._work()
                except Exception as error:  # the engine outlives whatever happens in it, and says so
                    log.exception("The engine failed and starts again")
                    self._start_again(error)
        for row in self._all_rows():
            row.finish("cancelled")
        self._residents.clear()

    def _work(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self.is_idle or self._should_let_go or self._is_closing)
            self._waiting += self._arrivals
            self._arrivals = []
        if self._should_let_go:
            self._should_let_go = False
            if self.is_idle:
                self._residents.clear()
        self._let_cancelled_go()
        self._load_one_model()
        self._admit()
        for weights in list(self._batches):
            self._advance(weights)
        self._score_a_stretch()

    def _let_cancelled_go(self) -> None:
        for row in self._all_rows():
            if row.is_cancelled and not row.is_over:
                row.finish("cancelled")
        self._waiting = [row for row in self._waiting if not row.is_over]
        self._scorings = [scoring for scoring in self._scorings if not scoring.is_over]
        for weights in list(self._batches):
            self._sweep(weights)

    def _load_one_model(self) -> None:
        """Load what the first waiting row needs; the others go on in between, so one load at a time."""
        for row in self._waiting:
            if self._residents.holds(row.model):
                continue
            alike = [other for other in self._waiting if other.model == row.model]
            for other in alike:
                other.wait_for_loading()
            started = time.monotonic()
            self._loading = row.model
            try:
                self._may_load()
                if self._residents.make_room_for(row.model, busy=self._busy()):
                    with told_while_loading(partial(_tell_all, alike)):
                        self._residents.load(row.model)
                elif self._busy():
                    continue  # it fits once a busy model is done; perhaps another's turn comes before
            except Exception as error:  # a model that cannot be loaded costs those who asked for it, and no one else
                for other in alike:
                    other.fail(as_failure(error))
                self._waiting = [other for other in self._waiting if not other.is_over]
            finally:
                self._loading = None
            for other in alike:
                other.add_loading_time(time.monotonic() - started)
            return

    def _admit(self) -> None:
        """Move what waits for a model that is in memory now on: rows into its batch, their prompts read together."""
        newcomers: dict[Weights, list[Row]] = {}
        joined: set[int] = set()
        for row in self._waiting:
            if row.is_over or not self._residents.holds(row.model):
                continue
            weights, adapter = self._residents.use(row.model)
            joining = newcomers.setdefault(weights, [])
            if isinstance(row, Row) and not self._has_room(weights, [*joining, row]):
                continue
            try:
                row.begin(weights, adapter)
            except HoneError as error:
                row.fail(error)
                continue
            joined.add(id(row))
            if isinstance(row, Row):
                joining.append(row)
            else:
                self._scorings.append(row)
        self._waiting = [row for row in self._waiting if id(row) not in joined and not row.is_over]
        for weights, rows in newcomers.items():
            if rows:
                batch = self._batches.setdefault(weights, Batch(weights))
                self._carry_on(weights, batch, rows, partial(batch.join, rows))

    def _has_room(self, weights: Weights, joining: list[Row]) -> bool:
        running = self._batches.get(weights)
        num_rows = len(joining) + (len(running.rows) if running else 0)
        prefill_tokens = len(joining) * max(len(row.prompt_tokens) for row in joining)
        return num_rows <= MAX_ROWS and (len(joining) == 1 or prefill_tokens <= MAX_PREFILL_TOKENS)

    def _advance(self, weights: Weights) -> None:
        batch = self._batches[weights]
        self._carry_on(weights, batch, batch.rows, batch.step)

    def _score_a_stretch(self) -> None:
        """Read on in the first of what is to be scored."""
        if not self._scorings:
            return
        scoring = self._scorings[0]
        try:
            scoring.advance()
        except Exception as error:
            log.exception("A score failed")
            assert scoring.weights is not None
            self._lose(scoring.weights, error)
        self._scorings = [one for one in self._scorings if not one.is_over]

    def _carry_on(self, weights: Weights, batch: Batch[Row], rows: list[Row], forward: Callable[[], Tensor]) -> None:
        """Run one forward pass and hand each row its next token."""
        try:
            logits = forward()
            tokens = choose_tokens(logits, [row.sampler for row in rows])
        except Exception as error:
            log.exception("A forward pass failed")
            for row in rows:
                row.fail(as_failure(error))
            self._lose(weights, error)
            return
        for row, token, row_logits in zip(rows, tokens, logits, strict=True):
            try:
                row.accept(token, row_logits)
            except Exception as error:  # one row's trouble is its own
                log.exception("A row failed")
                row.fail(as_failure(error))
        self._sweep(weights)

    def _lose(self, weights: Weights, error: Exception) -> None:
        """Let go of weights whose state nobody knows after an error; they are read again for who asks next."""
        batch = self._batches.pop(weights, None)
        scorings = [scoring for scoring in self._scorings if scoring.weights is weights]
        for row in [*(batch.rows if batch else ()), *scorings]:
            if not row.is_over:
                row.fail(as_failure(error))
        self._residents.drop_weights(weights)
        self.num_restarts += 1

    def _busy(self) -> set[Weights]:
        return {*self._batches, *(scoring.weights for scoring in self._scorings if scoring.weights is not None)}

    def _enter(self, row: Row | Scoring) -> Ticket:
        with self._changed:
            if self._is_closing:
                raise EngineFailed("The inference engine is shutting down.", "Send again once it has started.")
            self._arrivals.append(row)
            self._changed.notify()
        return Ticket(row, self._wake)

    def _sweep(self, weights: Weights) -> None:
        """Take the rows that are over out of their batch."""
        batch = self._batches[weights]
        running = [index for index, row in enumerate(batch.rows) if not row.is_over]
        if len(running) < len(batch.rows):
            batch.keep(running)
        if not batch.rows:
            del self._batches[weights]

    def _start_again(self, error: Exception) -> None:
        for row in self._all_rows():
            if not row.is_over:
                row.fail(as_failure(error))
        self._waiting = []
        self._scorings = []
        self._batches = {}
        self._residents.clear()
        self.num_restarts += 1

    def _all_rows(self) -> list[Row | Scoring]:
        return [*self._waiting, *self._scorings, *(row for batch in self._batches.values() for row in batch.rows)]

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()


def _tell_all(waiting: Sequence[Row | Scoring], share: float) -> None:
    for row in waiting:
        row.wait_for_loading(share)


def _prompt_tokens(tokenizer: ChatTokenizer, request: GenerationRequest) -> list[int]:
    if request.prompt is None:
        return tokenizer.prompt_tokens(
            request.messages, request.tools, continue_final_message=request.continue_final_message
        )
    if isinstance(request.prompt, str):
        return tokenizer.text_tokens(request.prompt)
    tokenizer.require_known(request.prompt)
    return list(request.prompt)
