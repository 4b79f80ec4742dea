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
    """The files of a folder that a run takes, by name, and the names of those that it leaves, as they can be shown."""

    folder: Path
    files: tuple[Path, ...]
    left: tuple[str, ...]


def choose(inbox: Path, stream: str, pattern: str) -> Choice:
    """Return the plain files of a stream's folder whose names match a shell pattern; links are not followed.

    As in a shell, a name that begins with a dot fits only a pattern that does.

    Raises:
        InboxError: there is no such folder, it leads out of the inbox, or it cannot be read.
    """
    folder = inbox / stream
    try:
        entries = sorted(folder.iterdir())
        chosen = [path for path in entries if _is_taken(path, pattern)]
        leads_to = folder.resolve()
    except OSError as error:
        raise InboxError(
            f"{folder}: {error.strerror}: make the folder and move files into it, or correct PLATFORM_INBOX"
        ) from error
    if not leads_to.is_relative_to(inbox.resolve()):
        raise InboxError(f"{folder} is a link to {leads_to}, which is not in the inbox: make it a folder")
    taken = set(chosen)
    return Choice(folder, tuple(chosen), tuple(shown(path.name) for path in entries if path not in taken))


def shown(name: str) -> str:
    """Return a name fit for a log and a table: line ends, control characters and bytes that are no UTF-8 as escapes."""
    return name if name.isprintable() else name.encode("unicode_escape", "backslashreplace").decode()


def _is_taken(path: Path, pattern: str) -> bool:
    return (
        path.name.endswith(SUFFIXES)
        and (pattern.startswith(".") or not path.name.startswith("."))
        and fnmatchcase(path.name, pattern)
        and path.is_file()
        and not path.is_symlink()
    )
