"""The command line of the pipeline: `python -m pipeline run spec.yaml --out DIR` does a whole job with no server.

A worker starts the same command as a job's child process, with `--events` and `--watch-stdin`.

    exit code 0   finished
    exit code 1   failed; the last event says why
    exit code 3   stopped on request, after saving a checkpoint
    exit code 4   failed, and the disk is so full that no event could say why

A job of several processes whose one was killed ends by the same signal.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from pipeline.closing import Closing, closing_of, to_the_end
from pipeline.context import Context, StopSignal
from pipeline.environment import quieten_libraries
from pipeline.errors import BadSpec, DiskFull, HoneError, as_hone_error
from pipeline.events import Event, Failed, LogLine
from pipeline.ranks import LostRank, Ranks
from pipeline.recipes import Recipe, all_recipes, get_recipe
from pipeline.reporting import EventFile, PrintedEvents
from pipeline.spec import Spec, read_spec_file, validate_spec
from pipeline.watchdog import exit_when_stdin_closes

FAILED, STOPPED = 1, 3


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        code: int = options.command(options)
    except HoneError as error:
        print(error, file=sys.stderr)
        return FAILED
    except OSError as error:
        if not isinstance(as_hone_error(error), DiskFull):
            raise
        return DiskFull.exit_code
    return code


def run(options: argparse.Namespace) -> int:
    """Run one job file; every outcome, a crash included, ends in a `finished` or `failed` event."""
    quieten_libraries()
    stop = StopSignal()
    _pause_on_signals(stop)
    with EventFile(options.events) if options.events else PrintedEvents() as report:
        try:
            closing = _do(options, report, stop)
        except LostRank as lost:
            report(LogLine(level="error", text=str(lost)))
            lost.follow()
        for event in closing:
            report(event)
        return _exit_code_of(closing[-1])


def list_recipes(options: argparse.Namespace) -> int:
    for recipe in all_recipes():
        print(f"{recipe.name:<10} {recipe.summary}")
    return 0


def describe(options: argparse.Namespace) -> int:
    """Print every setting of a recipe: what it means, its unit, its bounds and its default."""
    recipe = get_recipe(options.recipe)
    print(f"{recipe.name}: {recipe.summary}\n")
    for name, field in recipe.spec.model_json_schema()["properties"].items():
        print(f"{name}{_default_in_words(field)}\n    {field['description']}{_bounds_in_words(field)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline", description="Run any recipe with no server at all.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    running = commands.add_parser("run", help="run a job file")
    running.add_argument("spec", type=Path, help="a YAML or JSON job file: `recipe:` and its settings")
    running.add_argument("--out", type=Path, required=True, help="folder for the result; new, or empty")
    running.add_argument("--checkpoints", type=Path, help="folder to save checkpoints in and to resume from")
    running.add_argument("--events", type=Path, help="append events to this file, one JSON object a line")
    running.add_argument(
        "--watch-stdin", action="store_true", help="obey `cancel` and `pause` on standard input; exit when it closes"
    )
    running.add_argument(
        "--lease-seconds", type=float, help="with --watch-stdin: exit when nothing was heard for so long, too"
    )
    running.set_defaults(command=run)

    listing = commands.add_parser("list", help="name every recipe")
    listing.set_defaults(command=list_recipes)

    describing = commands.add_parser("describe", help="explain every setting of a recipe")
    describing.add_argument("recipe")
    describing.set_defaults(command=describe)
    return parser


def _do(options: argparse.Namespace, report: Callable[[Event], None], stop: StopSignal) -> Closing:
    """Do the job, in this process or in as many as it asks for; returns the events that say how it ended.

    Raises:
        LostRank: if one of several died without a word.
    """
    try:
        recipe, spec = _read_job(options.spec)
        out, checkpoints = _empty_folder(options.out), _checkpoint_folder(options)
        context = Context(out=out, checkpoints=checkpoints, report=report, stop=stop)
        ranks = Ranks(recipe, spec, context) if spec.num_slots > 1 else None  # before the thread that watches
        if options.watch_stdin:
            exit_when_stdin_closes(stop.obey, silence_seconds=options.lease_seconds)
        return ranks.see_through() if ranks else to_the_end(lambda: recipe.run(spec, context))
    except LostRank:
        raise
    except BaseException as error:
        return closing_of(error)


def _exit_code_of(last: Event) -> int:
    if isinstance(last, Failed):
        return STOPPED if last.kind == "stopped" else FAILED
    return 0


def _read_job(path: Path) -> tuple[Recipe, Spec]:
    values = read_spec_file(path)
    recipe = get_recipe(values.pop("recipe"))
    return recipe, validate_spec(recipe.spec, values)


def _empty_folder(path: Path) -> Path:
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise BadSpec(f"{path} is not empty.", "Choose a new folder for the result.")
    path.mkdir(parents=True, exist_ok=True)
    return path


def _checkpoint_folder(options: argparse.Namespace) -> Path:
    checkpoints: Path = options.checkpoints or options.out.with_name(f"{options.out.name}.checkpoints")
    checkpoints.mkdir(parents=True, exist_ok=True)
    return checkpoints


def _pause_on_signals(stop: StopSignal) -> None:
    """The first SIGTERM or SIGINT asks for a checkpoint and a stop; a second one ends the process at once."""

    def pause(number: int, frame: FrameType | None) -> None:
        if stop.is_requested:
            os._exit(128 + number)
        stop.request("pause")

    signal.signal(signal.SIGTERM, pause)
    signal.signal(signal.SIGINT, pause)


def _default_in_words(field: dict[str, Any]) -> str:
    return f" = {field['default']!r}" if "default" in field else "  (required)"


def _bounds_in_words(field: dict[str, Any]) -> str:
    names = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    bounds = [f"{words} {field[key]:g}" for key, words in names.items() if key in field]
    if "enum" in field:
        bounds.append("one of " + ", ".join(map(str, field["enum"])))
    unit = [field["unit"]] if field.get("unit") else []
    return f" [{'; '.join(unit + bounds)}]" if unit or bounds else ""


if __name__ == "__main__":
    sys.exit(main())
