"""Patterns of quality: hand-made texts with known answers, each with a near miss that is not to be found."""

from __future__ import annotations

import pytest

from pipeline.quality.detectors import detect, marks_of
from pipeline.quality.languages import language_of
from pipeline.quality.personal import find_personal, mask
from pipeline.quality.texts import RowTexts

AWS = "AKIA" + "IOSFODNN7EXAMPLE"
GITHUB = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"


def said(question: str, answer: str) -> RowTexts:
    return RowTexts({"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]})


def kinds_in(answer: str, question: str = "Tell me something.") -> set[str]:
    return {found.kind for found in detect(said(question, answer))}


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("write to jane.roe+x@mail.acme.co.uk.", "emails", "jane.roe+x@mail.acme.co.uk"),
        ("ring +49 30 12345678 today", "phones", "+49 30 12345678"),
        ("ring (415) 555-2671 today", "phones", "(415) 555-2671"),
        ("from 8.8.4.4 to", "ips", "8.8.4.4"),
        ("from 2001:4860:4860::8888 to", "ips", "2001:4860:4860::8888"),
        ("card 4111 1111 1111 1111.", "cards", "4111 1111 1111 1111"),
        ("card 378282246310005.", "cards", "378282246310005"),
        ("IBAN DE89 3704 0044 0532 0130 00 AND MORE", "ibans", "DE89 3704 0044 0532 0130 00"),
        ("IBAN GB82WEST12345698765432", "ibans", "GB82WEST12345698765432"),
        (f"key {AWS} here", "secrets", AWS),
        (f"token {GITHUB}", "secrets", GITHUB),
        ("api_key = 'q8Zt3LxR2vNw7KpB5yHd'", "secrets", "q8Zt3LxR2vNw7KpB5yHd"),
        ("postgres://me:hunter2@db/x", "secrets", "hunter2"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE", "secrets", "-----BEGIN RSA PRIVATE KEY-----"),
    ],
)
def test_what_has_the_form_of_personal_data_is_found_to_the_letter(text: str, kind: str, found: str) -> None:
    assert [(match.kind, text[match.start : match.end]) for match in find_personal(text)] == [(kind, found)]


@pytest.mark.parametrize(
    "text",
    [
        "jane@example.com and root@localhost",  # set aside for examples, and no address
        "card 4111 1111 1111 1112",  # a wrong check digit
        "355909190063-746 and 4212883012996",  # arithmetic
        "DE88 3704 0044 0532 0130 00",  # wrong check digits
        "192.168.1.1, 203.0.113.9, version 1.2.3, v1.2.3.4",  # private, documentation, versions
        "at 12:30:45 on 2021-05-06, 555-555-0123",  # a time, a date, a number that fiction uses
        "password = passwordpassword, token: the-next-token-here",  # no secret has so little in it
        "the key AKIA is short, and sk-learn is a library",
    ],
)
def test_what_only_looks_like_personal_data_is_left_alone(text: str) -> None:
    assert find_personal(text) == []


def test_a_found_secret_is_hidden_in_its_middle() -> None:
    assert mask(AWS).startswith("AKI•")
    assert AWS[3:-2] not in mask(AWS)
    assert mask("ab") == "ab"[:1] + "b"


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't help with that request.",
        "I cannot assist you with this.",
        "Es tut mir leid, aber dabei kann ich nicht helfen.",
        "Je suis désolé, mais je ne peux pas répondre à cette question.",
        "Lo siento, no puedo ayudar con eso.",
        "К сожалению, я не могу помочь с этим.",
        "很抱歉，我无法提供这方面的帮助。",
        "申し訳ありませんが、お答えできません。",
    ],
)
def test_refusals_are_known_in_several_languages(answer: str) -> None:
    assert "refusals" in kinds_in(answer)


@pytest.mark.parametrize(
    "answer", ["I cannot recommend this book enough.", "Sorry is a word of apology.", "x" * 400 + " I cannot help you."]
)
def test_an_answer_that_does_not_begin_with_a_refusal_is_none(answer: str) -> None:
    assert "refusals" not in kinds_in(answer)


def test_each_oddity_is_found_where_it_stands() -> None:
    assert kinds_in("As an AI language model, I like it.") == {"stock_phrases"}
    assert kinds_in("Fine.<|im_end|>") == {"template_marks"}
    assert kinds_in("One&nbsp;two <br> three") == {"markup"}
    assert kinds_in("A <b>word</b>", question="Write HTML.") == set()
    assert kinds_in("`<br>` breaks a line.") == set()
    assert kinds_in("CafÃ© au lait") == {"garbled"}
    assert kinds_in("Café – “façade” 東京") == set()
    assert kinds_in(" N/A ") == {"empty_answers"}
    assert kinds_in("4") == set()
    texts = said("?", "Well. As an AI model, no.")
    assert marks_of(texts, "stock_phrases") == {("messages", 1, "content"): [(6, 21)]}


def test_a_turn_that_repeats_another_is_found() -> None:
    answer = {"role": "assistant", "content": "It is a long way to go."}
    row = {"messages": [{"role": "user", "content": "How far?"}, answer, {"role": "user", "content": "Sure?"}, answer]}
    assert [(found.kind, list(found.marks)) for found in detect(RowTexts(row))] == [
        ("repeated_turns", [("messages", 3, "content")])
    ]


def pair(chosen: str, rejected: str) -> set[str]:
    sides = {
        side: [{"role": "assistant", "content": text}] for side, text in (("chosen", chosen), ("rejected", rejected))
    }
    return {found.kind for found in detect(RowTexts({"prompt": [{"role": "user", "content": "Why?"}], **sides}))}


def test_pairs_that_teach_nothing_are_found() -> None:
    long = "the quick brown fox jumps over the lazy dog and runs far away into the deep dark wood " * 3
    assert pair("Because.", "Because. ") == {"identical_pairs"}
    assert pair("Because.", "…") == {"empty_pairs"}
    assert pair(long + "today", long + "now") == {"near_identical_pairs"}
    assert pair("Because it rains.", "No idea.") == set()


def test_languages_are_told_where_there_is_enough_to_read() -> None:
    assert language_of("The weather was fine and we walked along the river for two hours.") == "en"
    assert language_of("Das Wetter war schön, und wir gingen zwei Stunden lang am Fluss entlang.") == "de"
    assert language_of("今天天气很好，我们沿着河边走了两个小时，然后回家吃饭。") == "zh"
    assert language_of("OK") == ""
    assert language_of("1 + 2 = 3; 4 * 5 = 20; 6 - 7 = -1; 100 / 4 = 25; 2 ** 10 = 1024") == ""
