"""One traffic run from plan to account: draw, send, tally, store.

A replay sends a past stretch as fast as it can, with the Kafka timestamps of then. A live run
sends each record at its instant, which is its Kafka timestamp too.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from include.contracts import load_contract
from include.settings import Settings, get_settings
from include.traffic import Eventful, Generator, Keyed, Traffic, generator_for
from include.traffic.plan import PlanError, TrafficPlan
from include.traffic.schedule import Schedule, draw_schedule
from include.traffic.send import Chunk, Sender, partition_of
from include.traffic.store import Account, TrafficReport, store_accounts
from include.traffic.tally import count_copies
from include.warehouse.client import connect

log = logging.getLogger(__name__)

REPLAY_CHUNK = 20_000
LIVE_CHUNK = 500
# Records that fall due within it are sent together at its end: one wait for all, at most that late.
PACE_US = 5_000
# A live run is drawn before its first instant: half a second, and two microseconds a record.
LEAD_US, LEAD_US_PER_RECORD = 500_000, 2


def generate(plan: TrafficPlan, topic: str | None = None, settings: Settings | None = None) -> TrafficReport:
    """Send the traffic that `plan` asks for and store its account; `topic` overrides the contract's.

    Every call is a run of its own with ids of its own: calling twice sends twice. A run that fails
    may have sent records and leaves no row in traffic_runs.

    Raises:
        PlanError, UnknownGeneratorError, ContractError: nothing was sent.
        BrokerUnreachableError, TopicMissingError: nothing was sent.
        DeliveryError: some records were not acknowledged.
        clickhouse_driver.errors.Error: nothing was sent if ClickHouse was away from the start.
    """
    settings = settings or get_settings()
    generator = generator_for(plan.stream)
    contract = load_contract(plan.stream)
    check_stretch(plan, int(contract.topic.config.get("retention.ms", "-1")), datetime.now(UTC))
    client = connect(settings)
    client.execute("SELECT run FROM traffic_runs LIMIT 0")
    sender = Sender(settings.kafka_bootstrap_servers, topic or contract.topic.name)
    partitions = sender.count_partitions()

    account = send_run(sender, generator, plan, _start_us(plan), partitions)
    store_accounts(client, [account])
    client.disconnect()
    for line in summarize(account.report).splitlines():
        log.info("%s", line)
    return account.report


def send_run(
    sender: Sender, generator: Generator, plan: TrafficPlan, start_us: int, partitions: int
) -> Account:
    """Draw and send one run that begins at `start_us` (epoch microseconds); return its account, not yet stored.

    Raises:
        DeliveryError: some records were not acknowledged.
    """
    number = secrets.randbits(32)
    started_at = datetime.now(UTC)
    schedule = draw_schedule(plan, start_us, partitions)
    traffic = generator.draw(schedule, number, plan.seed)
    clock = time.monotonic()
    handed = sender.send(chunks(schedule, traffic, partitions, live=plan.live))
    seconds = time.monotonic() - clock

    truth = traffic.truth()
    accepted = int(schedule.accepted.sum())
    report = TrafficReport(
        run=f"{plan.stream}-{number:08x}",
        stream=plan.stream,
        topic=sender.topic,
        seed=plan.seed,
        started_at=started_at,
        first_event=schedule.first_event,
        seconds=round(seconds, 3),
        sent=len(handed),
        accepted=accepted,
        rejected=len(handed) - accepted,
        late=int(schedule.late.sum()),
        duplicates=count_copies(load_contract(plan.stream), truth),
        windows=len(truth),
        parameters=plan.model_dump_json(),
        incident=traffic.incident_facts if isinstance(traffic, Eventful) else None,
    )
    sends = [ms for ms, taken in zip(handed, schedule.accepted.tolist(), strict=True) if taken]
    return Account(report, truth, sends if plan.live else [])


def check_stretch(plan: TrafficPlan, retention_ms: int, now: datetime) -> None:
    """Refuse a replay that ends in the future or begins before what the topic keeps (-1: for ever).

    Raises:
        PlanError
    """
    if plan.start is None or plan.end is None:
        return
    if plan.end > now:
        raise PlanError(
            f"start = {plan.start.isoformat()}: with duration {plan.duration:g} s the replay ends in the future "
            f"({plan.end.isoformat()}); now is {now.isoformat(timespec='seconds')}"
        )
    if retention_ms > 0 and plan.start < now - timedelta(milliseconds=retention_ms):
        raise PlanError(
            f"start = {plan.start.isoformat()}: the topic of {plan.stream} keeps {retention_ms / 3.6e6:g} hours"
        )


def summarize(report: TrafficReport) -> str:
    """Return the run's closing summary, one aligned line per figure."""
    figures = report.as_dict() | {"per second": round(report.sent / max(report.seconds, 1e-3))}
    names = (
        "sent",
        "accepted",
        "rejected",
        "late",
        "duplicates",
        "windows",
        "first_event",
        "seconds",
        "per second",
    )
    lines = [f"traffic run {report.run} to topic {report.topic}"]
    return "\n".join(lines + [f"  {name:<12} {figures[name]}" for name in names])


def _start_us(plan: TrafficPlan) -> int:
    if plan.start is not None:
        return round(plan.start.timestamp() * 1e6)
    return time.time_ns() // 1000 + LEAD_US + LEAD_US_PER_RECORD * plan.events


def chunks(schedule: Schedule, traffic: Traffic, partitions: int, live: bool = False) -> Iterator[Chunk]:
    """Yield the records of a run as they are sent; a key, where there is one, chooses the partition."""
    size = LIVE_CHUNK if live else REPLAY_CHUNK
    kafka_ms = schedule.kafka_ms
    for first in range(0, schedule.size, size):
        part = slice(first, min(first + size, schedule.size))
        keys = traffic.keys(part.start, part.stop) if isinstance(traffic, Keyed) else None
        yield Chunk(
            values=traffic.values(part.start, part.stop),
            partitions=[partition_of(key, partitions) for key in keys]
            if keys
            else schedule.partition[part].tolist(),
            kafka_ms=kafka_ms[part].tolist(),
            due_us=(-(-schedule.slot_us[part] // PACE_US) * PACE_US).tolist() if live else None,
            keys=keys,
        )
