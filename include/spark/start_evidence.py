"""Reads what the start of a launch is judged by, and applies the rules of start.py to each stream."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from clickhouse_driver import Client

from include.contracts import Contract, load_contract, stream_names
from include.settings import Settings
from include.spark.progress import running_launches
from include.spark.start import Evidence, Skip, check_request, iso, judge_start, lost_ledger
from include.spark.submission import StreamLaunch
from include.streaming.control import newest_claim
from include.streaming.ledger import read_limits, read_position, validity
from include.topics.offsets import EARLIEST, Offsets
from include.warehouse.client import connect
from include.warehouse.sql import read_sql

# Kafka's own default of message.timestamp.after.max.ms where a topic does not set it.
AHEAD_MS = 3_600_000
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StartPlan:
    """How a launch begins: start for streams without a ledger, the gaps to approve, streams that are rebuilt."""

    start: str
    skips: tuple[Skip, ...]
    rebuilt: tuple[str, ...]

    def skip_to(self) -> str:
        """Return the gaps as the launch operator takes them."""
        return ",".join(f"{skip.stream}={iso(skip.moment)}" for skip in self.skips)


def read_evidence(settings: Settings, contract: Contract, start: str | None = None) -> Evidence:
    """Return what Kafka and ClickHouse hold of a stream now.

    Raises:
        TopicMissingError: the topic does not exist.
        BrokerUnreachableError, ControlTopicError: Kafka does not answer.
    """
    stream = contract.stream
    client = connect(settings)
    try:
        position = read_position(client, stream)
        _, kept = read_limits(client, stream)
        values = {"stream": stream, "generation": position.generation}
        traces = (
            (0, 0, 0) if position.frontier else client.execute(read_sql("life_cycle/traces.sql"), values)[0]
        )
        read_to = _read_to(client, stream, kept) if position.frontier and start else {}
    finally:
        client.disconnect()
    offsets = Offsets(settings, contract.topic.name)
    ahead_ms = int(contract.topic.config.get("message.timestamp.after.max.ms", AHEAD_MS))
    return Evidence(
        stream=stream,
        frontier=position.frontier,
        starts=offsets.starts(),
        asked=offsets.begin_at(start) if start else None,
        claim=newest_claim(settings, stream),
        generation=position.generation,
        kept=tuple(sorted(kept)),
        ledger_rows=traces[0],
        told=traces[1],
        launches=traces[2],
        read_to=read_to,
        ahead=timedelta(milliseconds=ahead_ms, seconds=contract.skew_seconds),
    )


def plan_start(
    settings: Settings,
    contracts: Sequence[Contract],
    start: str | None,
    *,
    confirm_rebuild: bool = False,
    running: Sequence[str] = (),
) -> StartPlan:
    """Judge the start of each stream.

    Raises:
        StartRefusedError: one of them may not start so; the message names it and what to do.
    """
    now = datetime.now(UTC)
    skips, rebuilt = [], []
    for contract in contracts:
        evidence = read_evidence(settings, contract, start)
        skip = judge_start(
            evidence, start, now=now, confirm_rebuild=confirm_rebuild, running=contract.stream in running
        )
        skips += [skip] if skip else []
        if lost := lost_ledger(evidence):
            log.warning("%s is rebuilt from earliest: %s", contract.stream, lost)
            rebuilt.append(contract.stream)
        elif confirm_rebuild:
            log.info("%s has lost nothing: it goes on, and confirm_rebuild changes nothing", contract.stream)
    return StartPlan(start or EARLIEST, tuple(skips), tuple(rebuilt))


def check_launch(settings: Settings, params: Mapping[str, Any]) -> StartPlan:
    """Judge a trigger form of launch_stream: streams, trigger_seconds, max_offsets, start, confirm_rebuild.

    Raises:
        StartRefusedError: a value makes no sense, or a stream may not start so.
    """
    streams = sorted(set(params["streams"]))
    start = (params["start"] or "").strip()
    check_request(
        streams, stream_names(), params["trigger_seconds"], params["max_offsets"], start, datetime.now(UTC)
    )
    contracts = [load_contract(stream) for stream in streams]
    running = list(running_launches(settings, streams)) if start else []
    return plan_start(settings, contracts, start, confirm_rebuild=params["confirm_rebuild"], running=running)


def guard_launch(settings: Settings, launch: StreamLaunch, *, confirm_rebuild: bool) -> tuple[str, ...]:
    """Refuse what no launch may do, whoever asks; return the streams that are rebuilt.

    Raises:
        StartRefusedError: a value makes no sense, or a stream has lost its ledger and nobody confirmed a rebuild.
    """
    now = datetime.now(UTC)
    check_request(
        launch.streams, stream_names(), launch.trigger_seconds, launch.max_offsets, launch.start, now
    )
    contracts = [load_contract(stream) for stream in launch.streams]
    return plan_start(settings, contracts, None, confirm_rebuild=confirm_rebuild).rebuilt


def _read_to(client: Client, stream: str, kept: dict[int, int]) -> dict[int, datetime]:
    values = {"stream": stream, **validity(kept)}
    rows = client.execute(read_sql("life_cycle/last_kafka_times.sql"), values)
    return {
        partition: datetime.fromtimestamp(max(latest, 0) / 1000, UTC) for partition, latest in rows if latest
    }
