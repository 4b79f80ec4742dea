"""Which files of the inbox a run takes: inbox/<stream>/*.jsonl and *.jsonl.gz, by a pattern of their names."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

SUFFIXES = (".jsonl", ".jsonl.gz")


class InboxError(LookupError):
    """The folder of a stream cannot be read."""


@dataclass(frozen=True)
class Choice:
    """The files of a folder that a run takes, by name, and the names of those that it leaves."""

    folder: Path
    files: tuple[Path, ...]
    left: tuple[str, ...]


def choose(inbox: Path, stream: str, pattern: str) -> Choice:
    """Return the plain files of a stream's folder whose names match a shell pattern; links are not followed.

    Raises:
        InboxError: there is no such folder, or it cannot be read.
    """
    folder = inbox / stream
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise InboxError(
            f"{folder}: {error.strerror}: make the folder and move files into it, or correct PLATFORM_INBOX"
        ) from error
    chosen = [path for path in entries if _is_taken(path, pattern)]
    return Choice(folder, tuple(chosen), tuple(path.name for path in entries if path not in chosen))


def _is_taken(path: Path, pattern: str) -> bool:
    return (
        path.name.endswith(SUFFIXES)
        and fnmatchcase(path.name, pattern)
        and path.is_file()
        and not path.is_symlink()
    )
