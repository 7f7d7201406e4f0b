"""What is trained, drawn: every token tells its fate in a word, and nothing of a row can write markup."""

from __future__ import annotations

from webapp.data.trained import TrainedRow, TrainedSequence, TrainedToken
from webapp.data.views_trained import MOST_SHOWN_TOKENS, percent, trained_row_view


def token(text: str, *, is_trained: bool = False, is_cut: bool = False, is_special: bool = False) -> TrainedToken:
    return TrainedToken(id=7, text=text, is_special=is_special, is_trained=is_trained, is_cut=is_cut)


def row_of(*tokens: TrainedToken, is_left_out: bool = False, has_template: bool = True) -> TrainedRow:
    sequence = TrainedSequence(name="Conversation", tokens=tokens)
    return TrainedRow(
        recipe="sft",
        max_length=3,
        context_length=64,
        has_template=has_template,
        is_left_out=is_left_out,
        sequences=(sequence,),
    )


def test_each_run_of_tokens_stands_after_the_word_for_its_fate() -> None:
    view = trained_row_view(
        row_of(token("Why?"), token(" So", is_trained=True), token(".", is_trained=True, is_cut=True))
    )
    places = [view.index(part) for part in ("<b>only read</b>", "Why?", "<b>trained</b>", " So", "<b>cut off</b>")]
    assert places == sorted(places)
    assert "Trained <b>1</b>" in view
    assert "Cut off <b>1</b>" in view


def test_what_a_row_holds_is_shown_as_text() -> None:
    view = trained_row_view(row_of(token("<script>alert(1)</script>"), token("a\nb")))
    assert "<script>" not in view
    assert "&lt;script&gt;" in view
    assert "<i>⏎</i>" in view


def test_a_row_that_is_left_out_and_a_plain_template_are_said_in_words() -> None:
    view = trained_row_view(row_of(token("Why?"), is_left_out=True, has_template=False))
    assert "fine-tuning leaves it out" in view
    assert "given a plain one" in view


def test_of_a_very_long_row_the_beginning_and_the_end_are_shown() -> None:
    view = trained_row_view(row_of(*(token(f"[{at}]") for at in range(MOST_SHOWN_TOKENS + 5))))
    assert "5 tokens not shown" in view
    assert "[0]" in view
    assert f"[{MOST_SHOWN_TOKENS + 4}]" in view
    assert f"[{MOST_SHOWN_TOKENS // 2}]" not in view


def test_shares_are_readable_however_small() -> None:
    assert [percent(share) for share in (0, 0.00001, 0.0004, 0.125, 1)] == [
        "0\u00a0%", "< 0.01\u00a0%", "0.04\u00a0%", "12.5\u00a0%", "100\u00a0%",
    ]  # fmt: skip
