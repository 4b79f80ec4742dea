"""An hour with a cell for each event is compared within a server's memory limit."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from clickhouse_driver import Client
from clickhouse_driver.errors import ErrorCodes, ServerException

from include.contracts import load_contract
from include.reconcile import compare
from include.reconcile.types import HourPlan, epoch
from include.streaming.ledger import batch_id, take_over

HOUR = datetime(2026, 3, 1, 5, tzinfo=UTC)
CELLS = 600_000
LIMIT_BYTES = 200_000_000
PLAN = HourPlan("run", "user_events", HOUR, 7, 1, batch_id(1, 0), None, 1, "auto")


def fill(client: Client) -> None:
    """Write an hour of user_actions twice: as the deltas of a batch, and as the rows of a recount."""
    take_over(client, "user_events", 1)
    keys = (
        f"toDateTime({epoch(HOUR)} + intDiv(number, 5000) * 30, 'UTC'), concat('user_', toString(number % 5000)), "
        f"'view', toInt64({epoch(HOUR)}) * 1000000 + number, 0, number"
    )
    names = "window_start, user_id, action, event_us, kafka_partition, record_offset"
    source = f"FROM (SELECT number FROM system.numbers LIMIT {CELLS})"
    for table, columns, figures in (
        ("user_actions_delta", "batch, event_count, value", f"toUInt64({PLAN.frontier}), 1, 5"),
        (
            "user_actions_sealed",
            "frontier, seal, event_count, came_event_count, value, came_value",
            f"toUInt64({PLAN.frontier}), {PLAN.seal}, 1, 1, 5, 5",
        ),
    ):
        client.execute(f"INSERT INTO {table} ({names}, {columns}) SELECT {keys}, {figures} {source}")


def test_more_cells_than_fit_into_memory_are_compared(
    clickhouse: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(clickhouse)
    contract = load_contract("user_events")
    cubes = tuple(cube for cube in contract.cubes if cube.name == "user_actions")
    contract = contract.model_copy(update={"cubes": cubes})
    clickhouse.settings["max_memory_usage"] = LIMIT_BYTES
    monkeypatch.setattr(compare, "SPILL", {})
    with pytest.raises(ServerException) as refused:
        compare.compare_as_they_came(clickhouse, contract, PLAN)
    assert refused.value.code == ErrorCodes.MEMORY_LIMIT_EXCEEDED, "the cells must not fit"
    monkeypatch.setattr(compare, "SPILL", {"max_bytes_before_external_group_by": LIMIT_BYTES // 5})
    assert compare.compare_as_they_came(clickhouse, contract, PLAN).total == 0
