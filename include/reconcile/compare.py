"""Compares and digests figures inside ClickHouse; returns only what differs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from clickhouse_driver import Client

from include.contracts import Contract, Cube
from include.reconcile.store import bounds, text
from include.reconcile.types import (
    EXCESS,
    HOUR,
    MISMATCHED,
    MISSING,
    Certificate,
    Difference,
    Differences,
    HourPlan,
    as_utc,
)
from include.warehouse.sql import read_sql

MOST_CELLS_NAMED = 200
MOST_CELLS_READ = 1_000_000
# A cube may have a cell for each event: beyond half a gigabyte their groups go to disk. Without, 3.6 million cells of an
# hour took more than 1.4 GB, and a server whose limit is lower would refuse the hour for ever.
SPILL = {"max_bytes_before_external_group_by": 500_000_000}


def digests(
    client: Client, contract: Contract, start: datetime, end: datetime
) -> dict[tuple[datetime, int, int], str]:
    """Return the digest of each seal's rows over all cubes, by (hour, frontier, seal), for hours in [start, end)."""
    parts: dict[tuple[datetime, int, int], list[str]] = {}
    for cube in contract.cubes:
        statement = read_sql("reconcile/digest.sql.j2", cube=cube)
        for hour, frontier, seal, digest in client.execute(statement, {"from": text(start), "to": text(end)}):
            parts.setdefault((as_utc(hour), frontier, seal), []).append(f"{cube.name}={digest}")
    return {key: " ".join(found) for key, found in parts.items()}


def digest_of(client: Client, contract: Contract, hour: datetime, frontier: int, seal: int) -> str:
    """Return the digest of one seal's rows, empty when it has none."""
    return digests(client, contract, hour, hour + HOUR).get((hour, frontier, seal), "")


def compare_as_they_came(client: Client, contract: Contract, plan: HourPlan) -> Differences:
    """Return where the recount and what is served differ, both as they came: duplicates counted."""
    return _compare(client, contract, plan, "reconcile/compare.sql.j2")


def compare_exact(client: Client, contract: Contract, plan: HourPlan) -> Differences:
    """Return where the recount and the base's sealed rows differ, each identity counted once."""
    return _compare(client, contract, plan, "reconcile/compare_base.sql.j2")


def late_cells(client: Client, contract: Contract, plan: HourPlan) -> Differences:
    """Return the cells that deltas after the base certificate change: served under it, and expected with them."""
    return _compare(client, contract, plan, "reconcile/late_cells.sql.j2")


def has_later_deltas(client: Client, contract: Contract, plan: HourPlan) -> bool:
    """Whether the hour has valid deltas after the base certificate, up to the plan's frontier."""
    parameters = _parameters(plan)
    return any(
        client.execute(read_sql("reconcile/deltas_after.sql.j2", cube=cube), parameters)[0][0]
        for cube in contract.cubes
    )


def served_by_batch(client: Client, cube: Cube, plan: HourPlan) -> dict[int, int] | None:
    """Return the events of an hour that each batch after the base serves, None where the cube does not count all."""
    if cube.counts_events is None:
        return None
    statement = read_sql("reconcile/served_by_batch.sql.j2", cube=cube, count=cube.counts_events)
    return {batch: int(events) for batch, events in client.execute(statement, _parameters(plan))}


def totals(client: Client, contract: Contract, plan: HourPlan) -> list[tuple[str, str, int, int]]:
    """Return (cube, measure, served, recounted) of an hour as it came, merged by the measure's kind.

    Integers at the contract's scale; of a side without rows a minimum or maximum is NO_MINIMUM or NO_MAXIMUM.
    """
    found = []
    for cube in contract.cubes:
        (row,) = client.execute(read_sql("reconcile/totals.sql.j2", cube=cube), _parameters(plan))
        sides = zip(row[::2], row[1::2], strict=True)
        for measure, (expected, served) in zip(cube.measures, sides, strict=True):
            found.append((cube.name, measure.name, int(served), int(expected)))
    return found


def _parameters(plan: HourPlan) -> dict[str, object]:
    """Return what the comparing statements name; an hour without a certificate has the base (0, 0)."""
    base = plan.base or Certificate(0, 0, "")
    return {
        **bounds(plan.hour),
        "stream": plan.stream,
        "generation": plan.generation,
        "frontier": plan.frontier,
        "seal": plan.seal,
        "base_frontier": base.frontier,
        "base_seal": base.seal,
        "limit": MOST_CELLS_READ,
    }


def _compare(client: Client, contract: Contract, plan: HourPlan, template: str) -> Differences:
    parameters = _parameters(plan)
    counts = {MISSING: 0, EXCESS: 0, MISMATCHED: 0}
    cells: list[Difference] = []
    for cube in contract.cubes:
        for row in client.execute_iter(read_sql(template, cube=cube), parameters, settings=SPILL):
            cell = _cell(cube, row)
            counts[cell.kind] += 1
            if len(cells) < MOST_CELLS_NAMED:
                cells.append(cell)
    return Differences(counts[MISSING], counts[EXCESS], counts[MISMATCHED], tuple(cells))


def _text(dimension: object) -> str:
    return f"{as_utc(dimension):%Y-%m-%dT%H:%M:%SZ}" if isinstance(dimension, datetime) else str(dimension)


def _cell(cube: Cube, row: tuple[Any, ...]) -> Difference:
    width = 1 + len(cube.dimensions)
    dimensions = " ".join(
        f"{name}={_text(value)}" for name, value in zip(cube.dimensions, row[1:width], strict=True)
    )
    expected_rows, served_rows, figures = row[width], row[width + 1], row[width + 2 :]
    names = [measure.name for measure in cube.measures]
    sides = [
        " ".join(f"{name}={int(figure)}" for name, figure in zip(names, figures[side::2], strict=True))
        if present
        else ""
        for side, present in ((0, expected_rows), (1, served_rows))
    ]
    kind = MISMATCHED if expected_rows and served_rows else MISSING if expected_rows else EXCESS
    return Difference(cube.name, as_utc(row[0]), dimensions, kind, sides[0], sides[1])
