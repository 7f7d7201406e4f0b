"""Blocks: a stream cut into pieces of whole lines, and workers that convert them side by side, in order.

The workers are forks that wait on a pipe: when the process that reads the file ends, however it ends, they do too.
"""

from __future__ import annotations

import gc
import io
import multiprocessing
import os
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import NamedTuple

from pipeline.data.converting import Batch, Converter, unreadable
from pipeline.data.raw import MAX_ROW_BYTES, TOO_LONG, BadRow, excerpt_of
from pipeline.errors import HoneError

BLOCK_BYTES = 2 << 20
MIN_PARALLEL_BYTES = 16 << 20
"""A smaller file is read before the workers would have begun."""
MAX_WORKERS = 3
"""So that all together stay well under 400 MB, and the next step of others is not starved."""


class LineBlock(NamedTuple):
    """Whole lines; or one line too long to be read, by its beginning."""

    data: bytes
    overlong: str | None = None


def line_blocks(stream: io.BufferedReader) -> Iterator[LineBlock]:
    """Cut a stream into blocks of whole lines, in bounded memory."""
    pending = b""
    while more := stream.read(BLOCK_BYTES):
        end = more.rfind(b"\n") + 1
        if end:
            yield LineBlock(pending + more[:end])
            pending = more[end:]
            continue
        pending += more
        if len(pending) > MAX_ROW_BYTES:
            yield LineBlock(b"", excerpt_of(pending))
            pending = _after_line(stream)
    if pending:
        yield LineBlock(pending)


def _after_line(stream: io.BufferedReader) -> bytes:
    """Read to the end of the present line, and return what came with it of the next."""
    while more := stream.read(BLOCK_BYTES):
        end = more.find(b"\n") + 1
        if end:
            return more[end:]
    return b""


def num_workers_for(size_bytes: int) -> int:
    """How many workers a file of this size is worth; 0 where the process that reads it had better do all itself."""
    if size_bytes < MIN_PARALLEL_BYTES or "fork" not in multiprocessing.get_all_start_methods():
        return 0
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MAX_WORKERS, num_cores) if num_cores > 1 else 0


def convert_blocks(blocks: Iterator[LineBlock], converter: Converter, num_workers: int) -> Iterator[Batch]:
    """Convert blocks in order, in as many processes of their own, or in this one where that is 0."""
    if not num_workers:
        for block in blocks:
            yield _convert(block, converter)
        return
    workers = _Workers(converter, num_workers)
    try:
        yield from workers.convert(blocks)
    finally:
        workers.end()


def _convert(block: LineBlock, converter: Converter) -> Batch:
    if block.overlong is None:
        return converter.lines(block.data)
    return Batch(num_raw=1, rejected=[unreadable(BadRow(1, TOO_LONG, "", block.overlong))])


class _Workers:
    def __init__(self, converter: Converter, count: int) -> None:
        context = multiprocessing.get_context("fork")
        self._ends: list[Connection] = []
        self._processes = []
        for _ in range(count):
            mine, theirs = context.Pipe()
            self._ends.append(mine)
            # The child is given our ends to close: one that it kept open would keep its sisters waiting for ever.
            process = context.Process(target=_serve, args=(theirs, list(self._ends), converter), daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)

    def convert(self, blocks: Iterator[LineBlock]) -> Iterator[Batch]:
        busy: deque[Connection] = deque()
        for end in self._ends:
            if (block := next(blocks, None)) is not None:
                end.send(block)
                busy.append(end)
        while busy:
            block = next(blocks, None)
            end = busy.popleft()
            batch = _received(end)
            # A worker gets its next block only when its answer has been read: neither ever writes to one who writes.
            if block is not None:
                end.send(block)
                busy.append(end)
            yield batch

    def end(self) -> None:
        for end in self._ends:
            end.close()
        for process in self._processes:
            process.terminate()
            process.join()


def _received(end: Connection) -> Batch:
    try:
        answer = end.recv()
    except EOFError as error:
        raise HoneError(
            "A process of the import ended without a word.", "Perhaps the machine ran out of memory: try again."
        ) from error
    if isinstance(answer, BaseException):
        raise answer
    assert isinstance(answer, Batch)
    return answer


def _serve(end: Connection, foreign: list[Connection], converter: Converter) -> None:
    gc.disable()
    for other in foreign:
        other.close()
    while True:
        try:
            block = end.recv()
        except EOFError:
            return
        try:
            answer: Batch | Exception = _convert(block, converter)
        except Exception as error:  # told to the one who reads the file, who raises it
            answer = error
        try:
            end.send(answer)
        except BrokenPipeError:
            return
