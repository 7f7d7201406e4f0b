from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from pipeline.generation.requests import BadTemplate
from pipeline.generation.template_child import SECONDS_LIMIT
from pipeline.generation.templates import TemplateRenderer
from tests.tiny_models import CHAT_TEMPLATE, byte_tokenizer

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi <b>&</b>"}]


@pytest.fixture(scope="module")
def renderer() -> Iterator[TemplateRenderer]:
    renderer = TemplateRenderer()
    yield renderer
    renderer.close()


def test_a_conversation_renders_as_the_tokenizer_itself_renders_it(renderer: TemplateRenderer) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = CHAT_TEMPLATE
    own = tokenizer.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)
    assert renderer.render(CHAT_TEMPLATE, MESSAGES) == own


def test_a_template_that_never_ends_is_stopped_and_the_next_one_renders(renderer: TemplateRenderer) -> None:
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    renderer.render("warm", MESSAGES)
    started = time.monotonic()
    with pytest.raises(BadTemplate, match="more than 2 seconds"):
        renderer.render(endless, MESSAGES)
    assert time.monotonic() - started < SECONDS_LIMIT + 1.5
    assert renderer.render("{{ messages[0].content }}", MESSAGES) == "Be brief."


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ 'x' * 3000000000 }}", "memory"),
        ("{% for a in range(9999) %}{{ 'x' * 9999 }}{% endfor %}", "characters"),
        ("{{ raise_exception('Only user and assistant') }}", "Only user and assistant"),
        ("{% for %}", "TemplateSyntaxError"),
        ("{{ ().__class__.__bases__[0].__subclasses__() }}", "unsafe"),
    ],
)
def test_a_bad_template_is_refused_with_its_reason(renderer: TemplateRenderer, template: str, said: str) -> None:
    with pytest.raises(BadTemplate, match=said):
        renderer.render(template, MESSAGES)


def test_the_template_sees_the_special_tokens_and_the_tools(renderer: TemplateRenderer) -> None:
    tools = [{"type": "function", "function": {"name": "clock"}}]
    text = renderer.render(
        "{{ bos_token }}{{ tools[0].function.name }}", [], tools=tools, variables={"bos_token": "<s>"}
    )
    assert text == "<s>clock"
