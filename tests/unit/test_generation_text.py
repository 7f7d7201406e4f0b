from __future__ import annotations

import pytest

from pipeline.generation.text import Detokenizer, StopFilter
from tests.tiny_models import byte_tokenizer


def decode_bytes(tokens: list[int]) -> str:
    return bytes(tokens).decode("utf-8", errors="replace")


def test_a_character_of_several_tokens_appears_when_it_is_whole() -> None:
    detokenizer = Detokenizer(decode_bytes)
    pieces = [detokenizer.push(byte) for byte in "né😀!".encode()]
    assert pieces == ["n", "", "é", "", "", "", "😀", "!"]


def test_a_character_that_never_becomes_whole_is_not_shown() -> None:
    detokenizer = Detokenizer(decode_bytes)
    assert [detokenizer.push(byte) for byte in b"ok\xf0\x9f"] == ["o", "k", "", ""]
    assert detokenizer.flush() == ""


def test_bytes_that_are_no_text_do_not_swallow_what_follows() -> None:
    detokenizer = Detokenizer(decode_bytes)
    assert "".join(detokenizer.push(byte) for byte in b"a\xffb") == "a\N{REPLACEMENT CHARACTER}b"


def test_pieces_of_a_real_tokenizer_join_to_its_whole_decoding() -> None:
    tokenizer = byte_tokenizer()
    text = "Grüße, 你好 — 👩‍💻 code\n\ttabs"
    tokens = tokenizer.encode(text, add_special_tokens=False)
    detokenizer = Detokenizer(lambda some: tokenizer.decode(list(some), skip_special_tokens=True))
    assert "".join(detokenizer.push(token) for token in tokens) + detokenizer.flush() == text


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_text_ends_before_the_stop_string_however_it_is_cut(size: int) -> None:
    stops = StopFilter(["\nUser:", "###"])
    text = "One # two ## three\nUse it\nUser: hidden ### hidden"
    shown = "".join(stops.push(text[at : at + size]) for at in range(0, len(text), size))
    assert shown == "One # two ## three\nUse it"
    assert stops.has_stopped


def test_what_could_become_a_stop_string_is_held_back_and_given_at_the_end() -> None:
    stops = StopFilter(["STOP"])
    assert [stops.push(part) for part in ("a S", "T", "x", "ST")] == ["a ", "", "STx", ""]
    assert stops.flush() == "ST"
    assert not stops.has_stopped


def test_the_earliest_of_two_stop_strings_ends_the_text() -> None:
    stops = StopFilter(["late", "soon"])
    assert stops.push("now soon and late") == "now "
