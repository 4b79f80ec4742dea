"""What a run does with each file of a folder, decided before anything is sent: published before, refused, or to be sent."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from clickhouse_driver import Client

from include.contracts import Contract
from include.files.content import FileError, Identity, identify
from include.files.form import Form
from include.files.inbox import shown
from include.files.ledger import PUBLISHED, Known, known_files, write_published
from include.files.markers import Marker
from include.files.refusals import event_hours, refusals
from include.files.report import ALREADY, REFUSED, FileOutcome, moment
from include.files.survey import LineJudge, Survey, survey
from include.reconcile.store import certificates

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ToSend:
    """A file that may be sent, and what a person should know about its name."""

    found: Survey
    note: str = ""

    def outcome(self, what: str) -> FileOutcome:
        """Return what became of it."""
        found = self.found
        return FileOutcome(
            *(found.name, what, found.identity.digest, found.records, found.blank, dict(found.rejected)),
            hours=tuple(f"{hour:%Y-%m-%dT%HZ}" for hour in event_hours(found)),
            note=self.note,
        )


Step = FileOutcome | ToSend


class Planner:
    """Looks at the files of one run."""

    def __init__(
        self, client: Client, contract: Contract, form: Form, judge: LineJudge, markers: Mapping[str, Marker]
    ) -> None:
        """markers: what is published of the stream, by digest."""
        self._client, self._contract, self._form, self._judge = client, contract, form, judge
        self._markers = markers

    def plan(self, files: Sequence[Path]) -> list[Step]:
        """Return a step for each file, in their order; a file that cannot be read is refused by its step."""
        identities: dict[Path, Identity | FileError] = {path: _identify(path) for path in files}
        readable = {path: item for path, item in identities.items() if isinstance(item, Identity)}
        names = [path.name for path in readable]
        known = known_files(self._client, self._form.stream, list(readable.values()), names)
        rows = {row.digest: row for row in known}
        taken: dict[str, str] = {}
        steps: list[Step] = []
        for path, identity in identities.items():
            if isinstance(identity, FileError):
                steps.append(FileOutcome(shown(path.name), REFUSED, note=identity.reason))
                continue
            step = self._published(path, identity, rows) or self._same(path, identity, taken)
            steps.append(step or self._judged(path, identity, known))
            if isinstance(steps[-1], ToSend):
                taken[identity.digest] = path.name
        return steps

    def _published(self, path: Path, identity: Identity, rows: Mapping[str, Known]) -> FileOutcome | None:
        marker, row = self._markers.get(identity.digest), rows.get(identity.digest)
        if marker is not None:
            copied = row is not None and row.state == PUBLISHED
            if not copied and not self._form.dry_run:
                write_published(self._client, marker, marker.published_ms)
            return already(path.name, marker, "" if copied else "; the row of table `files` was missing")
        if row is not None and row.state == PUBLISHED:
            log.warning("%s: table `files` has it, and its marker is not in Kafka", path.name)
            note = (
                f"says table `files` (as {row.name}, {moment(row.published_ms)}); its marker is not in Kafka: was the "
                "topic of files recreated?"
            )
            return FileOutcome(path.name, ALREADY, identity.digest, note=note)
        return None

    def _same(self, path: Path, identity: Identity, taken: Mapping[str, str]) -> FileOutcome | None:
        first = taken.get(identity.digest)
        note = f"the same bytes as {first}, which this run takes"
        return FileOutcome(path.name, ALREADY, identity.digest, note=note) if first else None

    def _judged(self, path: Path, identity: Identity, known: Sequence[Known]) -> Step:
        try:
            found = survey(path, identity, self._contract, self._judge)
        except FileError as error:
            return FileOutcome(path.name, REFUSED, identity.digest, note=error.reason)
        step = ToSend(found, self._other_bytes(path, identity, known))
        reasons = refusals(found, self._contract, self._form, self._certified(found), datetime.now(UTC))
        return ToSend(found, "; ".join(reasons)).outcome(REFUSED) if reasons else step

    def _other_bytes(self, path: Path, identity: Identity, known: Sequence[Known]) -> str:
        """Say that the name is known with other bytes."""
        same = [
            (marker.published_ms, digest)
            for digest, marker in self._markers.items()
            if marker.name == path.name
        ]
        same += [
            (row.published_ms, row.digest)
            for row in known
            if row.name == path.name and row.state == PUBLISHED
        ]
        others = sorted(item for item in set(same) if item[1] != identity.digest)
        if not others:
            return ""
        when, digest = others[-1]
        return (
            f"another file, though one of this name (SHA-256 {digest[:12]}) was published at {moment(when)}"
        )

    def _certified(self, found: Survey) -> set[datetime]:
        hours = event_hours(found)
        if not hours:
            return set()
        end = hours[-1] + timedelta(hours=1)
        return set(certificates(self._client, self._contract.stream, hours[0], end))


def already(name: str, marker: Marker, more: str = "") -> FileOutcome:
    """Return that a file is not sent again."""
    other = "" if name == marker.name else f"the same bytes as {marker.name}, "
    note = f"{other}published at {moment(marker.published_ms)} by {marker.run}{more}"
    return FileOutcome(name, ALREADY, marker.digest, note=note)


def _identify(path: Path) -> Identity | FileError:
    if shown(path.name) != path.name:
        return FileError(shown(path.name), "its name holds characters that cannot be shown: rename it")
    try:
        return identify(path)
    except FileError as error:
        return error
