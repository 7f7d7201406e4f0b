"""Preloaded: the libraries that jobs are forked with. Only the fork server imports this module, which imports the rest.

A process that has initialised CUDA cannot fork one that uses it, and bitsandbytes would initialise it: while it is
imported it asks what each GPU can do. Here that question is answered from what nvidia-smi says. Nothing that is
imported may start a thread or ask for a GPU in any other way; `tests/gpu` holds it to that.
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LIBRARIES = (
    "torch",
    "torch.optim.adamw",
    "accelerate",
    "datasets",
    "peft",
    "transformers.trainer",
    "transformers.models.llama.modeling_llama",
    "transformers.models.auto.modeling_auto",
    "trl.trainer.sft_trainer",
    "trl.trainer.dpo_trainer",
    "pipeline.__main__",
)


def compute_capabilities() -> list[tuple[int, int]]:
    """What each GPU can do, such as (9, 0), in nvidia-smi's order; empty without GPUs."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=compute_cap", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
    versions = [line.strip().partition(".") for line in answer.stdout.splitlines()]
    return [(int(major), int(minor)) for major, _, minor in versions if major.isdecimal() and minor.isdecimal()]


@contextmanager
def _capabilities_without_cuda() -> Iterator[None]:
    import torch

    known = compute_capabilities()
    asked = torch.cuda.get_device_capability

    def told(device: Any = 0) -> tuple[int, int]:
        return known[getattr(device, "idx", device) or 0]

    if known:
        torch.cuda.get_device_capability = told
    try:
        yield
    finally:
        torch.cuda.get_device_capability = asked


with _capabilities_without_cuda():
    for _name in LIBRARIES:
        importlib.import_module(_name)
