"""Perplexity: how surprised a model is by rows, measured the same way before and after it is changed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pipeline.context import Context
from pipeline.training.chat import IGNORED, Tokens, tokenize_instructions
from pipeline.training.chat_templates import give_template
from pipeline.training.rows import Row, kind_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def tokenize_for_perplexity(
    tokenizer: PreTrainedTokenizerBase, rows: list[Row], *, max_length: int, context: Context
) -> list[Tokens]:
    """Text rows count every token after the first; instruction rows count the assistant's."""
    if kind_of(rows[0]) == "instruction":
        give_template(tokenizer, context)
        return tokenize_instructions(tokenizer, rows, max_length=max_length, context=context, what="measured")
    whole: list[Any] = [tokenizer(row["text"]).input_ids for row in rows]
    num_cut = sum(len(ids) > max_length for ids in whole)
    if num_cut:
        context.log(f"{num_cut} of {len(rows)} texts are longer than {max_length} tokens; their beginning is measured.")
    return [Tokens(ids[:max_length], ids[:max_length]) for ids in whole if len(ids) > 1]


def perplexity(model: Any, rows: list[Tokens]) -> float:
    """exp of the mean negative log-likelihood (nats) over all the labelled tokens of `rows`."""
    import torch
    from torch.nn.functional import cross_entropy

    model.eval()
    total, count = 0.0, 0
    for row in rows:
        ids = torch.tensor([row.input_ids], device=model.device)  # (1, T)
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, :-1].float()  # (T-1, V): position t predicts token t+1
        targets = torch.tensor(row.labels[1:], device=logits.device)
        total += float(cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum"))
        count += int((targets != IGNORED).sum())
    return math.exp(total / count)
