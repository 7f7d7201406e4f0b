"""The whole loop as a person walks it, from an empty machine to a model trained on blind votes.

One test, because each step stands on the one before; everything is real: Chromium, `hone up`, the shipped data.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from pipeline.context import Context
from pipeline.world.facts import SEED, World, make_world
from pipeline.world.questions import (
    held_out_preference_rows,
    held_out_questions,
    instruction_rows,
    preference_rows,
)
from pipeline.world.scoring import accuracy, on_topic_share, warm_share
from store import datasets, jobs, models
from store.database import reading
from tests.browser.conftest import MINUTE, RunningHone
from webapp.formatting import number

ROLES = ("system", "user", "assistant")
NUM_VOTES = 6


@pytest.mark.timeout(1500)
@pytest.mark.usefixtures("record")
def test_a_newcomer_walks_from_an_empty_machine_to_a_model_trained_on_votes(
    page: Page, hone: RunningHone, tmp_path: Path
) -> None:
    # 1. A base model is being made, as an ordinary job.
    page.goto("/")
    expect(page.get_by_text("willow-base").first).to_be_visible()

    # 2. Meanwhile, data: an instruction file with one bad row, and a preference file.
    world = make_world(SEED)
    instructions = [as_alpaca(row) for row in instruction_rows(world, SEED)][:-8]
    write_json(tmp_path / "questions.json", [*instructions, {"instruction": "Where is the answer?", "output": ""}])
    keep_dataset(
        page, tmp_path / "questions.json", "questions", f"{number(len(instructions))} instruction rows", rejected=1
    )
    preferences = [as_strings(row) for row in preference_rows(world, SEED)][:-8]
    write_json(tmp_path / "preferences.json", preferences)
    keep_dataset(page, tmp_path / "preferences.json", "preferences", f"{number(len(preferences))} preference rows")
    wait_for_job(page, "/job?id=1", minutes=8)

    # 3. SFT on the base; the web process dies on the way, which changes nothing. Then DPO on the result.
    launch(page, "sft", "willow-sft", "Start fine-tune", model="willow-base", dataset="questions")
    job_address = page.url.removeprefix(hone.address)
    hone.web_process().kill()
    hone.wait_until_web_answers()
    wait_for_job(page, job_address, minutes=5)
    expect(page.locator("svg").first).to_be_visible()
    expect(page.get_by_text("recipe: sft").first).to_be_visible()
    launch(page, "dpo", "willow-dpo", "Start alignment", model="willow-sft", dataset="preferences")
    wait_for_job(page, page.url.removeprefix(hone.address), minutes=5)
    expect(page.get_by_text("Reward margin").first).to_be_visible()
    assert_training_helped(world)

    # 4. NF4 of the aligned model.
    held_out = "willowmere-questions-held-out"
    launch(page, "quantize", "willow-nf4", "Start quantizing", model="willow-dpo", dataset=held_out)
    wait_for_job(page, page.url.removeprefix(hone.address), minutes=4)
    expect(page.get_by_text("Perplexity before").first).to_be_visible()
    assert summary_of("willow-nf4")["quantized_layers_ratio"] < 0.45

    # 5. Three models side by side; the conversation survives a reload.
    ids = {name: model_id(name) for name in ("willow-base", "willow-sft", "willow-dpo", "willow-nf4")}
    page.goto(f"/playground?models={ids['willow-base']},{ids['willow-sft']},{ids['willow-nf4']}")
    question, value = trained_question(world)
    expect(page.locator("#h-pg-send")).to_be_enabled()
    page.get_by_label("Temperature").fill("0")
    page.locator("#h-pg-prompt textarea").fill(question)
    page.locator("#h-pg-send").click()
    expect(page.get_by_text(re.compile(r"s to first token · .*tokens/s"))).to_have_count(3, timeout=2 * MINUTE)
    expect(page.locator("#h-pg-column-1")).to_contain_text(value)
    page.wait_for_url("**/playground?c=*")
    page.reload()
    expect(page.locator("#h-pg-column-1")).to_contain_text(value)

    # 6. Blind votes by keyboard for the kinder answer, then the board.
    names = list(ids)
    for nth in range(NUM_VOTES):
        vote_blind(page, names, is_first=nth == 0)
    page.goto("/board")
    expect(page.get_by_text(f"{NUM_VOTES} votes").first).to_be_visible()

    # 7. Train on these votes: a dataset, a DPO form on it, and one more model in the arena.
    page.get_by_role("button", name="Train on these votes").click()
    page.wait_for_url("**/train?recipe=dpo**")
    page.get_by_placeholder("dpo-…").fill("willow-votes")
    page.get_by_role("button", name="Start alignment").click()
    page.wait_for_url("**/job?id=*")
    wait_for_job(page, page.url.removeprefix(hone.address), minutes=4)
    page.goto(f"/model?id={model_id('willow-votes')}")
    expect(page.locator("body")).to_contain_text("dpo")
    page.goto("/models")
    for name in [*names, "willow-votes"]:
        expect(page.get_by_text(name).first).to_be_visible()


def trained_question(world: World) -> tuple[str, str]:
    """A question that the fine-tuned model was shown, and the value that a right answer names."""
    fact = next(fact for fact in world.trained if fact.attribute.name == "food")
    return fact.attribute.questions[0].format(name=fact.name), fact.value


def as_alpaca(row: dict[str, Any]) -> dict[str, Any]:
    said = {role: [turn["content"] for turn in row["messages"] if turn["role"] == role] for role in ROLES}
    history = list(zip(said["user"], said["assistant"], strict=True))
    question, answer = history.pop()
    return {"instruction": question, "output": answer, "system": "".join(said["system"]), "history": history}


def as_strings(row: dict[str, Any]) -> dict[str, str]:
    return {part: row[part][-1]["content"] for part in ("prompt", "chosen", "rejected")}


def write_json(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps(rows), encoding="utf-8")


def keep_dataset(page: Page, file: Path, name: str, counted: str, *, rejected: int = 0) -> None:
    page.goto("/data")
    page.locator("input[type=file]").set_input_files(file)
    page.wait_for_url("**/data?upload=*")
    expect(page.get_by_text(counted).first).to_be_visible()
    if rejected:
        expect(page.get_by_text(f"{rejected} rejected").first).to_be_visible()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Keep this dataset").click()
    page.wait_for_url("**/dataset?id=*")
    expect(page.get_by_text(name).first).to_be_visible()


def launch(page: Page, recipe: str, name: str, verb: str, *, model: str, dataset: str) -> None:
    """Fill the form from its address, name the job, and press the button twice, as impatient people do."""
    page.goto(f"/train?recipe={recipe}&model=model:{model_id(model)}&dataset=dataset:{dataset_id(dataset)}")
    page.get_by_placeholder(f"{recipe}-…").fill(name)
    page.get_by_role("button", name=verb, exact=True).dblclick()
    page.wait_for_url("**/job?id=*")
    expect(page.get_by_text(name).first).to_be_visible()


def wait_for_job(page: Page, address: str, *, minutes: float) -> None:
    page.goto(address)
    expect(page.get_by_text(re.compile("^(Succeeded|Failed|Cancelled)$")).first).to_be_visible(timeout=minutes * MINUTE)
    state = page.locator(".h-chip").all_inner_texts()
    assert any("Succeeded" in words for words in state), page.locator("body").inner_text()


def vote_blind(page: Page, names: list[str], *, is_first: bool) -> None:
    """Vote for the answer that gives a reason, or else the one that ends; before, no model's name is in the page."""
    if is_first:
        page.goto("/arena")
    page.locator("#h-arena-next").click()
    for button in ("a", "both_good", "b"):  # each comes by itself, and a key whose button is not there does nothing
        expect(page.locator(f"#h-arena-vote-{button}")).to_be_visible(timeout=2 * MINUTE)
    source = page.content()
    assert not [name for name in names if name in source], "a name is in the page before the vote"
    a, b = (merit(page.get_by_label(f"Answer {letter}").inner_text()) for letter in "AB")
    page.keyboard.press("2" if a == b else "1" if a > b else "4")
    expect(page.locator(".h-arena-verdict")).to_be_visible()
    expect(page.locator(".h-arena-sides")).to_contain_text(re.compile("|".join(names)))


def merit(answer: str) -> tuple[bool, bool]:
    is_short = answer.count(".") <= 2
    return is_short and "because" in answer, is_short


def model_id(name: str) -> int:
    with reading() as session:
        model = models.find_model(session, name)
    assert model is not None, f"there is no model {name}"
    return model.id


def dataset_id(name: str) -> int:
    with reading() as session:
        return next(version.id for version in datasets.list_datasets(session) if version.dataset.name == name)


def summary_of(job_name: str) -> dict[str, Any]:
    """The closing figures of a job, by the name that it shares with its model."""
    with reading() as session:
        found, _ = jobs.list_jobs(session, search=job_name)
    return next(dict(job.summary or {}) for job in found if job.name == job_name)


def assert_training_helped(world: World) -> None:
    """On facts that only the prose of the base tells: fine-tuning brought right answers, and DPO the preferred ones."""
    questions = held_out_questions(world)
    answers = {name: answers_of(name, [question.text for question in questions]) for name in ("base", "sft", "dpo")}
    on_topic = {name: on_topic_share(given, questions) for name, given in answers.items()}
    right = {name: accuracy(given, questions) for name, given in answers.items()}
    warm = {name: warm_share(given) for name, given in answers.items()}
    prefers = {name: share_of_chosen_preferred(name, world) for name in ("sft", "dpo")}
    print(
        "share on topic:",
        on_topic,
        "share right:",
        right,
        "share warm:",
        warm,
        "share of pairs whose chosen answer is preferred:",
        prefers,
    )
    assert on_topic["sft"] > on_topic["base"] + 0.2
    assert right["sft"] > right["base"] + 0.3
    assert right["dpo"] > right["base"] + 0.3
    assert warm["dpo"] > warm["sft"] + 0.3
    assert prefers["dpo"] > prefers["sft"] + 0.1


def answers_of(name: str, questions: list[str]) -> list[str]:
    from pipeline.training.generation import answer_greedily

    model, tokenizer = loaded(name)
    prompts = [[{"role": "user", "content": question}] for question in questions]
    return [answer for _, answer in answer_greedily(model, tokenizer, prompts, max_new_tokens=48)]


def share_of_chosen_preferred(name: str, world: World) -> float:
    """How often a model finds the chosen answer of a held-out pair likelier than the rejected one."""
    from pipeline.training.preferences import score_pairs, tokenize_pairs

    model, tokenizer = loaded(name)
    rows = list(held_out_preference_rows(world, SEED))
    pairs = tokenize_pairs(tokenizer, rows, max_length=256, what="held-out", context=silent_context())
    return score_pairs(model, pairs, pad_id=tokenizer.pad_token_id, batch_size=8).prefers_chosen


def loaded(name: str) -> tuple[Any, Any]:
    from pipeline.loading import load_model, load_tokenizer

    with reading() as session:
        found = models.find_model(session, f"willow-{name}")
        assert found is not None
        location = models.location_of(found)
    return load_model(location), load_tokenizer(location)


def silent_context() -> Context:
    return Context(out=Path(), checkpoints=Path(), report=lambda event: None)
