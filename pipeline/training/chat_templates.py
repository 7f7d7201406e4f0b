"""Chat templates: which one a model is trained with, and a conversation rendered through it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pipeline.context import Context
from pipeline.errors import BadModel
from pipeline.generation.requests import BadTemplate

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

END, BEGIN, PAD = "<|end|>", "<|begin|>", "<|pad|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")

OWN_TEMPLATE = """\
{%- if tools %}{{ '<|system|>' + (tools | tojson) + '<|end|>' }}{% endif %}
{%- for message in messages %}
{{- '<|' + message['role'] + '|>' }}
{%- if message['role'] == 'assistant' %}
{%- generation %}{{ message['content'] or '' }}
{%- if message['tool_calls'] %}{{ message['tool_calls'] | tojson }}{% endif %}{{ '<|end|>' }}{% endgeneration %}
{%- else %}{{ message['content'] + '<|end|>' }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"""
"""The chat template of models that Hone pre-trains; a role and the end of a turn are one token each."""

PLAIN_TEMPLATE = """\
{%- if tools %}{{ 'System: ' + (tools | tojson) + '\n\n' }}{% endif %}
{%- for message in messages %}
{%- if message['role'] == 'assistant' %}{{ 'Assistant: ' }}
{%- generation %}{{ message['content'] or '' }}
{%- if message['tool_calls'] %}{{ message['tool_calls'] | tojson }}{% endif %}{{ eos_token }}{% endgeneration %}
{{- '\n\n' }}
{%- else %}{{ message['role'] | capitalize + ': ' + message['content'] + '\n\n' }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"""
"""Given to a model that has no chat template of its own; it needs no token that the model lacks."""

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")


@dataclass(frozen=True)
class Conversation:
    """What a template is to render: messages, what else it may read, and whether an answer is to begin at the end."""

    template: str
    messages: Sequence[dict[str, Any]]
    tools: Sequence[dict[str, Any]] | None
    variables: dict[str, Any]
    begins_answer: bool = False

    @property
    def is_marked(self) -> bool:
        """Whether the template says which stretches are the assistant's."""
        return _GENERATION.search(self.template) is not None


@dataclass(frozen=True)
class Rendered:
    """A conversation as text; `said` are the stretches (first character, one past the last) that a model is to say."""

    text: str
    said: tuple[tuple[int, int], ...] = ()


Render = Callable[[Conversation], Rendered]
"""Renders in this process (`render_here`), as a job does, or in one with limits (`TemplateRenderer.render_marked`)."""


def render_here(conversation: Conversation) -> Rendered:
    """Render in this process, without limits: for a job, whose process is its own.

    Raises:
        BadTemplate: if the template refuses the conversation or is broken.
    """
    from transformers.utils.chat_template_utils import render_jinja_template

    try:
        rendered: Any = render_jinja_template(
            conversations=[list(conversation.messages)],
            tools=list(conversation.tools) if conversation.tools else None,
            chat_template=conversation.template,
            return_assistant_tokens_mask=conversation.is_marked,
            add_generation_prompt=conversation.begins_answer,
            **conversation.variables,
        )
    except Exception as error:  # whatever a template raises is the template's fault, and is told to its user
        raise refused(f"{type(error).__name__}: {error}"[:500]) from error
    texts, said = rendered
    return Rendered(texts[0], tuple((start, end) for start, end in said[0]) if said else ())


def refused(why: str) -> BadTemplate:
    return BadTemplate(
        f"The model's chat template cannot render this conversation: {why}.",
        "Some templates know no system prompt, or want user and assistant turns to alternate: try without.",
    )


def conversation_of(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[dict[str, Any]],
    tools: Sequence[dict[str, Any]] | None,
    *,
    begins_answer: bool = False,
    is_trained: bool = False,
) -> Conversation:
    """Messages with the model's template, or with the one that marks the answers where `is_trained`.

    Raises:
        BadModel: if the model's own template cannot say which tokens are the assistant's.
    """
    template = template_of(tokenizer, with_tools=bool(tools))
    return Conversation(
        template=training_template(template) if is_trained else template,
        # A key without a value is left out: templates would write "None" for it.
        messages=[{key: value for key, value in message.items() if value is not None} for message in messages],
        tools=tools or None,
        variables={name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        begins_answer=begins_answer,
    )


def has_template(tokenizer: PreTrainedTokenizerBase) -> bool:
    return bool(tokenizer.chat_template)


def template_of(tokenizer: PreTrainedTokenizerBase, *, with_tools: bool = False) -> str:
    """The model's own template, or the plain one that it is given; of several, the one for tools or the default."""
    own: str | dict[str, str] | None = tokenizer.chat_template
    if isinstance(own, dict):
        own = own.get("tool_use" if with_tools else "default") or own.get("default")
    return own or PLAIN_TEMPLATE


def give_template(tokenizer: PreTrainedTokenizerBase, context: Context) -> None:
    """Give a model without a chat template a plain one, saved with it, and say so."""
    if not has_template(tokenizer):
        context.log("The model has no chat template; it gets a plain one (User: … Assistant: …).", level="warning")
        tokenizer.chat_template = PLAIN_TEMPLATE


@lru_cache(maxsize=16)
def training_template(template: str) -> str:
    """The template that marks the assistant's tokens, for training: itself, or what TRL has in the place of it.

    Raises:
        BadModel: if it marks nothing, and none is known that would.
    """
    if _GENERATION.search(template):
        return template
    from trl.chat_template_utils import get_training_chat_template

    try:
        return str(get_training_chat_template(_TemplateAlone(template)))
    except ValueError as error:
        raise BadModel(
            "The model's chat template does not mark which tokens are the assistant's, so only they cannot be trained.",
            "Add {% generation %} … {% endgeneration %} around the answer in it, or choose another base.",
        ) from error


class _TemplateAlone:
    """A template for TRL to look up among those that it knows, and not to try on a conversation of its own first.

    What comes of that changes nothing for a template without marks, and a stranger's must not run without limits.
    """

    def __init__(self, template: str) -> None:
        self.chat_template = template

    def apply_chat_template(self, *args: Any, **kwargs: Any) -> str:
        from jinja2 import TemplateError

        raise TemplateError("it is looked up, not rendered")
