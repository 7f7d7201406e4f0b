"""Documents: plain text as tokens, laid end to end in the blocks that pre-training reads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from pipeline.training.encoding import encode
from pipeline.training.rows import Row

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase


def tokenize_documents(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row]) -> list[list[int]]:
    """Each text row as tokens, closed by the end token where the tokenizer has one."""
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    texts = encode(tokenizer, [row["text"] for row in rows], add_special_tokens=True)
    return [[*encoding.ids, *end] for encoding in texts]


def pack(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row], length: int) -> Dataset:
    """Lay the documents end to end, each closed by the end token, and cut them into blocks of `length` tokens.

    Positions begin anew at each document (and at each block), which is how the model knows that documents in one block
    are not to see each other. If they did, a small model would copy what a neighbour says instead of learning it.
    What is left over at the end, less than a block, is not trained on.
    """
    from datasets import Dataset

    stream: list[int] = []
    positions: list[int] = []
    for ids in tokenize_documents(tokenizer, rows):
        stream += ids
        positions += range(len(ids))
    cuts = list(pairwise(range(0, len(stream) + 1, length)))
    blocks = [stream[start:end] for start, end in cuts]
    return Dataset.from_dict(
        {
            "input_ids": blocks,
            "labels": blocks,
            "position_ids": [_from_the_cut(positions[start:end]) for start, end in cuts],
        }
    )


def _from_the_cut(positions: list[int]) -> list[int]:
    """Positions of one block, whose first document may have been cut at its beginning: they start at zero."""
    first = positions[0]
    num_cut = next((index for index, position in enumerate(positions) if position < first), len(positions))
    return [position - first for position in positions[:num_cut]] + positions[num_cut:]
