"""Old rows that no certificate depends on: heartbeats and checks after CHECK_DAYS, alerts and closed incidents after
PROOF_DAYS.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from clickhouse_driver import Client

from include.compact.mutate import delete_rows
from include.compact.retention import CHECK_DAYS, PROOF_DAYS
from include.reconcile.store import text
from include.warehouse.sql import read_sql

# A partition a day, named YYYYMMDD, or a month, named YYYYMM; nothing late lands in an old one.
DAILY_TABLES = ("heartbeats", "stream_checks", "detector_checks")
MONTHLY_TABLES = ("alerts", "alert_judgements")


def expire_checks(client: Client, now: datetime, dry_run: bool) -> dict[str, int]:
    """Drop old days or months of tables, old quality checks and incidents; return rows by table, also in a dry run.

    Raises:
        MutationError: ClickHouse did not finish in time.
    """
    oldest, oldest_proof = now - timedelta(days=CHECK_DAYS), now - timedelta(days=PROOF_DAYS)
    first_kept = dict.fromkeys(DAILY_TABLES, int(f"{oldest:%Y%m%d}"))
    first_kept |= dict.fromkeys(MONTHLY_TABLES, int(f"{oldest_proof:%Y%m}"))
    removed = {}
    for table, first in first_kept.items():
        partitions = client.execute(read_sql("compact/old_partitions.sql"), {"table": table, "day": first})
        removed[table] = sum(rows for _, rows in partitions)
        for partition, _ in [] if dry_run else partitions:
            client.execute(read_sql("compact/drop_partition.sql.j2", table=table, day=partition))
    long_ago = int(oldest_proof.timestamp() * 1000)
    closed = client.execute(read_sql("compact/closed_incidents.sql"), {"at": long_ago})
    for table, condition, values in (
        ("quality_checks", "checked.sql", {"cutoff": text(oldest)}),
        (
            "incidents",
            "incidents.sql",
            {"incidents": [f"{opened_at} {key}" for key, opened_at in closed] or [""]},
        ),
    ):
        named = {"table": table, "condition": f"compact/conditions/{condition}"}
        removed[table] = client.execute(read_sql("compact/count_rows.sql.j2", **named), values)[0][0]
        if removed[table] and not dry_run:
            delete_rows(client, table, read_sql("compact/drop_rows.sql.j2", **named), values)
    return removed
