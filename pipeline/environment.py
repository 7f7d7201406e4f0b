"""Environment: what the libraries of training read from it when they are first imported."""

from __future__ import annotations

import os

QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
}


def quieten_libraries() -> None:
    """Keep them from drawing bars into logs, from calling home, and from threads that a fork would lose.

    For a process's entry point, before the first of them is imported; what the person has set stays.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
