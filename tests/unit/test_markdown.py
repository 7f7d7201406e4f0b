from __future__ import annotations

import pytest

from webapp.markdown import safe_html


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[click](javascript:alert(1))",
        "[click](JaVaScRiPt:alert(1))",
        "[click](data:text/html;base64,PHNjcmlwdD4=)",
        "![tracker](https://evil.example/pixel.png)",
        '<https://evil.example/"onmouseover=alert(1)>',
        "```html\n<iframe src='https://evil.example'></iframe>\n```",
    ],
)
def test_nothing_in_an_answer_runs_or_loads(hostile: str) -> None:
    html = safe_html(hostile)
    for tag in ("<script", "<img", "<iframe", 'href="javascript', 'href="data'):
        assert tag not in html.lower()
    assert ' onmouseover="' not in html
    assert "onerror=alert" not in html or "&lt;img" in html


def test_tags_are_shown_as_text() -> None:
    assert safe_html("a <b>bold</b> move") == "<p>a &lt;b&gt;bold&lt;/b&gt; move</p>\n"


def test_web_links_open_elsewhere_and_tell_nothing() -> None:
    html = safe_html("[sea](https://example.org/sea)")
    assert 'href="https://example.org/sea"' in html
    assert 'rel="noopener noreferrer nofollow"' in html
    assert 'target="_blank"' in html


def test_an_unfinished_answer_is_drawn_too() -> None:
    assert "<code" in safe_html("```python\nprint(")
