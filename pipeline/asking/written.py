"""Written: what a job has made so far, a line each in a file that outlives the attempt."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import orjson


class WrittenLines:
    """JSON objects that are on disk as soon as they are added; use it in a `with` statement.

    A last line that a crash has left half written is cut off.

    Args:
        path: The file; `lines` begins with what an earlier attempt has left in it.
    """

    def __init__(self, path: Path) -> None:
        content = path.read_bytes() if path.is_file() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            path.write_bytes(whole)
        self.lines: list[dict[str, Any]] = [orjson.loads(line) for line in whole.splitlines()]
        self._file = path.open("ab")

    def __enter__(self) -> WrittenLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, line: dict[str, Any]) -> None:
        self._file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        self._file.flush()
        self.lines.append(line)
