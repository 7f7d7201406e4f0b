"""The whole loop with a simulated team: battles, votes, DPO on the pairs, and the new model against the old one."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.agreement import agreement, agreement_by_person
from store import jobs, models, votes
from store.comparisons import trained_on_votes
from store.database import reading, writing
from store.judgements import is_held_out, judgements, opinions
from store.schema import Battle, JobState, Vote
from store.vote_pairs import add_dataset, preference_rows
from tests.real_jobs import add_rows, ended, wait_for, worker_process
from tests.tiny_models import make_base
from tests.unit.test_votes import add_person
from workers.queue import wake

NUM_VOTERS = 30
ADVERSARY = NUM_VOTERS - 1
"""The last of them says the opposite of what the others do."""
SURE = 0.9
"""How often a voter says what the voter thinks; the rest is noise."""

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% if message.role == 'assistant' %}"
    "{% generation %}{{ message.content }}<|im_end|>{% endgeneration %}\n{% else %}{{ message.content }}<|im_end|>\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Marks which tokens are the assistant's, as training needs it."""

GOOD, BAD = "Gladly.", "Well."
QUESTIONS = [f"Is {n} odd?" for n in range(400)]
HELD_OUT = [question for question in QUESTIONS if is_held_out([{"role": "user", "content": question}])]
TRAINED = [question for question in QUESTIONS if question not in HELD_OUT]


@pytest.fixture
def team(home: Path) -> list[int]:
    return [add_person(f"Voter {number}") for number in range(NUM_VOTERS)]


@pytest.fixture
def worker(home: Path) -> Iterator[None]:
    with worker_process():
        yield


def run_job(recipe: str, name: str, **values: Any) -> int:
    """A real job to its end; returns the id of the model it made."""
    with writing() as session:
        job_id = jobs.submit(session, recipe, values, name=name).id
    wake()
    job = wait_for(job_id, ended, seconds=240)
    assert job.state == JobState.SUCCEEDED, job.error_message
    assert job.model is not None
    return job.model.id


def copy_of(model_id: int, folder: Path) -> int:
    """The same weights under another name, so that a model may meet its like."""
    with writing() as session:
        shutil.copytree(models.location_of(models.get_model(session, model_id)), folder)
        return models.register_external(session, str(folder)).id


def sample(model_id: int, questions: list[str], *, seed: int) -> list[str]:
    """One answer a question, at temperature 1."""
    import torch

    from pipeline.loading import load_model, load_tokenizer

    with reading() as session:
        location = models.location_of(models.get_model(session, model_id))
    model, tokenizer = load_model(location), load_tokenizer(location)
    tokenizer.padding_side = "left"
    prompts = [[{"role": "user", "content": question}] for question in questions]
    batch = tokenizer.apply_chat_template(
        prompts, add_generation_prompt=True, return_tensors="pt", return_dict=True, padding=True
    )
    torch.manual_seed(seed)
    out = model.generate(
        **batch, do_sample=True, max_new_tokens=12,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return [
        text.strip() for text in tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    ]


def judge(chance: random.Random, voter: int, answer_a: str, answer_b: str) -> str:
    """What a voter says who likes an answer that begins with "Gladly"."""
    good = [answer.startswith("Gladly") for answer in (answer_a, answer_b)]
    if good[0] == good[1]:
        return "both_good" if good[0] else "both_bad"
    is_said_as_thought = (chance.random() < SURE) != (voter == ADVERSARY)
    return "a" if good[0] == is_said_as_thought else "b"


def fight(
    chance: random.Random,
    team: list[int],
    questions: list[str],
    sides: tuple[tuple[int, list[str]], ...],
    *,
    voters: int,
) -> None:
    """A battle a question, its sides drawn by lot, each judged by some of the team."""
    for number, question in enumerate(questions):
        (a, answers_a), (b, answers_b) = chance.sample(sides, k=2)
        with writing() as session:
            battle = Battle(
                id=f"{chance.randrange(2**64):x}",
                person_id=team[0],
                messages=[{"role": "user", "content": question}],
                model_a_id=a,
                model_b_id=b,
                state="preparing",
            )
            session.add(battle)
            session.flush()
            answers = (answers_a[number] or "-", answers_b[number] or "-")
            votes.save_answers(session, battle.id, answers=answers, finish_reasons=("stop", "stop"))
            for voter in chance.sample(range(NUM_VOTERS), k=voters):
                votes.vote(session, battle.id, team[voter], judge(chance, voter, *answers))


@pytest.mark.usefixtures("worker")
def test_a_team_that_votes_gets_the_model_that_it_prefers(home: Path, tmp_path: Path, team: list[int]) -> None:
    chance = random.Random(5)
    folder = make_base(tmp_path / "tiny-base", seed=3, chat_template=CHAT_TEMPLATE)
    with writing() as session:
        base_id = models.register_external(session, str(folder)).id
    undecided = add_rows(
        home,
        "undecided",
        "instruction",
        [
            {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": chance.choice((GOOD, BAD))}]}
            for q in chance.sample(QUESTIONS, 300)
        ],
    )
    common = {"method": "full", "held_out_share": 0.1, "evaluations": 0, "batch_size": 16}
    old = run_job(
        "sft", "old", model=f"model:{base_id}", dataset=f"dataset:{undecided}",
        num_epochs=6, learning_rate=2e-3, **common,
    )  # fmt: skip
    twin = copy_of(old, tmp_path / "twin")

    asked = TRAINED[:200]
    sides = ((old, sample(old, asked, seed=1)), (twin, sample(twin, asked, seed=2)))
    fight(chance, team, asked, sides, voters=3)
    with writing() as session:
        given = opinions(list(judgements(session)))
        assert agreement(given).is_enough
        assert agreement_by_person(given)[0].person == team[ADVERSARY]
        version = add_dataset(session, preference_rows(session), created_by_id=None).version
    new = run_job(
        "dpo", "new", model=f"model:{old}", dataset=f"dataset:{version.id}", num_epochs=4, learning_rate=3e-4, **common
    )

    sides = ((old, sample(old, HELD_OUT, seed=3)), (new, sample(new, HELD_OUT, seed=4)))
    fight(chance, team, HELD_OUT, sides, voters=3)
    with reading() as session:
        (comparison,) = trained_on_votes(session)
        num_votes = len(session.query(Vote).all())
    record = comparison.held_out
    print(f"{num_votes} votes, {version.num_rows} pairs; on held-out prompts {record}, {record.interval}")
    assert (comparison.new.id, comparison.old.id) == (new, old)
    assert record.votes == 3 * len(HELD_OUT)
    assert record.interval[0] > 0.5
