"""Chat: turning conversations into tokens, and marking the ones that the model is trained to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.context import Context
from pipeline.errors import BadData, BadModel
from pipeline.training.rows import Row

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
"""The label of a position that is read but not trained on."""

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


@dataclass(frozen=True)
class Tokens:
    """One tokenized row: `labels[i]` is `input_ids[i]` where the model is trained on it, else `IGNORED`."""

    input_ids: list[int]
    labels: list[int]

    @property
    def num_trained(self) -> int:
        return sum(label != IGNORED for label in self.labels)


def give_template(tokenizer: PreTrainedTokenizerBase, context: Context) -> None:
    """Give a model without a chat template a plain one, saved with it, and say so."""
    if tokenizer.chat_template is None:
        context.log("The model has no chat template; it gets a plain one (User: … Assistant: …).", level="warning")
        tokenizer.chat_template = PLAIN_TEMPLATE


def give_training_template(tokenizer: PreTrainedTokenizerBase, context: Context) -> str:
    """The template that marks the assistant's tokens, for training; a model without any template is given a plain one.

    Raises:
        BadModel: if the model's own template cannot say which tokens are the assistant's.
    """
    from trl.chat_template_utils import get_training_chat_template, has_generation_markers

    give_template(tokenizer, context)
    if has_generation_markers(tokenizer.chat_template):
        return str(tokenizer.chat_template)
    try:
        return str(get_training_chat_template(tokenizer))
    except ValueError as error:
        raise BadModel(
            "The model's chat template does not mark which tokens are the assistant's, so only they cannot be trained.",
            "Add {% generation %} … {% endgeneration %} around the answer in it, or choose another base.",
        ) from error


def tokenize_conversation(tokenizer: PreTrainedTokenizerBase, row: Row, template: str) -> Tokens:
    """Render an instruction row and label the assistant's turns, their end-of-turn token included."""
    rendered: Any = tokenizer.apply_chat_template(
        row["messages"],
        tools=row.get("tools"),
        chat_template=template,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    ids, mask = rendered["input_ids"], rendered["assistant_masks"]
    return Tokens(ids, [token if is_trained else IGNORED for token, is_trained in zip(ids, mask, strict=True)])


def tokenize_instructions(
    tokenizer: PreTrainedTokenizerBase, rows: list[Row], *, template: str, max_length: int, context: Context, what: str
) -> list[Tokens]:
    """Tokenize rows to at most `max_length` tokens, and say how many were cut short or left out.

    Raises:
        BadData: if no row has a token to train on within `max_length`.
    """
    whole = [tokenize_conversation(tokenizer, row, template) for row in rows]
    cut = [Tokens(row.input_ids[:max_length], row.labels[:max_length]) for row in whole]
    kept = [row for row in cut if row.num_trained]
    num_cut = sum(len(row.input_ids) > max_length for row in whole)
    if num_cut:
        context.log(
            f"{num_cut} of {len(rows)} {what} rows are longer than {max_length} tokens and were cut at their end; "
            f"{len(rows) - len(kept)} of them had no answer left and were left out.",
            level="warning",
        )
    if rows and not kept:
        raise BadData(
            f"None of the {len(rows)} {what} rows has an answer within {max_length} tokens.",
            "Raise the maximum length, or choose rows with shorter prompts and an assistant's turn.",
        )
    return kept
