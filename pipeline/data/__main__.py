"""`python -m pipeline.data FILE OUT`: import a file into a new folder, and print progress as JSON lines."""

from __future__ import annotations

import argparse
import gc
import sys
from pathlib import Path

import orjson

from pipeline.data.formats import Mapping
from pipeline.data.importing import import_file
from pipeline.errors import as_hone_error


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipeline.data", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("out", type=Path, help="a folder that does not exist yet")
    parser.add_argument("--name", help="what the file is called, where its path does not say")
    parser.add_argument(
        "--mapping", help='which column holds what, such as {"layout": "text", "columns": {"text": "body"}}'
    )
    given = parser.parse_args(arguments)
    gc.disable()  # rows hold no cycles; looking for some in each of a million costs a seventh of the time
    try:
        mapping = Mapping.model_validate_json(given.mapping) if given.mapping else None
        report = import_file(
            given.file,
            given.name or given.file.name,
            given.out,
            mapping=mapping,
            on_progress=lambda progress: _say("progress", progress.model_dump()),
        )
    except Exception as error:
        told = as_hone_error(error)
        _say("failed", {"kind": told.kind, "message": told.message, "advice": told.advice})
        return 1
    _say("imported", report.model_dump())
    return 0


def _say(what: str, values: dict[str, object]) -> None:
    sys.stdout.buffer.write(orjson.dumps({"type": what} | values, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
