"""Every kind of dimension and measure on the real ClickHouse: written, read back, compared, digested and totalled."""

from __future__ import annotations

from datetime import timedelta

import pytest
from clickhouse_driver import Client

from include.contracts.model import NO_MAXIMUM, NO_MINIMUM
from include.reconcile.candidates import stored, write_cells
from include.reconcile.compare import compare_as_they_came, compare_exact, digest_of, totals
from include.reconcile.types import Certificate, Difference, HourPlan, ReconcileError, from_epoch
from include.streaming.ledger import batch_id, take_over
from include.warehouse.cube_tables import ensure_cube
from tests.kinds import ARRIVED, AT, CELLS, CONTRACT, DIGESTS, HOUR, cell


@pytest.fixture
def plan(clickhouse: Client) -> HourPlan:
    """An hour of CELLS among the deltas of one batch, with no certificate."""
    for cube in CONTRACT.cubes:
        ensure_cube(clickhouse, cube)
        rows = [
            (from_epoch(c.window), *stored(cube, c.dimensions), batch_id(1, 0), *c.came)
            for c in CELLS
            if c.cube == cube.name
        ]
        clickhouse.execute(f"INSERT INTO {cube.delta_table} VALUES", rows)
    take_over(clickhouse, CONTRACT.stream, 1)
    return HourPlan("r", CONTRACT.stream, HOUR, 5, 1, batch_id(1, 0), None, 1, "auto")


def differing(client: Client, plan: HourPlan) -> Difference:
    (found,) = compare_as_they_came(client, CONTRACT, plan).cells
    return found


def test_cells_are_read_back_as_they_were_written_and_equal_the_deltas(
    clickhouse: Client, plan: HourPlan
) -> None:
    assert write_cells(clickhouse, CONTRACT, plan, CELLS) == (4, 6)
    assert compare_as_they_came(clickhouse, CONTRACT, plan).total == 0


def test_a_row_that_nobody_wrote_is_found_wherever_it_lies(clickhouse: Client, plan: HourPlan) -> None:
    write_cells(clickhouse, CONTRACT, plan, [*CELLS, cell(0, 1800, ("other", ""), {"n": 1})])
    with pytest.raises(ReconcileError, match=r"1 of \d rows of seal 5 in wide_figures_sealed"):
        write_cells(clickhouse, CONTRACT, plan, CELLS)


def test_pieces_are_cut_between_windows(
    clickhouse: Client, plan: HourPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.reconcile.candidates.PIECE", 1)
    assert write_cells(clickhouse, CONTRACT, plan, CELLS) == (4, 6)
    assert compare_as_they_came(clickhouse, CONTRACT, plan).total == 0


def test_a_lost_cell_is_named_by_all_its_dimensions(clickhouse: Client, plan: HourPlan) -> None:
    write_cells(clickhouse, CONTRACT, plan, CELLS)
    clickhouse.execute("DROP TABLE wide_events_delta")
    ensure_cube(clickhouse, CONTRACT.cubes[2])
    lost = differing(clickhouse, plan)
    assert (lost.kind, lost.expected, lost.served) == ("missing", "delay_us=-1", "")
    assert lost.dimensions == f"event_us={AT * 10**6} kafka_partition=3 record_offset={2**40} ip_address=::1"


def test_windows_of_arrival_are_named_as_moments(clickhouse: Client, plan: HourPlan) -> None:
    write_cells(clickhouse, CONTRACT, plan, [c for c in CELLS if c.dimensions[0] != ARRIVED])
    found = differing(clickhouse, plan)
    assert found.kind == "excess"
    assert (
        found.dimensions
        == f"arrived={HOUR + timedelta(minutes=2):%Y-%m-%dT%H:%M:%SZ} delay_ms=1010 level=INFO"
    )


def test_exact_figures_are_compared_by_each_measures_own_rule(clickhouse: Client, plan: HourPlan) -> None:
    write_cells(clickhouse, CONTRACT, plan, CELLS)
    base = Certificate(plan.frontier, plan.seal, digest_of(clickhouse, CONTRACT, HOUR, plan.frontier, 5))
    later = HourPlan("r", CONTRACT.stream, HOUR, 6, 1, plan.frontier, base, 1, "auto")
    other = cell(0, 0, ("shop", ""), {"n": 3, "held": 2, "signed_sum": -5, "signed_min": -8, "signed_max": 2})
    write_cells(clickhouse, CONTRACT, later, [other, *CELLS[1:]])
    (found,) = compare_exact(clickhouse, CONTRACT, later).cells
    assert ("signed_min=-8" in found.expected, "signed_min=-7" in found.served) == (True, True)


def test_totals_merge_by_kind_and_say_where_there_is_no_value(clickhouse: Client, plan: HourPlan) -> None:
    before = {(cube, name): (served, read) for cube, name, served, read in totals(clickhouse, CONTRACT, plan)}
    assert before["wide_figures", "signed_min"] == (-7, NO_MINIMUM)
    assert before["wide_figures", "signed_max"] == (2, NO_MAXIMUM)
    write_cells(clickhouse, CONTRACT, plan, CELLS)
    after = {(cube, name): (served, read) for cube, name, served, read in totals(clickhouse, CONTRACT, plan)}
    assert after["wide_figures", "signed_min"] == (-7, -7)
    assert after["wide_figures", "signed_squared"] == (10**18, 10**18)
    assert after["wide_late", "n"] == (3, 3)


def test_the_digest_covers_every_kind_of_dimension(clickhouse: Client, plan: HourPlan) -> None:
    write_cells(clickhouse, CONTRACT, plan, CELLS)
    assert digest_of(clickhouse, CONTRACT, HOUR, plan.frontier, plan.seal) == DIGESTS
