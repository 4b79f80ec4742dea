"""Which offsets are read for which hour: pure functions over ledger rows.

A range is always made of whole ledger rows, so that its counts can be held against theirs.
Ranges closer than NEAR_OFFSETS are joined, because a Spark batch read takes one range a
partition: every further range is a further read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from include.reconcile.replays import ByPartition, inside, of_hour
from include.reconcile.types import HOUR, OffsetRange, Replayed, Segment, as_utc, epoch
from include.streaming.ledger import LedgerRow

NEAR_OFFSETS = 50_000
MOST_READS = 8
HOUR_MS = HOUR // timedelta(milliseconds=1)
EMPTY: ByPartition = {}


def first_readable(row: LedgerRow) -> int:
    """Return the first offset of a row that was not lost to expiry."""
    return max(row.start_offset, row.lost_to)


def by_partition(rows: Iterable[LedgerRow]) -> dict[int, list[LedgerRow]]:
    """Return the rows of each partition in offset order; rows that span no offset are left out."""
    grouped: dict[int, list[LedgerRow]] = defaultdict(list)
    for row in rows:
        if row.end_offset > row.start_offset:
            grouped[row.partition].append(row)
    return {p: sorted(grouped[p], key=lambda r: (r.start_offset, r.end_offset)) for p in sorted(grouped)}


def holds_hour(row: LedgerRow, hour: datetime, kafka_range: OffsetRange | None) -> bool:
    """Whether a row may hold records of the hour: by its event hours, its Kafka times, or Kafka's own index."""
    return _holds(row, as_utc(hour), epoch(hour) * 1000, kafka_range)


def _holds(row: LedgerRow, hour: datetime, start_ms: int, kafka_range: OffsetRange | None) -> bool:
    if row.end_offset - row.start_offset > row.non_records and (
        row.kafka_time_min < start_ms + HOUR_MS and row.kafka_time_max >= start_ms
    ):
        return True
    if kafka_range is not None and row.start_offset < kafka_range.end and row.end_offset > kafka_range.start:
        return True
    return any(as_utc(listed) == hour for listed in row.hours)


def join(
    ranges: Iterable[OffsetRange], near: int = NEAR_OFFSETS, most: int = MOST_READS
) -> list[OffsetRange]:
    """Join ranges of a partition that are closer than `near` offsets, then the nearest until `most` are left."""
    grouped: dict[int, list[OffsetRange]] = defaultdict(list)
    for item in sorted(ranges):
        last = grouped[item.partition][-1] if grouped[item.partition] else None
        if last is not None and item.start - last.end < near:
            grouped[item.partition][-1] = OffsetRange(item.partition, last.start, max(last.end, item.end))
        else:
            grouped[item.partition].append(item)
    for joined in grouped.values():
        while len(joined) > most:
            at = min(range(len(joined) - 1), key=lambda i: joined[i + 1].start - joined[i].end)
            joined[at : at + 2] = [OffsetRange(joined[at].partition, joined[at].start, joined[at + 1].end)]
    return [item for partition in sorted(grouped) for item in grouped[partition]]


def hour_ranges(
    rows: dict[int, list[LedgerRow]],
    hour: datetime,
    kafka_ranges: dict[int, OffsetRange],
    replayed: ByPartition = EMPTY,
) -> list[OffsetRange]:
    """Return the joined ranges that the recount of an hour reads; replayed: the stream's replayed dead letters."""
    own = of_hour(replayed, hour)
    start_ms, hour = epoch(hour) * 1000, as_utc(hour)
    needed = [
        OffsetRange(partition, first_readable(row), row.end_offset)
        for partition, ordered in rows.items()
        for row in ordered
        if first_readable(row) < row.end_offset
        and (
            _holds(row, hour, start_ms, kafka_ranges.get(partition))
            or (partition in own and inside(own, _span(row)))
        )
    ]
    return join(needed)


def segments(
    rows: dict[int, list[LedgerRow]],
    ranges: Sequence[Sequence[OffsetRange]],
    replayed: ByPartition = EMPTY,
) -> list[list[Segment]]:
    """Cut each hour's ranges where any other hour's begin or end, so that hours of a run share what is read,
    and where the contract version changes.

    Returns one list of segments for each list of ranges; a segment that several hours need is equal in each.
    """
    changes = {partition: _changes(found) for partition, found in rows.items()}
    cuts: dict[int, set[int]] = defaultdict(set)
    for listed in ranges:
        for item in listed:
            inner = (offset for offset in changes[item.partition] if item.start < offset < item.end)
            cuts[item.partition] |= {item.start, item.end, *inner}
    ordered = {partition: sorted(found) for partition, found in cuts.items()}
    made: dict[OffsetRange, Segment] = {}
    result = []
    for listed in ranges:
        parts = [
            OffsetRange(item.partition, low, high)
            for item in listed
            for low, high in pairwise(ordered[item.partition])
            if item.start <= low and high <= item.end
        ]
        for part in parts:
            if part not in made:
                made[part] = _segment(rows[part.partition], part, inside(replayed, part))
        result.append([made[part] for part in parts])
    return result


def _span(row: LedgerRow) -> OffsetRange:
    return OffsetRange(row.partition, row.start_offset, row.end_offset)


def _changes(ordered: list[LedgerRow]) -> list[int]:
    """Return the offsets where rows of another contract version begin."""
    return [
        row.start_offset
        for before, row in pairwise(ordered)
        if row.contract_version != before.contract_version
    ]


def _segment(ordered: list[LedgerRow], part: OffsetRange, replayed: tuple[Replayed, ...]) -> Segment:
    first = bisect_left(ordered, part.start, key=first_readable)
    own = []
    for row in ordered[first:]:
        if row.start_offset >= part.end:
            break
        own.append(row)
    hours: dict[int, int] = defaultdict(int)
    for row in own:
        for hour, events in zip(row.hours, row.hour_events, strict=True):
            hours[epoch(hour)] += events
    return Segment(
        range=part,
        accepted=sum(row.accepted for row in own),
        rejected=sum(row.rejected for row in own),
        late=sum(row.late for row in own),
        non_records=sum(row.non_records for row in own),
        hours=dict(sorted(hours.items())),
        contract_version=own[0].contract_version if own else 0,
        replayed=replayed,
    )
