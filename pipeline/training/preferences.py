"""Preferences: pairs of answers as tokens, and which of the two a model finds likelier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.context import Context
from pipeline.errors import BadData
from pipeline.training.chat import IGNORED, Tokens
from pipeline.training.chat_templates import Render, Rendered, conversation_of, render_here
from pipeline.training.encoding import encode
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

    @property
    def differs(self) -> bool:
        """Whether there is anything to learn from it."""
        return self.chosen_ids != self.rejected_ids

    def sequences(self) -> tuple[Tokens, Tokens]:
        """What the model reads, the chosen answer and the rejected one, each after the prompt, which is not trained."""
        return _after(self.prompt_ids, self.chosen_ids), _after(self.prompt_ids, self.rejected_ids)

    def fitted(self, max_length: int) -> Pair:
        """The pair as a trainer gets it, each sequence of at most `max_length` tokens.

        Where one is too long, the prompt loses its beginning first, down to half of `max_length`; only then do the
        answers lose their ends.
        """
        longest_answer = max(len(self.chosen_ids), len(self.rejected_ids))
        room_for_prompt = max(max_length - longest_answer, max_length // 2)
        prompt = self.prompt_ids[max(0, len(self.prompt_ids) - room_for_prompt) :]
        room = max_length - len(prompt)
        return Pair(prompt, self.chosen_ids[:room], self.rejected_ids[:room])


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


def tokenize_preferences(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row], *, render: Render = render_here
) -> list[Pair]:
    """Render preference rows and part each after the tokens that the prompt shares with both answers; nothing is cut.

    Raises:
        BadTemplate: if the model's template refuses one of them.
    """
    texts = [one.text for row in rows for one in render_preference(tokenizer, row, render)]
    ids = [encoding.ids for encoding in encode(tokenizer, texts, add_special_tokens=False)]
    return [_parted(*ids[at : at + 3]) for at in range(0, len(ids), 3)]


def render_preference(
    tokenizer: PreTrainedTokenizerBase, row: Row, render: Render
) -> tuple[Rendered, Rendered, Rendered]:
    """The texts that are tokenized: the prompt up to where an answer begins, and the prompt with each answer."""

    def text_of(messages: list[Any], *, begins_answer: bool = False) -> Rendered:
        return render(conversation_of(tokenizer, messages, row.get("tools"), begins_answer=begins_answer))

    prompt = text_of(row["prompt"], begins_answer=True)
    return prompt, text_of(row["prompt"] + row["chosen"]), text_of(row["prompt"] + row["rejected"])


def tokenize_pairs(
    tokenizer: PreTrainedTokenizerBase, rows: list[Row], *, max_length: int, context: Context, what: str
) -> list[Pair]:
    """Tokenize preference rows to at most `max_length` tokens a sequence, and say what was shortened or left out.

    A row whose answers do not differ within that length (see `Pair.fitted`) teaches nothing and is left out.

    Raises:
        BadData: if no row is left.
    """
    whole = tokenize_preferences(tokenizer, rows)
    fitted = [pair.fitted(max_length) for pair in whole]
    kept = [pair for pair in fitted if pair.differs]
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


def _parted(prompt: list[int], chosen: list[int], rejected: list[int]) -> Pair:
    shared = min(common_prefix(prompt, chosen), common_prefix(prompt, rejected))
    return Pair(prompt[:shared], chosen[shared:], rejected[shared:])


def _after(prompt: list[int], answer: list[int]) -> Tokens:
    return Tokens(prompt + answer, [IGNORED] * len(prompt) + answer)


def _answer_lengths(pair: Pair) -> tuple[int, int]:
    return len(pair.chosen_ids), len(pair.rejected_ids)


def common_prefix(one: list[int], other: list[int]) -> int:
    """How many tokens two sequences begin with alike."""
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
