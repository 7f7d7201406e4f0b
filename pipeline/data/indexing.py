"""`python -m pipeline.data.indexing FOLDER`: make the row index of a version, and print progress as JSON lines."""

from __future__ import annotations

import argparse
import gc
import sys
from pathlib import Path

import orjson

from pipeline.data.row_index import build_index
from pipeline.errors import as_hone_error
from pipeline.pace import Pace

_PROGRESS_SECONDS = 0.2


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipeline.data.indexing", description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder of a dataset version")
    given = parser.parse_args(arguments)
    gc.disable()  # rows hold no cycles
    pace = Pace(_PROGRESS_SECONDS)

    def tell(share: float) -> None:
        if pace.is_due():
            _say({"type": "progress", "share": share})

    try:
        build_index(given.folder, tell)
    except Exception as error:
        told = as_hone_error(error)
        _say({"type": "failed", "message": told.message, "advice": told.advice})
        return 1
    _say({"type": "built"})
    return 0


def _say(message: dict[str, object]) -> None:
    sys.stdout.buffer.write(orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
