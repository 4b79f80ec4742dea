"""The content of a file: its lines, one at a time, and its identity, the SHA-256 of its bytes.

Memory is bounded by the longest line. Leaves what a line means to survey.py.
"""

from __future__ import annotations

import codecs
import errno
import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import IO, Self

BUFFER_BYTES = 1 << 20
GZIP_SUFFIX, GZIP_MAGIC = ".gz", b"\x1f\x8b"


# A name that became a link or a pipe since the folder was listed is neither followed nor waited for.
OPENING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class FileError(ValueError):
    """A file that cannot be published as it is: names the file, the place, and what to do."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason


class FileChangedError(FileError):
    """A file is not what it was when it was looked at."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(name, f"changed while it was read ({what}): nothing of it was sent; trigger again")


@dataclass(frozen=True)
class Identity:
    """A file as it was read: SHA-256 and size of its bytes, time of its last change in ns, and its inode."""

    digest: str
    size: int
    modified_ns: int
    inode: int


class _Hashing(io.RawIOBase):
    """Passes bytes through and hashes them."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw, self.hash = raw, sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        view = memoryview(buffer)
        count: int = self._raw.readinto(view)  # type: ignore[attr-defined]
        self.hash.update(view[:count])
        return count


class Content:
    """An open file. `blank` counts the empty lines that `lines` has left out so far.

    Raises:
        FileError: it cannot be opened, or is no plain file.
    """

    def __init__(self, path: Path, longest: int = BUFFER_BYTES) -> None:
        """`longest` bounds a line, in bytes."""
        self.name, self.blank, self._path, self._longest = path.name, 0, path, longest
        self._raw = _open(path)
        self._before = _state(os.fstat(self._raw.fileno()))
        self._hashing = _Hashing(self._raw)
        self._bytes = io.BufferedReader(self._hashing, BUFFER_BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._raw.close()

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield (number from 1, line without its end) of each line that is not blank.

        Raises:
            FileError: it is no readable gzip, or a line is too long.
        """
        number = 0
        try:
            source = self._source()
            while line := source.readline(self._longest + 3 + len(codecs.BOM_UTF8)):
                number += 1
                line = line.removesuffix(b"\n").removesuffix(b"\r")
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)
                if len(line) > self._longest:
                    raise FileError(
                        self.name, f"line {number} is longer than the {self._longest:,} bytes of a record"
                    )
                if line.strip():
                    yield number, line
                else:
                    self.blank += 1
        except EOFError as error:
            raise FileError(
                self.name, f"its gzip ends early, after line {number}: copy it again, whole"
            ) from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise FileError(self.name, f"is broken as gzip after line {number}: {error}") from error
        except OSError as error:
            raise FileError(self.name, f"cannot be read after line {number}: {error.strerror}") from error

    def finish(self) -> Identity:
        """Read what is left and return the identity of all that was read.

        Raises:
            FileError: it cannot be read.
            FileChangedError: size, time of change or inode are not those of the beginning.
        """
        try:
            while self._bytes.read(BUFFER_BYTES):
                pass
        except OSError as error:
            raise FileError(self.name, f"cannot be read: {error.strerror}") from error
        try:
            after = _state(self._path.lstat())
        except OSError as error:
            raise FileChangedError(self.name, f"it is gone: {error.strerror}") from error
        if after != self._before:
            raise FileChangedError(self.name, _difference(self._before, after))
        return Identity(self._hashing.hash.hexdigest(), *after)

    def _source(self) -> IO[bytes]:
        packed = self._bytes.peek(2)[:2] == GZIP_MAGIC
        if self.name.endswith(GZIP_SUFFIX):
            return gzip.GzipFile(fileobj=self._bytes)  # type: ignore[return-value]
        if packed:
            raise FileError(self.name, f"is gzip, but its name does not end in {GZIP_SUFFIX}: rename it")
        return self._bytes


def identify(path: Path) -> Identity:
    """Return the identity of a file.

    Raises:
        FileError: it cannot be read, or changes meanwhile.
    """
    with Content(path) as content:
        return content.finish()


def _open(path: Path) -> io.FileIO:
    try:
        raw = io.FileIO(os.open(path, OPENING))
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise FileError(path.name, "is a link, and links are not followed") from error
        raise FileError(path.name, f"cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
        raw.close()
        raise FileError(path.name, "is no plain file")
    return raw


def _state(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ino


def _difference(before: tuple[int, int, int], after: tuple[int, int, int]) -> str:
    if before[0] != after[0]:
        return f"{before[0]:,} bytes before, {after[0]:,} after"
    return "same size, another time of change" if before[2] == after[2] else "another file under its name"
