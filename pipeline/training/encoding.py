"""Encoding: texts as tokens that know which characters they stand for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.errors import BadModel

if TYPE_CHECKING:
    from tokenizers import Encoding
    from transformers import PreTrainedTokenizerBase


TEXTS_AT_ONCE = 256
"""Enough to keep every core busy; what a tokenizer knows of a text takes many times the memory of its tokens."""


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, add_special_tokens: bool) -> Iterator[Encoding]:
    """Texts as tokens, whole, with the characters that each token stands for.

    Raises:
        BadModel: if the tokenizer cannot tell those.
    """
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        batch: Any = tokenizer(
            list(texts[start : start + TEXTS_AT_ONCE]),
            add_special_tokens=add_special_tokens,
            truncation=False,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        if batch.encodings is None:
            raise BadModel(
                "The model's tokenizer is not a fast one, so it cannot tell which characters a token stands for.",
                "Convert it to the format of tokenizer.json, or choose another base.",
            )
        yield from batch.encodings


_SPACES = ("Ġ", "▁")
"""How byte-level and SentencePiece vocabularies write a space."""


def pieces(tokenizer: PreTrainedTokenizerBase, text: str, encoding: Encoding) -> tuple[list[str], list[bool]]:
    """The part of `text` that each token stands for, and whether it is special; joined, the parts are the whole text.

    A token that only goes on with a character, or is a space that was added, has none. One that the tokenizer puts
    before the text has its name.
    """
    special = {at for at, token in tokenizer.added_tokens_decoder.items() if token.special}
    offsets = [
        # A space that the tokenizer puts before a word counts the word's first character as its own.
        (start, start) if token in _SPACES and not text[start:end].isspace() else (start, end)
        for token, (start, end) in zip(encoding.tokens, encoding.offsets, strict=True)
    ]
    ends = [end for _, end in offsets]
    last = max((at for at, end in enumerate(ends) if end), default=-1)
    parts, shown_to = [], 0
    for at, (token, end) in enumerate(zip(encoding.ids, ends, strict=True)):
        if end == 0 and token in special:
            parts.append(str(tokenizer.convert_ids_to_tokens(token)))
            continue
        until = len(text) if at == last else max(end, shown_to)
        parts.append(text[shown_to:until])
        shown_to = until
    return parts, [token in special for token in encoding.ids]
