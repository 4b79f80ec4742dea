"""Merging of what tasks emit, and rows of rejects."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pytest

from include.contracts import Cube, Measure
from include.contracts.classifier import Reject
from include.contracts.model import NO_MAXIMUM, NO_MINIMUM
from include.streaming.partials import (
    CUBE_PREFIX,
    HOURS,
    PARTITIONS,
    REJECTS,
    REJECTS_SCHEMA,
    collect,
    cube_schema,
    merge_cube,
    reject_row,
    to_ipc,
)
from tests.helpers import ad_events

CUBE = ad_events().cubes[0]


def rows(*figures: tuple[int, str, int, int]) -> pa.Table:
    """Rows of (window start, country, count, revenue) with the other dimensions fixed."""
    return pa.table(
        [
            [f[0] for f in figures],
            ["click"] * len(figures),
            [f[1] for f in figures],
            ["banner"] * len(figures),
            [f[2] for f in figures],
            [f[3] for f in figures],
        ],
        schema=cube_schema(CUBE),
    )


def test_two_tasks_that_share_a_key_are_added_into_one_row() -> None:
    kind = CUBE_PREFIX + CUBE.name
    found = collect(
        ad_events(),
        [(kind, to_ipc(rows((0, "US", 2, 5), (60, "US", 1, 1)))), (kind, to_ipc(rows((0, "US", 3, 7))))],
    )
    merged = sorted((r["window_start"], r["event_count"], r["revenue"]) for r in found[kind].to_pylist())
    assert merged == [(0, 5, 12), (60, 1, 1)]


def test_the_columns_keep_their_names_and_order_whatever_the_measures_are() -> None:
    cube = Cube(
        name="x",
        pane_seconds=60,
        dimensions=("country",),
        measures=(
            Measure(name="revenue_sum", kind="sum", field="revenue"),
            Measure(name="revenue", kind="sum", field="revenue"),
            Measure(name="n", kind="count", field=None),
        ),
    )
    table = pa.table([[0, 0], ["US", "US"], [1, 2], [10, 20], [1, 1]], schema=cube_schema(cube))
    merged = merge_cube(cube, table)
    assert merged.to_pylist() == [
        {"window_start": 0, "country": "US", "revenue_sum": 3, "revenue": 30, "n": 2}
    ]
    assert merged.schema.names == cube_schema(cube).names


def test_each_kind_of_measure_merges_by_its_own_rule() -> None:
    cube = Cube(
        name="x",
        pane_seconds=60,
        arrival_seconds=60,
        dimensions=("arrived", "country"),
        measures=(
            Measure(name="squares", kind="sumsq", field="revenue"),
            Measure(name="low", kind="min", field="revenue"),
            Measure(name="high", kind="max", field="revenue"),
            Measure(name="none_low", kind="min", field="revenue"),
            Measure(name="none_high", kind="max", field="revenue"),
        ),
    )
    schema = cube_schema(cube)
    assert schema.field("arrived").type == pa.int64()
    columns = [[2**63, 2**63 - 1], [NO_MINIMUM, -7], [-9, NO_MAXIMUM], [NO_MINIMUM] * 2, [NO_MAXIMUM] * 2]
    merged = merge_cube(cube, pa.table([[0, 0], [60, 60], ["US", "US"], *columns], schema=schema))
    assert merged.schema == schema
    (row,) = merged.select([measure.name for measure in cube.measures]).to_pylist()
    assert list(row.values()) == [2**64 - 1, -7, -9, NO_MINIMUM, NO_MAXIMUM]


def test_hours_add_events_and_span_offsets() -> None:
    columns = ("partition", "hour", "events", "late", "first", "last", "latest_us")
    one = ([0], [3600], [2], [1], [10], [12], [7])
    other = ([0, 1], [3600, 3600], [1, 1], [0, 0], [4, 9], [40, 9], [5, 6])
    tables = [pa.table(dict(zip(columns, part, strict=True))) for part in (one, other)]
    found = collect(ad_events(), [(HOURS, to_ipc(table)) for table in tables])[HOURS]
    expected = [
        dict(zip(columns, (0, 3600, 3, 1, 4, 40, 7), strict=True)),
        dict(zip(columns, (1, 3600, 1, 0, 9, 9, 6), strict=True)),
    ]
    assert sorted(found.to_pylist(), key=lambda row: row["partition"]) == expected


def test_partitions_add_records_and_span_kafka_times() -> None:
    columns = ("partition", "records", "offset_min", "kafka_min", "kafka_max")
    tables = [
        pa.table(dict(zip(columns, ([0], [n], [at], [at], [at]), strict=True))) for n, at in ((2, 7), (5, 3))
    ]
    found = collect(ad_events(), [(PARTITIONS, to_ipc(table)) for table in tables])[PARTITIONS]
    assert found.to_pylist() == [dict(zip(columns, (0, 7, 3, 3, 7), strict=True))]


def test_rejects_of_all_tasks_are_kept_one_by_one() -> None:
    made = [reject_row(0, offset, 5, Reject("schema", "x"), b"v") for offset in (3, 1)]
    found = collect(
        ad_events(), [(REJECTS, to_ipc(pa.Table.from_pylist([row], REJECTS_SCHEMA))) for row in made]
    )
    assert sorted(row["record_offset"] for row in found[REJECTS].to_pylist()) == [1, 3]


def test_nothing_emitted_gives_nothing() -> None:
    assert collect(ad_events(), []) == {}


@pytest.mark.parametrize("length", [0, 4095, 4096, 4097])
def test_a_payload_is_cut_at_four_kibibytes_and_its_digest_is_of_the_whole(length: int) -> None:
    value = b"\x80" * length
    row = reject_row(1, 2, 3, Reject("malformed", "d" * 600), value)
    assert row["payload"] == value[:4096]
    assert (row["payload_bytes"], row["payload_sha256"]) == (length, hashlib.sha256(value).hexdigest())
    assert row["detail"] == "d" * 500


def test_a_record_without_value_has_an_empty_payload() -> None:
    row = reject_row(1, 2, 3, Reject("malformed", "no value"), None)
    assert (row["payload"], row["payload_bytes"]) == (b"", 0)
