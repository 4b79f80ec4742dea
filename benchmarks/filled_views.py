"""A month of sealed hours and an hour of deltas in every cube, filled in by ClickHouse itself.

The load is that of the generators: events a second by stream. Closed days are merged, as compact_warehouse leaves them.
Owns: how many cells a pane and a batch of each cube have, and what stands in them. Figures are plausible, not drawn from
records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from include.contracts import Contract, Cube, load_contracts
from include.streaming.ledger import batch_id
from include.warehouse.sql import read_sql

HOUR_SECONDS = 3600
DAY = timedelta(days=1)
# Cells of a sealed pane, and of the batch of one second, at the generators' typical rate.
SEALED_CELLS = {
    "ad_events": 42,
    "ad_arrival": 13 * 400,
    "user_actions": 900,
    "user_minutes": 900,
    "user_late": 300,
    "user_arrival": 13 * 400,
    "log_services": 10,
    "log_access": 1_500,
    "log_arrival": 13 * 400,
}
BATCH_CELLS = {
    "ad_events": 38,
    "ad_arrival": 50,
    "user_actions": 30,
    "user_minutes": 29,
    "user_late": 1,
    "user_arrival": 25,
    "log_services": 10,
    "log_access": 48,
    "log_arrival": 35,
}
DIMENSIONS = {
    "event_type": "arrayElement(['impression', 'click'], 1 + cell % 2)",
    "country": "arrayElement(['US', 'KR', 'JP', 'UK', 'CA', 'FR', 'DE'], 1 + intDiv(cell, 2) % 7)",
    "ad_format": "arrayElement(['banner', 'interstitial', 'rewarded_video'], 1 + intDiv(cell, 14) % 3)",
    # one of them is busy
    "user_id": "concat('user_', toString(cell % 10 = 0 ? 0 : (intDiv(cell, 3) * 7 + step) % 1500))",
    "action": "arrayElement(['view', 'click', 'purchase', 'login', 'logout'], 1 + cell % 3)",
    "event_us": "toInt64(toUInt32(pane)) * 1000000 + cell * 1000",
    "kafka_partition": "toUInt32(cell % 2)",
    "record_offset": "n",
    "service": "concat('service_', toString(cell % 10))",
    "ip_address": "concat('10.0.', toString(intDiv(cell, 5) % 7), '.', toString(intDiv(cell, 10) % 200))",
}
MEASURES = {"count": "1", "sum": "500000", "sumsq": "300000", "min": "400000", "max": "600000"}

Run = Callable[[str], object]


def last_hour(now: datetime) -> datetime:
    """Return the begin of the hour whose figures are still deltas."""
    return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)


def fill(run: Run, days: int, fresh: datetime, share: float = 1.0) -> int:
    """Fill every cube: `days` of sealed hours before `fresh`, and deltas for the hour that begins there.

    Args:
        run: executes a statement in the database.
        share: of the typical load.

    Returns:
        The rows written.

    Raises:
        ValueError: no day to seal; numbers(0) of ClickHouse 18.16 never ends.
    """
    if days < 1:
        raise ValueError(f"at least one sealed day is needed; got {days}")
    rows = 0
    for contract in load_contracts():
        for statement in _proof(contract, days, fresh):
            run(statement)
        for cube in contract.cubes:
            for statement, written in _cells(cube, days, fresh, share):
                run(statement)
                rows += written
            for day in range(2, days + 1):
                closed = f"{fresh - day * DAY:%Y%m%d}"
                run(read_sql("compact/merge_day.sql.j2", table=cube.sealed_table, day=closed))
    return rows


def _proof(contract: Contract, days: int, fresh: datetime) -> Iterator[str]:
    begin = int(fresh.timestamp()) - days * 24 * HOUR_SECONDS
    yield (
        "INSERT INTO takeovers (stream, generation, keep_gen, keep_upto) "
        f"SELECT '{contract.stream}', toUInt64(1), [toUInt64(1)], [toUInt64({(2 << 40) - 1})]"
    )
    yield (
        "INSERT INTO certificates (stream, hour, frontier, seal, verdict) "
        f"SELECT '{contract.stream}', toDateTime({begin} + number * {HOUR_SECONDS}, 'UTC'), "
        f"toUInt64({batch_id(1, 0)}), toUInt64(1), 'PROVED' FROM numbers({days * 24})"
    )


def _cells(cube: Cube, days: int, fresh: datetime, share: float) -> Iterator[tuple[str, int]]:
    """Yield statements, and the rows that each writes: one a day of sealed cells, eight of deltas."""
    width = max(1, round(SEALED_CELLS[cube.name] * share))
    rows = 86_400 // cube.pane_seconds * width
    for day in range(days, 0, -1):
        begin = int((fresh - day * DAY).timestamp())
        pane = f"toDateTime({begin} + step * {cube.pane_seconds}, 'UTC')"
        values = {"frontier": f"toUInt64({batch_id(1, 0)})", "seal": "toUInt64(1)"}
        yield _statement(cube, cube.sealed_table, pane, values, rows, 0, width), rows
    width = max(1, round(BATCH_CELLS[cube.name] * share))
    rows = HOUR_SECONDS * width // 8
    second = f"intDiv(step, {cube.pane_seconds}) * {cube.pane_seconds}"
    pane = f"toDateTime({int(fresh.timestamp())} + {second}, 'UTC')"
    for part in range(8):
        values = {"batch": f"toUInt64({batch_id(1, 1)}) + step"}
        yield _statement(cube, cube.delta_table, pane, values, rows, part * rows, width), rows


def _statement(
    cube: Cube, table: str, pane: str, place: dict[str, str], rows: int, first: int, width: int
) -> str:
    sealed = "seal" in place
    arrived = "cell % 13 * {0}" if sealed else "intDiv(step, {0}) * {0}"
    values = {"window_start": f"{pane} AS pane", **place}
    for name in cube.dimensions:
        if name == "arrived":
            values[name] = f"toDateTime(pane + {arrived.format(cube.arrival_seconds)}, 'UTC')"
        elif name == "delay_ms":
            values[name] = "intDiv(cell, 13)" if sealed else "cell"
        else:
            values[name] = DIMENSIONS[name]
    for measure in cube.measures:
        figure = f"CAST({MEASURES[measure.kind]} AS {measure.clickhouse_type})"
        values[measure.name] = figure
        if sealed:
            values[f"came_{measure.name}"] = figure
    folder = FileSystemLoader(Path(__file__).parent / "sql")
    template = Environment(loader=folder, undefined=StrictUndefined).get_template("fill_cells.sql.j2")
    return template.render(
        table=table, columns=list(values), values=list(values.values()), rows=rows, first=first, width=width
    )
