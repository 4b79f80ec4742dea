"""Plans a run: draws seals, reads the ledger as the driver does, and says for each hour what is to be read.

The order of reads is the protocol's: seal number, takeover rows and ledger, base certificate,
and only then the newest claim, which must be the generation that the ledger knows.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from clickhouse_driver import Client

from include.contracts import Contract, load_contract
from include.reconcile import compare, ranges, store
from include.reconcile.closing import PartitionPosition, why_open
from include.reconcile.hours import StreamHistory, asked_hours, due_hours
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
from include.streaming.control import draw_seal, newest_claim
from include.streaming.ledger import GENERATION_BITS, CommitState, LedgerRow, read_commit_state
from include.topics.offsets import Offsets
from include.warehouse.client import connect
from include.warehouse.sql import read_sql

log = logging.getLogger(__name__)

DIGEST_DAYS = 7  # raw records older than that are gone, so a damaged seal could not be proved again
APPEND_AHEAD_MS = 3_600_000  # Kafka's default for message.timestamp.after.max.ms is above any sane clock


def make_plans(
    settings: Settings,
    streams: Sequence[str],
    start: datetime | None,
    end: datetime | None,
    repair: str,
    load: Callable[[str], Contract] = load_contract,
) -> tuple[str, list[HourPlan]]:
    """Plan and record a run; return its id and the plans. Hours named by `start` and `end` are always taken up.

    Raises:
        ValueError: the range is empty or too long.
        ReconcileError: a topic does not exist.
    """
    run = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    client = connect(settings)
    try:
        plans: list[HourPlan] = []
        for stream in streams:
            plans += _plan_stream(settings, client, run, load(stream), start, end, repair)
        store.write_plans(client, plans)
    finally:
        client.disconnect()
    return run, plans


def _plan_stream(
    settings: Settings,
    client: Client,
    run: str,
    contract: Contract,
    start: datetime | None,
    end: datetime | None,
    repair: str,
) -> list[HourPlan]:
    stream = contract.stream
    first, last = start or end, end or start
    if first is None or last is None:
        hours = due_hours(read_history(client, contract), datetime.now(UTC), contract.lateness_seconds)
    else:
        hours = asked_hours(_whole(first), _whole(last))
    if not hours:
        log.info("%s: no closed hour needs a judgement", stream)
        return []
    seals = {hour: draw_seal(settings, stream, hour) for hour in hours}
    state = read_commit_state(client, stream)
    frontier = max(state.generation << GENERATION_BITS, state.highest_batch)
    bases = store.certificates(client, stream, hours[0], hours[-1] + HOUR)
    claimed = newest_claim(settings, stream)
    blank = [
        HourPlan(
            *(run, stream, hour, seals[hour], state.generation, frontier, bases.get(hour)),
            contract_version=contract.version,
            repair=repair,
        )
        for hour in hours
    ]
    if claimed != state.generation:
        reason = f"generation {claimed} is claimed and generation {state.generation} has committed: a takeover is under way"
        return [_decided(plan, OPEN, reason) for plan in blank]
    if not state.rows:
        return [_decided(plan, OPEN, "nothing is committed yet") for plan in blank]
    return _StreamPlanner(settings, client, contract, state).plan(blank)


def _whole(moment: datetime) -> datetime:
    return as_utc(moment).replace(minute=0, second=0, microsecond=0)


def _decided(plan: HourPlan, verdict: str, reason: str) -> HourPlan:
    return HourPlan(**{**vars(plan), "verdict": verdict, "reason": reason})


def read_history(client: Client, contract: Contract) -> StreamHistory:
    """Read what decides which hours need a judgement."""
    stream = contract.stream
    state = read_commit_state(client, stream)
    certified = store.certificates(client, stream)
    later: dict[datetime, int] = {}
    for row in state.rows:
        for hour in row.hours:
            later[as_utc(hour)] = max(later.get(as_utc(hour), 0), row.batch)
    listed = min([*later, *certified], default=None)
    for cube in contract.cubes:
        statement = read_sql("reconcile/later_deltas.sql.j2", cube=cube)
        for hour, batch in client.execute(statement, {"stream": stream, "generation": state.generation}):
            later[as_utc(hour)] = max(later.get(as_utc(hour), 0), batch)
    digests_from = _whole(datetime.now(UTC)) - timedelta(days=DIGEST_DAYS)
    return StreamHistory(
        first=listed,
        certificates=certified,
        later=later,
        digests=compare.digests(client, contract, digests_from, store.LAST_HOUR),
        digests_from=digests_from,
        last_verdicts={
            as_utc(hour): verdict
            for hour, verdict in client.execute(read_sql("reconcile/last_verdicts.sql"), {"stream": stream})
        },
    )


class _StreamPlanner:
    """Plans the hours of one stream against one reading of ledger and Kafka."""

    def __init__(self, settings: Settings, client: Client, contract: Contract, state: CommitState) -> None:
        self._contract = contract
        self._rows = ranges.by_partition(state.rows)
        self._faults = ranges.chain_faults(self._rows)
        self._now = datetime.now(UTC)
        self._kafka = Offsets(settings, contract.topic.name)
        self._first = self._kafka.starts()
        self._end = self._kafka.ends()
        self._frontier = {p: state.frontier.get(p, self._first[p]) for p in self._end}
        valid = {(row.batch, row.partition) for row in state.rows}
        self._lost = [
            (OffsetRange(partition, low, lost_to), as_utc(committed))
            for batch, partition, low, lost_to, committed in client.execute(
                read_sql("reconcile/lost_until.sql"), {"stream": contract.stream}
            )
            if (batch, partition) in valid
        ]

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
            return _decided(plan, OPEN, waiting)
        if self._faults:
            return _decided(plan, DRIFTED, "; ".join(self._faults[:5]))
        gone = self._why_unprovable(plan, needed)
        return _decided(plan, UNPROVABLE, gone) if gone else plan

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


def _with_segments(plan: HourPlan, segments: Sequence[Segment]) -> HourPlan:
    return HourPlan(**{**vars(plan), "segments": tuple(segments)})
