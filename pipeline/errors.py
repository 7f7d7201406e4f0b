"""Errors written for a person: what happened, what was received, what to do.

HoneError
├── BadSpec        the settings of a job cannot work
├── BadData        a file or a row is not what the recipe needs
├── BadModel       a model folder or id cannot be used
├── Diverged       the loss became NaN or infinite
├── OutOfMemory    the device or the machine ran out of memory
├── DiskFull       nothing more could be written
└── Stopped        the job was asked to stop, and did, after saving its checkpoint
"""

from __future__ import annotations

import errno
from typing import ClassVar


class HoneError(Exception):
    """An error that a person can act on.

    `message` says what happened and what was received; `advice` says what to do next.
    """

    kind: ClassVar[str] = "error"

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.message} {self.advice}".strip()


class BadSpec(HoneError):
    kind = "bad_spec"


class BadData(HoneError):
    kind = "bad_data"


class BadModel(HoneError):
    kind = "bad_model"


class Diverged(HoneError):
    kind = "diverged"


class OutOfMemory(HoneError):
    kind = "out_of_memory"


class DiskFull(HoneError):
    kind = "disk_full"

    exit_code: ClassVar[int] = 4
    """What a process ends with that could not even write down why."""


class Stopped(HoneError):
    kind = "stopped"


def as_hone_error(error: BaseException) -> HoneError:
    """Turn any exception that ended a job into the one that tells a person what to do."""
    if isinstance(error, HoneError):
        return error
    text = str(error)
    if isinstance(error, MemoryError) or _tells_of(error, (errno.ENOMEM,), _MEMORY_WORDS):
        return OutOfMemory(
            f"The job ran out of memory: {text[:300]}",
            "Halve the batch size and double the gradient accumulation: the result is the same, the memory is not.",
        )
    if _tells_of(error, (errno.ENOSPC, errno.EDQUOT), _DISK_WORDS):
        return DiskFull(
            f"The disk is full: {text[:300]}",
            "Free some space in the data folder, then retry: the job goes on from its last whole checkpoint.",
        )
    return HoneError(f"{type(error).__name__}: {text[:1000]}", "The log below has the details.")


_MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory")
_DISK_WORDS = ("no space left on device", "disk quota exceeded", "inline_container.cc:", "iostream error")
"""How the system, safetensors and torch say it; torch tells only where its writer was when the disk took no more."""


def _tells_of(error: BaseException, numbers: tuple[int, ...], words: tuple[str, ...]) -> bool:
    text = str(error).lower()
    return (isinstance(error, OSError) and error.errno in numbers) or any(word in text for word in words)
