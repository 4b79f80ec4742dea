"""Ledger and takeover rows on a real ClickHouse: what is valid, what is kept, what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from clickhouse_driver import Client

from include.streaming.ledger import (
    GenerationError,
    LedgerRow,
    batch_id,
    insert_ledger_rows,
    plan_takeover,
    read_commit_state,
    record_takeover,
    refuse_recreated,
    take_over,
)

STREAM = "ad_events"
HOUR = datetime(2025, 12, 16, 2, tzinfo=UTC)


def row(generation: int, spark_batch: int, start: int, end: int, partition: int = 0) -> LedgerRow:
    return LedgerRow(
        stream=STREAM,
        batch=batch_id(generation, spark_batch),
        partition=partition,
        start_offset=start,
        lost_to=start,
        end_offset=end,
        accepted=end - start,
        rejected=0,
        late=0,
        non_records=0,
        hours=[HOUR],
        hour_events=[end - start],
        hour_first=[start],
        hour_last=[end - 1],
        kafka_time_min=1,
        kafka_time_max=2,
        contract_version=1,
    )


def test_a_stream_without_a_ledger_starts_from_nothing(clickhouse: Client) -> None:
    state = read_commit_state(clickhouse, STREAM)
    assert (state.generation, state.keep, state.rows, state.frontier) == (0, {}, [], {})


def test_a_row_is_read_as_it_was_written_and_twice_written_is_one(clickhouse: Client) -> None:
    take_over(clickhouse, STREAM, 1)
    rows = [row(1, 0, 0, 10), row(1, 0, 0, 5, partition=3)]
    for _ in range(2):
        insert_ledger_rows(clickhouse, rows)
    assert read_commit_state(clickhouse, STREAM).rows == rows


def test_a_commit_is_one_part_of_one_partition(clickhouse: Client) -> None:
    insert_ledger_rows(clickhouse, [row(1, 0, 0, 10, partition) for partition in range(4)])
    parts = clickhouse.execute(
        "SELECT rows FROM system.parts WHERE database = currentDatabase() AND table = 'ledger' AND active"
    )
    assert parts == [(4,)], "the insert of a batch's ledger rows must be atomic"


def test_taking_over_keeps_exactly_what_is_valid(clickhouse: Client) -> None:
    take_over(clickhouse, STREAM, 3)
    insert_ledger_rows(clickhouse, [row(3, 0, 0, 10)])
    insert_ledger_rows(clickhouse, [row(3, 1, 10, 30)])
    before = take_over(clickhouse, STREAM, 7)
    assert before.keep == {3: batch_id(3, 1), 7: (8 << 40) - 1}
    assert before.frontier == {0: 30}
    insert_ledger_rows(clickhouse, [row(7, 0, 30, 31)])
    state = take_over(clickhouse, STREAM, 8)
    assert state.keep == {3: batch_id(3, 1), 7: batch_id(7, 0), 8: (9 << 40) - 1}
    assert state.keep == read_commit_state(clickhouse, STREAM).keep


def test_a_generation_that_committed_nothing_is_not_kept(clickhouse: Client) -> None:
    for generation in (1, 2, 3):
        state = take_over(clickhouse, STREAM, generation)
    assert state.keep == {3: (4 << 40) - 1}
    insert_ledger_rows(clickhouse, [row(2, 0, 0, 9)])
    assert read_commit_state(clickhouse, STREAM).rows == []


def test_what_a_stale_driver_commits_after_the_takeover_is_void(clickhouse: Client) -> None:
    take_over(clickhouse, STREAM, 1)
    insert_ledger_rows(clickhouse, [row(1, 0, 0, 10)])
    take_over(clickhouse, STREAM, 2)
    insert_ledger_rows(clickhouse, [row(1, 1, 10, 20)])
    insert_ledger_rows(clickhouse, [row(2, 0, 10, 15)])
    state = read_commit_state(clickhouse, STREAM)
    assert [r.batch for r in state.rows] == [batch_id(1, 0), batch_id(2, 0)]
    assert (state.frontier, state.highest_batch) == ({0: 15}, batch_id(2, 0))
    assert take_over(clickhouse, STREAM, 3).keep[1] == batch_id(1, 0), (
        "the void batch must not come back to life"
    )


@pytest.mark.parametrize("generation", [1, 4, 5])
def test_a_generation_that_is_not_above_the_known_ones_is_refused(
    clickhouse: Client, generation: int
) -> None:
    take_over(clickhouse, STREAM, 5)
    with pytest.raises(GenerationError, match=f"claimed generation {generation}, but generation 5"):
        take_over(clickhouse, STREAM, generation)
    assert read_commit_state(clickhouse, STREAM).generation == 5


def test_a_takeover_whose_answer_was_lost_is_recorded_again_and_not_refused(clickhouse: Client) -> None:
    take_over(clickhouse, STREAM, 3)
    insert_ledger_rows(clickhouse, [row(3, 0, 0, 10)])
    planned = plan_takeover(clickhouse, STREAM, 5)
    record_takeover(clickhouse, planned)
    insert_ledger_rows(clickhouse, [row(3, 1, 10, 20)])
    record_takeover(clickhouse, planned)
    state = read_commit_state(clickhouse, STREAM)
    assert (state.generation, state.keep, state.frontier) == (5, planned.keep, {0: 10})
    with pytest.raises(GenerationError):
        plan_takeover(clickhouse, STREAM, 5)


def test_a_ledger_above_the_control_topic_is_refused_before_a_claim(clickhouse: Client) -> None:
    refuse_recreated(clickhouse, STREAM, 0)
    take_over(clickhouse, STREAM, 5)
    refuse_recreated(clickhouse, STREAM, 5)
    with pytest.raises(GenerationError, match="generation 5 is in the ledger"):
        refuse_recreated(clickhouse, STREAM, 4)


def test_a_void_ledger_row_of_a_higher_generation_also_refuses(clickhouse: Client) -> None:
    take_over(clickhouse, STREAM, 2)
    insert_ledger_rows(clickhouse, [row(9, 0, 0, 1)])
    with pytest.raises(GenerationError, match="generation 9"):
        take_over(clickhouse, STREAM, 9)
    assert take_over(clickhouse, STREAM, 10).keep == {10: (11 << 40) - 1}


def test_streams_do_not_see_each_other(clickhouse: Client) -> None:
    take_over(clickhouse, STREAM, 5)
    insert_ledger_rows(clickhouse, [row(5, 0, 0, 10)])
    take_over(clickhouse, "logs", 1)
    insert_ledger_rows(clickhouse, [replace(row(1, 0, 7, 8), stream="logs")])
    assert read_commit_state(clickhouse, "logs").frontier == {0: 8}
    assert read_commit_state(clickhouse, STREAM).frontier == {0: 10}
