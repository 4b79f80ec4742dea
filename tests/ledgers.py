"""Ledgers of ten hours in two partitions, whole or damaged, and what is read of one row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, replace
from datetime import UTC, datetime, timedelta
from random import Random

from clickhouse_driver import Client

from include.reconcile.chain import chain_faults
from include.reconcile.ranges import by_partition
from include.reconcile.types import as_utc, epoch
from include.streaming.ledger import COLUMNS, GENERATION_BITS, CommitState, LedgerRow, batch_id

STREAM = "ad_events"
BITS = 4  # pieces of 16 batches
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
BATCHES, SECONDS = 600, 60  # ten hours, a batch a minute
HOURS = [BEGIN + timedelta(hours=at) for at in range(10)]


def ledger() -> list[LedgerRow]:
    """Return the rows of ten hours in two partitions, of which now and then a batch reads nothing."""
    rows, at = [], {0: 0, 1: 0}
    for number in range(BATCHES):
        moment = BEGIN + timedelta(seconds=number * SECONDS)
        hour = moment.replace(minute=0)
        for partition in at:
            if partition == 1 and number % 7 == 3:
                continue
            start, records = at[partition], 3 + number % 5
            late = 1 if number % 50 == 49 and hour > BEGIN else 0
            hours = [hour - timedelta(hours=1), hour] if late else [hour]
            rows.append(
                LedgerRow(
                    *(STREAM, batch_id(1, number), partition, start, start, start + records),
                    *(records - 1, 1, late, 0, hours, [late, records - 1 - late][-len(hours) :]),
                    *([start] * len(hours), [start + records - 1] * len(hours)),
                    *(epoch(moment) * 1000, epoch(moment) * 1000 + 59_999, 1),
                )
            )
            at[partition] = start + records
    return rows


def damaged(random: Random) -> list[LedgerRow]:
    """Return the ledger with up to four faults."""
    rows = ledger()
    for _ in range(random.randint(1, 4)):
        place = random.randrange(len(rows))
        row = rows[place]
        kind = random.choice(["gap", "emptied", "longer", "stretch", "again"])
        if kind == "gap":
            del rows[place]
        elif kind == "emptied":
            rows[place] = replace(row, end_offset=row.start_offset)
        elif kind == "longer":
            rows[place] = replace(row, end_offset=row.end_offset + random.randint(1, 90))
        elif kind == "stretch":
            del rows[place : place + 70]
        else:
            rows.append(replace(row, batch=rows[-1].batch + 1))
    return rows


def commit_on_time(client: Client, rows: list[LedgerRow], stream: str = STREAM) -> None:
    """Write rows as committed when their last record had arrived."""
    found = [(r, datetime.fromtimestamp(r.kafka_time_max / 1000, UTC)) for r in rows]
    client.execute(
        f"INSERT INTO ledger ({COLUMNS}, committed_at) VALUES",
        [(*astuple(replace(row, stream=stream)), moment) for row, moment in found],
    )


def rewrite(client: Client, rows: list[LedgerRow], stream: str = STREAM) -> None:
    """Make these the only rows of a stream's ledger."""
    client.execute("ALTER TABLE ledger DROP PARTITION %(stream)s", {"stream": stream})
    commit_on_time(client, rows, stream)


def faults(state: CommitState) -> list[tuple[object, ...]]:
    """Return what is to be written so that the rows of a state chain."""
    found = chain_faults(by_partition(state.rows), state.keep)
    return [(item.kind, item.span, item.batch, item.row, item.version, item.finding) for item in found]


def kept_of(state: CommitState) -> Mapping[int, int]:
    """Return the highest valid batch of each generation by the rows."""
    kept: dict[int, int] = {}
    for row in state.rows:
        kept[row.batch >> GENERATION_BITS] = max(kept.get(row.batch >> GENERATION_BITS, 0), row.batch)
    return kept


def hours_of(state: CommitState) -> dict[datetime, int]:
    """Return the highest valid batch of each event hour by the rows."""
    found: dict[datetime, int] = {}
    for row in state.rows:
        for hour in (*row.hours, *row.replayed_hours):
            found[as_utc(hour)] = max(found.get(as_utc(hour), 0), row.batch)
    return found
