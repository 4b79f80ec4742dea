"""When an hour is closed, and which hours a run takes up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from include.reconcile.closing import PartitionPosition, closes_at, why_open
from include.reconcile.hours import MOST_HOURS, StreamHistory, asked_hours, due_hours
from include.reconcile.types import Certificate

HOUR = datetime(2026, 1, 1, 5, tzinfo=UTC)
ONE = timedelta(hours=1)
LATENESS = 60
CLOSING = HOUR + ONE + timedelta(seconds=LATENESS + 60)


def test_an_hour_is_open_until_its_end_plus_lateness_plus_a_minute() -> None:
    assert closes_at(HOUR, LATENESS) == CLOSING
    assert why_open(HOUR, CLOSING - timedelta(seconds=1), LATENESS, []) == "closes at 2026-01-01T06:02:00Z"
    assert why_open(HOUR, CLOSING, LATENESS, []) is None


@pytest.mark.parametrize(
    ("position", "closed"),
    [
        (PartitionPosition(0, frontier=10, first_after=10, end=99), True),
        (PartitionPosition(0, frontier=9, first_after=10, end=99), False),
        (PartitionPosition(0, frontier=10, first_after=None, end=10), True),
        (PartitionPosition(0, frontier=9, first_after=None, end=10), False),
        (PartitionPosition(0, frontier=0, first_after=None, end=0), True),
    ],
)
def test_each_partition_must_be_folded_past_the_hour(position: PartitionPosition, closed: bool) -> None:
    reason = why_open(HOUR, CLOSING, LATENESS, [PartitionPosition(1, 5, 5, 5), position])
    assert (reason is None) == closed, reason


def history(**changes: object) -> StreamHistory:
    base = {
        "first": HOUR,
        "certificates": {HOUR: Certificate(100, 1, "d"), HOUR + ONE: Certificate(100, 2, "d")},
        "later": {HOUR: 90, HOUR + ONE: 100},
        "digests": {(HOUR, 100, 1): "d", (HOUR + ONE, 100, 2): "d"},
        "digests_from": HOUR,
        "last_verdicts": {},
    }
    return StreamHistory(**{**base, **changes})  # type: ignore[arg-type]


NOW = CLOSING + 2 * ONE


def test_hours_without_a_certificate_are_due_gaps_included() -> None:
    assert due_hours(history(), NOW, LATENESS) == [HOUR + 2 * ONE]
    assert due_hours(history(certificates={}), NOW, LATENESS) == [HOUR, HOUR + ONE, HOUR + 2 * ONE]
    assert due_hours(history(first=None), NOW, LATENESS) == []


def test_a_certified_hour_is_due_when_a_later_batch_or_other_rows_are_there() -> None:
    assert HOUR in due_hours(history(later={HOUR: 101}), NOW, LATENESS)
    assert HOUR in due_hours(history(digests={(HOUR, 100, 1): "x", (HOUR + ONE, 100, 2): "d"}), NOW, LATENESS)
    assert HOUR in due_hours(history(digests={(HOUR + ONE, 100, 2): "d"}), NOW, LATENESS)


def test_a_certified_hour_is_due_when_its_ledger_rows_were_mended_since() -> None:
    assert HOUR not in due_hours(history(mended={HOUR: 1}), NOW, LATENESS), (
        "seal 1 has taken repair 1 into account"
    )
    assert HOUR in due_hours(history(mended={HOUR: 2}), NOW, LATENESS)


def test_an_empty_certified_hour_without_rows_is_not_due() -> None:
    empty = history(certificates={HOUR: Certificate(100, 1, ""), HOUR + ONE: Certificate(100, 2, "d")})
    assert HOUR in due_hours(empty, NOW, LATENESS), "rows appeared in an hour that was certified empty"
    assert HOUR not in due_hours(history(certificates=empty.certificates, digests={}), NOW, LATENESS)


def test_hours_that_failed_before_do_not_hold_up_new_ones_and_the_unprovable_are_left() -> None:
    many = HOUR + ONE * (MOST_HOURS + 5)
    failed = {HOUR + ONE * n: "DRIFTED" for n in range(10)} | {HOUR + ONE * 10: "UNPROVABLE"}
    due = due_hours(history(certificates={}, last_verdicts=failed), closes_at(many, LATENESS), LATENESS)
    assert len(due) == MOST_HOURS
    assert many in due
    assert HOUR + ONE * 10 not in due


def test_a_range_that_is_asked_for_is_bounded() -> None:
    assert asked_hours(HOUR, HOUR + ONE) == [HOUR, HOUR + ONE]
    with pytest.raises(ValueError, match="25 hours"):
        asked_hours(HOUR, HOUR + 24 * ONE)
    with pytest.raises(ValueError, match="0 hours"):
        asked_hours(HOUR, HOUR - ONE)
