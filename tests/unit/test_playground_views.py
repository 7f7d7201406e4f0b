from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.errors import HoneError
from store.schema import Answer, Conversation, Model, Turn
from webapp.playground import exports
from webapp.playground.sampling_form import Example, Examples, read_examples, written_examples
from webapp.playground.sheets import example_of
from webapp.playground.tokens import Alternative, AnswerToken, PromptToken, RenderedPrompt, ScoredAnswer
from webapp.playground.views import MAX_SHOWN_CHARACTERS, Place, answer_view, prompt_view, tools_view
from webapp.playground.views_scores import ScoreTable, factor, score_table_view
from webapp.playground.views_sheets import differences_sheet, edit_sheet, keep_sheet
from webapp.playground.views_tokens import answer_tokens_view, percent, prompt_tokens_view, shade
from webapp.word_differences import word_differences

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>"


def answer(
    text: str = "Blue.", *, column: int = 0, name: str = "base-1", state: str = "finished", **more: Any
) -> Answer:
    model = Model(name=name, endpoint_id=more.pop("endpoint_id", None))
    return Answer(text=text, column=column, model=model, state=state, stats=more.pop("stats", {}), **more)


def conversation(*turns: Turn, **more: Any) -> Conversation:
    told = {"id": "abc", "title": "The sea", "model_ids": [1, 2], "settings": {}, "updated_at": datetime.now(UTC)}
    return Conversation(turns=list(turns), **(told | more))


def test_continue_is_offered_where_an_answer_was_cut_off_and_its_server_can() -> None:
    def acts(one: Answer, *, is_own: bool = True) -> str:
        return answer_view(one, place=Place(1, 0, is_own=is_own))

    assert "Continue" not in acts(answer())
    assert "Continue" in acts(answer(state="stopped"))
    assert "Continue" in acts(answer(stats={"finish_reason": "length"}))
    assert "Continue" not in acts(answer("", state="stopped"))
    foreign = acts(answer(state="stopped"), is_own=False)
    assert "Its server cannot continue" in foreign
    assert "Tokens" not in foreign


def test_an_answer_that_is_being_written_has_no_buttons_yet() -> None:
    assert "data-act" not in answer_view(answer(state="streaming"), is_live=True, place=Place(1, 0))
    assert "data-act" in answer_view(answer(state="streaming"), is_live=False, place=Place(1, 0))


def test_a_very_long_prompt_is_cut_on_the_page() -> None:
    view = prompt_view("x" * 200_000, number=1, can_edit=True)
    assert len(view) < MAX_SHOWN_CHARACTERS + 1_000
    assert "196,000 more characters" in view


def test_what_models_and_people_wrote_is_shown_as_text_everywhere() -> None:
    first, second = answer(HOSTILE, name=HOSTILE), answer("else", column=1, name=HOSTILE)
    turn = Turn(number=1, prompt=HOSTILE, answers=[first, second])
    token = AnswerToken(text=HOSTILE, logprob=-1, alternatives=(Alternative(text=HOSTILE, logprob=-1),))
    scored = ScoredAnswer(logprob=-1, num_tokens=1, tokens=(token,))
    rendered = RenderedPrompt(text="", has_template=True, tokens=(PromptToken(id=1, text=HOSTILE, is_special=True),))
    named = conversation(turn, title=HOSTILE)
    views = [
        answer_view(first, model_name=HOSTILE, place=Place(1, 0)),
        prompt_view(HOSTILE, number=1),
        tools_view(named, [named], named),
        edit_sheet("abc", turn),
        keep_sheet("abc", 1, first, [(HOSTILE, "instruction")]),
        differences_sheet("abc", turn, first, second, word_differences(first.text, second.text)),
        answer_tokens_view(scored, HOSTILE),
        prompt_tokens_view(rendered),
        score_table_view(ScoreTable([HOSTILE], [HOSTILE], [[scored]], True)),
    ]
    for view in views:
        assert "<script" not in view
        assert "<img" not in view


def test_tokens_are_shaded_by_their_probability() -> None:
    assert [shade(math.log(p)) for p in (1.0, 0.9, 0.89, 0.5, 0.2, 0.05, 0.009)] == [0, 0, 1, 1, 2, 3, 4]
    assert [percent(math.log(p)) for p in (1.0, 0.1234, 0.00042, 1e-9)] == ["100.0 %", "12.3 %", "0.042 %", "< 0.001 %"]


def test_a_token_can_be_replaced_only_as_far_as_the_tokens_agree_with_the_answer() -> None:
    tokens = tuple(AnswerToken(text=text, logprob=-0.1) for text in ("Bl", "ue", "\ufffd", "!", "<|im_end|>"))
    view = answer_tokens_view(ScoredAnswer(logprob=-0.5, num_tokens=5, tokens=tokens), "Blueé!")
    assert [f'data-keep="{keep}"' in view for keep in (0, 2, 4, 5)] == [True, True, True, False]
    assert "h-special" in view


def test_the_margin_is_what_dpo_trains_without_beta() -> None:
    def scored(logprob: float) -> ScoredAnswer:
        return ScoredAnswer(logprob=logprob, num_tokens=4)

    table = ScoreTable(
        ["1 · base", "2 · dpo"], ["base", "dpo"], [[scored(-10), scored(-14)], [scored(-12), scored(-9)]], True
    )
    assert table.preference(1, 0) == -2
    assert table.preference(1, 1) == 5
    assert table.margin(1, 1) == 7  # (−9 − −14) − (−12 − −10)
    view = score_table_view(table)
    assert "margin +7.00" in view
    assert "<b>dpo</b> finds answer 2 likelier than answer 1, by a factor of 148" in view
    assert "it leans 7.00 nats further to answer 2 over answer 1" in view
    assert factor(400) == "400 nats"


def test_examples_survive_being_written_and_read_and_each_column_is_shown_its_number() -> None:
    pairs = tuple(Example(prompt=f"Q{n}", answer=f"A{n}") for n in range(3))
    examples = read_examples(written_examples(Examples(pairs=(*pairs, Example(prompt="half", answer="")))))
    assert examples.in_column(0) == [("Q0", "A0"), ("Q1", "A1"), ("Q2", "A2")]
    spread = examples.spread(num_columns=6)
    assert spread.counts == (0, 1, 2, 3)
    assert [len(spread.in_column(column)) for column in range(5)] == [0, 1, 2, 3, 3]
    many = Examples(pairs=tuple(Example(prompt=str(n), answer="A") for n in range(30)))
    assert many.spread(num_columns=6).counts == (0, 1, 2, 5, 10, 30)


@pytest.mark.parametrize("text", ['{"pairs": 3}', '{"pairs": [{"prompt": "a"}]}', "nonsense"])
def test_examples_that_cannot_be_read_are_an_error_for_a_person(text: str) -> None:
    with pytest.raises(HoneError, match="examples cannot be used"):
        read_examples(text)


def test_an_example_is_made_of_the_first_exchange_of_a_row() -> None:
    user, said = {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}
    assert example_of({"messages": [{"role": "system", "content": "S"}, user, said, user, said]}) == Example(
        prompt="Q", answer="A"
    )
    assert example_of({"prompt": [user], "chosen": [said], "rejected": [said]}) == Example(prompt="Q", answer="A")
    assert example_of({"text": "prose"}) is None
    assert example_of({"messages": [user, {"role": "assistant", "content": "x" * 5000}]}) is None


def test_an_export_is_one_line_a_column_that_can_be_trained_on() -> None:
    first = Turn(number=1, prompt="First", answers=[answer("A1"), answer("B1", column=1, name="sft-1")])
    second = Turn(number=2, prompt="Second", answers=[answer("A2"), answer("", column=1, name="sft-1", state="failed")])
    lines = exports.as_json_lines(conversation(first, second, settings={"system_prompt": "Be kind."})).splitlines()
    base, sft = map(json.loads, lines)
    assert [one["content"] for one in base["messages"]] == ["Be kind.", "First", "A1", "Second", "A2"]
    assert [one["content"] for one in sft["messages"]] == ["Be kind.", "First", "B1"]
    assert (base["model"], sft["model"], base["settings"]["temperature"]) == ("base-1", "sft-1", 0.7)
    text = exports.as_markdown(conversation(first, second))
    assert "## Prompt 2\n\n> Second" in text
    assert "### sft-1 (failed)" in text


@pytest.mark.parametrize(
    ("title", "name"),
    [("The sea?", "The-sea.md"), ("../../etc/passwd", "etc-passwd.md"), ("?!", "conversation.md"), ("Möwe", "Möwe.md")],
)
def test_an_export_has_a_name_that_every_file_system_takes(title: str, name: str) -> None:
    assert exports.file_name(conversation(title=title), "md") == name
