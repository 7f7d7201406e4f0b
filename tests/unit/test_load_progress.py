"""Load progress: while weights are read, the share of them is told; afterwards nobody listens any more."""

from __future__ import annotations

import pytest

from pipeline import load_progress
from pipeline.load_progress import told_while_loading


def test_the_share_of_a_loading_bar_is_told_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.utils import logging

    monkeypatch.setattr(load_progress, "SECONDS_BETWEEN_WORDS", -1.0)
    told: list[float] = []
    with told_while_loading(told.append):
        assert list(logging.tqdm("abcd", desc="Loading weights")) == list("abcd")
        assert list(logging.tqdm("abcd", desc="Reading shards")) == list("abcd")
    assert list(logging.tqdm("abcd", desc="Loading weights")) == list("abcd")
    assert told == [0.0, 0.25, 0.5, 0.75]
