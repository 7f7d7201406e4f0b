"""Files: the world written as canonical rows, ready to be registered as datasets."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.world.facts import SEED, make_world
from pipeline.world.prose import write_prose
from pipeline.world.questions import (
    arena_prompts,
    held_out_instruction_rows,
    held_out_preference_rows,
    instruction_rows,
    preference_rows,
)


def world_rows(seed: int = SEED) -> dict[str, Iterable[dict[str, Any]]]:
    """The rows of every file of the world, by file name; the same seed gives the same bytes."""
    world = make_world(seed)
    return {
        "corpus.jsonl": ({"text": text} for text in write_prose(world, seed)),
        "instruction.jsonl": instruction_rows(world, seed),
        "instruction_heldout.jsonl": held_out_instruction_rows(world),
        "preference.jsonl": preference_rows(world, seed),
        "preference_heldout.jsonl": held_out_preference_rows(world, seed),
        "prompts.jsonl": arena_prompts(world, seed),
    }


def write_world(folder: Path, seed: int = SEED) -> dict[str, Path]:
    """Write every file of the world into `folder`; returns their paths by name without the ending."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, rows in world_rows(seed).items():
        path = folder / name
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        paths[path.stem] = path
    return paths
