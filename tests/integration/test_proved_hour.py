"""What the example DAG reads of a proved hour, on a real ClickHouse."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from clickhouse_driver import Client

from include.demo.proved_hour import HourNotSealedError, revenue_by_country
from include.settings import Settings
from include.streaming.ledger import batch_id, take_over

HOUR = datetime(2026, 1, 1, 5, tzinfo=UTC)


def test_revenue_of_a_sealed_hour_is_exact_and_provisional_figures_are_refused(
    warehouse: Settings, clickhouse: Client
) -> None:
    take_over(clickhouse, "ad_events", 1)
    frontier = batch_id(1, 0)
    rows = [(HOUR, "click", country, "banner", frontier, 7, 1, 1, 10_001, 10_001) for country in ("US", "KR")]
    clickhouse.execute("INSERT INTO ad_events_sealed VALUES", rows)
    clickhouse.execute(
        "INSERT INTO certificates (stream, hour, frontier, seal, verdict) VALUES",
        [("ad_events", HOUR, frontier, 7, "PROVED")],
    )
    wanted = {"KR": Decimal("0.010001"), "US": Decimal("0.010001")}
    assert revenue_by_country(warehouse, "2026-01-01T05") == wanted
    assert revenue_by_country(warehouse, "2026-01-01T06") == {}
    late = [(HOUR, "click", "US", "banner", batch_id(1, 1), 1, 5)]
    clickhouse.execute("INSERT INTO ad_events_delta VALUES", late)
    with pytest.raises(HourNotSealedError, match="2026-01-01T05 is not sealed: US"):
        revenue_by_country(warehouse, "2026-01-01T05")
    with pytest.raises(ValueError, match="needs a partition"):
        revenue_by_country(warehouse, None)
