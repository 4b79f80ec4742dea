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
    values = {
        "stream": stream,
        "digests": tuple(item.digest for item in identities) or (NOTHING,),
        "names": tuple(names) or (NOTHING,),
    }
    return [Known(*row) for row in client.execute(read_sql("files/known.sql"), values)]


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
