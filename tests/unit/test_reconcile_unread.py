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


LATEST = BEGAN.committed_at.replace(minute=0) + timedelta(hours=1)  # that a clock may be ahead to


@pytest.mark.parametrize(
    ("hour", "first", "log", "missed"),
    [
        (HOUR, 4000, (4000, 9000), True),  # the log still holds records of the hour below
        (HOUR, 5000, (5000, 9000), True),  # the first that was read is of the hour already
        (HOUR, 5001, (5000, 9000), False),  # an earlier one was read
        (HOUR, None, (5000, 9000), False),  # all that is there is earlier, so what was below is too
        (HOUR, None, (4000, 5000), False),
        (HOUR, None, (5000, 5000), True),  # nothing tells what was below
        (LATEST, None, (5000, 5000), True),
        (LATEST + timedelta(hours=1), None, (5000, 5000), False),
        (LATEST + timedelta(hours=1), 5000, (5000, 9000), False),
    ],
)
def test_an_hour_may_have_missed_what_lies_below(
    hour: datetime, first: int | None, log: tuple[int, int], missed: bool
) -> None:
    assert BEGAN.may_have_missed(hour, first, log, AHEAD) == missed


def test_a_partition_begins_at_its_lowest_row_even_if_that_read_nothing() -> None:
    rows = [row(0, 900, 950, 1), row(0, 900, 900), row(1, 0, 10), row(2, 7, 9)]
    assert [(r.partition, r.start_offset, r.end_offset) for r in first_rows(rows)] == [
        (0, 900, 900),
        (2, 7, 9),
    ]
    committed = {(r.batch, r.partition): HOUR for r in rows}
    assert beginnings(rows, committed) == [Beginning(0, 900, HOUR), Beginning(2, 7, HOUR)]
