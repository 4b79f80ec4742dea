"""Gives each hour of one stream what its recount reads, or the verdict that reading cannot change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from clickhouse_driver import Client

from include.contracts import Contract
from include.reconcile import ranges, store
from include.reconcile.closing import PartitionPosition, beyond_the_log, why_open
from include.reconcile.compare import digest_of
from include.reconcile.judge import ALTERED
from include.reconcile.mend import ChainedLedger
from include.reconcile.replays import inside, replays
from include.reconcile.types import (
    DRIFTED,
    HOUR,
    OPEN,
    UNPROVABLE,
    Certificate,
    HourPlan,
    OffsetRange,
    as_utc,
    epoch,
)
from include.reconcile.unread import beginnings, first_rows
from include.reconcile.versions import KeptContracts, added, unfillable
from include.settings import Settings
from include.streaming.ledger import LedgerRow
from include.topics.offsets import Offsets
from include.warehouse.contract_versions import UnknownContractVersionError
from include.warehouse.sql import read_sql

Committed = Mapping[tuple[int, int], datetime]  # (batch, partition) -> when that row was committed

APPEND_AHEAD_MS = 3_600_000  # Kafka's default for message.timestamp.after.max.ms is above any sane clock


def decided(plan: HourPlan, verdict: str, reason: str) -> HourPlan:
    """Return the plan with a verdict; what was wrong with the ledger comes first in its reason."""
    return replace(plan, verdict=verdict, reason="; ".join([*plan.findings, reason]))


class StreamPlanner:
    """Plans the hours of one stream against one reading of ledger and Kafka."""

    def __init__(self, settings: Settings, client: Client, contract: Contract, ledger: ChainedLedger) -> None:
        self._contract = contract
        self._client = client
        self._kept = KeptContracts(client, contract)
        self._all = ledger.state.rows
        self._versions = {row.contract_version for row in self._all}
        self._replayed = replays(self._all)
        self._rows = ranges.by_partition(self._all)
        self._now = datetime.now(UTC)
        self._kafka = Offsets(settings, contract.topic.name)
        self._first = self._kafka.starts()
        self._end = self._kafka.ends()
        self._frontier = {p: ledger.state.frontier.get(p, self._first[p]) for p in self._end}
        self._broken = [*beyond_the_log(ledger.state.frontier, self._end), *ledger.broken]
        committed = _committed(client, ledger)
        self._lost = _lost(self._all, committed)
        self._beginnings = beginnings(self._all, committed)

    def plan(self, blank: list[HourPlan]) -> list[HourPlan]:
        """Give each hour its segments or its verdict."""
        needed = [
            ranges.hour_ranges(self._rows, plan.hour, self._kafka_ranges(plan.hour), self._replayed)
            for plan in blank
        ]
        decided = [self._decide(plan, found) for plan, found in zip(blank, needed, strict=True)]
        open_ones = [index for index, plan in enumerate(decided) if plan.verdict is None]
        cut = ranges.segments(self._rows, [needed[index] for index in open_ones], self._replayed)
        for index, segments in zip(open_ones, cut, strict=True):
            plan = decided[index]
            decided[index] = replace(plan, segments=tuple(segments), filled=self._filled(plan))
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
        if gone and self._is_altered(plan):
            return decided(plan, DRIFTED, f"{ALTERED}, and cannot be counted again: {gone}")
        return decided(plan, UNPROVABLE, gone) if gone else plan

    def _is_altered(self, plan: HourPlan) -> bool:
        """Say whether the sealed rows of an hour are not those that were certified."""
        base = plan.base
        if base is None or self._unknown(plan.base_contract_version):
            return False
        certified = self._kept.of(plan.base_contract_version)
        return base.digest != digest_of(self._client, certified, plan.hour, base.frontier, base.seal)

    def _why_unprovable(self, plan: HourPlan, needed: list[OffsetRange]) -> str:
        reasons = self._never_read(plan.hour)
        for lost, committed in self._lost:
            if plan.hour <= committed + self._ahead():
                reasons.append(
                    f"partition {lost.partition}: offsets {lost.start} to {lost.end} had expired before they were read"
                )
        for item in needed:
            if self._first.get(item.partition, item.end) > item.start:
                reasons.append(
                    f"partition {item.partition}: raw records from offset {item.start} are gone, "
                    f"the log starts at {self._first.get(item.partition, 'no such partition')}"
                )
        folded = {row.contract_version for item in needed for row in self._inside(item)}
        folded |= {item.contract_version for span in needed for item in inside(self._replayed, span)}
        reasons += self._unfillable(folded)
        if plan.base is not None:
            reasons += self._unknown(plan.base_contract_version)
            reasons += self._sealed_and_gone(plan, plan.base)
        return "; ".join(dict.fromkeys(reasons[:5]))

    def _sealed_and_gone(self, plan: HourPlan, base: Certificate) -> list[str]:
        """Return where raw records that the base certificate counted are gone.

        A ledger that was rebuilt begins where the log begins: by itself it knows nothing of them.
        """
        spans = store.balance_starts(self._client, plan, base)
        return [
            f"partition {partition}: certificate {base.seal} counted records from offset {start}, and the log starts "
            f"at {first}"
            for partition, start in sorted(spans.items())
            if (first := self._first.get(partition, start)) > start
        ]

    def _unfillable(self, versions: set[int]) -> list[str]:
        """Return why records of these versions cannot be counted by the loaded contract's cubes."""
        reasons = []
        for version in sorted(versions - {self._contract.version}):
            unknown = self._unknown(version)
            reasons += unknown or unfillable(self._contract, self._kept.of(version))
        return reasons

    def _unknown(self, version: int) -> list[str]:
        try:
            self._kept.of(version)
        except UnknownContractVersionError as error:
            return [str(error)]
        return []

    def _filled(self, plan: HourPlan) -> tuple[str, ...]:
        """Return what was not folded for all of the hour: in its rows after the base, or in the base."""
        if self._versions | {plan.base_contract_version or self._contract.version} == {
            self._contract.version
        }:
            return ()
        after = plan.base.frontier if plan.base else 0
        versions = {
            row.contract_version
            for row in self._all
            if row.batch > after
            and any(as_utc(hour) == plan.hour for hour in (*row.hours, *row.replayed_hours))
        }
        if plan.base is not None:
            versions.add(plan.base_contract_version)
        names = {name for v in versions for name in added(self._contract, self._kept.of(v))}
        return tuple(sorted(names))

    def _never_read(self, hour: datetime) -> list[str]:
        """Return where records of an hour may lie below the stream's beginning."""
        if not self._beginnings:
            return []
        since = self._kafka.at_time((epoch(hour) - self._contract.skew_seconds) * 1000)
        missed = []
        for begin in self._beginnings:
            log = self._first.get(begin.partition, 0), self._end.get(begin.partition, 0)
            if begin.may_have_missed(hour, since.get(begin.partition), log, self._ahead()):
                missed.append(begin.text())
        return missed

    def _ahead(self) -> timedelta:
        """Return how far an event time may lie beyond the moment of its commit."""
        after = int(self._contract.topic.config.get("message.timestamp.after.max.ms", APPEND_AHEAD_MS))
        return timedelta(milliseconds=after, seconds=self._contract.skew_seconds)

    def _inside(self, item: OffsetRange) -> list[LedgerRow]:
        return [
            row
            for row in self._rows.get(item.partition, [])
            if row.start_offset < item.end and row.end_offset > item.start
        ]


def _lost(rows: Iterable[LedgerRow], committed: Committed) -> list[tuple[OffsetRange, datetime]]:
    """Return the ranges that had expired before they were read, and when their batch was committed."""
    return [
        (OffsetRange(row.partition, row.start_offset, row.lost_to), committed[row.batch, row.partition])
        for row in rows
        if row.lost_to > row.start_offset
    ]


def _committed(client: Client, ledger: ChainedLedger) -> Committed:
    """Return when those rows were committed that tell of offsets which nobody has read."""
    rows = ledger.state.rows
    losing = [row for row in rows if row.lost_to > row.start_offset]
    telling = {row.batch for row in (*losing, *first_rows(rows))}
    if not telling:
        return {}
    values = {"stream": ledger.state.stream, "batches": tuple(sorted(telling))}
    written = client.execute(read_sql("reconcile/committed_at.sql"), values)
    committed = {(batch, partition): as_utc(moment) for batch, partition, moment in written}
    return committed | {(r.row.batch, r.row.partition): r.committed_at for r in ledger.repairs}
