"""Errors: whatever the libraries call it, a person hears that the memory or the disk did not suffice."""

from __future__ import annotations

import errno
import os

import pytest

from pipeline.errors import as_hone_error

WORDS = {
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory"): "out_of_memory",
    RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB."): "out_of_memory",
    OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)): "out_of_memory",
    MemoryError(): "out_of_memory",
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)): "disk_full",
    OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)): "disk_full",
    Exception("Error while serializing: I/O error: No space left on device (os error 28)"): "disk_full",
    RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"): "disk_full",
    RuntimeError("basic_ios::clear: iostream error"): "disk_full",
    RuntimeError("PytorchStreamReader failed reading zip archive: failed finding central directory"): "error",
    OSError(errno.EACCES, os.strerror(errno.EACCES)): "error",
}
"""What was seen of torch, safetensors and the system, and what it means."""


@pytest.mark.parametrize("error", WORDS, ids=str)
def test_what_ended_a_job_is_told_by_its_kind(error: BaseException) -> None:
    assert as_hone_error(error).kind == WORDS[error]
