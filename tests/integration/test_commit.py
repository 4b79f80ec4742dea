"""Writing a batch to a real ClickHouse: order, replays, exact money, dead letters of any bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from clickhouse_driver import Client
from clickhouse_driver.errors import ServerException

from include.contracts import Contract, load_contracts
from include.contracts.model import NO_MAXIMUM, NO_MINIMUM
from include.settings import Settings
from include.streaming.commit import UnansweredInsertError, ledger_rows, write_batch
from include.streaming.ledger import LedgerRow, batch_id, read_commit_state, take_over
from include.streaming.partials import CUBE_PREFIX, cube_schema
from include.warehouse.client import connect
from include.warehouse.cube_tables import ensure_cube
from tests.broken import CuttingProxy
from tests.contracts import odd_contracts
from tests.helpers import KAFKA_MS, MOMENT, Record, ad_events, encoded, folded, recounted, served_truth
from tests.surprises import Surprises

CONTRACT = ad_events()


def prepared(
    records: Sequence[Record], batch: int, start: int = 0, contract: Contract = CONTRACT
) -> tuple[int, dict[str, pa.Table], list[LedgerRow]]:
    """Fold records of partition 0 and return what write_batch needs, over all offsets from `start`."""
    results = folded(contract, [[records]])
    end = max(record.offset for record in records) + 1
    return batch, results, ledger_rows(contract, batch, {0: (start, end)}, {0: 0}, results)


def written(client: Client, contract: Contract) -> dict[tuple[object, ...], tuple[int, ...]]:
    """Return the deltas of every cube as tests.helpers.recounted has them: times as epoch seconds, integers."""
    found: dict[tuple[object, ...], tuple[int, ...]] = {}
    for cube in contract.cubes:
        names = ["window_start", *cube.dimensions, *(measure.name for measure in cube.measures)]
        rows = client.execute(f"SELECT {', '.join(names)} FROM {cube.delta_table}")
        for row in rows:
            plain = [int(item.timestamp()) if isinstance(item, datetime) else item for item in row]
            at = 1 + len(cube.dimensions)
            key = (cube.name, *plain[:at])
            assert key not in found, f"two rows of {key}"
            found[key] = tuple(int(item) for item in plain[at:])
    return found


def served(client: Client) -> dict[tuple[object, ...], tuple[int, int]]:
    rows = client.execute(
        "SELECT window_start, event_type, country, ad_format, event_count, total_revenue FROM ad_events_aggregated"
    )
    return {tuple(row[:4]): (row[4], int(row[5] * 1_000_000)) for row in rows}


def sample(first: int, count: int) -> list[Record]:
    countries = ("US", "KR", "DE")
    return [
        Record(encoded(country=countries[i % 3], revenue=(i % 97 + 1) / 1e6), 0, i)
        if i % 10
        else Record(b"{", 0, i)
        for i in range(first, first + count)
    ]


def test_a_batch_is_served_exactly(clickhouse: Client) -> None:
    records = sample(0, 200)
    take_over(clickhouse, "ad_events", 1)
    batch = prepared(records, batch_id(1, 0))
    write_batch(clickhouse, CONTRACT, *batch)
    assert served(clickhouse) == served_truth(records)
    assert read_commit_state(clickhouse, "ad_events").rows == batch[2]
    assert clickhouse.execute("SELECT count() FROM dead_letters") == [(20,)]


def test_every_cube_of_every_contract_is_written_as_it_was_folded(clickhouse: Client) -> None:
    for contract in [*load_contracts(), *odd_contracts()]:
        for cube in contract.cubes:
            ensure_cube(clickhouse, cube)
        records = [
            Record(record.value, 0, i, record.kafka_ms)
            for i, record in enumerate(Surprises(contract, 11, MOMENT).records(1_000))
        ]
        expected = recounted(contract, records).cubes
        assert {key[0] for key in expected} == {cube.name for cube in contract.cubes}, "the draw is poor"
        take_over(clickhouse, contract.stream, 1)
        write_batch(clickhouse, contract, *prepared(records, batch_id(1, 0), contract=contract))
        assert written(clickhouse, contract) == expected, contract.stream


def test_figures_at_the_edge_of_their_columns_are_written_exactly(clickhouse: Client) -> None:
    contract = next(contract for contract in odd_contracts() if contract.stream == "wide")
    cube = next(cube for cube in contract.cubes if cube.name == "wide_figures")
    late = next(cube for cube in contract.cubes if cube.name == "wide_late")
    for made in contract.cubes:
        ensure_cube(clickhouse, made)
    rows: dict[str, list[object]] = {name: [0] for name in cube_schema(cube).names}
    rows |= {"service": ["ü"], "user_id": [""], "signed_min": [NO_MINIMUM], "signed_max": [NO_MAXIMUM]}
    rows |= {"signed_squared": [2**64 - 1], "signed_sum": [-(2**63)], "steps_squared": [2**63]}
    last: dict[str, list[object]] = {name: [0] for name in cube_schema(late).names}
    last |= {"arrived": [2**32 - 60], "level": [""]}
    results = {
        CUBE_PREFIX + cube.name: pa.table(rows, schema=cube_schema(cube)),
        CUBE_PREFIX + late.name: pa.table(last, schema=cube_schema(late)),
    }
    write_batch(
        clickhouse, contract, batch_id(1, 0), results, ledger_rows(contract, 1, {0: (0, 1)}, {0: 0}, {})
    )
    (found,) = clickhouse.execute(
        "SELECT signed_squared, signed_sum, steps_squared, signed_min, signed_max FROM wide_figures_delta"
    )
    assert found == (2**64 - 1, -(2**63), 2**63, NO_MINIMUM, NO_MAXIMUM)
    ((arrived,),) = clickhouse.execute("SELECT arrived FROM wide_late_delta")
    assert arrived == datetime.fromtimestamp(2**32 - 60, UTC)


def test_a_stale_driver_that_writes_after_the_takeover_changes_nothing(clickhouse: Client) -> None:
    take_over(clickhouse, "ad_events", 1)
    first, second = sample(0, 50), sample(50, 50)
    write_batch(clickhouse, CONTRACT, *prepared(first, batch_id(1, 0)))
    assert take_over(clickhouse, "ad_events", 2).frontier == {0: 50}
    write_batch(clickhouse, CONTRACT, *prepared(second, batch_id(1, 1), 50))
    assert served(clickhouse) == served_truth(first)
    write_batch(clickhouse, CONTRACT, *prepared(second, batch_id(2, 0), 50))
    assert served(clickhouse) == served_truth([*first, *second])


@pytest.mark.parametrize("table", ["ad_events_delta", "ad_arrival_delta", "dead_letters"])
def test_nothing_is_committed_before_every_row_of_the_batch_is_written(
    clickhouse: Client, table: str
) -> None:
    take_over(clickhouse, "ad_events", 1)
    clickhouse.execute(f"RENAME TABLE {table} TO away")
    with pytest.raises(ServerException, match="doesn't exist"):
        write_batch(clickhouse, CONTRACT, *prepared(sample(0, 20), batch_id(1, 0)))
    assert read_commit_state(clickhouse, "ad_events").rows == []


def test_a_batch_that_failed_at_its_commit_is_void_after_the_next_takeover(clickhouse: Client) -> None:
    records = sample(0, 20)
    take_over(clickhouse, "ad_events", 1)
    clickhouse.execute("RENAME TABLE ledger TO away")
    with pytest.raises(ServerException, match="doesn't exist"):
        write_batch(clickhouse, CONTRACT, *prepared(records, batch_id(1, 0)))
    clickhouse.execute("RENAME TABLE away TO ledger")
    assert take_over(clickhouse, "ad_events", 2).frontier == {}
    assert served(clickhouse) == {}
    write_batch(clickhouse, CONTRACT, *prepared(records, batch_id(2, 0)))
    assert served(clickhouse) == served_truth(records)


def test_an_empty_range_is_committed_with_a_ledger_row_alone(clickhouse: Client) -> None:
    take_over(clickhouse, "ad_events", 1)
    rows = ledger_rows(CONTRACT, batch_id(1, 0), {0: (0, 3)}, {0: 0}, {})
    write_batch(clickhouse, CONTRACT, batch_id(1, 0), {}, rows)
    state = read_commit_state(clickhouse, "ad_events")
    assert (state.frontier, state.rows[0].non_records, served(clickhouse)) == ({0: 3}, 3, {})


ACCEPTED = [
    Record(encoded(country="US", timestamp=f"2025-12-16T{i % 2:02}:{i % 60:02}:00"), 0, i) for i in range(600)
]
REJECTED = [Record(bytes(f"{{{i * 7_919}", "ascii") * 20, 0, i) for i in range(600)]
MIXED = [*ACCEPTED[:30], *REJECTED[30:]]  # the deltas are small, what is cut is the dead letters


@pytest.mark.parametrize(
    ("records", "sent_bytes"),
    [
        (ACCEPTED, -250),
        (REJECTED, -250),
        (REJECTED, 400),
        (REJECTED, 3_000),
        (REJECTED, 30_000),
        (MIXED, 20_000),
    ],
)
def test_a_connection_that_breaks_before_the_deltas_or_after_them_costs_nothing(
    warehouse: Settings, clickhouse: Client, records: list[Record], sent_bytes: int
) -> None:
    take_over(clickhouse, "ad_events", 1)
    batch = prepared(records, batch_id(1, 0))
    with CuttingProxy(warehouse.clickhouse_port, sent_bytes, times=5) as proxy:
        client = connect(warehouse.model_copy(update={"clickhouse_port": proxy.port}))
        write_batch(client, CONTRACT, *batch)
        client.disconnect()
    assert proxy.cuts == 5, "the connection was not broken: nothing was tested"
    assert served(clickhouse) == served_truth(records)
    assert read_commit_state(clickhouse, "ad_events").rows == batch[2]
    rejects = batch[1]["rejects"].num_rows if "rejects" in batch[1] else 0
    assert clickhouse.execute("SELECT count() FROM dead_letters FINAL") == [(rejects,)]


@pytest.mark.parametrize("sent_bytes", [100, 1_000])
def test_deltas_that_are_not_acknowledged_are_void_after_the_next_takeover_and_never_sent_again(
    warehouse: Settings, clickhouse: Client, sent_bytes: int
) -> None:
    take_over(clickhouse, "ad_events", 1)
    with CuttingProxy(warehouse.clickhouse_port, sent_bytes, times=5) as proxy:
        client = connect(warehouse.model_copy(update={"clickhouse_port": proxy.port}))
        with pytest.raises(UnansweredInsertError, match=r"batch \d+: ad_\w+_delta: no answer"):
            write_batch(client, CONTRACT, *prepared(ACCEPTED, batch_id(1, 0)))
        client.disconnect()
    assert proxy.cuts == 1, "an insert of deltas was repeated"
    assert read_commit_state(clickhouse, "ad_events").rows == []
    assert take_over(clickhouse, "ad_events", 2).frontier == {}
    write_batch(clickhouse, CONTRACT, *prepared(ACCEPTED, batch_id(2, 0)))
    assert served(clickhouse) == served_truth(ACCEPTED)


def test_a_batch_is_given_up_between_attempts_when_its_driver_was_fenced(
    warehouse: Settings, clickhouse: Client
) -> None:
    take_over(clickhouse, "ad_events", 1)

    def fenced(message: str) -> None:
        raise LookupError(message)

    with CuttingProxy(warehouse.clickhouse_port, -250, times=10**6) as proxy:
        client = connect(warehouse.model_copy(update={"clickhouse_port": proxy.port}))
        with pytest.raises(LookupError, match="waits for ClickHouse"):
            write_batch(client, CONTRACT, *prepared(sample(0, 200), batch_id(1, 0)), between=fenced)
        client.disconnect()
    assert read_commit_state(clickhouse, "ad_events").rows == []


def test_the_crash_points_lie_between_the_inserts_that_they_name(clickhouse: Client) -> None:
    take_over(clickhouse, "ad_events", 1)
    seen: dict[str, tuple[int, ...]] = {}

    def note(point: str) -> None:
        tables = ("ad_events_delta", "dead_letters", "ledger")
        seen[point] = tuple(
            bool(clickhouse.execute(f"SELECT count() FROM {table}")[0][0]) for table in tables
        )

    write_batch(clickhouse, CONTRACT, *prepared(sample(0, 20), batch_id(1, 0)), crash=note)
    assert seen == {
        "mid_deltas": (True, False, False),
        "before_ledger": (True, True, False),
        "after_ledger": (True, True, True),
    }


def test_money_is_exact_over_many_rows(clickhouse: Client) -> None:
    take_over(clickhouse, "ad_events", 1)
    micros = [(i * 7_919) % 999_999_999 + 1 for i in range(20_000)]
    for spark_batch, start in enumerate(range(0, len(micros), 5_000)):
        part = [
            Record(encoded(revenue=m / 1e6), 0, start + i)
            for i, m in enumerate(micros[start : start + 5_000])
        ]
        write_batch(clickhouse, CONTRACT, *prepared(part, batch_id(1, spark_batch), start))
    ((count, total, average),) = clickhouse.execute(
        "SELECT event_count, total_revenue, avg_revenue FROM ad_events_aggregated"
    )
    expected = Decimal(sum(micros)).scaleb(-6)
    assert (count, total) == (len(micros), expected)
    assert abs(average - expected / len(micros)) < Decimal("1e-9"), average


def test_dead_letters_hold_any_bytes_with_length_and_digest_of_the_whole(clickhouse: Client) -> None:
    payloads = [
        bytes(range(256)),
        b"\x00",
        b"\xff" * 5_000,
        "\u00e9\U0001f600".encode(),
        b"",
        None,
        b"'\\\n\t",
    ]
    take_over(clickhouse, "ad_events", 1)
    batch = prepared([Record(value, 0, i) for i, value in enumerate(payloads)], batch_id(1, 0))
    write_batch(clickhouse, CONTRACT, *batch)
    found = clickhouse.execute(
        "SELECT record_offset, payload, payload_bytes, payload_sha256, kafka_time, day, contract_version, reason "
        "FROM dead_letters WHERE stream = 'ad_events' ORDER BY record_offset",
        settings={"strings_as_bytes": True},
    )
    day = datetime.fromtimestamp(KAFKA_MS / 1000, UTC).date()
    expected = [
        (
            i,
            (value or b"")[:4096],
            len(value or b""),
            hashlib.sha256(value or b"").hexdigest().encode(),
            KAFKA_MS,
            day,
            CONTRACT.version,
            b"malformed",
        )
        for i, value in enumerate(payloads)
    ]
    assert found == expected


def test_a_reject_without_a_kafka_timestamp_does_not_stop_the_stream(clickhouse: Client) -> None:
    take_over(clickhouse, "ad_events", 1)
    before_1970 = encoded(timestamp="1969-12-31T23:59:59.5")
    write_batch(clickhouse, CONTRACT, *prepared([Record(before_1970, 0, 0, -1)], batch_id(1, 0)))
    assert clickhouse.execute("SELECT kafka_time, reason, day FROM dead_letters") == [
        (-1, "schema", date(1970, 1, 1))
    ]
