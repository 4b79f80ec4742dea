"""Which dead letters were folded after all, by which batch: what the ledger rows of a stream list as replayed. Pure.

A dead letter counts once: in the row that first read it it stays `rejected`, and the recount takes it for an
event of the batch that replayed it, under that row's contract version.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from include.reconcile.types import OffsetRange, Replayed, epoch
from include.streaming.ledger import LedgerRow

ByPartition = Mapping[int, Sequence[Replayed]]


def replays(rows: Iterable[LedgerRow]) -> dict[int, list[Replayed]]:
    """Return the replayed records of each partition by offset; one that several batches fold once, by the first."""
    first: dict[tuple[int, int], Replayed] = {}
    for partition, found in _listed(rows):
        known = first.setdefault((partition, found.offset), found)
        if found.batch < known.batch:
            first[partition, found.offset] = found
    grouped: dict[int, list[Replayed]] = defaultdict(list)
    for (partition, _), found in sorted(first.items()):
        grouped[partition].append(found)
    return dict(grouped)


def replay_findings(rows: Iterable[LedgerRow], hour: datetime, since: int) -> list[str]:
    """Return a sentence for each record of an hour that is replayed more than once, the last time after batch `since`."""
    batches: dict[tuple[int, int], list[Replayed]] = defaultdict(list)
    for partition, found in _listed(rows):
        batches[partition, found.offset].append(found)
    return [
        f"replay of partition {partition}, offset {offset} by batches {sorted(item.batch for item in found)}"
        for (partition, offset), found in sorted(batches.items())
        if len(found) > 1
        and max(item.batch for item in found) > since
        and epoch(hour) in {item.hour for item in found}
    ]


def inside(found: ByPartition, span: OffsetRange) -> tuple[Replayed, ...]:
    """Return the replayed records whose offsets are in a range."""
    here = found.get(span.partition, ())
    low = bisect_left(here, span.start, key=lambda item: item.offset)
    high = bisect_left(here, span.end, key=lambda item: item.offset)
    return tuple(here[low:high])


def of_hour(found: ByPartition, hour: datetime) -> dict[int, list[Replayed]]:
    """Return the replayed records that are events of an hour, by partition."""
    own = {
        partition: [item for item in listed if item.hour == epoch(hour)]
        for partition, listed in found.items()
    }
    return {partition: listed for partition, listed in own.items() if listed}


def _listed(rows: Iterable[LedgerRow]) -> Iterable[tuple[int, Replayed]]:
    for row in rows:
        lists = zip(row.replayed_partitions, row.replayed_offsets, row.replayed_hours, strict=True)
        for partition, offset, hour in lists:
            yield partition, Replayed(offset, epoch(hour), row.batch, row.contract_version)
