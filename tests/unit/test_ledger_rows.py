"""Ledger rows from offset ranges and what the fold found; which errors are waited out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pyarrow as pa
import pytest
import tenacity.nap
from clickhouse_driver import errors

from include.streaming.commit import ExpiredWhileReadingError, ledger_rows
from include.streaming.ledger import GENERATION_BITS, CommitState, GenerationError, LedgerRow, batch_id
from include.streaming.waiting import insist, passes_with_time
from tests.helpers import KAFKA_MS, Record, ad_events, encoded, folded

HOUR = datetime(2025, 12, 16, 2, tzinfo=UTC)
BATCH = batch_id(7, 0)


def results(*records: Record) -> dict[str, pa.Table]:
    return folded(ad_events(), [[records]])


def test_a_row_says_what_became_of_every_offset() -> None:
    found = results(
        Record(encoded(), 2, 100),
        Record(encoded(timestamp="2025-12-16T01:59:00"), 2, 101, KAFKA_MS),
        Record(b"{", 2, 103),
        Record(encoded(), 2, 105, KAFKA_MS + 5),
    )
    (row,) = ledger_rows(ad_events(), BATCH, {2: (100, 110)}, {2: 0}, found)
    assert row == LedgerRow(
        stream="ad_events",
        batch=BATCH,
        partition=2,
        start_offset=100,
        lost_to=100,
        end_offset=110,
        accepted=3,
        rejected=1,
        late=1,
        non_records=6,
        hours=[HOUR.replace(hour=1), HOUR],
        hour_events=[1, 2],
        hour_first=[101, 100],
        hour_last=[101, 105],
        kafka_time_min=KAFKA_MS,
        kafka_time_max=KAFKA_MS + 5,
        contract_version=ad_events().version,
    )


def test_a_range_that_delivered_nothing_is_all_non_records() -> None:
    (row,) = ledger_rows(ad_events(), BATCH, {0: (5, 9)}, {0: 0}, results())
    assert (row.accepted, row.rejected, row.non_records, row.hours) == (0, 0, 4, [])
    assert (row.kafka_time_min, row.kafka_time_max) == (0, 0)


def test_each_partition_of_the_ranges_has_a_row_in_order() -> None:
    rows = ledger_rows(
        ad_events(), BATCH, {3: (0, 1), 1: (4, 6)}, {1: 0, 3: 0, 2: 0}, results(Record(encoded(), 3, 0))
    )
    assert [(row.partition, row.accepted, row.non_records) for row in rows] == [(1, 0, 2), (3, 1, 0)]


@pytest.mark.parametrize(
    ("log_start", "lost_to", "non_records"),
    [(0, 10, 9), (10, 10, 9), (12, 12, 7), (15, 15, 4), (20, 20, None), (99, 20, None)],
)
def test_offsets_that_expired_unread_are_lost_and_not_non_records(
    log_start: int, lost_to: int, non_records: int | None
) -> None:
    found = results() if non_records is None else results(Record(encoded(), 0, 17))
    (row,) = ledger_rows(ad_events(), BATCH, {0: (10, 20)}, {0: log_start}, found)
    assert (row.lost_to, row.non_records) == (lost_to, non_records or 0)
    assert row.end_offset - row.start_offset == (
        row.lost_to - row.start_offset + row.accepted + row.rejected + row.non_records
    ), f"the offsets do not balance: {row}"


def test_records_read_and_expired_since_are_not_both_lost_and_counted() -> None:
    found = results(Record(encoded(), 0, 11), Record(encoded(), 0, 17))
    with pytest.raises(ExpiredWhileReadingError, match=r"ad-events-0: read from offset 11, .* starts at 12"):
        ledger_rows(ad_events(), BATCH, {0: (10, 20)}, {0: 12}, found)
    ledger_rows(ad_events(), BATCH, {0: (10, 20)}, {0: 11}, found)


def test_batch_ids_are_ordered_by_generation_and_leave_room_for_the_takeover_limit() -> None:
    assert batch_id(1, 0) == (1 << 40) + 1
    assert batch_id(1, 10**9) < batch_id(2, 0)
    assert batch_id(3, 5) >> GENERATION_BITS == 3
    assert batch_id(1, 10**9) <= ((1 + 1) << GENERATION_BITS) - 1


def ledger_row(batch: int, partition: int, start: int, end: int) -> LedgerRow:
    return LedgerRow("ad_events", batch, partition, start, start, end, 0, 0, 0, 0, [], [], [], [], 0, 0, 1)


def test_the_frontier_is_the_highest_end_of_each_partition() -> None:
    rows = [ledger_row(5, 0, 10, 20), ledger_row(6, 0, 0, 9), ledger_row(6, 1, 3, 4)]
    state = CommitState("ad_events", 1, {}, rows)
    assert (state.frontier, state.highest_batch) == ({0: 20, 1: 4}, 6)
    assert CommitState("ad_events", 0, {}, []).highest_batch == 0


def server_error(code: int) -> errors.ServerException:
    return errors.ServerException("refused", code)


@pytest.mark.parametrize(
    "error",
    [
        errors.NetworkError("refused"),
        errors.SocketTimeoutError("slow"),
        errors.UnexpectedPacketFromServerError("cut"),
        EOFError("closed"),
        ConnectionResetError("reset"),
        server_error(252),
        server_error(241),
        server_error(159),
    ],
    ids=repr,
)
def test_an_error_that_passes_with_time_is_waited_out(error: Exception, no_waiting: list[float]) -> None:
    failures = [error] * 3
    done = []

    def action() -> None:
        if failures:
            raise failures.pop()
        done.append(True)

    insist(action, "a write")
    assert (done, len(no_waiting)) == ([True], 3)


@pytest.mark.parametrize(
    "error",
    [
        server_error(60),
        server_error(16),
        server_error(62),
        server_error(516),
        errors.TypeMismatchError("a figure that the column cannot hold"),
        errors.TooLargeStringSize("the same"),
        GenerationError("recreated"),
        KeyError("bug"),
    ],
    ids=repr,
)
def test_an_error_that_cannot_pass_is_raised_at_once(error: Exception, no_waiting: list[float]) -> None:
    def action() -> None:
        raise error

    with pytest.raises(type(error)):
        insist(action, "a write")
    assert no_waiting == []
    assert not passes_with_time(error)


def test_waits_between_attempts_grow_to_ten_seconds(no_waiting: list[float]) -> None:
    failures: list[Callable[[], None]] = [lambda: None] * 12

    def action() -> None:
        if failures:
            failures.pop()
            raise errors.NetworkError("refused")

    insist(action, "a write")
    assert no_waiting[0] == pytest.approx(0.2)
    assert max(no_waiting) == no_waiting[-1] == 10, no_waiting
    assert no_waiting == sorted(no_waiting)


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits that were asked for, in seconds; none is waited."""
    waits: list[float] = []
    monkeypatch.setattr(tenacity.nap.time, "sleep", waits.append)
    return waits
