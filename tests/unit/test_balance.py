"""The balance fails when ledger and log disagree on non-records, and says when counted records are gone."""

from __future__ import annotations

from dataclasses import replace

from include.reconcile.balance import SegmentRead, balances, findings, vanished
from include.reconcile.types import OffsetRange, Replayed, Segment

HOUR = 1_765_846_800
SEGMENT = Segment(
    OffsetRange(3, 100, 120), accepted=12, rejected=3, late=0, non_records=5, hours={HOUR: 10, 0: 2}
)
READ = SegmentRead(SEGMENT, 15, {HOUR: (10, 9), 0: (2, 2)}, 0, {}, {"schema": 3})


def test_offsets_of_every_class_add_up_and_equal_the_ledger() -> None:
    (balance,) = balances(HOUR, [READ])
    assert balance.holds
    assert findings(READ) == []
    assert vanished([READ]) == []
    assert (balance.offsets, balance.this_hour, balance.other_hours, balance.rejected) == (20, 10, 2, 3)
    assert (balance.non_records, balance.ledger_non_records, balance.duplicates) == (5, 5, 1)


def test_a_ledger_with_other_non_records_breaks_the_balance() -> None:
    for said in (4, 6):
        (balance,) = balances(HOUR, [replace(READ, segment=replace(SEGMENT, non_records=said))])
        assert not balance.holds, f"5 non-records in the log, {said} in the ledger: {balance}"


def test_fewer_records_than_the_ledger_counted_are_gone_and_more_are_not() -> None:
    fewer = replace(READ, records=13, hours={HOUR: (8, 8), 0: (2, 2)})
    assert vanished([READ, fewer]) == [
        "partition 3: 2 of the records that the ledger counted in offsets 100 to 120 are gone"
    ]
    assert vanished([replace(READ, records=16, rejected={"schema": 4})]) == []


def test_each_part_of_a_balance_can_break_it() -> None:
    broken = {
        "one record of this hour is lost": {"hours": {HOUR: (9, 8), 0: (2, 2)}},
        "one record of another hour is there twice": {"hours": {HOUR: (10, 9), 0: (3, 3)}},
        "one reject is lost": {"rejected": {"schema": 2}},
        "one record more was read": {"records": 16},
        "more was read than there are offsets": {"records": 21, "rejected": {"schema": 9}},
        "one is lost and another there twice": {"each_once": False},
    }
    for what, change in broken.items():
        (balance,) = balances(HOUR, [replace(READ, **change)])  # type: ignore[arg-type]
        assert (balance.is_whole, balance.holds) == (False, False), f"{what}: {balance}"


REPLAYS = (Replayed(101, HOUR, 9, 2), Replayed(102, 0, 9, 2))
AGAIN = replace(
    READ,
    segment=replace(SEGMENT, replayed=REPLAYS),
    rejected={"schema": 1},
    replayed={HOUR: (1, 1), 0: (1, 1)},
)


def test_a_replayed_record_is_rejected_in_its_rows_and_an_event_in_the_balance() -> None:
    (balance,) = balances(HOUR, [AGAIN])
    assert balance.holds
    assert findings(AGAIN) == []
    assert (balance.this_hour, balance.other_hours, balance.rejected) == (11, 3, 1)


def test_a_replayed_record_that_is_rejected_again_or_is_of_another_hour_is_a_finding() -> None:
    refused = replace(AGAIN, replayed={HOUR: (1, 1)}, refused={"schema": 1})
    (balance,) = balances(HOUR, [refused])
    assert (balance.holds, balance.rejected) == (True, 2)
    assert "1 of 2 dead letters" in findings(refused)[0]
    assert "rejected: {'schema': 1}" in findings(refused)[0]
    assert "1 of 2 dead letters" in findings(replace(AGAIN, replayed={HOUR: (2, 2)}))[0]
