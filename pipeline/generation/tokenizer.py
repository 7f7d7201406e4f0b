"""Tokenizer: one model's way from a conversation to prompt tokens, and from tokens back to text."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.generation.templates import TemplateRenderer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class ChatTokenizer:
    """A tokenizer that several threads may use: Rust tokenizers refuse calls that overlap, so one lock guards it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, renderer: TemplateRenderer) -> None:
        self._tokenizer = tokenizer
        self._renderer = renderer
        self._lock = threading.Lock()
        self.eos_token_id: int | None = tokenizer.eos_token_id

    def prompt_tokens(
        self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] | None = None
    ) -> list[int]:
        """The tokens of the conversation as the model is to see it, ending where its answer begins.

        A tokenizer that has no chat template belongs to a model that only continues text: it gets the contents alone.
        """
        template = self._template(with_tools=bool(tools))
        if template is None:
            return self._encode("\n\n".join(str(message["content"]) for message in messages), add_special_tokens=True)
        variables = {name: str(token) for name, token in self._tokenizer.special_tokens_map.items()}
        text = self._renderer.render(template, messages, tools=tools, variables=variables)
        return self._encode(text, add_special_tokens=False)  # the template writes the special tokens itself

    def decode(self, tokens: Sequence[int]) -> str:
        with self._lock:
            text = self._tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text)

    def token_text(self, token: int) -> str:
        """The text of one token on its own, special tokens included."""
        with self._lock:
            text = self._tokenizer.decode([token], skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return str(text)

    def _template(self, *, with_tools: bool) -> str | None:
        templates: str | dict[str, str] | None = self._tokenizer.chat_template
        if not isinstance(templates, dict):
            return templates
        return templates.get("tool_use" if with_tools else "default", templates.get("default"))

    def _encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        with self._lock:
            tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return tokens
