"""Unpacking: the plain UTF-8 bytes of a file, whatever it is compressed with and encoded in, within limits."""

from __future__ import annotations

import codecs
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal

import zstandard

from pipeline.errors import BadData

Packing = Literal["gzip", "zstd", "zip"]

BLOCK_BYTES = 1 << 20
MIN_UNPACKED_LIMIT_BYTES = 1 << 30
MAX_UNPACKED_RATIO = 200
"""Compressed text shrinks 3 to 30 times; what unpacks to far more than that is a bomb or an accident."""

TEXT_ENDINGS = {".txt", ".text", ".md", ".markdown"}

_MAGIC: dict[bytes, Packing] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip"}
_BYTE_ORDER_MARKS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def packing_of(path: Path) -> Packing | None:
    """What the file is compressed with, by its first bytes."""
    with path.open("rb") as file:
        head = file.read(4)
    return next((packing for magic, packing in _MAGIC.items() if head.startswith(magic)), None)


def encoding_of(head: bytes) -> tuple[str, int]:
    """The encoding of text that begins with `head`, and the length in bytes of its byte-order mark."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    even, odd = head[0:4096:2], head[1:4096:2]
    if len(head) >= 4 and odd.count(0) > 0.4 * len(odd) and not even.count(0):
        return "utf-16-le", 0
    if len(head) >= 4 and even.count(0) > 0.4 * len(even) and not odd.count(0):
        return "utf-16-be", 0
    return "utf-8", 0


class Unpacked:
    """An open file's plain UTF-8 bytes as a buffered `stream`; `packed_position` is how far the file itself is read."""

    def __init__(self, file: io.FileIO, stream: io.BufferedReader, encoding: str) -> None:
        self._file = file
        self.stream = stream
        self.encoding = encoding

    @property
    def packed_position(self) -> int:
        return self._file.tell()


@contextmanager
def unpack(path: Path) -> Iterator[Unpacked]:
    """Open a file for reading as plain UTF-8.

    Raises:
        BadData: here or while reading, if the compressed data is damaged, ends early, or unpacks to too much.
    """
    packing = packing_of(path)
    with path.open("rb", buffering=0) as file, _clear_errors(packing):
        limit = _Limit(path.stat().st_size, packing)
        stream, encoding = _plain(_buffered(_Limited(_decompress(file, packing), limit)))
        yield Unpacked(file, stream, encoding)


def _plain(packed: io.BufferedReader) -> tuple[io.BufferedReader, str]:
    """A stream as UTF-8 without a byte-order mark, and the encoding that it was in."""
    encoding, mark_length = encoding_of(packed.peek(4096)[:4096])
    packed.read(mark_length)
    return (packed if encoding == "utf-8" else _buffered(_Transcoded(packed, encoding))), encoding


def _buffered(raw: Any) -> io.BufferedReader:
    return io.BufferedReader(raw, BLOCK_BYTES)


def _decompress(file: io.FileIO, packing: Packing | None) -> io.RawIOBase:
    opened: Any = file
    if packing == "gzip":
        opened = gzip.GzipFile(fileobj=file)
    elif packing == "zstd":
        opened = _Zstd(file)
    elif packing == "zip":
        opened = _only_member(file)
    return opened


def text_members(path: Path) -> list[zipfile.ZipInfo]:
    """The members of a zip archive of several texts; none where the file is anything else."""
    if packing_of(path) != "zip":
        return []
    with path.open("rb", buffering=0) as file, _clear_errors("zip"):
        members = _members(zipfile.ZipFile(file))
    is_of_texts = all(PurePosixPath(member.filename.lower()).suffix in TEXT_ENDINGS for member in members)
    return members if len(members) > 1 and is_of_texts and not any(m.flag_bits & 1 for m in members) else []


def unpack_members(path: Path, members: list[zipfile.ZipInfo]) -> Iterator[tuple[zipfile.ZipInfo, io.BufferedReader]]:
    """The plain UTF-8 bytes of members one after another; together they unpack to no more than one file may.

    Raises:
        BadData: while reading, if one is damaged or all are too much.
    """
    limit = _Limit(path.stat().st_size, "zip")
    with path.open("rb", buffering=0) as file, _clear_errors("zip"):
        archive = zipfile.ZipFile(file)
        for member in members:
            with archive.open(member) as opened:
                yield member, _plain(_buffered(_Limited(opened, limit)))[0]


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    return [m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")]


def _only_member(file: io.FileIO) -> IO[bytes]:
    archive = zipfile.ZipFile(file)
    members = _members(archive)
    if any(member.filename == "[Content_Types].xml" for member in members):
        raise BadData("The file is an Office document.", "Save the table as CSV, or the text as a .txt file.")
    if len(members) != 1:
        names = ", ".join(repr(member.filename[:60]) for member in members[:3])
        raise BadData(
            f"The zip archive holds {len(members)} files{f', such as {names}' if names else ''}.",
            "Upload an archive of one file, or of nothing but .txt and .md files.",
        )
    if members[0].flag_bits & 1:
        raise BadData("The zip archive is protected by a password.", "Unpack it and upload the file itself.")
    return archive.open(members[0])


@contextmanager
def _clear_errors(packing: Packing | None) -> Iterator[None]:
    try:
        yield
    except EOFError as error:
        raise BadData(
            f"The {packing} data ends early: the file is incomplete.", "Compress or download it again, then upload it."
        ) from error
    except (gzip.BadGzipFile, zlib.error, zstandard.ZstdError, zipfile.BadZipFile) as error:
        raise BadData(
            f"The {packing} data is damaged: {error}.", "Compress or download the file again, then upload it."
        ) from error


class _Zstd(io.RawIOBase):
    """Zstandard frames; unlike the library's own stream, it does not take a frame that ends early for a whole one."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self._frame = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
        self._is_inside_frame = False
        self._pending = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        while not self._pending:
            packed = self._frame.unused_data if self._frame.eof else b""
            packed = packed or self._file.read(1 << 17)
            if not packed:
                if self._is_inside_frame:
                    raise EOFError
                return 0
            if self._frame.eof:
                self._frame = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
            self._pending = memoryview(self._frame.decompress(packed))
            self._is_inside_frame = not self._frame.eof
        size = min(len(buffer), len(self._pending))
        buffer[:size] = self._pending[:size]
        self._pending = self._pending[size:]
        return size


class _Limit:
    """How many bytes a file of this size may still unpack to."""

    def __init__(self, packed_size: int, packing: Packing | None) -> None:
        self._left = max(MIN_UNPACKED_LIMIT_BYTES, MAX_UNPACKED_RATIO * packed_size) if packing else None
        self._packed_size = packed_size

    def take(self, size: int) -> None:
        if self._left is None:
            return
        self._left -= size
        if self._left < 0:
            raise BadData(
                f"The compressed file of {self._packed_size:,} bytes unpacks to more than"
                f" {MAX_UNPACKED_RATIO} times its size.",
                "If that is right, unpack it and upload the plain file.",
            )


class _Limited(io.RawIOBase):
    """Passes bytes on until they are more than a file of this size can honestly unpack to."""

    def __init__(self, source: Any, limit: _Limit) -> None:
        self._source = source
        self._limit = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        size = self._source.readinto(buffer) or 0
        self._limit.take(size)
        return size


class _Transcoded(io.RawIOBase):
    """UTF-16 or UTF-32 as UTF-8; what cannot be decoded becomes U+FFFD."""

    def __init__(self, source: io.BufferedReader, encoding: str) -> None:
        self._source = source
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        self._pending = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        while not self._pending:
            block = self._source.read(BLOCK_BYTES)
            self._pending = memoryview(self._decoder.decode(block, final=not block).encode("utf-8", "replace"))
            if not block and not self._pending:
                return 0
        size = min(len(buffer), len(self._pending))
        buffer[:size] = self._pending[:size]
        self._pending = self._pending[size:]
        return size
