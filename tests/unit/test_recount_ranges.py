"""Which offsets a recount reads, and how its counts are held against the ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from include.reconcile.balance import balances, by_segment, findings
from include.reconcile.delivered import Delivered
from include.reconcile.measure import SegmentCount
from include.reconcile.ranges import by_partition, holds_hour, hour_ranges, join, segments
from include.reconcile.replays import replay_findings, replays
from include.reconcile.types import HOUR, OffsetRange, Replayed, Segment, epoch
from include.streaming.ledger import LedgerRow

H = datetime(2026, 1, 1, 5, tzinfo=UTC)
H_MS = epoch(H) * 1000


def row(
    start: int, end: int, hours: list[datetime], times: tuple[int, int] = (0, 0), **changes: object
) -> LedgerRow:
    size = end - start
    plain = LedgerRow(
        stream="ad_events",
        batch=(1 << 40) + start + 1,
        partition=0,
        start_offset=start,
        lost_to=start,
        end_offset=end,
        accepted=size,
        rejected=0,
        late=0,
        non_records=0,
        hours=hours,
        hour_events=[size // max(len(hours), 1)] * len(hours),
        hour_first=[start] * len(hours),
        hour_last=[end - 1] * len(hours),
        kafka_time_min=times[0],
        kafka_time_max=times[1],
        contract_version=1,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_ranges_join_below_the_limit_and_the_nearest_go_first_beyond_eight() -> None:
    assert join([OffsetRange(0, 0, 10), OffsetRange(0, 50_009, 50_010)]) == [OffsetRange(0, 0, 50_010)]
    apart = [OffsetRange(0, 0, 10), OffsetRange(0, 50_010, 50_020)]
    assert join(apart) == apart
    assert join([OffsetRange(0, 0, 10), OffsetRange(1, 10, 20)]) == [
        OffsetRange(0, 0, 10),
        OffsetRange(1, 10, 20),
    ]
    starts = [0, 100, 210, 300, 400, 500, 600, 700, 800, 900]
    joined = join([OffsetRange(0, start, start + 10) for start in starts], near=1)
    assert len(joined) == 8
    assert joined[:2] == [OffsetRange(0, 0, 110), OffsetRange(0, 210, 310)], "the nearest first"


def test_a_row_holds_an_hour_by_its_list_by_its_kafka_times_or_by_kafkas_index() -> None:
    assert holds_hour(row(0, 10, [H]), H, None)
    assert not holds_hour(row(0, 10, [H + HOUR]), H, None)
    assert holds_hour(row(0, 10, [], (H_MS - 5, H_MS)), H, None)
    assert not holds_hour(row(0, 10, [], (H_MS - 5, H_MS - 1)), H, None)
    assert not holds_hour(row(0, 10, [], (H_MS + 3_600_000, H_MS + 3_600_001)), H, None)
    assert holds_hour(row(0, 10, []), H, OffsetRange(0, 9, 20))
    assert not holds_hour(row(0, 10, []), H, OffsetRange(0, 10, 20))


def test_reading_begins_after_what_expired() -> None:
    rows = by_partition([row(0, 10, [H], lost_to=4, accepted=6, hour_events=[6])])
    ranges = hour_ranges(rows, H, {})
    assert ranges == [OffsetRange(0, 4, 10)]
    assert segments(rows, [ranges])[0][0].accepted == 6


def test_hours_share_segments_and_a_segment_sums_whole_rows() -> None:
    rows = by_partition([row(0, 10, [H]), row(10, 20, [H, H + HOUR]), row(20, 30, [H + HOUR])])
    ranges = [hour_ranges(rows, hour, {}) for hour in (H, H + HOUR)]
    first, second = segments(rows, ranges)
    assert [s.range for s in first] == [OffsetRange(0, 0, 10), OffsetRange(0, 10, 20)]
    assert [s.range for s in second] == [OffsetRange(0, 10, 20), OffsetRange(0, 20, 30)]
    assert first[1] == second[0]
    assert first[1].hours == {epoch(H): 5, epoch(H + HOUR): 5}


SEGMENT = Segment(
    OffsetRange(0, 0, 10), accepted=7, rejected=2, late=1, non_records=1, hours={epoch(H): 5, 0: 2}
)
COUNTS = [
    SegmentCount(0, None, epoch(H), records=5, once=4, late=1, places=3),
    SegmentCount(0, None, 0, records=2, once=2, late=0, places=5),
    SegmentCount(0, "schema", None, records=2, once=2, late=0, places=9),
]
READ = [Delivered(0, records=9, places=3 ^ 5 ^ 9)]


def test_a_segment_that_agrees_with_the_ledger_has_no_finding_and_balances() -> None:
    read = by_segment([SEGMENT], READ, COUNTS)[SEGMENT.range]
    assert findings(read) == []
    balance = balances(epoch(H), [read])[0]
    assert balance.holds
    assert (balance.this_hour, balance.other_hours, balance.rejected, balance.non_records) == (5, 2, 2, 1)
    assert (balance.late, balance.duplicates) == (1, 1)


def test_each_figure_that_disagrees_with_the_ledger_is_a_finding() -> None:
    for name in ("accepted", "rejected", "late", "non_records"):
        wrong = replace(SEGMENT, **{name: 99})
        assert "99 in the ledger" in findings(by_segment([wrong], READ, COUNTS)[wrong.range])[0]
    moved = replace(SEGMENT, hours={epoch(H): 4, 0: 3})
    assert "2 event hours have other counts" in findings(by_segment([moved], READ, COUNTS)[moved.range])[0]


def test_records_that_were_read_and_judged_otherwise_than_once_break_the_balance() -> None:
    another = [replace(COUNTS[0], places=1), *COUNTS[1:]]
    unjudged = [*COUNTS[:2], replace(COUNTS[2], reason=None)]
    for counts in (another, unjudged, COUNTS[:2], [*COUNTS, COUNTS[2]]):
        read = by_segment([SEGMENT], READ, counts)[SEGMENT.range]
        assert read.non_records == 1, "counted before any record is judged"
        (balance,) = balances(epoch(H), [read])
        assert not balance.holds, balance


def test_a_segment_that_delivered_nothing_is_all_non_records() -> None:
    empty = Segment(OffsetRange(0, 5, 9), 0, 0, 0, 4, {})
    read = by_segment([empty], [], [])[empty.range]
    assert findings(read) == []
    assert read.non_records == 4


def test_an_hour_of_a_late_batch_is_read_where_kafka_times_say_so() -> None:
    late = row(0, 10, [], (H_MS + 10, H_MS + 20), accepted=0, rejected=10)
    assert hour_ranges(by_partition([late]), H, {}) == [OffsetRange(0, 0, 10)]
    assert hour_ranges(by_partition([late]), H + timedelta(hours=3), {}) == []


def test_a_segment_ends_where_the_contract_version_changes() -> None:
    rows = by_partition([row(0, 10, [H]), row(10, 20, [H], contract_version=2), row(20, 30, [H])])
    (found,) = segments(rows, [hour_ranges(rows, H, {})])
    assert [(s.range.start, s.contract_version) for s in found] == [(0, 1), (10, 2), (20, 1)]


def test_a_row_with_a_replayed_record_of_the_hour_is_read_and_its_segment_names_the_record() -> None:
    other = [row(0, 10, [H + HOUR], rejected=1), row(10, 20, [H + HOUR])]
    batch = replace(
        row(20, 30, [H + HOUR]),
        replayed_partitions=[0, 0],
        replayed_offsets=[4, 14],
        replayed_hours=[H, H + HOUR],
    )
    rows, replayed = by_partition([*other, batch]), replays([*other, batch])
    assert hour_ranges(rows, H, {}) == []
    ranges = hour_ranges(rows, H, {}, replayed)
    assert ranges == [OffsetRange(0, 0, 10)]
    ((segment,),) = segments(rows, [ranges], replayed)
    assert segment.replayed == (Replayed(4, epoch(H), batch.batch, 1),)


def test_a_record_that_two_batches_replay_is_a_finding_of_its_hour_until_it_is_certified() -> None:
    lists = {"replayed_partitions": [0], "replayed_offsets": [4], "replayed_hours": [H]}
    rows = [row(10, 20, [H], **lists), row(20, 30, [H], **lists)]
    assert replays(rows)[0][0].batch == rows[0].batch, "the first counts"
    assert replay_findings(rows[:1], H, 0) == []
    assert len(replay_findings(rows, H, rows[0].batch)) == 1
    assert replay_findings(rows, H, rows[1].batch) == []
    assert replay_findings(rows, H + HOUR, 0) == []
