"""Judging: rows as the tokens that a model reads, many at once, and what its probabilities say of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import BadModel
from pipeline.generation.past import new_past
from pipeline.generation.templates import TemplateRenderer
from pipeline.generation.tokenizer import ChatTokenizer
from pipeline.generation.weights import load_weights, shared_part
from pipeline.loading import load_tokenizer, resolve_model
from pipeline.quality.scores import Measure
from pipeline.quality.texts import Row, RowTexts

if TYPE_CHECKING:
    from torch import Tensor

MOST_LOGIT_BYTES = 2**28
MOST_BATCH_TOKENS = 8192
DIGITS = "12345"

JUDGE_QUESTION = """\
You grade answers that an assistant gave. Look at whether the answer is correct, whether it does what was asked, and \
whether it is clear. Reply with one digit: 1 (useless), 2 (poor), 3 (fair), 4 (good) or 5 (excellent).

[Question]
{asked}

[Answer]
{answer}

[Grade]
Reply with one digit from 1 to 5 and nothing else."""


@dataclass(frozen=True)
class Score:
    """One row's score; not a number where there is nothing to score."""

    value: float
    was_cut: bool = False
    digit_probability: float = math.nan


@dataclass(frozen=True)
class Reading:
    """A sequence to be read: `num_scored` tokens at its end are scored, or what follows it is asked for."""

    tokens: list[int]
    num_scored: int
    was_cut: bool = False


class Judge:
    """A model that scores rows.

    Args:
        model: A folder or a Hugging Face id.
        most_tokens: Longer sequences are cut: the prompt at its beginning, then the answer at its end.
    """

    def __init__(self, model: str, *, measure: Measure, device: str, most_tokens: int) -> None:
        found = resolve_model(model)
        self.measure = measure
        self._plain: Any = load_tokenizer(model)
        self._renderer = TemplateRenderer()
        self._tokenizer = ChatTokenizer(self._plain, self._renderer)
        self._weights = load_weights(found, device)
        self._adapter = self._weights.attach(shared_part(found)[1])
        self._limit = min(most_tokens, self._weights.context_length or most_tokens)
        self._vocabulary = len(self._plain)
        self._digits = self._digit_tokens() if measure == "judge" else []

    def close(self) -> None:
        self._renderer.close()

    def score(self, rows: Sequence[Row]) -> list[Score]:
        """The scores of some rows, in their order."""
        texts = [RowTexts(row) for row in rows]
        if self.measure == "judge":
            return self._grades(texts)
        after = self._losses([self._answer_after_prompt(one) for one in texts])
        if self.measure == "perplexity":
            return [Score(math.exp(min(one.value, 80)), one.was_cut) for one in after]
        alone = self._losses([self._answer_alone(one) for one in texts])
        return [Score(a.value / b.value if b.value else math.nan, a.was_cut) for a, b in zip(after, alone, strict=True)]

    # ------------------------------------------------------------------------------------------------------- losses

    def _answer_after_prompt(self, texts: RowTexts) -> Reading | None:
        if "text" in texts.row:
            return self._fitted([self._start()], self._plain.encode(texts.answer, add_special_tokens=False))
        tokens = self._prompt_and_answer(texts)
        return self._fitted(*tokens) if tokens else None

    def _answer_alone(self, texts: RowTexts) -> Reading | None:
        """The same tokens of the answer, after nothing but what begins a text."""
        tokens = self._prompt_and_answer(texts)
        if tokens is None:
            return None
        kept = self._fitted(*tokens)
        return self._fitted([self._start()], kept.tokens[len(kept.tokens) - kept.num_scored :]) if kept else None

    def _prompt_and_answer(self, texts: RowTexts) -> tuple[list[int], list[int]] | None:
        messages = prompt_messages(texts.row)
        if not messages or not texts.answer.strip():
            return None
        return self._tokenizer.scored_tokens(messages, texts.answer)

    def _fitted(self, prompt: list[int], answer: list[int]) -> Reading | None:
        if not answer or not prompt:
            return None
        kept = answer[: self._limit - 1]
        before = prompt[max(0, len(prompt) - (self._limit - len(kept))) :]
        was_cut = len(kept) < len(answer) or len(before) < len(prompt)
        return Reading([*before, *kept], len(kept), was_cut)

    def _start(self) -> int:
        """What stands before every text: the token that begins one, or else the one that ends the text before it."""
        start = self._plain.bos_token_id if self._plain.bos_token_id is not None else self._plain.eos_token_id
        return int(start) if start is not None else 0

    def _losses(self, readings: Sequence[Reading | None]) -> list[Score]:
        """The mean negative log-likelihood (nats) of each reading's scored tokens."""
        import torch

        scores = [Score(math.nan) for _ in readings]
        for places, batch in self._batches(readings, columns=lambda one: one.num_scored + 1):
            columns = max(one.num_scored for one in batch) + 1
            logprobs = self._logits(batch, columns)[:, :-1].log_softmax(dim=-1)  # (B, C-1, V): of the token after each
            for row, (place, reading) in enumerate(zip(places, batch, strict=True)):
                answer = torch.tensor(reading.tokens[-reading.num_scored :], device=logprobs.device)
                own = logprobs[row, -reading.num_scored :].gather(1, answer.unsqueeze(1))
                scores[place] = Score(-float(own.mean()), reading.was_cut)
        return scores

    # ------------------------------------------------------------------------------------------------------- grades

    def _grades(self, texts: Sequence[RowTexts]) -> list[Score]:
        chosen = self._digit_means([self._question(one, one.answer) for one in texts])
        if not texts or "chosen" not in texts[0].row:
            return chosen
        rejected = self._digit_means([self._question(one, one.rejected) for one in texts])
        return [
            Score(a.value - b.value, a.was_cut or b.was_cut, (a.digit_probability + b.digit_probability) / 2)
            for a, b in zip(chosen, rejected, strict=True)
        ]

    def _question(self, texts: RowTexts, answer: str) -> Reading | None:
        if not texts.asked.strip() or not answer.strip():
            return None
        # What does not fit is cut out of the row, never out of what is asked of the judge.
        room = 3 * self._limit
        asked, shown = texts.asked[:room], answer[:room]
        while True:
            words = JUDGE_QUESTION.format(asked=asked, answer=shown)
            tokens = self._tokenizer.prompt_tokens([{"role": "user", "content": words}])
            if len(tokens) <= self._limit or not (asked or shown):
                was_cut = asked != texts.asked or shown != answer
                return Reading(tokens, 0, was_cut) if len(tokens) <= self._limit and shown else None
            room //= 2
            asked, shown = asked[:room], shown[:room]

    def _digit_means(self, readings: Sequence[Reading | None]) -> list[Score]:
        import torch

        scores = [Score(math.nan) for _ in readings]
        digits = torch.arange(1, len(DIGITS) + 1, dtype=torch.float64)
        for places, batch in self._batches(readings, columns=lambda one: 1):
            shares = self._logits(batch, 1)[:, -1].softmax(dim=-1).double().cpu()
            by_digit = torch.stack([shares[:, tokens].sum(dim=1) for tokens in self._digits], dim=1)  # (B, 5)
            known = by_digit.sum(dim=1)
            means = (by_digit @ digits / known.clamp_min(1e-12)).tolist()
            for place, reading, mean, share in zip(places, batch, means, known.tolist(), strict=True):
                scores[place] = Score(mean, reading.was_cut, share)
        return scores

    def _digit_tokens(self) -> list[list[int]]:
        """The tokens that stand for each digit, with and without a space before it.

        Raises:
            BadModel: if a digit is not one token of this model.
        """
        found = []
        for digit in DIGITS:
            ways = [self._plain.encode(way, add_special_tokens=False) for way in (digit, f" {digit}")]
            tokens = sorted({way[-1] for way in ways if self._plain.decode(way[-1:]).strip() == digit})
            if not tokens:
                raise BadModel(
                    f"The tokenizer of this model has no token for the digit {digit}, so its grade cannot be read.",
                    "Choose another judge, or another measure.",
                )
            found.append(tokens)
        return found

    # ------------------------------------------------------------------------------------------------------ batches

    def _batches(self, readings: Sequence[Reading | None], *, columns: Any) -> Any:
        """Readings of like length together, as many as fit: their places, and themselves."""
        places = sorted(
            (place for place, one in enumerate(readings) if one is not None),
            key=lambda p: len(readings[p].tokens),  # type: ignore[union-attr]
        )
        start = 0
        while start < len(places):
            end, most_columns = start, 0
            while end < len(places):
                one: Any = readings[places[end]]
                most_columns = max(most_columns, columns(one))
                count = end - start + 1
                fits = count * most_columns * self._vocabulary * 4 <= MOST_LOGIT_BYTES
                if end > start and not (fits and count * len(one.tokens) <= MOST_BATCH_TOKENS):
                    break
                end += 1
            yield places[start:end], [readings[place] for place in places[start:end]]
            start = end

    def _logits(self, batch: Sequence[Reading], num_columns: int) -> Tensor:
        """Logits of the tokens after each of the last columns, (rows, num_columns, vocabulary): padded at the left."""
        import torch

        width = max(len(one.tokens) for one in batch)
        mask = torch.tensor([[0] * (width - len(one.tokens)) + [1] * len(one.tokens) for one in batch])
        tokens = torch.tensor([[0] * (width - len(one.tokens)) + one.tokens for one in batch])
        device = self._weights.device
        with torch.inference_mode():
            return self._weights.last_logits(
                [self._adapter] * len(batch),
                tokens.to(device),
                attention_mask=mask.to(device),
                positions=(mask.cumsum(dim=1) - 1).clamp_min(0).to(device),
                cache=new_past(),
                num_columns=min(num_columns, width),
            )


def prompt_messages(row: Row) -> list[dict[str, Any]]:
    """The conversation before the answer that is trained on last."""
    messages = list(row.get("messages") or row.get("prompt") or ())
    if "messages" in row and messages and messages[-1]["role"] == "assistant":
        messages.pop()
    return messages
