"""The dialects of each format: what people write down in many ways becomes the same canonical row."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.data.formats import recognise
from pipeline.data.messages import RowFault
from pipeline.data.normalising import normaliser

Row = dict[str, Any]
QUESTION, ANSWER = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
EARLIER = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
PAIR = {
    "prompt": [QUESTION],
    "chosen": [{"role": "assistant", "content": "good"}],
    "rejected": [{"role": "assistant", "content": "bad"}],
}


def normalised(row: Row) -> Row:
    known = recognise(row, [row])
    assert known is not None, f"not recognised: {list(row)}"
    return normaliser(known.mapping)(row)


@pytest.mark.parametrize(
    "history",
    [
        [["hi", "hello"]],
        [{"user": "hi", "assistant": "hello"}],
        [{"instruction": "hi", "output": "hello"}],
        EARLIER,
        [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}],
        ["hi", "hello"],
        '[["hi", "hello"]]',
    ],
)
def test_history_is_read_in_every_dialect(history: Any) -> None:
    row = {"instruction": "q", "output": "a", "history": history}
    assert normalised(row) == {"messages": [*EARLIER, QUESTION, ANSWER]}


@pytest.mark.parametrize(
    "row",
    [
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
        {"conversation": [{"role": "Human", "text": "q"}, {"role": "Bot", "text": "a"}]},
        {"items": [{"from": "user", "value": "q"}, {"from": "chatgpt", "value": "a"}], "id": "x_0"},
        {"dialogue": [{"speaker": "user", "message": "q"}, {"speaker": "assistant", "message": "a"}]},
        {"conversation": [{"human": "q", "assistant": "a"}]},
        {"conversations": {"from": ["human", "gpt"], "value": ["q", "a"]}},
        {"messages": '[{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]'},
    ],
)
def test_sharegpt_is_read_in_every_dialect(row: Row) -> None:
    assert normalised(row) == {"messages": [QUESTION, ANSWER]}
    system = {"role": "system", "content": "s"}
    assert normalised(row | {"system": "s"}) == {"messages": [system, QUESTION, ANSWER]}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "responses": ["good", "middling", "bad"]},
        {"prompt": "q", "responses": ["bad", "good", "middling"], "ranks": [3, 1, 2]},
        {"instruction": "q", "answers": ["bad", "middling", "good"], "scores": [0.1, 0.5, 0.9]},
        {"question": "q", "completions": [{"text": "bad", "score": 1}, {"text": "good", "score": 9}]},
        {"instruction": "q", "completions": [{"response": "good", "overall_score": 8.5},
                                             {"response": "bad", "overall_score": 2.0}]},
        {"prompt": "q", "responses": '["bad", "good"]', "ratings": "[1, 5]"},
        {"prompt": [QUESTION], "responses": [[{"role": "assistant", "content": "good"}],
                                             [{"role": "assistant", "content": "bad"}]]},
    ],
)  # fmt: skip
def test_a_ranked_list_makes_one_pair_of_its_best_and_its_worst(row: Row) -> None:
    assert normalised(row) == PAIR


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "q", "responses": ["one"]}, "`responses` holds fewer than two answers"),
        ({"prompt": "q", "responses": ["a", "b"], "ranks": [1, 1]}, "all answers of `responses` are ranked alike"),
        ({"prompt": "q", "responses": ["a", "b"], "ranks": [1]}, "`ranks` does not have one number for each answer"),
        ({"prompt": "q", "responses": ["a", "b"], "scores": ["x", 1]}, "`scores` is not a list of numbers"),
        ({"prompt": "q", "responses": ["a", "b", "a"]}, "the best and the worst answer of `responses` are identical"),
    ],
)
def test_a_ranked_list_without_a_best_says_why(row: Row, reason: str) -> None:
    with pytest.raises(RowFault) as caught:
        normalised(row)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "completion": "a", "label": True},
        {"instruction": "q", "output": "a", "kto_tag": "true"},
        {"question": "q", "response": "a", "thumbs_up": 1},
        {"messages": [QUESTION, ANSWER], "label": True},
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}], "label": "good"},
    ],
)
def test_judged_answers_are_known_by_their_common_names(row: Row) -> None:
    assert normalised(row) == {"prompt": [QUESTION], "completion": [ANSWER], "label": True}


def test_a_label_that_names_a_topic_judges_nothing() -> None:
    row = {"messages": [QUESTION, ANSWER], "label": "arithmetic"}
    assert normalised(row) == {"messages": [QUESTION, ANSWER]}


@pytest.mark.parametrize("column", ["text", "content", "document"])
def test_documents_are_read_with_their_titles(column: str) -> None:
    assert normalised({column: "Once.", "url": "x"}) == {"text": "Once."}
    assert normalised({column: "Once.", "title": "Tale"}) == {"text": "Tale\n\nOnce."}
    assert normalised({column: "# Tale\nOnce.", "title": "Tale"}) == {"text": "# Tale\nOnce."}


def test_content_beside_a_question_is_not_taken_for_a_document() -> None:
    assert recognise(["question", "content"]) is None


@pytest.mark.parametrize(
    "row", [{"text": "t"}, {"messages": [QUESTION, ANSWER]}, PAIR, {"prompt": "q", "completion": "a", "label": False}]
)
def test_what_is_known_of_a_row_stays_beside_it(row: Row) -> None:
    meta = {"source": "web", "score": 0.5, "nested": {"a": [None]}}
    assert normalised(row | {"meta": meta})["meta"] == meta
    assert normalised(row | {"meta": '{"source": "web"}'})["meta"] == {"source": "web"}
    for other in ("web", None, [], {}, 7, "{broken"):
        assert "meta" not in normalised(row | {"meta": other})
