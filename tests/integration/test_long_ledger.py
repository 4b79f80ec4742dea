"""A long ledger folded piece by piece says of offsets, hours and faults what its rows say one by one."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from clickhouse_driver import Client

from include.reconcile.long_ledger import read_long_ledger
from include.reconcile.ranges import by_partition, hour_ranges, segments
from include.streaming.ledger import CommitState, LedgerRow, insert_ledger_rows, read_commit_state, take_over
from tests.ledgers import BITS, HOURS, STREAM, damaged, faults, ledger


def written(client: Client, rows: list[LedgerRow], stream: str = STREAM) -> tuple[CommitState, CommitState]:
    """Return both readings of a ledger of these rows: row by row, and folded."""
    take_over(client, stream, 1)
    insert_ledger_rows(client, [replace(row, stream=stream) for row in rows])
    return read_commit_state(client, stream), read_long_ledger(client, stream, bits=BITS)


def test_a_folded_ledger_has_few_rows_and_the_same_position(clickhouse: Client) -> None:
    whole, folded = written(clickhouse, ledger())
    assert len(folded.rows) < len(whole.rows) / 4
    assert (folded.frontier, folded.highest_batch, folded.keep) == (
        whole.frontier,
        whole.highest_batch,
        whole.keep,
    )
    for name in ("accepted", "rejected", "late", "non_records"):
        assert sum(getattr(r, name) for r in folded.rows) == sum(getattr(r, name) for r in whole.rows), name
    assert faults(folded) == faults(whole) == []


def test_an_hour_is_read_from_the_same_offsets(clickhouse: Client) -> None:
    whole, _ = written(clickhouse, ledger())
    for hour in HOURS:
        folded = read_long_ledger(clickhouse, STREAM, [hour], bits=BITS)
        both = [by_partition(state.rows) for state in (whole, folded)]
        needed = [hour_ranges(rows, hour, {}) for rows in both]
        assert needed[0] == needed[1], hour
        assert segments(both[0], [needed[0]]) == segments(both[1], [needed[1]]), hour


def test_ranges_that_are_joined_over_folded_rows_have_the_same_sums(clickhouse: Client) -> None:
    rows = ledger()
    stray = rows[-40]
    rows[-40] = replace(stray, hours=[HOURS[2], *stray.hours], hour_events=[1, stray.hour_events[0] - 1])
    rows[-40] = replace(rows[-40], hour_first=[stray.start_offset] * 2, hour_last=[stray.end_offset] * 2)
    whole, _ = written(clickhouse, rows)
    folded = read_long_ledger(clickhouse, STREAM, [HOURS[2]], bits=BITS)
    both = [by_partition(state.rows) for state in (whole, folded)]
    needed = [hour_ranges(item, HOURS[2], {}) for item in both]
    assert needed[0] == needed[1]
    assert max(span.offsets for span in needed[0]) > 1000, "the stray event must make a long range"
    assert segments(both[0], [needed[0]]) == segments(both[1], [needed[1]])


def test_faults_are_found_as_row_by_row(clickhouse: Client) -> None:
    for seed in range(20):
        whole, folded = written(clickhouse, damaged(Random(seed)), f"stream_{seed}")
        assert faults(whole), f"the damage of seed {seed} must show"
        assert faults(folded) == faults(whole), f"seed {seed}"


def test_rows_that_were_written_twice_are_one(clickhouse: Client) -> None:
    rows = ledger()
    written(clickhouse, rows)
    insert_ledger_rows(clickhouse, rows[100:200])
    whole = read_commit_state(clickhouse, STREAM)
    folded = read_long_ledger(clickhouse, STREAM, bits=BITS)
    assert faults(folded) == faults(whole) == []
    assert sum(r.accepted for r in folded.rows) == sum(r.accepted for r in whole.rows)


def test_rows_that_say_more_than_a_sum_stay(clickhouse: Client) -> None:
    rows = ledger()
    lost, later = rows[300], rows[500]
    rows[300] = replace(lost, lost_to=lost.start_offset + 1, accepted=lost.accepted - 1)
    rows[500] = replace(later, replayed_partitions=[0], replayed_offsets=[5], replayed_hours=[HOURS[0]])
    rows[800:] = [replace(row, contract_version=2) for row in rows[800:]]
    whole, folded = written(clickhouse, rows)
    assert rows[300] in folded.rows
    assert rows[500] in folded.rows
    versions = [
        [(r.partition, r.start_offset) for r in state.rows if r.contract_version == 2][:1]
        for state in (whole, folded)
    ]
    assert versions[0] == versions[1]


def test_batches_beyond_a_takeovers_limit_are_not_folded_in(clickhouse: Client) -> None:
    rows = ledger()
    whole, folded = written(clickhouse, rows)
    take_over(clickhouse, STREAM, 2)
    stale = [replace(rows[-1], batch=rows[-1].batch + 1 + at) for at in range(40)]
    insert_ledger_rows(clickhouse, stale)
    after = read_long_ledger(clickhouse, STREAM, bits=BITS)
    assert (after.frontier, after.highest_batch) == (whole.frontier, whole.highest_batch)
    assert sum(r.accepted for r in after.rows) == sum(r.accepted for r in folded.rows)


def test_an_unknown_stream_has_no_rows(clickhouse: Client) -> None:
    assert read_long_ledger(clickhouse, STREAM).rows == []
    take_over(clickhouse, STREAM, 1)
    assert read_long_ledger(clickhouse, STREAM).rows == []
