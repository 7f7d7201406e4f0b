"""Preferences: pairs of answers as tokens, and which of the two a model finds likelier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.context import Context
from pipeline.errors import BadData
from pipeline.training.rows import Row

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Pair:
    """One preference row as tokens: a prompt, and two answers to it that end with the end-of-turn token."""

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]


@dataclass(frozen=True)
class PairScores:
    """Log-probabilities of the answers, summed over their tokens: `chosen[i]` and `rejected[i]` of pair `i`."""

    chosen: list[float]
    rejected: list[float]

    @property
    def prefers_chosen(self) -> float:
        """Share of pairs whose chosen answer the model finds likelier than the rejected one."""
        return sum(a > b for a, b in zip(self.chosen, self.rejected, strict=True)) / len(self.chosen)

    def reward_accuracy(self, reference: PairScores) -> float:
        """Share of pairs whose implicit reward, the gain over the reference, is larger for the chosen answer.

        Source: Rafailov et al. 2023, arXiv 2305.18290, equation 5; `beta` scales both rewards and cancels.
        """
        gains = [
            (chosen - chosen_before) - (rejected - rejected_before)
            for chosen, rejected, chosen_before, rejected_before in zip(
                self.chosen, self.rejected, reference.chosen, reference.rejected, strict=True
            )
        ]
        return sum(gain > 0 for gain in gains) / len(gains)


def tokenize_pairs(
    tokenizer: PreTrainedTokenizerBase, rows: list[Row], *, max_length: int, context: Context, what: str
) -> list[Pair]:
    """Tokenize preference rows to at most `max_length` tokens a sequence, and say what was shortened or left out.

    Where a row is too long, its prompt loses its beginning first, down to half of `max_length`; only then do the
    answers lose their ends. A row whose answers do not differ within that length teaches nothing and is left out.

    Raises:
        BadData: if no row is left.
    """
    whole = [_tokenize(tokenizer, row) for row in rows]
    fitted = [_fit(pair, max_length) for pair in whole]
    kept = [pair for pair in fitted if pair.chosen_ids != pair.rejected_ids]
    num_prompts = sum(len(a.prompt_ids) != len(b.prompt_ids) for a, b in zip(whole, fitted, strict=True))
    num_answers = sum(_answer_lengths(a) != _answer_lengths(b) for a, b in zip(whole, fitted, strict=True))
    if num_prompts or len(kept) < len(rows):
        context.log(
            f"Of {len(rows)} {what} rows, {num_prompts} had their prompt shortened at its beginning and {num_answers} "
            f"had an answer cut at its end to fit {max_length} tokens; {len(rows) - len(kept)} rows whose answers did "
            "not differ were left out.",
            level="warning",
        )
    if rows and not kept:
        raise BadData(
            f"In none of the {len(rows)} {what} rows do the answers differ within {max_length} tokens.",
            "Raise the maximum length, or choose rows with shorter prompts.",
        )
    return kept


def score_pairs(model: Any, pairs: list[Pair], *, pad_id: int, batch_size: int) -> PairScores:
    """The model's log-probabilities of both answers of every pair."""
    was_training = model.training
    model.eval()
    chosen: list[float] = []
    rejected: list[float] = []
    for start in range(0, len(pairs), batch_size):
        batch = pairs[start : start + batch_size]
        chosen += _log_probabilities(model, [(pair.prompt_ids, pair.chosen_ids) for pair in batch], pad_id)
        rejected += _log_probabilities(model, [(pair.prompt_ids, pair.rejected_ids) for pair in batch], pad_id)
    model.train(was_training)
    return PairScores(chosen, rejected)


def _tokenize(tokenizer: PreTrainedTokenizerBase, row: Row) -> Pair:
    def ids(messages: list[Any], *, is_prompt: bool) -> list[int]:
        rendered: Any = tokenizer.apply_chat_template(
            messages, tools=row.get("tools"), add_generation_prompt=is_prompt, tokenize=True, return_dict=True
        )
        return list(rendered["input_ids"])

    prompt = ids(row["prompt"], is_prompt=True)
    chosen = ids(row["prompt"] + row["chosen"], is_prompt=False)
    rejected = ids(row["prompt"] + row["rejected"], is_prompt=False)
    shared = min(_common_prefix(prompt, chosen), _common_prefix(prompt, rejected))
    return Pair(prompt[:shared], chosen[shared:], rejected[shared:])


def _fit(pair: Pair, max_length: int) -> Pair:
    longest_answer = max(_answer_lengths(pair))
    room_for_prompt = max(max_length - longest_answer, max_length // 2)
    prompt = pair.prompt_ids[-room_for_prompt:]
    room = max_length - len(prompt)
    return Pair(prompt, pair.chosen_ids[:room], pair.rejected_ids[:room])


def _answer_lengths(pair: Pair) -> tuple[int, int]:
    return len(pair.chosen_ids), len(pair.rejected_ids)


def _common_prefix(one: list[int], other: list[int]) -> int:
    for index, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return index
    return min(len(one), len(other))


def _log_probabilities(model: Any, texts: list[tuple[list[int], list[int]]], pad_id: int) -> list[float]:
    import torch

    length = max(len(prompt) + len(answer) for prompt, answer in texts)
    ids = torch.full((len(texts), length), pad_id)  # (B, T), padded on the right
    is_answer = torch.zeros((len(texts), length), dtype=torch.bool)
    attention = torch.zeros_like(ids)
    for index, (prompt, answer) in enumerate(texts):
        end = len(prompt) + len(answer)
        ids[index, :end] = torch.tensor(prompt + answer)
        is_answer[index, len(prompt) : end] = True
        attention[index, :end] = 1
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=ids.to(model.device), attention_mask=attention.to(model.device)).logits
    log_probs = logits[:, :-1].float().log_softmax(-1).cpu()  # (B, T-1, V): position t predicts token t+1
    of_tokens = log_probs.gather(-1, ids[:, 1:, None]).squeeze(-1)
    sums: list[float] = (of_tokens * is_answer[:, 1:]).sum(-1).tolist()
    return sums
