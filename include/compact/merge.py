"""Merges what is hardly written any more: the sealed rows of each closed day, to one part.

Readers pay for parts: FINAL merges them anew for each question, and a current server plans each of them once for every
window that a view's panes are in. ClickHouse itself leaves the last parts of a day as they are. A day that an hour is
sealed in again has several, and is merged by the next run.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from clickhouse_driver import Client

from include.contracts import Contract
from include.warehouse.sql import read_sql

DAY = timedelta(days=1)  # hours of yesterday may still wait for their first seal


def merge_days(client: Client, contract: Contract, now: datetime, dry_run: bool = False) -> dict[str, int]:
    """Merge the days before yesterday that have several parts; return how many, by table."""
    yesterday = int(f"{now - DAY:%Y%m%d}")
    merged = {}
    for table in (cube.sealed_table for cube in contract.cubes):
        closed = client.execute(read_sql("compact/old_partitions.sql"), {"table": table, "day": yesterday})
        days = [day for day, _, parts in closed if parts > 1]
        for day in [] if dry_run else days:
            client.execute(read_sql("compact/merge_day.sql.j2", table=table, day=day))
        merged[table] = len(days)
    return merged
