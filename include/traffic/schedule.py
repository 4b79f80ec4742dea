"""When each record of a run is sent, to which partition, and with which event time.

A record's slot is its instant of arrival: the Kafka timestamp is the slot in milliseconds, and
slots never go back, so in every partition Kafka timestamps grow with the offsets.
Owns: slots, partitions and the arrays that describe a run, with the records that an incident adds.
Leaves the faults to faults.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from include.contracts import load_contract
from include.traffic import faults
from include.traffic.faults import Kind
from include.traffic.incidents import MINUTE_US, incident_minute_us
from include.traffic.plan import TrafficPlan
from include.traffic.shapes import shape_of

I64 = NDArray[np.int64]
MICROSECONDS = 1_000_000
DAY_US = 86_400 * MICROSECONDS
BUSIEST_US = 19 * 3_600 * MICROSECONDS  # since midnight, UTC


@dataclass(frozen=True)
class Schedule:
    """Arrays of one entry per record, in the order of sending.

    `slot_us` and `event_us` are epoch microseconds. `identity` is the record whose id this one
    carries and `content` the one whose fields it carries: itself, except in duplicates.
    `flavour` is a random number below 2^30 that chooses among the variants of a fault. `added`
    says which records the incident adds; it lies in the clock minute from `incident_us` on.
    """

    slot_us: I64
    event_us: I64
    kind: NDArray[np.int8]
    identity: I64
    content: I64
    partition: I64
    flavour: I64
    added: NDArray[np.bool_]
    incident: str
    incident_us: int
    lateness_us: int

    @property
    def size(self) -> int:
        """Number of records, with those that the incident adds."""
        return int(self.slot_us.size)

    @property
    def in_incident(self) -> NDArray[np.bool_]:
        """Whether the event happened in the incident's minute, as the event time says before its encoding."""
        inside: NDArray[np.bool_] = self.event_us // MINUTE_US * MINUTE_US == self.incident_us
        return inside

    @property
    def kafka_ms(self) -> I64:
        """Kafka timestamps, epoch milliseconds."""
        return self.slot_us // 1000

    @property
    def accepted(self) -> NDArray[np.bool_]:
        """Whether the contract takes the record as an event."""
        return self.kind <= Kind.DUPLICATE

    @property
    def late(self) -> NDArray[np.bool_]:
        """Whether an event arrives later after its event time than its stream allows."""
        return self.accepted & (self.kafka_ms * 1000 - self.event_us > self.lateness_us)

    @property
    def first_event(self) -> datetime:
        """The earliest time of an accepted event; the first slot when there is none."""
        times = self.event_us[self.accepted]
        return datetime.fromtimestamp((times.min() if times.size else self.slot_us[0]) / MICROSECONDS, UTC)


def draw_schedule(plan: TrafficPlan, start_us: int, partitions: int) -> Schedule:
    """Draw the slots, faults and partitions of a run that begins at `start_us` (epoch microseconds)."""
    rng = np.random.default_rng([plan.seed, 0])
    count = plan.events
    moments = (np.arange(count) + rng.random(count)) / count
    slot_us = start_us + (_by_daily_rhythm(plan, start_us, moments) * count / plan.rate * 1e6).astype(
        np.int64
    )
    kind = faults.draw_kinds(plan, slot_us, rng)
    event_us = faults.shift_times(plan, slot_us, kind, rng)
    identity = faults.draw_identities(slot_us // 1000, kind, rng)
    contract = load_contract(plan.stream)
    own_times = contract.event_time.field not in contract.identity
    content, event_us = faults.copy_contents(slot_us, event_us, kind, identity, own_times, rng)
    partition = rng.integers(0, partitions, count)
    stays = (kind == Kind.DUPLICATE) & (rng.random(count) < 0.5)
    partition[stays] = partition[identity[stays]]
    flavour = rng.integers(0, 2**30, count)
    if contract.event_time.encoding == "epoch_ms":
        event_us -= event_us % 1000
    schedule = Schedule(
        slot_us=slot_us,
        event_us=event_us,
        kind=kind,
        identity=identity,
        content=content,
        partition=partition,
        flavour=flavour,
        added=np.zeros(count, dtype=np.bool_),
        incident=plan.incident,
        incident_us=incident_minute_us(plan, start_us) if plan.incident else 0,
        lateness_us=plan.lateness_seconds * MICROSECONDS,
    )
    incident = plan.what_goes_wrong
    if incident is None or not incident.extra:
        return schedule
    return _with_more(schedule, incident.extra, incident.delay_seconds * MICROSECONDS, partitions, rng)


def _by_daily_rhythm(plan: TrafficPlan, start_us: int, moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `moments` (parts of the run, ascending, in [0, 1)) moved to where the load of the day is."""
    swing = shape_of(plan.stream).swing
    if not swing:
        return moments
    grid = np.linspace(0.0, 1.0, 10_001)
    day = (start_us - BUSIEST_US + grid * plan.duration * 1e6) / DAY_US
    load = 1.0 + swing * np.cos(2 * np.pi * day)
    done = np.concatenate([[0.0], np.cumsum((load[1:] + load[:-1]) / 2)])
    moved: NDArray[np.float64] = np.interp(moments, done / done[-1], grid)
    return moved


def _with_more(
    schedule: Schedule, extra: int, delay_us: int, partitions: int, rng: np.random.Generator
) -> Schedule:
    """Return the schedule with `extra` plain records in the incident's minute, that happened `delay_us` before."""
    gap_us = MINUTE_US / (extra + 1)
    slots = schedule.incident_us + ((np.arange(extra) + 0.5 + rng.random(extra) * 0.5) * gap_us).astype(
        np.int64
    )
    order = np.argsort(np.concatenate([schedule.slot_us, slots]), kind="stable")
    place = np.argsort(order)
    own = np.arange(schedule.size, schedule.size + extra)

    def merged(values: I64, more: I64) -> I64:
        return np.concatenate([values, more])[order]

    return replace(
        schedule,
        slot_us=merged(schedule.slot_us, slots),
        event_us=merged(schedule.event_us, (slots - delay_us) // 1000 * 1000),
        kind=np.concatenate([schedule.kind, np.zeros(extra, dtype=np.int8)])[order],
        identity=place[merged(schedule.identity, own)],
        content=place[merged(schedule.content, own)],
        partition=merged(schedule.partition, rng.integers(0, partitions, extra)),
        flavour=merged(schedule.flavour, rng.integers(0, 2**30, extra)),
        added=order >= schedule.size,
    )
