"""Scoring: a real tiny model scores rows, and the numbers are those of its plain forward pass, a row at a time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.context import Context
from pipeline.data.importing import import_rows
from pipeline.errors import BadData
from pipeline.quality.judging import JUDGE_QUESTION
from pipeline.quality.scores import read_score_report
from pipeline.recipes.score import PARTIAL_FILE, ScoreSpec, run
from pipeline.spec import SpecFaults
from tests.tiny_models import CHAT_TEMPLATE, make_base

ANSWERS = ("Blue.", "It is green, and has been so for a long while.", "Red?")


def asked(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("model"))


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    made = [asked(f"Colour of {n} hens{'?' * n}", answer) for n, answer in enumerate(ANSWERS)]
    import_rows(made, "rows", tmp_path / "rows", kind="instruction")
    return tmp_path / "rows" / "rows.jsonl"


def context_in(folder: Path) -> Context:
    for name in ("out", "checkpoints"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return Context(out=folder / "out", checkpoints=folder / "checkpoints", report=lambda event: None)


def loss(model: Any, tokens: list[int], num_scored: int) -> float:
    import torch

    with torch.no_grad():
        logprobs = model(torch.tensor([tokens])).logits[0].log_softmax(-1)
    own = [float(logprobs[place - 1, tokens[place]]) for place in range(len(tokens) - num_scored, len(tokens))]
    return -sum(own) / num_scored


def test_difficulty_and_perplexity_are_those_of_the_formulas(model: Path, rows: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    plain, tokenizer = AutoModelForCausalLM.from_pretrained(model), AutoTokenizer.from_pretrained(model)
    expected = []
    for n, answer in enumerate(ANSWERS):
        messages = asked(f"Colour of {n} hens{'?' * n}", answer)["messages"]
        whole = tokenizer.apply_chat_template(messages, return_dict=True)["input_ids"]
        before = tokenizer.apply_chat_template(messages[:1], add_generation_prompt=True, return_dict=True)["input_ids"]
        scored = whole[len(before) :]
        after = loss(plain, whole, len(scored))
        expected.append((after / loss(plain, [tokenizer.eos_token_id, *scored], len(scored)), math.exp(after)))
    for place, measure in enumerate(("ifd", "perplexity")):
        context = context_in(tmp_path / measure)
        summary = run(ScoreSpec(model=str(model), dataset=str(rows), measure=measure), context)  # type: ignore[arg-type]
        report, scores = read_score_report(context.out)
        assert scores.tolist() == pytest.approx([values[place] for values in expected], rel=1e-4)
        assert (summary["rows_scored"], report.num_cut, report.digit_probability) == (3, 0, None)


def test_a_grade_is_the_mean_of_the_digits_by_their_probabilities(model: Path, rows: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    wide = make_base(tmp_path / "wide", chat_template=CHAT_TEMPLATE)
    config = (
        (wide / "config.json").read_text().replace('"max_position_embeddings": 256', '"max_position_embeddings": 2048')
    )
    (wide / "config.json").write_text(config)
    plain, tokenizer = AutoModelForCausalLM.from_pretrained(wide), AutoTokenizer.from_pretrained(wide)
    expected = []
    for n, answer in enumerate(ANSWERS):
        question = JUDGE_QUESTION.format(asked=f"Colour of {n} hens{'?' * n}", answer=answer)
        tokens = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_dict=True
        )["input_ids"]
        with torch.no_grad():
            shares = plain(torch.tensor([tokens])).logits[0, -1].softmax(-1)
        digits = [float(shares[tokenizer.convert_tokens_to_ids(digit)]) for digit in "12345"]
        expected.append(sum(n * share for n, share in enumerate(digits, 1)) / sum(digits))
    context = context_in(tmp_path / "judge")
    run(ScoreSpec(model=str(wide), dataset=str(rows), measure="judge"), context)
    report, scores = read_score_report(context.out)
    assert scores.tolist() == pytest.approx(expected, rel=1e-4)
    assert report.digit_probability is not None
    assert 0 < report.digit_probability < 1


def test_an_attempt_goes_on_from_the_scores_of_the_one_before(model: Path, rows: Path, tmp_path: Path) -> None:
    spec = ScoreSpec(model=str(model), dataset=str(rows))
    context = context_in(tmp_path / "job")
    run(spec, context)
    _, scores = read_score_report(context.out)
    kept = np.load(context.checkpoints / PARTIAL_FILE)
    kept[1] = 0.5  # what an earlier attempt has scored is not scored again
    np.save(context.checkpoints / PARTIAL_FILE, kept)
    run(spec, context)
    _, again = read_score_report(context.out)
    assert again.tolist() == [scores[0], 0.5, scores[2]]


def test_a_measure_that_is_not_for_the_rows_is_refused_before_the_model_is_read(tmp_path: Path) -> None:
    import_rows([{"text": "Prose."}], "rows", tmp_path / "rows", kind="text")
    with pytest.raises(SpecFaults, match="is not for text rows"):
        run(ScoreSpec(model="no/model", dataset=str(tmp_path / "rows" / "rows.jsonl")), context_in(tmp_path / "job"))


def test_rows_longer_than_the_context_are_cut_and_counted(model: Path, tmp_path: Path) -> None:
    import_rows([asked("Long? " * 200, "Yes."), asked("?", "No " * 300)], "rows", tmp_path / "rows", kind="instruction")
    context = context_in(tmp_path / "job")
    run(ScoreSpec(model=str(model), dataset=str(tmp_path / "rows" / "rows.jsonl")), context)
    report, scores = read_score_report(context.out)
    assert report.num_cut == 2
    assert np.all(np.isfinite(scores))


def test_scores_that_are_not_there_are_an_error_for_a_person(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="Score the data again"):
        read_score_report(tmp_path)
