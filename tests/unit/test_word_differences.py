from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from webapp.word_differences import MAX_PIECES, word_differences


def test_what_only_one_text_has_is_marked_and_white_space_is_kept() -> None:
    found = word_differences("The  sea is\nblue.", "The  sea was\nblue today.")
    assert [(one.kind, one.text) for one in found.stretches] == [
        ("same", "The  sea "),
        ("removed", "is"),
        ("added", "was"),
        ("same", "\nblue"),
        ("added", " today"),
        ("same", "."),
    ]
    assert found.share_same == 8 / 11  # the, sea, blue and the full stop, of 5 and 6 pieces that are no gaps


@given(st.text(alphabet="ab \n.é", max_size=60), st.text(alphabet="ab \n.é", max_size=60))
def test_both_texts_can_be_read_from_the_stretches(first: str, second: str) -> None:
    stretches = word_differences(first, second).stretches
    assert "".join(one.text for one in stretches if one.kind != "added") == first
    assert "".join(one.text for one in stretches if one.kind != "removed") == second


def test_equal_and_empty_texts_are_all_the_same() -> None:
    assert word_differences("", "").share_same == 1
    assert word_differences("one two", "one two").share_same == 1
    assert word_differences("one", "two").share_same == 0


def test_very_long_answers_are_compared_at_their_beginnings() -> None:
    found = word_differences("word " * MAX_PIECES, "word " * MAX_PIECES + "end")
    assert found.is_cut
    assert [one.kind for one in found.stretches] == ["same"]
