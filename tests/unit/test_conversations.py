from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from store import conversations
from store.schema import Base, Model


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    engine = create_engine(f"sqlite:///{tmp_path / 'test.db'}")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Model(id=1, name="base-1", kind="full"), Model(id=2, name="sft-1", kind="adapter")])
        session.flush()
        yield session


def begin(session: Session, prompt: str = "First") -> str:
    return conversations.create_conversation(session, prompt=prompt, model_ids=[1, 2], settings={"seed": 1}).id


def answer(session: Session, conversation_id: str, *texts: str) -> None:
    turn = conversations.load_conversation(session, conversation_id).turns[-1]
    for one, text in zip(turn.answers, texts, strict=True):
        conversations.save_answer(session, one.id, text=text, state="finished", stats={"num_tokens": 3})
    session.expire_all()


def test_a_conversation_keeps_each_columns_answers(session: Session) -> None:
    conversation_id = begin(session)
    answer(session, conversation_id, "from base", "from sft")
    loaded = conversations.load_conversation(session, conversation_id)
    assert [(one.model.name, one.text, one.state) for one in loaded.turns[0].answers] == [
        ("base-1", "from base", "finished"),
        ("sft-1", "from sft", "finished"),
    ]
    assert loaded.settings == {"seed": 1}


def test_the_title_is_the_first_line_cut_at_a_readable_length(session: Session) -> None:
    conversation_id = begin(session, "  What is the sea?\nSecond line")
    assert conversations.load_conversation(session, conversation_id).title == "What is the sea?"
    long = conversations.load_conversation(session, begin(session, "x" * 500)).title
    assert len(long) == conversations.TITLE_LENGTH
    assert long.endswith("…")


def test_each_model_is_sent_its_own_line_of_the_conversation(session: Session) -> None:
    conversation_id = begin(session)
    answer(session, conversation_id, "A1", "B1")
    conversations.append_turn(session, conversation_id, prompt="Second", model_ids=[1, 2])
    session.expire_all()
    loaded = conversations.load_conversation(session, conversation_id)
    assert conversations.messages_for(loaded, 1, system_prompt="Be kind.") == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "First"},
        {"role": "assistant", "content": "B1"},
        {"role": "user", "content": "Second"},
    ]


def test_a_turn_that_a_column_did_not_answer_is_left_out_of_what_it_is_sent(session: Session) -> None:
    conversation_id = begin(session)
    answer(session, conversation_id, "A1", "")
    conversations.append_turn(session, conversation_id, prompt="Second", model_ids=[1, 2])
    session.expire_all()
    loaded = conversations.load_conversation(session, conversation_id)
    assert conversations.messages_for(loaded, 1) == [{"role": "user", "content": "Second"}]


def test_regenerating_empties_the_last_turn_only(session: Session) -> None:
    conversation_id = begin(session)
    answer(session, conversation_id, "A1", "B1")
    conversations.append_turn(session, conversation_id, prompt="Second", model_ids=[1, 2])
    session.expire_all()
    answer(session, conversation_id, "A2", "B2")
    conversations.restart_last_turn(session, conversation_id, model_ids=[2])
    session.expire_all()
    first, last = conversations.load_conversation(session, conversation_id).turns
    assert [one.text for one in first.answers] == ["A1", "B1"]
    assert [(one.model_id, one.text, one.state) for one in last.answers] == [(2, "", "streaming")]


def test_the_list_begins_with_the_conversation_last_spoken_in(session: Session) -> None:
    older, newer = begin(session, "Older"), begin(session, "Newer")
    assert [one.id for one in conversations.list_conversations(session)] == [newer, older]
    conversations.append_turn(session, older, prompt="Again", model_ids=[1])
    assert [one.id for one in conversations.list_conversations(session)] == [older, newer]


def test_a_conversation_that_is_not_there_is_an_error_for_a_person(session: Session) -> None:
    with pytest.raises(conversations.NoConversation, match="no conversation 'nothing'"):
        conversations.load_conversation(session, "nothing")
