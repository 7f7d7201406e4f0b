from __future__ import annotations

from collections import Counter

import pytest
import torch

from pipeline.generation.requests import SamplingSettings
from pipeline.generation.sampling import Sampler, choose_tokens

PROBABILITIES = torch.tensor([0.1, 0.5, 0.1, 0.3])


def draw(num_draws: int, **settings: float) -> Counter[int]:
    sampler = Sampler(SamplingSettings(seed=7, **settings))  # type: ignore[arg-type]
    logits = PROBABILITIES.log().unsqueeze(0)
    return Counter(choose_tokens(logits, [sampler])[0] for _ in range(num_draws))


def test_temperature_zero_takes_the_likeliest_token() -> None:
    assert draw(20, temperature=0) == {1: 20}


def test_draws_follow_the_probabilities() -> None:
    counts = draw(4000, temperature=1.0)
    for token, probability in enumerate(PROBABILITIES.tolist()):
        assert counts[token] / 4000 == pytest.approx(probability, abs=0.03)


def test_temperature_sharpens_by_the_power_of_its_inverse() -> None:
    # At temperature 0.5 probabilities are squared: 0.01, 0.25, 0.01, 0.09 of 0.36.
    counts = draw(4000, temperature=0.5)
    assert counts[1] / 4000 == pytest.approx(0.25 / 0.36, abs=0.03)
    assert counts[3] / 4000 == pytest.approx(0.09 / 0.36, abs=0.03)


def test_top_p_keeps_the_token_that_crosses_the_line() -> None:
    assert set(draw(500, temperature=1.0, top_p=0.4)) == {1}
    assert set(draw(500, temperature=1.0, top_p=0.6)) == {1, 3}
    assert set(draw(500, temperature=1.0, top_p=0.95)) == {0, 1, 2, 3}


def test_top_k_keeps_that_many() -> None:
    assert set(draw(500, temperature=1.0, top_k=1)) == {1}
    assert set(draw(500, temperature=1.0, top_k=2)) == {1, 3}


def test_a_tiny_temperature_is_the_likeliest_token_and_no_overflow() -> None:
    assert draw(20, temperature=1e-30) == {1: 20}


def test_a_row_draws_the_same_alone_and_beside_others() -> None:
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(1))
    wanted = SamplingSettings(temperature=1.2, top_p=0.9, seed=11)
    alone, beside = Sampler(wanted), Sampler(wanted)
    others = [Sampler(SamplingSettings(temperature=0)), Sampler(SamplingSettings(temperature=0.3, top_k=5, seed=3))]
    drawn_alone = [choose_tokens(logits[1:2], [alone])[0] for _ in range(30)]
    drawn_beside = [choose_tokens(logits, [others[0], beside, others[1]])[1] for _ in range(30)]
    assert drawn_alone == drawn_beside
    assert len(set(drawn_alone)) > 3


def test_without_a_seed_answers_differ() -> None:
    assert Sampler(SamplingSettings()).seed != Sampler(SamplingSettings()).seed
