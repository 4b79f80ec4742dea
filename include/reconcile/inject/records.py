"""Real records that arrive after their hour: late ones, and copies of what is there."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from datetime import timedelta

from include.clock import now_ms
from include.contracts.classifier import Classifier, Event
from include.reconcile.inject.order import HOUR_SECONDS, Injection, Order, TooFewRowsError
from include.reconcile.ranges import first_readable
from include.reconcile.raw import read_records
from include.reconcile.types import OffsetRange
from include.traffic import generator_for
from include.traffic.plan import TrafficPlan
from include.traffic.run import chunks
from include.traffic.schedule import draw_schedule
from include.traffic.send import Chunk, Sender

MOST_READ = 100_000  # records of the hour that copies are chosen from


def send_late(order: Order) -> Injection:
    """Send `size` new events of the hour; they arrive now.

    Raises:
        TooFewRowsError: the hour is older than what the contract accepts.
    """
    age = time.time() - order.hour.timestamp()
    if age > order.contract.maximum_age_hours * HOUR_SECONDS:
        raise TooFewRowsError(order.contract.topic.name, f"{order.where}, older than accepted", 0, order.size)
    sender = _sender(order)
    plan = TrafficPlan(
        stream=order.contract.stream,
        rate=order.size / HOUR_SECONDS,
        duration=HOUR_SECONDS,
        start=order.hour,
        seed=order.chance.randrange(2**32),
    )
    partitions = sender.count_partitions()
    schedule = draw_schedule(plan, order.bounds["begin"] * 1_000_000, partitions)
    traffic = generator_for(order.contract.stream).draw(schedule, secrets.randbits(32), plan.seed)
    late = [
        replace(chunk, kafka_ms=[now_ms()] * len(chunk.values))
        for chunk in chunks(schedule, traffic, partitions)
    ]
    sender.send(late)
    moments = [order.hour + timedelta(seconds=int(us // 1_000_000) % 3600) for us in schedule.event_us]
    return _account(order, "late_event", [f"{moment:%H:%M:%S}" for moment in moments])


def send_again(order: Order) -> Injection:
    """Send `size` records of the hour once more; each copy has the identity of what it repeats."""
    values = _events_of_the_hour(order)
    if len(values) < order.size:
        raise TooFewRowsError(order.contract.topic.name, order.where, len(values), order.size)
    chosen = order.chance.sample(values, order.size)
    sender = _sender(order)
    partitions = sender.count_partitions()
    spread = [order.chance.randrange(partitions) for _ in chosen]
    sender.send([Chunk(chosen, spread, [now_ms()] * len(chosen))])
    return _account(order, "duplicate_events", [f"{len(value)} bytes" for value in chosen])


def _events_of_the_hour(order: Order) -> list[bytes]:
    classifier, begin = Classifier(order.contract), order.bounds["begin"] * 1_000_000
    values: list[bytes] = []
    for row in order.ledger().rows:
        if len(values) >= MOST_READ or order.bounds["begin"] not in [int(h.timestamp()) for h in row.hours]:
            continue
        span = OffsetRange(row.partition, first_readable(row), row.end_offset)
        for record in read_records(order.settings, order.contract.topic.name, span):
            found = classifier.classify(record.value, record.kafka_ms)
            within = isinstance(found, Event) and 0 <= found.time_us - begin < HOUR_SECONDS * 1_000_000
            if within and record.value is not None:
                values.append(record.value)
    return values


def _sender(order: Order) -> Sender:
    return Sender(order.settings.kafka_bootstrap_servers, order.contract.topic.name)


def _account(order: Order, kind: str, touched: list[str]) -> Injection:
    return order.done(
        kind, f"topic {order.contract.topic.name}", order.where, touched, {"records": len(touched)}
    )
