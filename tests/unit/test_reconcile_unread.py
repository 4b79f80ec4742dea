"""An hour that may have records below the stream's beginning is told from one that cannot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from include.reconcile.unread import Beginning, beginnings, first_rows
from include.streaming.ledger import LedgerRow, batch_id

HOUR = datetime(2026, 3, 1, 5, tzinfo=UTC)
AHEAD = timedelta(hours=1, seconds=60)
BEGAN = Beginning(0, 5000, HOUR + timedelta(hours=3, minutes=10))


def row(partition: int, start: int, end: int, number: int = 0) -> LedgerRow:
    return LedgerRow(
        *("ad_events", batch_id(1, number), partition, start, start, end, end - start, 0, 0, 0),
        *([], [], [], [], 0, 0, 1),
    )


@pytest.mark.parametrize(
    ("hour", "first", "missed"),
    [
        (HOUR, 4000, True),  # the log still holds records of the hour below
        (HOUR, 5000, True),  # the first that was read is of the hour already
        (HOUR, 5001, False),  # an earlier one was read
        (HOUR, None, True),  # nothing in the log tells what was below
        (BEGAN.committed_at.replace(minute=0) + timedelta(hours=1), None, True),  # a clock that is ahead
        (BEGAN.committed_at.replace(minute=0) + timedelta(hours=2), None, False),  # nobody's clock is
        (BEGAN.committed_at.replace(minute=0) + timedelta(hours=2), 5000, False),
    ],
)
def test_an_hour_may_have_missed_what_lies_below(hour: datetime, first: int | None, missed: bool) -> None:
    assert BEGAN.may_have_missed(hour, first, AHEAD) == missed


def test_a_partition_begins_at_its_lowest_row_even_if_that_read_nothing() -> None:
    rows = [row(0, 900, 950, 1), row(0, 900, 900), row(1, 0, 10), row(2, 7, 9)]
    assert [(r.partition, r.start_offset, r.end_offset) for r in first_rows(rows)] == [
        (0, 900, 900),
        (2, 7, 9),
    ]
    committed = {(r.batch, r.partition): HOUR for r in rows}
    assert beginnings(rows, committed) == [Beginning(0, 900, HOUR), Beginning(2, 7, HOUR)]
