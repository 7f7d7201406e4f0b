"""Playground settings: how a conversation's answers are drawn, and the examples that stand before it."""

from __future__ import annotations

import json

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.errors import HoneError
from webapp.inference_client import ChatSettings

MAX_EXAMPLES = 64
MAX_EXAMPLE_CHARACTERS = 20_000


class BadExamples(HoneError):
    kind = "bad_examples"


class Example(BaseModel):
    """A prompt with its answer, shown to a model before the conversation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: str = Field(max_length=MAX_EXAMPLE_CHARACTERS)
    answer: str = Field(max_length=MAX_EXAMPLE_CHARACTERS)

    @property
    def is_whole(self) -> bool:
        return bool(self.prompt.strip() and self.answer.strip())


class Examples(BaseModel):
    """The examples of a conversation.

    Args:
        pairs: In the order in which they are shown.
        counts: How many of the first of them each column is shown; empty where every column is shown all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pairs: tuple[Example, ...] = Field(default=(), max_length=MAX_EXAMPLES)
    counts: tuple[int, ...] = ()

    def in_column(self, column: int) -> list[tuple[str, str]]:
        """What the model of a column is shown; a pair that is only half written is left out."""
        whole = [(one.prompt, one.answer) for one in self.pairs if one.is_whole]
        return whole[: self.counts[column]] if column < len(self.counts) else whole

    def spread(self, *, num_columns: int) -> Examples:
        """The same examples, shown in growing numbers: 0, 1, 2, 5, and so on, as far as there are examples."""
        num_whole = sum(one.is_whole for one in self.pairs)
        steps = [count for count in (0, 1, 2, 5, 10, 20) if count < num_whole] + [num_whole]
        if len(steps) > num_columns:
            steps = [*steps[: num_columns - 1], num_whole]
        return self.model_copy(update={"counts": tuple(steps)})


class PlaygroundSettings(ChatSettings):
    """Everything that a conversation keeps of how it was held."""

    examples: Examples = Examples()

    def for_a_new_conversation(self) -> PlaygroundSettings:
        """The same without the examples, which belong to their conversation: a preset keeps them for others."""
        return self.model_copy(update={"examples": Examples()})

    def sampling(self) -> ChatSettings:
        """The part of them that a server is told."""
        return ChatSettings.model_validate(self.model_dump(exclude={"examples"}))


def read_examples(text: str) -> Examples:
    """What the page's editor of examples holds.

    Raises:
        BadExamples: if there are too many, or one is too long.
    """
    try:
        return Examples.model_validate_json(text or "{}")
    except ValidationError as error:
        raise BadExamples(
            f"The examples cannot be used: {error.errors()[0]['msg'].lower()}.",
            f"Show at most {MAX_EXAMPLES} of up to {MAX_EXAMPLE_CHARACTERS:,} characters a side.",
        ) from error


def written_examples(examples: Examples) -> str:
    return json.dumps(examples.model_dump(mode="json"), ensure_ascii=False)
