"""Training view: our own endpoints that show rows as training would have them, without loading any weights."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from pipeline.generation.templates import TemplateRenderer
from pipeline.loading import context_length_at, load_tokenizer
from pipeline.training.finetune import length_within
from pipeline.training.lengths import measure
from pipeline.training.preview import RECIPES, preview
from pipeline.training.rows import kind_of
from workers.inference.wire import BadRequest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MOST_ROWS = 256
MOST_TOKENIZERS = 4


class TrainedRequest(BaseModel):
    """The body of `POST /hone/trained`: a canonical row; `max_length` 0 is what training takes by default."""

    model: str
    row: dict[str, Any]
    max_length: int = Field(default=0, ge=0, le=1 << 20)


class LengthsRequest(BaseModel):
    """The body of `POST /hone/lengths`: canonical rows of one kind."""

    model: str
    rows: list[dict[str, Any]] = Field(min_length=1, max_length=MOST_ROWS)
    max_length: int = Field(default=0, ge=0, le=1 << 20)


@dataclass(frozen=True)
class _Reader:
    """A model's tokenizer, kept by its lock to one thread at a time, and how many tokens the model reads at once."""

    tokenizer: PreTrainedTokenizerBase
    context_length: int | None
    lock: threading.Lock


class TrainingView:
    """The tokenizers of the models asked for last, apart from those that answer: neither waits for the other.

    Chat templates are rendered in a process with limits.
    """

    def __init__(self) -> None:
        self._renderer = TemplateRenderer()
        self._lock = threading.Lock()
        self._readers: OrderedDict[str, _Reader] = OrderedDict()

    def close(self) -> None:
        self._renderer.close()

    def trained(self, location: str, body: TrainedRequest) -> dict[str, Any]:
        """One row, token by token (see `pipeline.training.preview.TrainedRow`).

        Raises:
            HoneError: if the model cannot be found or cannot be trained on the row.
        """
        reader = self._reader(location)
        max_length = length_within(reader.context_length, body.max_length)
        with reader.lock:
            row = preview(reader.tokenizer, body.row, max_length=max_length, render=self._renderer.render_marked)
        return asdict(row) | {"context_length": reader.context_length}

    def lengths(self, location: str, body: LengthsRequest) -> dict[str, Any]:
        """The numbers of each row (see `pipeline.training.lengths.COLUMNS`).

        Raises:
            HoneError: if the model cannot be found or cannot be trained on such rows.
        """
        kinds = {kind_of(row) for row in body.rows}
        kind = kinds.pop()
        if kinds or kind is None or kind not in RECIPES:
            raise BadRequest(
                "The rows are not all of one kind that a recipe trains on.",
                "Send instruction, preference or text rows, of one kind at a time.",
            )
        reader = self._reader(location)
        max_length = length_within(reader.context_length, body.max_length)
        with reader.lock:
            numbers = measure(
                kind, reader.tokenizer, body.rows, max_length=max_length, render=self._renderer.render_marked
            )
        return {
            "kind": kind,
            "max_length": max_length,
            "context_length": reader.context_length,
            "numbers": numbers.tolist(),
        }

    def _reader(self, location: str) -> _Reader:
        with self._lock:
            if location not in self._readers:
                tokenizer, length = load_tokenizer(location), context_length_at(location)
                self._readers[location] = _Reader(tokenizer, length, threading.Lock())
                if len(self._readers) > MOST_TOKENIZERS:
                    self._readers.popitem(last=False)
            self._readers.move_to_end(location)
            return self._readers[location]
