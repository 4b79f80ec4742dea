"""Gives each hour of one stream what its recount reads, or the verdict that reading cannot change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from clickhouse_driver import Client

from include.contracts import Contract
from include.reconcile import ranges
from include.reconcile.closing import PartitionPosition, why_open
from include.reconcile.mend import ChainedLedger
from include.reconcile.types import (
    DRIFTED,
    HOUR,
    OPEN,
    UNPROVABLE,
    HourPlan,
    OffsetRange,
    Segment,
    as_utc,
    epoch,
)
from include.settings import Settings
from include.streaming.ledger import LedgerRow
from include.topics.offsets import Offsets
from include.warehouse.sql import read_sql

APPEND_AHEAD_MS = 3_600_000  # Kafka's default for message.timestamp.after.max.ms is above any sane clock


def decided(plan: HourPlan, verdict: str, reason: str) -> HourPlan:
    """Return the plan with a verdict; what was wrong with the ledger comes first in its reason."""
    return replace(plan, verdict=verdict, reason="; ".join([*plan.findings, reason]))


class StreamPlanner:
    """Plans the hours of one stream against one reading of ledger and Kafka."""

    def __init__(self, settings: Settings, client: Client, contract: Contract, ledger: ChainedLedger) -> None:
        self._contract, self._broken = contract, ledger.broken
        self._rows = ranges.by_partition(ledger.state.rows)
        self._now = datetime.now(UTC)
        self._kafka = Offsets(settings, contract.topic.name)
        self._first = self._kafka.starts()
        self._end = self._kafka.ends()
        self._frontier = {p: ledger.state.frontier.get(p, self._first[p]) for p in self._end}
        self._lost = _lost(client, contract, ledger)

    def plan(self, blank: list[HourPlan]) -> list[HourPlan]:
        """Give each hour its segments or its verdict."""
        needed = [ranges.hour_ranges(self._rows, plan.hour, self._kafka_ranges(plan.hour)) for plan in blank]
        decided = [self._decide(plan, found) for plan, found in zip(blank, needed, strict=True)]
        open_ones = [index for index, plan in enumerate(decided) if plan.verdict is None]
        cut = ranges.segments(self._rows, [needed[index] for index in open_ones])
        for index, segments in zip(open_ones, cut, strict=True):
            decided[index] = _with_segments(decided[index], segments)
        return decided

    def _kafka_ranges(self, hour: datetime) -> dict[int, OffsetRange]:
        low, high = self._kafka.at_time(epoch(hour) * 1000), self._kafka.at_time(epoch(hour + HOUR) * 1000)
        found = {}
        for partition in self._end:
            start, end = low[partition], high[partition]
            if start is not None:
                found[partition] = OffsetRange(partition, start, self._end[partition] if end is None else end)
        return found

    def _decide(self, plan: HourPlan, needed: list[OffsetRange]) -> HourPlan:
        lateness = self._contract.lateness_seconds
        after = self._kafka.at_time((epoch(plan.hour + HOUR) + lateness) * 1000)
        positions = [
            PartitionPosition(partition, self._frontier[partition], after[partition], self._end[partition])
            for partition in self._end
        ]
        waiting = why_open(plan.hour, self._now, lateness, positions)
        if waiting:
            return decided(plan, OPEN, waiting)
        if self._broken:
            return decided(plan, DRIFTED, "; ".join(self._broken[:5]))
        gone = self._why_unprovable(plan, needed)
        return decided(plan, UNPROVABLE, gone) if gone else plan

    def _why_unprovable(self, plan: HourPlan, needed: list[OffsetRange]) -> str:
        reasons = []
        for lost, committed in self._lost:
            latest = committed + timedelta(milliseconds=self._ahead_ms(), seconds=self._contract.skew_seconds)
            if plan.hour <= latest:
                reasons.append(
                    f"partition {lost.partition}: offsets {lost.start} to {lost.end} had expired before they were read"
                )
        for item in needed:
            if self._first.get(item.partition, item.end) > item.start:
                reasons.append(
                    f"partition {item.partition}: raw records from offset {item.start} are gone, "
                    f"the log starts at {self._first.get(item.partition, 'no such partition')}"
                )
            versions = {row.contract_version for row in self._inside(item)} - {self._contract.version}
            if versions:
                reasons.append(
                    f"partition {item.partition}: offsets {item.start} to {item.end} were folded under contract "
                    f"version {sorted(versions)}, and only version {self._contract.version} is here"
                )
        return "; ".join(reasons[:5])

    def _ahead_ms(self) -> int:
        return int(self._contract.topic.config.get("message.timestamp.after.max.ms", APPEND_AHEAD_MS))

    def _inside(self, item: OffsetRange) -> list[LedgerRow]:
        return [
            row
            for row in self._rows.get(item.partition, [])
            if row.start_offset < item.end and row.end_offset > item.start
        ]


def _lost(client: Client, contract: Contract, ledger: ChainedLedger) -> list[tuple[OffsetRange, datetime]]:
    """Return the ranges that had expired before they were read, and when their batch was committed."""
    written = client.execute(read_sql("reconcile/lost_until.sql"), {"stream": contract.stream})
    committed = {(batch, partition): as_utc(moment) for batch, partition, _, _, moment in written}
    committed |= {(r.row.batch, r.row.partition): r.committed_at for r in ledger.repairs}
    return [
        (OffsetRange(row.partition, row.start_offset, row.lost_to), committed[row.batch, row.partition])
        for row in ledger.state.rows
        if row.lost_to > row.start_offset
    ]


def _with_segments(plan: HourPlan, segments: Sequence[Segment]) -> HourPlan:
    return replace(plan, segments=tuple(segments))
