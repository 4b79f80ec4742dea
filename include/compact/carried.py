"""What the expired ledger rows of a stream add up to, so that its balance stays whole and its chain has a beginning."""

from __future__ import annotations

from dataclasses import dataclass

from clickhouse_driver import Client

from include.warehouse.sql import read_sql


@dataclass(frozen=True)
class Carried:
    """Totals of one Kafka partition from its first offset to end_offset, where the rows that are left begin."""

    end_offset: int
    offsets: int = 0
    lost: int = 0
    accepted: int = 0
    rejected: int = 0
    late: int = 0
    non_records: int = 0


def carried_totals(client: Client, stream: str) -> dict[int, Carried]:
    """Return the totals of each Kafka partition of which ledger rows have expired."""
    rows = client.execute(read_sql("compact/carried.sql"), {"stream": stream})
    return {row[0]: Carried(*row[1:]) for row in rows}
