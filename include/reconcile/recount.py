"""Recounts all hours of a run: one read of the raw log a stream, shared by its hours."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from itertools import groupby

from clickhouse_driver import Client
from pyspark.sql import SparkSession

from include.contracts import Contract, load_contract
from include.reconcile import balance, compare, store
from include.reconcile.candidates import Written, write_balances, write_cells, write_cube
from include.reconcile.measure import Events, SegmentCount, measured
from include.reconcile.ranges import join
from include.reconcile.reading import read_ranges
from include.reconcile.types import (
    UNPROVABLE,
    HourPlan,
    OffsetRange,
    ReconcileError,
    Recounted,
    Segment,
    epoch,
)
from include.settings import Settings
from include.topics.offsets import Offsets
from include.topics.policy import is_compacted
from include.warehouse.client import connect
from include.warehouse.contract_versions import read_version

log = logging.getLogger(__name__)


def recount_run(
    spark: SparkSession, settings: Settings, run: str, load: Callable[[str], Contract] = load_contract
) -> list[HourPlan]:
    """Recount the hours that the plan of `run` leaves to be read; return them. Running it again changes nothing.

    Raises:
        ReconcileError: rows read back differently than they were written.
    """
    client = connect(settings)
    try:
        plans = [plan for plan in store.read_plans(client, run) if plan.verdict is None]
        for stream, found in groupby(plans, key=lambda plan: plan.stream):
            _recount_stream(spark, settings, client, load(stream), list(found))
    finally:
        client.disconnect()
    return plans


def _recount_stream(
    spark: SparkSession, settings: Settings, client: Client, contract: Contract, plans: list[HourPlan]
) -> None:
    segments = sorted({s.range: s for plan in plans for s in plan.segments}.values(), key=lambda s: s.range)
    if not segments:
        for plan in plans:
            _record(client, contract, plan, write_cells(client, contract, plan, []), [], [])
        return
    reads = join(segment.range for segment in segments)
    log.info(
        "%s: reading %s offsets in %s ranges", contract.stream, sum(r.offsets for r in reads), len(reads)
    )
    records = read_ranges(spark, settings, contract.topic.name, reads)
    hours = [epoch(plan.hour) for plan in plans]
    try:
        with measured(
            records, contract, segments, hours, other_versions(client, contract, segments)
        ) as events:
            _write_stream(settings, client, contract, plans, segments, events)
    except ReconcileError:
        raise
    except Exception:
        gone = _gone(settings, contract, reads)
        if not gone:
            raise
        log.exception("raw records expired while they were read")
        for plan in plans:
            _record_gone(client, plan, gone)


def _write_stream(
    settings: Settings,
    client: Client,
    contract: Contract,
    plans: list[HourPlan],
    segments: list[Segment],
    events: Events,
) -> None:
    """Write cells and balances of every hour that can be proved, cube by cube, as the cells come from Spark."""
    found = balance.by_segment(segments, events.delivered, events.counts)
    reads = {plan.hour: [found[segment.range] for segment in plan.segments] for plan in plans}
    left = {epoch(plan.hour): plan for plan in plans}
    for plan in plans:
        vanished = balance.vanished(reads[plan.hour])
        if vanished and is_compacted(settings, contract.topic.name):
            _record_gone(client, plan, "the topic is compacted; " + "; ".join(vanished))
            del left[epoch(plan.hour)]
    written = dict.fromkeys(left, (0, 0))
    for cube in contract.cubes:
        silent = set(left)
        for hour, cells in groupby(events.cells(cube, list(left)), key=lambda cell: cell.hour):
            if hour in left:
                written[hour] = _sum(written[hour], write_cube(client, cube, left[hour], cells))
                silent.discard(hour)
        for hour in silent:
            write_cube(client, cube, left[hour], ())
    for hour, plan in left.items():
        counts = [count for count in events.counts if count.hour == hour]
        _record(client, contract, plan, written[hour], counts, reads[plan.hour])


def _sum(one: Written, other: Written) -> Written:
    return one[0] + other[0], one[1] + other[1]


def other_versions(client: Client, contract: Contract, segments: Iterable[Segment]) -> dict[int, Contract]:
    """Return the contracts other than the loaded one under which segments are judged, by version.

    Raises:
        UnknownContractVersionError: one is not kept.
    """
    wanted: set[int] = set()
    for segment in segments:
        wanted |= {segment.contract_version, *(item.contract_version for item in segment.replayed)}
    return {v: read_version(client, contract, v) for v in sorted(wanted - {0, contract.version})}


def _gone(settings: Settings, contract: Contract, reads: list[OffsetRange]) -> str:
    first = Offsets(settings, contract.topic.name).starts()
    return "; ".join(
        f"partition {item.partition}: raw records from offset {item.start} expired, the log starts at "
        f"{first.get(item.partition, 0)}"
        for item in reads
        if first.get(item.partition, 0) > item.start
    )


def _record_gone(client: Client, plan: HourPlan, reason: str) -> None:
    store.write_recount(client, plan, Recounted(0, 0, 0, 0, "", (), (reason,), UNPROVABLE))


def _record(
    client: Client,
    contract: Contract,
    plan: HourPlan,
    written: Written,
    counts: list[SegmentCount],
    reads: list[balance.SegmentRead],
) -> None:
    balances = balance.balances(epoch(plan.hour), reads)
    write_balances(client, plan, balances)
    recounted = Recounted(
        windows=written[0],
        cells=written[1],
        events=sum(count.once for count in counts),
        events_as_they_came=sum(count.records for count in counts),
        digest=compare.digest_of(client, contract, plan.hour, plan.frontier, plan.seal),
        balances=balances,
        findings=tuple(sentence for read in reads for sentence in balance.findings(read)),
        events_without_identity=sum(count.without_identity for count in counts),
        id_reused=sum(count.id_reused for count in counts),
    )
    store.write_recount(client, plan, recounted)
