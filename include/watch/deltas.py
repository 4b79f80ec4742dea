"""The cheap check: do the served deltas of recent batches add up to what the ledger says? Reads no Kafka.

Notices a lost or doubled write between seals. Bounded to the batches of the last RECENT_SECONDS and
their HOURS newest event hours. Leaves exact figures, every older batch and cubes that do not take every event to
reconcile_hour.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from clickhouse_driver import Client

from include.contracts import Contract
from include.streaming.ledger import GENERATION_BITS, is_valid, read_limits
from include.warehouse.sql import read_sql
from include.watch.types import Mismatch

RECENT_SECONDS = 3600
HOURS = 48
HOUR_SECONDS = 3600

Counts = dict[tuple[int, int], int]


def mismatches(client: Client, contract: Contract) -> tuple[Mismatch, ...]:
    """Return each cube and event hour whose delta rows differ from the ledger, with the batches that differ.

    Only batches that are in the ledger, or below one that is, are looked at: the batch in flight is
    above them. A certificate may be issued and its deltas compacted while the tables are read, so
    that a difference counts when it is found twice.
    """
    first = {(item.cube, item.hour, batch) for item in _read(client, contract) for batch in item.batches}
    if not first:
        return ()
    return tuple(
        item
        for item in _read(client, contract)
        if any((item.cube, item.hour, batch) in first for batch in item.batches)
    )


def _read(client: Client, contract: Contract) -> tuple[Mismatch, ...]:
    _, limits = read_limits(client, contract.stream)
    recent = {"stream": contract.stream, "since": int(time.time()) - RECENT_SECONDS}
    rows = client.execute(read_sql("watch/recent_batches.sql"), recent)
    ledger: Counts = {(hour, batch): events for batch, hour, events in rows if is_valid(batch, limits)}
    if not ledger:
        return ()
    # Batches of one generation are committed in order: what the ledger has, or has passed, is no longer in flight.
    keep: dict[int, int] = {}
    for _, batch in ledger:
        keep[batch >> GENERATION_BITS] = max(keep.get(batch >> GENERATION_BITS, 0), batch)
    hours = sorted({hour for hour, _ in ledger})[-HOURS:]
    certified = _frontiers(client, contract.stream, hours)
    bounds = {
        "begin": hours[0],
        "end": hours[-1] + HOUR_SECONDS,
        "hours": tuple(hours),
        "low": min(batch for _, batch in ledger),
        "high": max(batch for _, batch in ledger),
    }
    wanted = _open(ledger, certified, hours)
    found: list[Mismatch] = []
    for cube in contract.cubes:
        measure = cube.counts_events
        if measure is None:
            continue
        rows = client.execute(read_sql("watch/delta_counts.sql.j2", cube=cube, measure=measure), bounds)
        served = {(hour, batch): events for batch, hour, events in rows if is_valid(batch, keep)}
        found += differences(cube.name, wanted, _open(served, certified, hours))
    return tuple(found)


def differences(cube: str, ledger: Counts, served: Counts) -> list[Mismatch]:
    """Return one line for each event hour where a batch's events differ; keys are (hour in epoch seconds, batch)."""
    wrong: dict[int, list[int]] = {}
    for hour, batch in sorted(ledger.keys() | served.keys()):
        if ledger.get((hour, batch), 0) != served.get((hour, batch), 0):
            wrong.setdefault(hour, []).append(batch)
    return [
        Mismatch(
            cube=cube,
            hour=datetime.fromtimestamp(hour, UTC).strftime("%Y-%m-%dT%H:00Z"),
            batches=tuple(batches),
            ledger=sum(ledger.get((hour, batch), 0) for batch in batches),
            served=sum(served.get((hour, batch), 0) for batch in batches),
        )
        for hour, batches in wrong.items()
    ]


def _open(counts: Counts, certified: Mapping[int, int], hours: list[int]) -> Counts:
    """Keep what is served from deltas: batches after the frontier of their hour's certificate."""
    looked_at = set(hours)
    return {
        (hour, batch): events
        for (hour, batch), events in counts.items()
        if hour in looked_at and batch > certified.get(hour, 0)
    }


def _frontiers(client: Client, stream: str, hours: list[int]) -> dict[int, int]:
    rows = client.execute(
        read_sql("reconcile/certificates.sql"),
        {"stream": stream, "from": hours[0], "to": hours[-1] + HOUR_SECONDS},
    )
    return {int(hour.replace(tzinfo=UTC).timestamp()): frontier for hour, frontier, *_ in rows}
