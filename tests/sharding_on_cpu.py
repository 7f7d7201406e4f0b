"""Sharding on the processor: `python -m tests.sharding_on_cpu FOLDER…` runs the job of each FOLDER/spec.json to
FOLDER/whole, takes its last checkpoint away, and runs it again from the one before to FOLDER/resumed.

Accelerate shards a model between GPUs only. Told that the processes hold accelerators of another make, and that their
device is the processor, it does the very same there, through gloo.
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from pipeline.__main__ import main
from workers.children import PRELOADED


def pretend_to_have_accelerators() -> None:
    from accelerate.state import DistributedType, PartialState

    def prepare_backend(self: Any, *args: Any, **kwargs: Any) -> tuple[str, DistributedType]:
        return "gloo", DistributedType.MULTI_XPU

    os.environ |= {"ACCELERATE_TORCH_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}
    PartialState._prepare_backend = prepare_backend


def run_twice(folder: Path) -> None:
    checkpoints = folder / "checkpoints"
    arguments = ["run", str(folder / "spec.json"), "--checkpoints", str(checkpoints)]
    assert main([*arguments, "--out", str(folder / "whole")]) == 0
    shutil.rmtree(max(checkpoints.glob("checkpoint-*")))
    assert main([*arguments, "--out", str(folder / "resumed")]) == 0


if __name__ == "__main__":
    import_module(PRELOADED)  # once, for all the forks
    pretend_to_have_accelerators()
    for name in sys.argv[1:]:
        run_twice(Path(name))
