"""What a run of publish_files did with each file."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec

from include.reconcile.types import from_epoch

PUBLISHED, WOULD_PUBLISH, ALREADY, REFUSED = "published", "would be published", "already published", "refused"


@dataclass(frozen=True)
class FileOutcome:
    """One file: its outcome, its lines, and `note`, what a person should know. Counts are 0 where it was not read."""

    name: str
    outcome: str
    digest: str = ""
    records: int = 0
    blank: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    hours: tuple[str, ...] = ()
    note: str = ""

    def line(self) -> str:
        """Return the outcome as the summary shows it."""
        counts = f", {self.records:,} records" if self.records else ""
        counts += f", {self.blank:,} blank lines skipped" if self.blank else ""
        rejected = ", ".join(f"{count:,} {reason}" for reason, count in sorted(self.rejected.items()))
        counts += f", of which the stream rejects {rejected}" if rejected else ""
        return f"{self.outcome}{counts}" + (f": {self.note}" if self.note else "")


@dataclass(frozen=True)
class Report:
    """A run: where it looked, what it left, and each file that it took."""

    stream: str
    folder: str
    pattern: str
    dry_run: bool
    files: tuple[FileOutcome, ...]
    left: tuple[str, ...]

    @property
    def refused(self) -> list[FileOutcome]:
        """The files that were not published though they never had been."""
        return [item for item in self.files if item.outcome == REFUSED]

    def title(self) -> str:
        """Return the summary's first line."""
        return f"files of {self.stream} in {self.folder}" + (
            ": dry run, nothing sent" if self.dry_run else ""
        )

    def figures(self) -> dict[str, object]:
        """Return the summary's lines."""
        counts = Counter(item.outcome for item in self.files)
        sent = [item for item in self.files if item.outcome in (PUBLISHED, WOULD_PUBLISH)]
        none = f"none has a name that fits {self.pattern!r} and ends in .jsonl or .jsonl.gz"
        return {
            "files": len(self.files) or none,
            **{f"  {outcome}": count for outcome, count in sorted(counts.items())},
            "records": f"{sum(item.records for item in sent):,}",
            "hours": sorted({hour for item in sent for hour in item.hours}),
            "not taken": list(self.left),
            **{item.name: item.line() for item in self.files},
        }

    def as_dict(self) -> dict[str, Any]:
        """Return the report in plain dicts and lists, as it is kept beside the task."""
        plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return plain


class RefusedFilesError(ValueError):
    """Files were refused; the message has a line for each, with the place and what to do."""

    def __init__(self, report: Report) -> None:
        lines = "\n".join(f"{item.name}: {item.note}" for item in report.refused)
        super().__init__(f"{len(report.refused)} of {len(report.files)} files were refused:\n{lines}")


def moment(epoch_ms: int) -> str:
    """Return epoch milliseconds as text."""
    return f"{from_epoch(epoch_ms // 1000):%Y-%m-%dT%H:%M:%SZ}"
