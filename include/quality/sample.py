"""Which records of an hour are sampled: short runs of offsets, spread over the hour in each partition. Pure.

The choice depends on the ranges and the hour alone, so the same hour gives the same sample until its
certificate changes. A run of neighbours costs one seek; as many single records would cost one each.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import zip_longest

from include.reconcile.ranges import join
from include.reconcile.types import OffsetRange

MOST_RECORDS = 2_000
RUN_OFFSETS = 50
UNLIMITED = 2**63


def plan_sample(ranges: Sequence[OffsetRange], seed: str) -> list[OffsetRange]:
    """Return disjoint runs within the ranges, at most MOST_RECORDS offsets in all, first runs of each partition first.

    Each partition has an equal share; one with fewer offsets is taken whole. Else it is cut into as many strata of
    equal size as it has runs, and the seed says where in its stratum a run begins.
    """
    merged = join(ranges, near=1, most=UNLIMITED)
    partitions = sorted({item.partition for item in merged})[:MOST_RECORDS]
    share = MOST_RECORDS // max(1, len(partitions))
    planned = [
        _of_partition([item for item in merged if item.partition == partition], share, f"{seed}/{partition}")
        for partition in partitions
    ]
    return [run for together in zip_longest(*planned) for run in together if run is not None]


def _of_partition(ranges: list[OffsetRange], share: int, seed: str) -> list[OffsetRange]:
    total = sum(item.offsets for item in ranges)
    if total <= share:
        return [piece for item in ranges for piece in _pieces(item)]
    runs = -(-share // RUN_OFFSETS)
    length = share // runs
    chance = random.Random(seed)  # a text seeds it alike in every process
    found: list[OffsetRange] = []
    for run in range(runs):
        low, high = run * total // runs, (run + 1) * total // runs
        start = low + chance.randrange(high - low - length + 1)
        found += _place(ranges, start, start + length)
    return found


def _pieces(item: OffsetRange) -> list[OffsetRange]:
    starts = range(item.start, item.end, RUN_OFFSETS)
    return [OffsetRange(item.partition, start, min(start + RUN_OFFSETS, item.end)) for start in starts]


def _place(ranges: list[OffsetRange], start: int, end: int) -> list[OffsetRange]:
    """Return the offsets from the start-th to the end-th of the ranges, counted as if they were one."""
    found, before = [], 0
    for item in ranges:
        low, high = max(start - before, 0), min(end - before, item.offsets)
        if low < high:
            found.append(OffsetRange(item.partition, item.start + low, item.start + high))
        before += item.offsets
    return found
