from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.errors import HoneError
from pipeline.generation.requests import BadPrompt
from pipeline.generation.templates import TemplateRenderer
from pipeline.generation.tokenizer import ChatTokenizer
from pipeline.loading import load_tokenizer
from tests.tiny_models import CHAT_TEMPLATE, byte_tokenizer

CHAT = [{"role": "user", "content": "Grüße 🌊?"}]
BEGUN = [*CHAT, {"role": "assistant", "content": "The sea is"}]
Making = Callable[[str | None], ChatTokenizer]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Making]:
    renderer = TemplateRenderer()

    def tokenizer(template: str | None) -> ChatTokenizer:
        own = byte_tokenizer()
        own.chat_template = template
        own.save_pretrained(tmp_path)
        (tmp_path / "config.json").write_text('{"model_type": "llama"}')
        (tmp_path / "model.safetensors").touch()
        return ChatTokenizer(load_tokenizer(tmp_path), renderer)

    yield tokenizer
    renderer.close()


def test_the_shown_tokens_are_those_of_the_prompt_and_join_to_the_whole_of_it(make: Making) -> None:
    tokenizer = make(CHAT_TEMPLATE)
    shown = tokenizer.shown_prompt(CHAT)
    assert [token.id for token in shown] == tokenizer.prompt_tokens(CHAT)
    expected = "<|im_start|>user\nGrüße 🌊?<|im_end|>\n<|im_start|>assistant\n"
    assert "".join(token.text for token in shown) == expected
    assert [token.text for token in shown if token.is_special] == ["<|im_start|>", "<|im_end|>", "<|im_start|>"]
    wave = [token.text for token in shown].index("🌊")
    assert [token.text for token in shown[wave : wave + 4]] == ["🌊", "", "", ""], "it is four bytes, so four tokens"


def test_an_answer_that_goes_on_has_no_end_of_turn_behind_it(make: Making) -> None:
    tokenizer = make(CHAT_TEMPLATE)
    tokens = tokenizer.prompt_tokens(BEGUN, continue_final_message=True)
    prompt = "".join(tokenizer.token_text(token) for token in tokens)
    assert prompt.endswith("<|im_start|>assistant\nThe sea is")
    assert tokens[: len(tokenizer.prompt_tokens(CHAT))] == tokenizer.prompt_tokens(CHAT)


def test_an_answer_that_is_still_empty_goes_on_where_it_would_begin(make: Making) -> None:
    tokenizer = make(CHAT_TEMPLATE)
    empty = [*CHAT, {"role": "assistant", "content": ""}]
    assert tokenizer.prompt_tokens(empty, continue_final_message=True) == tokenizer.prompt_tokens(CHAT)


def test_without_a_template_the_contents_are_carried_on(make: Making) -> None:
    tokenizer = make(None)
    assert not tokenizer.has_template
    shown = tokenizer.shown_prompt(BEGUN, continue_final_message=True)
    assert "".join(token.text for token in shown) == "Grüße 🌊?\n\nThe sea is"


def test_only_an_answer_can_be_carried_on(make: Making) -> None:
    with pytest.raises(BadPrompt, match="of the role 'user'"):
        make(CHAT_TEMPLATE).prompt_tokens(CHAT, continue_final_message=True)


def test_a_template_that_leaves_the_answer_out_cannot_have_it_carried_on(make: Making) -> None:
    template = (
        "{% for message in messages %}{% if message.role == 'user' %}{{ message.content }}{% endif %}{% endfor %}"
    )
    with pytest.raises(HoneError, match="template"):
        make(template).prompt_tokens(BEGUN, continue_final_message=True)


def test_scored_tokens_are_the_whole_conversation_cut_where_the_answer_begins(make: Making) -> None:
    tokenizer = make(CHAT_TEMPLATE)
    prompt, answer = tokenizer.scored_tokens(CHAT, "A wave.")
    assert prompt == tokenizer.prompt_tokens(CHAT)
    assert "".join(map(tokenizer.token_text, answer)) == "A wave.<|im_end|>\n"


def test_without_a_template_a_scored_answer_ends_with_the_end_of_text(make: Making) -> None:
    tokenizer = make(None)
    _, answer = tokenizer.scored_tokens([{"role": "user", "content": "Hello"}], " you")
    assert answer == [*tokenizer.text_tokens(" you"), tokenizer.eos_token_id]


def test_tokens_that_the_model_does_not_know_are_refused(make: Making) -> None:
    tokenizer = make(CHAT_TEMPLATE)
    tokenizer.require_known([0, 5])
    with pytest.raises(BadPrompt, match="token 9999"):
        tokenizer.require_known([0, 9999])
