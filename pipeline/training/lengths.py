"""Lengths: how many tokens each row of a dataset has, and what training at any length makes of that.

A row is a few whole numbers (`COLUMNS`), so that a million rows are 16 MB: any length, split and batch can be looked at
without tokenizing again. Everything here is counted as the trainers do it; tests hold it to them.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import BadData
from pipeline.generation.requests import BadTemplate
from pipeline.training.chat import IGNORED, tokenize_conversations
from pipeline.training.chat_templates import Render, render_here
from pipeline.training.documents import tokenize_documents
from pipeline.training.preferences import common_prefix, tokenize_preferences
from pipeline.training.rows import Row, RowKind, held_out_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Numbers = NDArray[np.uint32]
Counts = NDArray[np.int64]

COLUMNS: dict[RowKind, tuple[str, ...]] = {
    "instruction": ("length", "least", "trained", "trained_kept"),
    "preference": ("prompt", "chosen", "rejected", "least"),
    "text": ("length",),
}
"""What is kept of a row of each kind, in tokens.

`least` is how many tokens must be left (of a conversation, or of the answers of a pair) for the row to teach anything;
0 where it never does. `trained` counts the labelled tokens of the whole row, `trained_kept` those within the length
that was measured for. A row that the chat template refuses is all zeros.
"""
NUMBERS_FILE, REPORT_FILE = "lengths.u32", "lengths.json"
ROWS_PACKED_AT_ONCE = 1000
"""TRL packs so many rows with each other (the batch of `datasets.map`)."""


@dataclass(frozen=True)
class Fit:
    """What training gets of rows at one length; all in tokens, in the order of the rows.

    Args:
        lengths: Of each sequence: one a row, or two (chosen, rejected) a pair.
        is_kept: Whether a row teaches anything; only those are trained on.
        is_cut: Whether a row lost tokens; for text, whether it is parted between blocks.
    """

    max_length: int
    lengths: Counts  # (rows, sequences a row)
    is_kept: NDArray[np.bool_]
    is_cut: NDArray[np.bool_]

    @property
    def num_tokens(self) -> int:
        """What an epoch reads, padding aside."""
        return int(self.lengths[self.is_kept].sum())

    def padding_share(self, batch_size: int) -> float:
        """Share of an epoch's positions that are padding, where rows are not packed: for one random order of them."""
        kept = np.random.default_rng(0).permutation(self.lengths[self.is_kept])
        if not len(kept):
            return 0.0
        starts = np.arange(0, len(kept), batch_size)
        longest = np.maximum.reduceat(kept.max(axis=1), starts)
        rows_each = np.diff([*starts, len(kept)])
        return 1 - float(kept.sum() / (longest * rows_each * kept.shape[1]).sum())

    def num_packed(self) -> int:
        """Sequences that the kept rows are laid into, each of at most `max_length` tokens."""
        return num_packed(self.lengths[self.is_kept].sum(axis=1), self.max_length)

    def packed_estimate(self, num_rows: int) -> int:
        """Sequences that `num_rows` rows of such lengths would be laid into: these ones over and over."""
        kept = self.lengths[self.is_kept].sum(axis=1)
        if not len(kept):
            return 0
        together = np.resize(kept, min(num_rows, ROWS_PACKED_AT_ONCE))
        return round(num_packed(together, self.max_length) * num_rows / len(together)) if num_rows else 0

    def num_blocks(self) -> int:
        """Whole blocks that documents fill when they are laid end to end."""
        return self.num_tokens // self.max_length


@dataclass(frozen=True)
class Lengths:
    """The measured rows of one kind.

    Args:
        numbers: One line a row, with the columns of `COLUMNS`.
    """

    kind: RowKind
    numbers: Numbers  # (rows, columns)

    def __len__(self) -> int:
        return len(self.numbers)

    def column(self, name: str) -> Counts:
        return self.numbers[:, COLUMNS[self.kind].index(name)].astype(np.int64)

    @cached_property
    def whole(self) -> Counts:
        """The longest sequence of each row before anything is cut."""
        if self.kind == "preference":
            return self.column("prompt") + np.maximum(self.column("chosen"), self.column("rejected"))
        return self.column("length")

    @property
    def is_refused(self) -> NDArray[np.bool_]:
        return self.whole == 0

    def without(self, rows: Iterable[int]) -> Lengths:
        return Lengths(self.kind, np.delete(self.numbers, sorted(rows), axis=0))

    def trained_on(self, held_out_share: float, seed: int) -> Lengths:
        """The rows that a job trains on: those that it does not hold out."""
        return self.without(held_out_of(len(self), held_out_share, seed))

    def fitted(self, max_length: int) -> Fit:
        """What training at `max_length` tokens makes of the rows (see `Tokens.cut_to` and `Pair.fitted`)."""
        is_cut = self.whole > max_length
        if self.kind == "text":
            return Fit(max_length, self.whole[:, None], np.ones(len(self), np.bool_), is_cut)
        if self.kind == "instruction":
            least = self.column("least")
            lengths = np.minimum(self.whole, max_length)[:, None]
            return Fit(max_length, lengths, (least > 0) & (least <= max_length), is_cut)
        chosen, rejected, least = self.column("chosen"), self.column("rejected"), self.column("least")
        room_for_prompt = np.maximum(max_length - np.maximum(chosen, rejected), max_length // 2)
        prompt = np.minimum(self.column("prompt"), room_for_prompt)
        room = max_length - prompt
        lengths = np.stack([prompt + np.minimum(chosen, room), prompt + np.minimum(rejected, room)], axis=1)
        return Fit(max_length, lengths, (least > 0) & (least <= room), is_cut)


def measure(
    kind: RowKind,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Row],
    *,
    max_length: int,
    render: Render = render_here,
    on_refused: Callable[[int, str], None] = lambda row, why: None,
) -> Numbers:
    """Tokenize rows as training does, and keep their numbers.

    Args:
        on_refused: Told the number (from 0, among `rows`) of each row that the chat template refuses, and why.

    Raises:
        BadModel: if the model cannot be trained on rows of the kind.
    """
    try:
        return _measured(kind, tokenizer, rows, max_length, render)
    except BadTemplate as error:
        if len(rows) == 1:
            on_refused(0, error.message)
            return np.zeros((1, len(COLUMNS[kind])), np.uint32)
    parts = []
    for at, row in enumerate(rows):
        told = _of_row(on_refused, at)
        parts.append(measure(kind, tokenizer, [row], max_length=max_length, render=render, on_refused=told))
    return np.concatenate(parts)


def _of_row(on_refused: Callable[[int, str], None], row: int) -> Callable[[int, str], None]:
    return lambda _, why: on_refused(row, why)


def _measured(
    kind: RowKind, tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row], max_length: int, render: Render
) -> Numbers:
    numbers: list[tuple[int, ...]]
    if kind == "instruction":
        numbers = [
            (
                len(row.labels),
                next((at for at, label in enumerate(row.labels, 1) if label != IGNORED), 0),
                row.num_trained,
                row.cut_to(max_length).num_trained,
            )
            for row in tokenize_conversations(tokenizer, rows, render=render)
        ]
    elif kind == "preference":
        numbers = [
            (
                len(pair.prompt_ids),
                len(pair.chosen_ids),
                len(pair.rejected_ids),
                common_prefix(pair.chosen_ids, pair.rejected_ids) + 1 if pair.differs else 0,
            )
            for pair in tokenize_preferences(tokenizer, rows, render=render)
        ]
    else:
        numbers = [(len(ids),) for ids in tokenize_documents(tokenizer, rows)]
    return np.array(numbers, np.uint32).reshape(len(rows), len(COLUMNS[kind]))


def num_packed(lengths: Counts, max_length: int) -> int:
    """How many sequences best-fit decreasing makes of rows in this order, a thousand at a time, as TRL does it."""
    starts = range(0, len(lengths), ROWS_PACKED_AT_ONCE)
    return sum(_num_bins(lengths[start : start + ROWS_PACKED_AT_ONCE], max_length) for start in starts)


def _num_bins(lengths: Counts, room: int) -> int:
    """Each row, the longest first, goes where least room would be left; rows of one length are placed together."""
    num_bins = 0
    bins: dict[int, int] = {}  # how many bins have so much room left
    spaces: list[int] = []  # those rooms, ascending

    def add(space: int, count: int) -> None:
        if space and count:
            if space not in bins:
                insort(spaces, space)
            bins[space] = bins.get(space, 0) + count

    values, counts = np.unique(lengths[lengths > 0], return_counts=True)
    for length, count in zip(reversed(values.tolist()), reversed(counts.tolist()), strict=True):
        left = count
        while left:
            at = bisect_left(spaces, length)
            if at == len(spaces):  # none has room: new ones
                space, there = room, -(-left // (room // length))
                num_bins += there
            else:
                space = spaces.pop(at)
                there = bins.pop(space)
            each = space // length
            filled = min(there, left // each)
            left -= filled * each
            add(space - each * length, filled)
            if left and filled < there:
                add(space - left * length, 1)
                left, filled = 0, filled + 1
            add(space, there - filled)
    return num_bins


def histogram(lengths: Counts) -> tuple[list[int], list[int]]:
    """Edges and counts of rows by length, from each edge up to below the next.

    Each bar reaches about a fifth further than the one before it; the last length of some is a power of two.
    """
    most = int(lengths.max(initial=1))
    edges = sorted({1, *(round(2 ** (step / 4)) + 1 for step in range(4 * most.bit_length() + 1))})
    edges = edges[: bisect_left(edges, most + 1) + 1]
    counts, _ = np.histogram(lengths[lengths > 0], bins=edges)
    return edges, counts.tolist()


def usual_lengths(context_length: int | None, longest: int) -> list[int]:
    """Powers of two to compare: from 256 (32 for a small model) up to what the model reads or the longest row needs."""
    limit = context_length or max(longest, 2048)
    first = 256 if limit >= 1024 else 32
    powers = [2**power for power in range(first.bit_length() - 1, 21) if 2**power <= limit]
    return sorted({*powers, *([context_length] if context_length else [])})


def figures(lengths: Lengths, max_length: int, *, batch_size: int) -> dict[str, Any]:
    """What training at one length comes to, for a report: counts of rows and tokens, and shares from 0 to 1."""
    fit = lengths.fitted(max_length)
    num_left_out = int((~fit.is_kept).sum())
    told: dict[str, Any] = {
        "max_length": max_length,
        "rows_cut": int(fit.is_cut.sum()),
        "rows_left_out": num_left_out,
        "tokens": fit.num_tokens,
    }
    if lengths.kind == "text":
        blocks = fit.num_blocks()
        return told | {"blocks": blocks, "tokens_left_over": fit.num_tokens - blocks * max_length}
    told["padding_share"] = round(fit.padding_share(batch_size), 4)
    if lengths.kind == "instruction":
        packed = fit.num_packed()
        unused = 1 - fit.num_tokens / (packed * max_length) if packed else 0.0
        told |= {"packed_sequences": packed, "packed_unused_share": round(unused, 4)}
    return told


def read_numbers(folder: Path, kind: RowKind) -> Lengths:
    """The numbers of a report, read from the disk only where they are looked at.

    Raises:
        BadData: if they are not there, or are not of rows of this kind.
    """
    file = folder / NUMBERS_FILE
    width = 4 * len(COLUMNS[kind])
    if not file.is_file() or file.stat().st_size % width:
        raise BadData("The report on the rows' lengths is damaged or gone.", "Measure the lengths again.")
    if not file.stat().st_size:
        return Lengths(kind, np.zeros((0, len(COLUMNS[kind])), np.uint32))
    return Lengths(kind, np.memmap(file, "<u4", "r").reshape(-1, len(COLUMNS[kind])))
