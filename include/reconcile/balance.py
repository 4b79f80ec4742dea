"""Holds what was read against the ledger: balances of each partition, and findings where they disagree. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import xor

from include.reconcile.delivered import Delivered
from include.reconcile.measure import SegmentCount
from include.reconcile.ranges import join
from include.reconcile.types import OffsetRange, PartitionBalance, Segment


@dataclass(frozen=True)
class SegmentRead:
    """What the recount found in a segment; hours: epoch second -> (events, copies counted once).

    records: those that Kafka delivered, counted before any was judged; each_once: whether it is these that were judged,
    and none of them twice.
    replayed: the same of the dead letters that are listed as replayed, which nothing else here counts but late_by_hour.
    refused: those of them that the contract version of their replay rejects, by reason.
    """

    segment: Segment
    records: int
    hours: dict[int, tuple[int, int]]
    late: int
    late_by_hour: dict[int, int]
    rejected: dict[str, int]
    replayed: dict[int, tuple[int, int]] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    each_once: bool = True

    @property
    def accepted(self) -> int:
        """Events of all hours, without replayed ones."""
        return sum(events for events, _ in self.hours.values())

    @property
    def dead_letters(self) -> int:
        """Records that the segment's own ledger rows rejected: those that were replayed later among them."""
        replayed = sum(events for events, _ in self.replayed.values())
        return sum(self.rejected.values()) + replayed + sum(self.refused.values())

    @property
    def non_records(self) -> int:
        """Offsets that delivered nothing; negative if more was read than there are offsets."""
        return self.segment.range.offsets - self.records


def by_segment(
    segments: Sequence[Segment], delivered: Sequence[Delivered], counts: Sequence[SegmentCount]
) -> dict[OffsetRange, SegmentRead]:
    """Return what was read of each segment and what became of it, those that delivered nothing included.

    A record with neither an hour nor a reason was not judged, and is in no class.
    """
    read = {item.segment: item for item in delivered}
    found: dict[int, list[SegmentCount]] = defaultdict(list)
    for count in counts:
        found[count.segment].append(count)
    result = {}
    for index, segment in enumerate(segments):
        hours: dict[int, tuple[int, int]] = {}
        late: Counter[int] = Counter()
        replayed: dict[int, tuple[int, int]] = {}
        rejected: Counter[str] = Counter()
        refused: Counter[str] = Counter()
        own_late = 0
        for count in found[index]:
            if count.reason is not None:
                (refused if count.replayed else rejected)[count.reason] += count.records
                continue
            if count.hour is None:
                continue
            (replayed if count.replayed else hours)[count.hour] = (count.records, count.once)
            late[count.hour] += count.late
            own_late += 0 if count.replayed else count.late
        before = read.get(index, Delivered(index, 0, 0))
        judged = reduce(xor, (count.places for count in found[index]), 0)
        result[segment.range] = SegmentRead(
            *(segment, before.records, hours, own_late, dict(late), dict(rejected), replayed, dict(refused)),
            each_once=judged == before.places,
        )
    return result


def findings(read: SegmentRead) -> list[str]:
    """Return a sentence for each figure in which the ledger and the raw records of a segment disagree."""
    ledger = read.segment
    pairs = {
        "accepted": (ledger.accepted, read.accepted),
        "rejected": (ledger.rejected, read.dead_letters),
        "late": (ledger.late, read.late),
        "non-records": (ledger.non_records, read.non_records),
    }
    wrong = [
        f"{name} {said} in the ledger, {is_} in the log" for name, (said, is_) in pairs.items() if said != is_
    ]
    actual = {hour: events for hour, (events, _) in read.hours.items() if events}
    said = {hour: events for hour, events in ledger.hours.items() if events}
    if actual != said:
        off = sorted(hour for hour in actual.keys() | said.keys() if actual.get(hour, 0) != said.get(hour, 0))
        wrong.append(f"{len(off)} event hours have other counts than the ledger lists")
    where = f"in partition {ledger.range.partition}, offsets {ledger.range.start} to {ledger.range.end}"
    sentences = [f"mislabel {where}: {', '.join(wrong)}"] if wrong else []
    listed = Counter(item.hour for item in ledger.replayed)
    unfit = listed - Counter({hour: events for hour, (events, _) in read.replayed.items()})
    if unfit:
        sentences.append(
            f"replay {where}: {unfit.total()} of {listed.total()} dead letters that were folded are no events of the "
            f"hours that the ledger lists; rejected: {dict(sorted(read.refused.items())) or 'none'}"
        )
    return sentences


def vanished(reads: Sequence[SegmentRead]) -> list[str]:
    """Return a sentence for each segment that delivers fewer records than the ledger counted in it."""
    return [
        f"partition {read.segment.range.partition}: {read.non_records - read.segment.non_records} of the records "
        f"that the ledger counted in offsets {read.segment.range.start} to {read.segment.range.end} are gone"
        for read in reads
        if read.non_records > read.segment.non_records
    ]


def balances(hour: int, reads: Sequence[SegmentRead]) -> tuple[PartitionBalance, ...]:
    """Return the balance of an hour (epoch second) over the segments that it needs, by partition."""
    grouped: dict[int, list[SegmentRead]] = defaultdict(list)
    for read in reads:
        grouped[read.segment.range.partition].append(read)
    return tuple(_balance(partition, hour, grouped[partition]) for partition in sorted(grouped))


def _balance(partition: int, hour: int, reads: list[SegmentRead]) -> PartitionBalance:
    here = [counted.get(hour, (0, 0)) for read in reads for counted in (read.hours, read.replayed)]
    this_hour = sum(events for events, _ in here)
    rejected: Counter[str] = Counter()
    for read in reads:
        rejected.update(read.rejected)
        rejected.update(read.refused)
    replayed = sum(events for read in reads for events, _ in read.replayed.values())
    return PartitionBalance(
        partition=partition,
        ranges=tuple(
            (item.start, item.end) for item in join((r.segment.range for r in reads), near=1, most=len(reads))
        ),
        offsets=sum(read.segment.range.offsets for read in reads),
        this_hour=this_hour,
        other_hours=sum(read.accepted for read in reads) + replayed - this_hour,
        rejected_by_reason=dict(sorted(rejected.items())),
        non_records=sum(read.non_records for read in reads),
        ledger_non_records=sum(read.segment.non_records for read in reads),
        late=sum(read.late_by_hour.get(hour, 0) for read in reads),
        duplicates=this_hour - sum(once for _, once in here),
        each_once=all(read.each_once for read in reads),
    )
