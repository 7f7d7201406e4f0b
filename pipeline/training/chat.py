"""Chat: turning conversations into tokens, and marking the ones that the model is trained to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.context import Context
from pipeline.errors import BadData
from pipeline.training.chat_templates import Render, Rendered, conversation_of, render_here
from pipeline.training.encoding import encode
from pipeline.training.rows import Row

if TYPE_CHECKING:
    from tokenizers import Encoding
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
"""The label of a position that is read but not trained on."""


@dataclass(frozen=True)
class Tokens:
    """One tokenized row: `labels[i]` is `input_ids[i]` where the model is trained on it, else `IGNORED`."""

    input_ids: list[int]
    labels: list[int]

    @property
    def num_trained(self) -> int:
        return len(self.labels) - self.labels.count(IGNORED)

    def cut_to(self, max_length: int) -> Tokens:
        """The row as a trainer gets it: what is beyond `max_length` tokens is cut off its end."""
        return Tokens(self.input_ids[:max_length], self.labels[:max_length])


def tokenize_conversations(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row], *, render: Render = render_here
) -> list[Tokens]:
    """Render instruction rows and label the assistant's turns, their end-of-turn token included; nothing is cut.

    Raises:
        BadTemplate: if the model's template refuses one of them.
        BadModel: if it cannot say which tokens are the assistant's.
    """
    rendered = [render_conversation(tokenizer, row, render) for row in rows]
    # A template writes the special tokens itself, so that none are added.
    encodings = encode(tokenizer, [one.text for one in rendered], add_special_tokens=False)
    return [_labelled(encoding, one) for encoding, one in zip(encodings, rendered, strict=True)]


def render_conversation(tokenizer: PreTrainedTokenizerBase, row: Row, render: Render) -> Rendered:
    """An instruction row as the text that is tokenized."""
    return render(conversation_of(tokenizer, row["messages"], row.get("tools"), is_trained=True))


def _labelled(encoding: Encoding, rendered: Rendered) -> Tokens:
    ids = list(encoding.ids)
    labels = [IGNORED] * len(ids)
    for start, end in rendered.said:
        first, last = _tokens_between(encoding, start, end)
        labels[first:last] = ids[first:last]
    return Tokens(ids, labels)


def _tokens_between(encoding: Encoding, start: int, end: int) -> tuple[int, int]:
    """The tokens (first, one past the last) that stand for the characters from `start` until `end`.

    A character that several tokens write together, such as an emoji, has all of them.
    """
    first = next((at for c in range(start, end) if (at := encoding.char_to_token(c)) is not None), None)
    if first is None:  # the stretch is empty, or of characters that the tokenizer drops
        return 0, 0
    last = next(at for c in range(end - 1, start - 1, -1) if (at := encoding.char_to_token(c)) is not None)
    while last + 1 < len(encoding) and (chars := encoding.token_to_chars(last + 1)) and chars[0] < end:
        last += 1
    return first, last + 1


def tokenize_instructions(
    tokenizer: PreTrainedTokenizerBase, rows: list[Row], *, max_length: int, context: Context, what: str
) -> list[Tokens]:
    """Tokenize rows to at most `max_length` tokens, and say how many were cut short or left out.

    Raises:
        BadData: if no row has a token to train on within `max_length`.
    """
    whole = tokenize_conversations(tokenizer, rows)
    kept = [row for row in (row.cut_to(max_length) for row in whole) if row.num_trained]
    num_cut = sum(len(row.input_ids) > max_length for row in whole)
    if num_cut:
        context.log(
            f"{num_cut} of {len(rows)} {what} rows are longer than {max_length} tokens and were cut at their end; "
            f"{len(rows) - len(kept)} of them had no answer left and were left out.",
            level="warning",
        )
    if rows and not kept:
        raise BadData(
            f"None of the {len(rows)} {what} rows has an answer within {max_length} tokens.",
            "Raise the maximum length, or choose rows with shorter prompts and an assistant's turn.",
        )
    return kept


def as_dataset(rows: Sequence[Tokens]) -> Any:
    """Tokenized rows as the trainer takes them: already rendered, with labels, so that it adds nothing of its own."""
    from datasets import Dataset

    return Dataset.from_dict({"input_ids": [row.input_ids for row in rows], "labels": [row.labels for row in rows]})
