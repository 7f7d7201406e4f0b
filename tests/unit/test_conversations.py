from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from pipeline.errors import BadModel
from store import conversations
from store.schema import Base, Model, utc_now


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
    assert [(one.model_id, one.text, one.state) for one in last.answers] == [(2, "", "waiting")]


def test_the_list_begins_with_the_conversation_last_spoken_in(session: Session) -> None:
    older, newer = begin(session, "Older"), begin(session, "Newer")
    assert [one.id for one in conversations.list_conversations(session)] == [newer, older]
    conversations.append_turn(session, older, prompt="Again", model_ids=[1])
    assert [one.id for one in conversations.list_conversations(session)] == [older, newer]


def test_a_conversation_that_is_not_there_is_an_error_for_a_person(session: Session) -> None:
    with pytest.raises(conversations.NoConversation, match="no conversation 'nothing'"):
        conversations.load_conversation(session, "nothing")


def two_turns(session: Session) -> str:
    conversation_id = begin(session)
    answer(session, conversation_id, "A1", "B1")
    conversations.append_turn(session, conversation_id, prompt="Second", model_ids=[1, 2])
    session.expire_all()
    answer(session, conversation_id, "A2", "B2")
    return conversation_id


def test_a_branch_shares_the_first_turns_and_leaves_its_origin_as_it_was(session: Session) -> None:
    origin = two_turns(session)
    branched = conversations.branch(session, origin, num_turns=1, person_id=None)
    conversations.append_turn(session, branched.id, prompt="Otherwise", model_ids=[1, 2])
    session.expire_all()
    loaded = conversations.load_conversation(session, branched.id)
    assert [turn.prompt for turn in loaded.turns] == ["First", "Otherwise"]
    assert [(one.text, one.state) for one in loaded.turns[0].answers] == [("A1", "finished"), ("B1", "finished")]
    assert (loaded.branched_from_id, loaded.settings) == (origin, {"seed": 1})
    assert [one.id for one in conversations.branches_of(session, origin)] == [branched.id]
    assert [turn.prompt for turn in conversations.load_conversation(session, origin).turns] == ["First", "Second"]


def test_a_branch_of_a_turn_in_mid_answer_does_not_write_it_twice(session: Session) -> None:
    origin = begin(session)
    branched = conversations.branch(session, origin, num_turns=1)
    assert [one.state for one in branched.turns[0].answers] == ["stopped", "stopped"]


def test_one_column_is_written_anew_and_the_others_stay(session: Session) -> None:
    conversation_id = two_turns(session)
    conversations.restart_answer(session, conversation_id, turn=2, column=1)
    session.expire_all()
    last = conversations.load_conversation(session, conversation_id).turns[-1]
    assert [(one.text, one.state) for one in last.answers] == [("A2", "finished"), ("", "waiting")]


def test_an_earlier_answer_is_not_written_anew_in_its_place(session: Session) -> None:
    conversation_id = two_turns(session)
    with pytest.raises(conversations.NoConversation, match="not the last one"):
        conversations.restart_answer(session, conversation_id, turn=1, column=0)


def test_an_answer_of_a_deleted_model_cannot_be_written_anew(session: Session) -> None:
    conversation_id = two_turns(session)
    session.get_one(Model, 2).deleted_at = utc_now()
    with pytest.raises(BadModel, match="no model 2"):
        conversations.restart_answer(session, conversation_id, turn=2, column=1)


def test_examples_stand_between_the_system_prompt_and_the_conversation(session: Session) -> None:
    loaded = conversations.load_conversation(session, two_turns(session))
    sent = conversations.messages_for(loaded, 0, system_prompt="Be kind.", examples=[("2+2", "4")], num_turns=1)
    assert [one["content"] for one in sent] == ["Be kind.", "2+2", "4", "First"]
    assert [one["role"] for one in sent] == ["system", "user", "assistant", "user"]


def test_the_search_looks_into_titles_prompts_and_answers_and_takes_signs_as_they_are(session: Session) -> None:
    spoken = two_turns(session)
    percent = begin(session, "About 100% wool")

    def found(words: str) -> list[str]:
        return [one.id for one in conversations.list_conversations(session, search=words)]

    assert found("seCOND") == [spoken]
    assert found("b2") == [spoken]
    assert found("100%") == [percent]
    assert found("0_%") == []
    assert found("%") == [percent]
    assert found("  ") == [percent, spoken]


def test_a_conversation_is_renamed_and_deleted(session: Session) -> None:
    conversation_id = begin(session)
    assert conversations.rename(session, conversation_id, "  The \n sea ").title == "The sea"
    with pytest.raises(conversations.NoConversation, match="title is empty"):
        conversations.rename(session, conversation_id, "  ")
    conversations.delete(session, conversation_id)
    assert list(conversations.list_conversations(session)) == []
    with pytest.raises(conversations.NoConversation):
        conversations.load_conversation(session, conversation_id)
