"""The table `files`: what readers see of published files. A copy of the markers, one row for each file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clickhouse_driver import Client

from include.files.content import Identity
from include.files.form import Form
from include.files.markers import Marker
from include.files.survey import Survey
from include.warehouse.sql import read_sql

STARTED, PUBLISHED = "started", "published"
NOTHING = "-"  # ClickHouse has no empty list for IN
ASKED_AT_ONCE = 300  # a name may have 255 bytes, and ClickHouse takes a statement of 256 KiB
INSERT = (
    "INSERT INTO files (stream, digest, name, topic, state, bytes, records, blank_lines, timestamps, partitions, "
    "first_offsets, last_offsets, run, started_ms, published_ms) VALUES"
)


@dataclass(frozen=True)
class Known:
    """A row: state is STARTED or PUBLISHED, published_ms epoch milliseconds or 0."""

    digest: str
    name: str
    state: str
    published_ms: int
    run: str


def known_files(
    client: Client, stream: str, identities: Sequence[Identity], names: Sequence[str]
) -> list[Known]:
    """Return the rows of a stream that hold one of the digests or names, newest last."""
    digests = [item.digest for item in identities]
    found: set[Known] = set()
    for first in range(0, max(len(digests), len(names)), ASKED_AT_ONCE):
        part = slice(first, first + ASKED_AT_ONCE)
        values = {
            "stream": stream,
            "digests": tuple(digests[part]) or (NOTHING,),
            "names": tuple(names[part]) or (NOTHING,),
        }
        found |= {Known(*row) for row in client.execute(read_sql("files/known.sql"), values)}
    return sorted(found, key=lambda row: (row.published_ms, row.name, row.digest))


def write_started(client: Client, form: Form, topic: str, found: Survey, run: str, started_ms: int) -> None:
    """Say that an attempt at a file begins."""
    row: tuple[object, ...] = (
        *(form.stream, found.identity.digest, found.name, topic, STARTED, found.identity.size, found.records),
        *(found.blank, form.timestamps, [], [], [], run, started_ms, 0),
    )
    client.execute(INSERT, [row])


def write_published(client: Client, marker: Marker, started_ms: int) -> None:
    """Copy a marker; writing it again changes nothing."""
    row = (
        *(marker.stream, marker.digest, marker.name, marker.topic, PUBLISHED, marker.size, marker.records),
        *(marker.blank, marker.timestamps, marker.partitions, marker.first_offsets, marker.last_offsets),
        *(marker.run, started_ms, marker.published_ms),
    )
    client.execute(INSERT, [row])
