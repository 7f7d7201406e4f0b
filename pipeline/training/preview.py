"""Preview: one row, token by token, as a trainer gets it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.errors import BadData
from pipeline.training.chat import IGNORED, Tokens, tokenize_conversations
from pipeline.training.chat_templates import Conversation, Render, Rendered, has_template
from pipeline.training.documents import tokenize_documents
from pipeline.training.encoding import encode, pieces
from pipeline.training.preferences import Pair, tokenize_preferences
from pipeline.training.rows import Row, RowKind, kind_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SequenceName = Literal["Conversation", "Chosen", "Rejected", "Document"]
RECIPES: dict[RowKind, str] = {"instruction": "sft", "preference": "dpo", "text": "pretrain"}
"""The recipe that trains on rows of each kind."""


@dataclass(frozen=True)
class TrainedToken:
    """A token, and what training does with it.

    Args:
        text: What it stands for; nothing where a token before it has begun the character.
        is_trained: Whether the model is taught to say it; where not, it is only read.
        is_cut: Whether the row's length costs it: the model never sees it.
    """

    id: int
    text: str
    is_special: bool
    is_trained: bool
    is_cut: bool


@dataclass(frozen=True)
class TrainedSequence:
    name: SequenceName
    tokens: tuple[TrainedToken, ...]


@dataclass(frozen=True)
class TrainedRow:
    """A row as one recipe trains on it.

    Args:
        has_template: Whether the chat template is the model's own; where not, it is given a plain one.
        is_left_out: Whether nothing of it is left to learn from, so that it is not trained on at all.
    """

    recipe: str
    max_length: int
    has_template: bool
    is_left_out: bool
    sequences: tuple[TrainedSequence, ...]


def preview(tokenizer: PreTrainedTokenizerBase, row: Row, *, max_length: int, render: Render) -> TrainedRow:
    """The row's tokens, made by the functions that make the batches.

    Args:
        max_length: In tokens; for text, the length of the blocks.

    Raises:
        BadData: if no recipe trains on such a row.
        BadTemplate: if the model's template refuses it.
        BadModel: if the template cannot say which tokens are the assistant's.
    """
    kind = kind_of(row)
    if kind is None or kind not in RECIPES:
        raise BadData(
            "No recipe trains on unpaired rows yet." if kind else "The row is of no known kind.",
            "Fine-tuning takes instruction rows, alignment preference rows, and pre-training text.",
        )
    seen: list[Rendered] = []

    def rendered(conversation: Conversation) -> Rendered:
        seen.append(render(conversation))
        return seen[-1]

    sequences: tuple[TrainedSequence, ...]
    if kind == "instruction":
        (tokens,) = tokenize_conversations(tokenizer, [row], render=rendered)
        is_left_out = not tokens.cut_to(max_length).num_trained
        kept = range(min(len(tokens.input_ids), max_length))
        sequences = (_shown(tokenizer, "Conversation", seen[0].text, tokens, kept),)
    elif kind == "preference":
        (pair,) = tokenize_preferences(tokenizer, [row], render=rendered)
        fitted = pair.fitted(max_length)
        is_left_out = not fitted.differs
        sequences = _of_pair(tokenizer, pair, fitted, [one.text for one in seen[1:]])
    else:
        (ids,) = tokenize_documents(tokenizer, [row])
        is_left_out = False
        sequences = (_document(tokenizer, row["text"], ids),)
    return TrainedRow(RECIPES[kind], max_length, kind == "text" or has_template(tokenizer), is_left_out, sequences)


def _of_pair(
    tokenizer: PreTrainedTokenizerBase, pair: Pair, fitted: Pair, texts: Sequence[str]
) -> tuple[TrainedSequence, ...]:
    names: tuple[SequenceName, SequenceName] = ("Chosen", "Rejected")
    first = len(pair.prompt_ids) - len(fitted.prompt_ids)
    return tuple(
        _shown(tokenizer, name, text, whole, range(first, first + len(cut.input_ids)))
        for name, text, whole, cut in zip(names, texts, pair.sequences(), fitted.sequences(), strict=True)
    )


def _shown(
    tokenizer: PreTrainedTokenizerBase, name: SequenceName, text: str, tokens: Tokens, kept: range
) -> TrainedSequence:
    (encoding,) = encode(tokenizer, [text], add_special_tokens=False)
    assert encoding.ids == tokens.input_ids, "what is shown is what is trained"
    texts, special = pieces(tokenizer, text, encoding)
    return TrainedSequence(
        name,
        tuple(
            TrainedToken(token, piece, is_special, label != IGNORED, at not in kept)
            for at, (token, label, piece, is_special) in enumerate(
                zip(tokens.input_ids, tokens.labels, texts, special, strict=True)
            )
        ),
    )


def _document(tokenizer: PreTrainedTokenizerBase, text: str, ids: list[int]) -> TrainedSequence:
    """A document, all of it trained, with the end token that closes it."""
    (encoding,) = encode(tokenizer, [text], add_special_tokens=True)
    texts, special = pieces(tokenizer, text, encoding)
    shown = [
        TrainedToken(token, piece, is_special, is_trained=True, is_cut=False)
        for token, piece, is_special in zip(encoding.ids, texts, special, strict=True)
    ]
    for token in ids[len(shown) :]:
        end = str(tokenizer.decode([token], skip_special_tokens=False))
        shown.append(TrainedToken(token, end, is_special=True, is_trained=True, is_cut=False))
    return TrainedSequence("Document", tuple(shown))
