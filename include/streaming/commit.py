"""Writes one batch to ClickHouse: deltas, then dead letters, then the ledger, whose insert is the commit.

A server that cannot be reached is waited for; nothing is skipped. Readers take deltas as they are, so each of a batch is
sent once: when its insert is not answered, nobody knows whether it is there, and the query ends. The next one, under a
generation of its own, folds the records again, and its takeover makes what the batch left behind void. Dead letters and
ledger rows replace those with their key: their inserts are repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import partial

import pyarrow as pa
from clickhouse_driver import Client

from include.contracts import Contract
from include.streaming.ledger import LedgerRow, insert_ledger_rows
from include.streaming.partials import CUBE_PREFIX, REJECTS
from include.streaming.waiting import insist, passes_with_time


def write_batch(
    client: Client,
    contract: Contract,
    batch: int,
    results: dict[str, pa.Table],
    ledger: list[LedgerRow],
    *,
    between: Callable[[str], None] | None = None,
    crash: Callable[[str], None] | None = None,
) -> None:
    """Insert a batch's rows in the order that the protocol asks for; the ledger comes last.

    `between` is called before each wait for ClickHouse, and may raise to give the batch up; `crash` is called
    at the points that crash.py names.

    Raises:
        UnansweredInsertError: deltas were sent and not acknowledged; the batch must never be committed.
    """
    inserts: list[Callable[[], None]] = []
    for cube in contract.cubes:
        table = results.get(CUBE_PREFIX + cube.name)
        if table is not None:
            columns = [*cube.dimensions, *(measure.name for measure in cube.measures)]
            rows = [table.column("window_start").to_pylist(), [batch] * table.num_rows]
            rows += [table.column(name).to_pylist() for name in columns]
            statement = f"INSERT INTO {cube.delta_table} (window_start, batch, {', '.join(columns)}) VALUES"
            inserts.append(
                partial(_insert_once, client, f"batch {batch}: {cube.delta_table}", statement, rows)
            )
    rejects = results.get(REJECTS)
    if rejects is not None:
        letters = partial(_insert_rejects, client, contract, batch, rejects)
        inserts.append(partial(insist, letters, f"batch {batch}: dead_letters", between))
    at = crash or _pass
    # A server that went away since the last batch is waited for here, where nothing was sent yet.
    insist(partial(client.execute, "SELECT 1"), f"batch {batch}", between)
    for done, insert in enumerate(inserts):
        if done:
            at("mid_deltas")
        insert()
    at("before_ledger")
    insist(partial(insert_ledger_rows, client, ledger), f"batch {batch}: ledger", between)
    at("after_ledger")


def _pass(point: str) -> None:
    """Go on."""


class UnansweredInsertError(RuntimeError):
    """ClickHouse did not acknowledge deltas that it may have written."""


def _insert_once(client: Client, what: str, statement: str, columns: list[list[object]]) -> None:
    try:
        client.execute(statement, columns, columnar=True)
    except Exception as error:
        if not passes_with_time(error):
            raise
        raise UnansweredInsertError(
            f"{what}: no answer of ClickHouse to the insert ({error}); the batch is folded again under a new generation"
        ) from error


def _insert_rejects(client: Client, contract: Contract, batch: int, rejects: pa.Table) -> None:
    rows = [
        {
            **row,
            "stream": contract.stream,
            "batch": batch,
            "contract_version": contract.version,
            "day": _day(row["kafka_time"]),
        }
        for row in rejects.to_pylist()
    ]
    columns = ", ".join(rows[0])
    # Payloads are any bytes; String columns of ClickHouse hold them unchanged.
    client.execute(
        f"INSERT INTO dead_letters ({columns}) VALUES", [_as_bytes(row) for row in rows], settings=BYTES
    )


def _day(kafka_ms: int) -> date:
    """A producer may set any Kafka timestamp, or none (-1); a Date holds 1970 to 2105."""
    return datetime.fromtimestamp(min(max(kafka_ms // 1000, 0), 2**32 - 1), UTC).date()


BYTES = {"strings_as_bytes": True}


def _as_bytes(row: dict[str, object]) -> dict[str, object]:
    return {name: value.encode() if isinstance(value, str) else value for name, value in row.items()}


def ledger_rows(
    contract: Contract,
    batch: int,
    ranges: dict[int, tuple[int, int]],
    log_starts: dict[int, int],
    results: dict[str, pa.Table],
) -> list[LedgerRow]:
    """Return the ledger rows of a batch from its offset ranges and what the fold found in them.

    Raises:
        ExpiredWhileReadingError: records below the log start were read before they expired; the
            batch must be folded again, so that what the ledger calls lost is not counted too.
    """
    read = {row["partition"]: row for row in _rows(results, "partitions")}
    hours: dict[int, list[dict[str, int]]] = {}
    for row in sorted(_rows(results, "hours"), key=lambda row: row["hour"]):
        hours.setdefault(row["partition"], []).append(row)
    rejected: dict[int, int] = {}
    for row in _rows(results, REJECTS):
        rejected[row["partition"]] = rejected.get(row["partition"], 0) + 1
    rows = []
    for partition, (start, end) in sorted(ranges.items()):
        lost_to = min(end, max(start, log_starts[partition]))
        found = read.get(partition)
        if found is not None and found["offset_min"] < lost_to:
            raise ExpiredWhileReadingError(contract.topic.name, partition, found["offset_min"], lost_to)
        mine = hours.get(partition, [])
        records = found["records"] if found else 0
        rows.append(
            LedgerRow(
                stream=contract.stream,
                batch=batch,
                partition=partition,
                start_offset=start,
                lost_to=lost_to,
                end_offset=end,
                accepted=sum(row["events"] for row in mine),
                rejected=rejected.get(partition, 0),
                late=sum(row["late"] for row in mine),
                non_records=end - lost_to - records,
                hours=[datetime.fromtimestamp(row["hour"], UTC) for row in mine],
                hour_events=[row["events"] for row in mine],
                hour_first=[row["first"] for row in mine],
                hour_last=[row["last"] for row in mine],
                kafka_time_min=found["kafka_min"] if found else 0,
                kafka_time_max=found["kafka_max"] if found else 0,
                contract_version=contract.version,
            )
        )
    return rows


class ExpiredWhileReadingError(RuntimeError):
    """Retention removed records of a batch while it was being folded."""

    def __init__(self, topic: str, partition: int, first: int, lost_to: int) -> None:
        super().__init__(
            f"{topic}-{partition}: read from offset {first}, but the log now starts at {lost_to}; "
            "the batch is folded again"
        )


def _rows(results: dict[str, pa.Table], kind: str) -> list[dict[str, int]]:
    table = results.get(kind)
    return [] if table is None else table.to_pylist()
