"""When an hour is closed, and which hours a run takes up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from include.reconcile.closing import PartitionPosition, beyond_the_log, closes_at, why_open
from include.reconcile.hours import (
    MOST_HOURS,
    MOST_RANGE,
    StreamHistory,
    asked_hours,
    due_hours,
    first_part,
    needs_judgement,
)
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


def test_what_was_folded_beyond_the_end_of_the_log_is_named() -> None:
    assert beyond_the_log({0: 10, 1: 0}, {0: 10, 1: 5, 2: 9}) == []
    (cut,) = beyond_the_log({0: 11, 1: 5}, {0: 10, 1: 5})
    assert "partition 0 is folded to offset 11, and the log ends at 10" in cut
    (gone,) = beyond_the_log({0: 1, 1: 5}, {0: 10})
    assert "partition 1 is folded to offset 5, and the log ends at no offset" in gone


def test_hours_without_a_certificate_are_due_gaps_included() -> None:
    assert due_hours(history(), NOW, LATENESS) == [HOUR + 2 * ONE]
    assert due_hours(history(certificates={}), NOW, LATENESS) == [HOUR, HOUR + ONE, HOUR + 2 * ONE]
    assert due_hours(history(first=None), NOW, LATENESS) == []


def test_an_hour_that_somebody_named_before_the_first_makes_no_others_due() -> None:
    long_ago = HOUR - 700 * ONE
    certificates = {long_ago: Certificate(100, 0, ""), **history().certificates}
    named = history(certificates=certificates)
    assert due_hours(named, NOW, LATENESS) == [HOUR + 2 * ONE]
    assert long_ago in due_hours(replace(named, later={long_ago: 101}), NOW, LATENESS)


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


def test_an_hour_whose_repair_waits_for_a_person_is_left_alone() -> None:
    drifted = history(certificates={}, last_verdicts={HOUR: "DRIFTED"})
    assert HOUR in due_hours(drifted, NOW, LATENESS)
    assert HOUR not in due_hours(replace(drifted, waiting=frozenset([HOUR])), NOW, LATENESS)


@pytest.mark.parametrize(
    ("age_hours", "sealed_hours_ago", "due"),
    [(20, 1, True), (40, 1, False), (40, 23, False), (40, 24, True), (23.9, 0.1, True), (24, 0.1, False)],
)
def test_late_events_seal_an_aged_hour_again_once_a_day(
    age_hours: float, sealed_hours_ago: float, due: bool
) -> None:
    now = HOUR + ONE + timedelta(hours=age_hours)
    sealed = {HOUR: now - timedelta(hours=sealed_hours_ago)}
    found = history(later={HOUR: 101}, certified_at=sealed)
    assert needs_judgement(HOUR, found, now) == due
    assert needs_judgement(HOUR, found, now, asked=True), "who asks for an hour does not wait a day"


def test_an_altered_seal_of_an_aged_hour_is_not_left_for_a_day() -> None:
    now = HOUR + 40 * ONE
    altered = history(digests={(HOUR, 100, 1): "x"}, certified_at={HOUR: now - ONE})
    assert needs_judgement(HOUR, altered, now)
    assert needs_judgement(HOUR, history(mended={HOUR: 2}, certified_at={HOUR: now - ONE}), now)


def test_late_events_that_cannot_be_proved_are_looked_at_once() -> None:
    unprovable = history(later={HOUR: 101}, last_verdicts={HOUR: "UNPROVABLE"})
    assert needs_judgement(HOUR, unprovable, NOW)
    assert not needs_judgement(HOUR, replace(unprovable, unproved={HOUR: 101}), NOW)
    assert needs_judgement(HOUR, replace(unprovable, unproved={HOUR: 101}, later={HOUR: 102}), NOW)
    assert not needs_judgement(HOUR, replace(unprovable, later={}, mended={HOUR: 2}), NOW)


def test_an_altered_seal_is_due_though_the_hour_cannot_be_proved_again() -> None:
    unprovable = history(last_verdicts={HOUR: "UNPROVABLE"})
    assert not needs_judgement(HOUR, unprovable, NOW)
    assert needs_judgement(HOUR, replace(unprovable, digests={(HOUR, 100, 1): "x"}), NOW)
    older = replace(unprovable, digests={(HOUR, 100, 1): "x"}, digests_from=HOUR + ONE)
    assert not needs_judgement(HOUR, older, NOW), "seals of older hours are not looked at each hour"


def test_a_long_range_is_taken_in_parts_that_end() -> None:
    start, end = HOUR, HOUR + 60 * ONE
    parts = []
    following: datetime | None = start
    while following is not None:
        begins = following
        last, following = first_part(begins, end)
        parts.append((last - begins) // ONE + 1)
    assert parts == [24, 24, 13]
    assert first_part(HOUR, HOUR) == (HOUR, None)
    assert first_part(HOUR, HOUR + 23 * ONE) == (HOUR + 23 * ONE, None)
    for wrong in (HOUR - ONE, HOUR + MOST_RANGE):
        with pytest.raises(ValueError, match="1 to 744 hours"):
            first_part(HOUR, wrong)
