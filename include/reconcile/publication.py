"""Which certificates are still to be published as partitions of their stream's asset, whoever certified the hour.

A run that ends between its certificates and their publication leaves both to the next one, so an hour is published
at least once for each certificate that was in force.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from include.reconcile.certificate import export_certificates
from include.reconcile.store import PUBLISHED
from include.reconcile.types import as_utc
from include.settings import Settings
from include.warehouse.client import connect
from include.warehouse.sql import read_sql

HOUR_FORMAT = "%Y-%m-%dT%H"  # of a partition key

Publication = tuple[str, str, int, int]  # stream, partition key, frontier, seal


def unpublished(settings: Settings) -> list[Publication]:
    """Return the certificates in force that are not published; their documents are written as files first.

    Raises:
        OSError: a file could not be written; nothing is to be published then.
    """
    client = connect(settings)
    try:
        found = [
            (s, as_utc(hour), *rest)
            for s, hour, *rest in client.execute(read_sql("reconcile/unpublished.sql"))
        ]
        export_certificates(settings, client, [(stream, hour) for stream, hour, *_ in found])
    finally:
        client.disconnect()
    return [(stream, f"{hour:{HOUR_FORMAT}}", frontier, seal) for stream, hour, frontier, seal in found]


def remember(settings: Settings, run: str, published: Iterable[Publication]) -> None:
    """Note what a run has published; what it has not noted is published again."""
    rows = [
        (
            run,
            stream,
            datetime.strptime(key, HOUR_FORMAT).replace(tzinfo=UTC),
            PUBLISHED,
            seal,
            frontier,
            datetime.now(UTC),
        )
        for stream, key, frontier, seal in published
    ]
    client = connect(settings)
    try:
        client.execute(
            "INSERT INTO reconciliations (run, stream, hour, step, seal, frontier, written_at) VALUES", rows
        )
    finally:
        client.disconnect()
