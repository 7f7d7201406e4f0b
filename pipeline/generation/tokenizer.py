"""Tokenizer: one model's way from a conversation to prompt tokens, and from tokens back to text."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.generation.requests import BadPrompt
from pipeline.generation.templates import Ending, TemplateRenderer
from pipeline.loading import load_tokenizer
from pipeline.training.encoding import encode, pieces

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MAX_TOKENIZERS = 64


@dataclass(frozen=True)
class PromptToken:
    """A token of a prompt, and the text that it stands for: none where a token before it has begun the character."""

    id: int
    text: str
    is_special: bool


class ChatTokenizer:
    """A tokenizer that several threads may use: Rust tokenizers refuse calls that overlap, so one lock guards it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, renderer: TemplateRenderer) -> None:
        self._tokenizer = tokenizer
        self._renderer = renderer
        self._lock = threading.Lock()
        self.eos_token_id: int | None = tokenizer.eos_token_id

    @property
    def has_template(self) -> bool:
        return self._template(with_tools=False) is not None

    def prompt_tokens(
        self,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]] | None = None,
        *,
        continue_final_message: bool = False,
    ) -> list[int]:
        """The tokens of the conversation as the model is to see it, ending where its answer begins or goes on.

        Raises:
            HoneError: if the template refuses the conversation, or there is no answer to be carried on.
        """
        return self._tokens_of(*self._prompt_text(messages, tools, continue_final_message=continue_final_message))

    def shown_prompt(
        self,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]] | None = None,
        *,
        continue_final_message: bool = False,
    ) -> list[PromptToken]:
        """The same tokens with the part of the prompt that each stands for; joined, they are the whole prompt."""
        text, has_markers = self._prompt_text(messages, tools, continue_final_message=continue_final_message)
        with self._lock:
            (encoding,) = encode(self._tokenizer, [text], add_special_tokens=not has_markers)
            texts, special = pieces(self._tokenizer, text, encoding)
        return [PromptToken(*token) for token in zip(encoding.ids, texts, special, strict=True)]

    def scored_tokens(self, messages: Sequence[dict[str, Any]], answer: str) -> tuple[list[int], list[int]]:
        """The conversation's tokens and the answer's, which end with what ends a turn, as training reads them.

        Where the last token of the prompt alone is another one with the answer after it, it counts as the answer's.
        """
        before = self.prompt_tokens(messages)
        template = self._template(with_tools=False)
        if template is None:
            text, _ = self._prompt_text(messages, None, continue_final_message=False)
            whole = self.text_tokens(text + answer)
            whole += [] if self.eos_token_id is None else [self.eos_token_id]
        else:
            turns = [*messages, {"role": "assistant", "content": answer}]
            whole = self._tokens_of(self._render(template, turns, None, ending="nothing"), True)
        shared = _common_length(before, whole)
        return whole[:shared], whole[shared:]

    def text_tokens(self, text: str) -> list[int]:
        """The tokens of plain text, with what the tokenizer puts before every text."""
        return self._tokens_of(text, False)

    def require_known(self, tokens: Sequence[int]) -> None:
        """Raises BadPrompt if one of them is no token of this model."""
        size = len(self._tokenizer)
        strange = [token for token in tokens if not 0 <= token < size]
        if strange:
            raise BadPrompt(
                f"The prompt names the token {strange[0]}, and the model knows 0 to {size - 1}.",
                "Send text, or tokens of this model's own tokenizer.",
            )

    def decode(self, tokens: Sequence[int]) -> str:
        with self._lock:
            text = self._tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text)

    def token_text(self, token: int) -> str:
        """The text of one token within a text, special tokens included; at its beginning some lose their space."""
        with self._lock:
            once, twice = (
                str(self._tokenizer.decode([token] * n, skip_special_tokens=False, clean_up_tokenization_spaces=False))
                for n in (1, 2)
            )
        return twice.removeprefix(once) if twice.startswith(once) else once

    def _prompt_text(
        self,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]] | None,
        *,
        continue_final_message: bool,
    ) -> tuple[str, bool]:
        """The prompt, and whether a template has written the special tokens into it.

        A tokenizer that has no chat template belongs to a model that only continues text: it gets the contents alone.
        """
        if continue_final_message:
            _require_answer_to_carry_on(messages)
            if not messages[-1]["content"]:  # nothing of the answer is there yet
                messages, continue_final_message = messages[:-1], False
        template = self._template(with_tools=bool(tools))
        if template is None:
            return "\n\n".join(str(message["content"]) for message in messages), False
        ending: Ending = "answer_goes_on" if continue_final_message else "answer_begins"
        return self._render(template, messages, tools, ending=ending), True

    def _render(
        self,
        template: str,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]] | None,
        *,
        ending: Ending,
    ) -> str:
        variables = {name: str(token) for name, token in self._tokenizer.special_tokens_map.items()}
        return self._renderer.render(template, messages, tools=tools, variables=variables, ending=ending)

    def _template(self, *, with_tools: bool) -> str | None:
        templates: str | dict[str, str] | None = self._tokenizer.chat_template
        if not isinstance(templates, dict):
            return templates
        return templates.get("tool_use" if with_tools else "default", templates.get("default"))

    def _tokens_of(self, text: str, has_markers: bool) -> list[int]:
        with self._lock:
            tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=not has_markers)
        return tokens


class Tokenizers:
    """The tokenizers of the models that were asked last; safe to share between threads."""

    def __init__(self, renderer: TemplateRenderer) -> None:
        self._renderer = renderer
        self._lock = threading.Lock()
        self._tokenizers: OrderedDict[str, ChatTokenizer] = OrderedDict()

    def of(self, model: str) -> ChatTokenizer:
        """A model's tokenizer, read once.

        Raises:
            HoneError: if the model or its tokenizer cannot be found.
        """
        with self._lock:
            if model not in self._tokenizers:
                self._tokenizers[model] = ChatTokenizer(load_tokenizer(model), self._renderer)
                if len(self._tokenizers) > MAX_TOKENIZERS:
                    self._tokenizers.popitem(last=False)
            self._tokenizers.move_to_end(model)
            return self._tokenizers[model]


def _require_answer_to_carry_on(messages: Sequence[dict[str, Any]]) -> None:
    last_role = messages[-1]["role"] if messages else "nothing"
    if last_role != "assistant":
        raise BadPrompt(
            f"An answer is to be carried on, and the last message is of the role {last_role!r}.",
            "End the messages with the assistant's partial answer, or leave continue_final_message out.",
        )


def _common_length(first: Sequence[int], second: Sequence[int]) -> int:
    length = 0
    while length < min(len(first), len(second)) and first[length] == second[length]:
        length += 1
    return length
