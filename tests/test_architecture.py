"""The four floors: each folder imports only what stands under it, and the web process never loads torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = ["pipeline", "store", "workers", "webapp"]
HEAVY = {"torch", "transformers", "trl", "peft", "bitsandbytes", "datasets", "accelerate"}


def modules_of(floor: str) -> list[Path]:
    return sorted(path for path in (ROOT / floor).rglob("*.py"))


def imported_names(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("floor", FLOORS)
def test_a_floor_imports_only_what_stands_under_it(floor: str) -> None:
    above = set(FLOORS[FLOORS.index(floor) + 1 :])
    for path in modules_of(floor):
        wrong = imported_names(ast.parse(path.read_text(encoding="utf-8"))) & above
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}, which stands above it"


@pytest.mark.parametrize("floor", ["store", "webapp"])
def test_the_record_and_the_pages_never_name_a_heavy_library(floor: str) -> None:
    for path in modules_of(floor):
        wrong = imported_names(ast.parse(path.read_text(encoding="utf-8"))) & HEAVY
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_importing_every_module_loads_no_torch() -> None:
    """But for the one whose purpose it is (`workers.preloaded`)."""
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for floor in FLOORS
        for path in modules_of(floor)
        if "migrations" not in path.parts and path.name not in ("__main__.py", "preloaded.py")
    ]
    code = f"import sys, importlib\nfor name in {names!r}: importlib.import_module(name)\nprint('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert answer.stdout.split()[-1] == "False"
