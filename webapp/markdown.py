"""Markdown: a model's answer as HTML that cannot do harm. Tags in it are shown as text, and images as links."""

from __future__ import annotations

from functools import lru_cache

from markdown_it import MarkdownIt


def safe_html(text: str) -> str:
    """HTML of an answer; nothing in it runs, loads from elsewhere, or links to anything but web and mail addresses."""
    return str(_renderer().render(text))


@lru_cache(maxsize=1)
def _renderer() -> MarkdownIt:
    # A model may name an image of any server, which would learn who reads the answer: `![a](b)` stays "!" and a link.
    renderer = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
    renderer.disable("image")
    renderer.validateLink = _is_harmless  # type: ignore[method-assign,assignment]
    renderer.add_render_rule("link_open", _open_link)
    return renderer


def _is_harmless(address: str) -> bool:
    return address.lower().startswith(("http://", "https://", "mailto:"))


def _open_link(self, tokens, index, options, environment):  # type: ignore[no-untyped-def]
    tokens[index].attrSet("target", "_blank")
    tokens[index].attrSet("rel", "noopener noreferrer nofollow")
    return self.renderToken(tokens, index, options, environment)
