"""Old rows that no certificate depends on: heartbeats, checks and accounts of generated traffic after CHECK_DAYS; alerts,
closed incidents, orders and approvals after PROOF_DAYS, but for those that still say what ought to run or be folded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from clickhouse_driver import Client

from include.compact.mutate import delete_rows
from include.compact.retention import CHECK_DAYS, PROOF_DAYS
from include.reconcile.store import text
from include.reconcile.types import epoch
from include.spark.orders import WATCHER
from include.warehouse.sql import read_sql

# A partition a day, named YYYYMMDD, or a month, named YYYYMM; nothing late lands in an old one.
DAILY_TABLES = ("heartbeats", "stream_checks", "detector_checks")
MONTHLY_TABLES = ("alerts", "alert_judgements")

Rows = tuple[str, str, Mapping[str, object]]


def expire_checks(client: Client, now: datetime, dry_run: bool) -> dict[str, int]:
    """Drop old days or months of tables, and old rows of others; return rows by table, also in a dry run.

    Raises:
        MutationError: ClickHouse did not finish in time.
    """
    oldest, oldest_proof = now - timedelta(days=CHECK_DAYS), now - timedelta(days=PROOF_DAYS)
    first_kept = dict.fromkeys(DAILY_TABLES, int(f"{oldest:%Y%m%d}"))
    first_kept |= dict.fromkeys(MONTHLY_TABLES, int(f"{oldest_proof:%Y%m}"))
    removed = {}
    for table, first in first_kept.items():
        partitions = client.execute(read_sql("compact/old_partitions.sql"), {"table": table, "day": first})
        removed[table] = sum(rows for _, rows, _ in partitions)
        for partition, *_ in [] if dry_run else partitions:
            client.execute(read_sql("compact/drop_partition.sql.j2", table=table, day=partition))
    for table, condition, values in [*_checks(client, oldest), *_memory(client, oldest_proof)]:
        named = {"table": table, "condition": f"compact/conditions/{condition}"}
        removed[table] = client.execute(read_sql("compact/count_rows.sql.j2", **named), values)[0][0]
        if removed[table] and not dry_run:
            delete_rows(client, table, read_sql("compact/drop_rows.sql.j2", **named), values)
    return removed


def _checks(client: Client, oldest: datetime) -> Iterator[Rows]:
    values = {"cutoff": text(oldest), "at": epoch(oldest) * 1000}
    yield "quality_checks", "checked.sql", values
    runs = [run for (run,) in client.execute(read_sql("compact/old_traffic.sql"), values)]
    yield "traffic_sends", "sends.sql", values
    # The list of runs goes last, so that an interrupted run finds the rest of them again.
    for table in ("traffic_truth", "traffic_runs"):
        yield table, "runs.sql", {"runs": runs or [""]}


def _memory(client: Client, oldest: datetime) -> Iterator[Rows]:
    values = {"cutoff": text(oldest), "at": epoch(oldest) * 1000}
    closed = client.execute(read_sql("compact/closed_incidents.sql"), values)
    incidents = [f"{opened_at} {key}" for key, opened_at in closed]
    yield "incidents", "incidents.sql", {"incidents": incidents or [""]}
    orders = client.execute(read_sql("compact/kept_orders.sql"), {"watcher": WATCHER})
    yield "orders", "orders.sql", values | _by_stream(orders)
    stops = client.execute(read_sql("compact/last_stop_requests.sql"))
    yield "stop_requests", "stop_requests.sql", values | _by_stream(stops)
    yield "replay_approvals", "approvals.sql", values


def _by_stream(kept: list[tuple[str, int]]) -> dict[str, object]:
    return {"streams": [stream for stream, _ in kept] or [""], "kept": [bound for _, bound in kept] or [0]}
