"""When each record of a run is sent, to which partition, and with which event time.

A record's slot is its instant of arrival: the Kafka timestamp is the slot in milliseconds, and
slots never go back, so in every partition Kafka timestamps grow with the offsets.
Owns: slots, partitions and the arrays that describe a run. Leaves the faults to faults.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from include.traffic import faults
from include.traffic.faults import Kind
from include.traffic.plan import TrafficPlan

I64 = NDArray[np.int64]
MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class Schedule:
    """Arrays of one entry per record, in the order of sending.

    `slot_us` and `event_us` are epoch microseconds. `identity` is the record whose id this one
    carries and `content` the one whose fields it carries: itself, except in duplicates.
    `flavour` is a random number below 2^30 that chooses among the variants of a fault.
    """

    slot_us: I64
    event_us: I64
    kind: NDArray[np.int8]
    identity: I64
    content: I64
    partition: I64
    flavour: I64

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
        """Whether an event arrives more than the minute after its event time that is allowed."""
        return self.accepted & (self.kafka_ms * 1000 - self.event_us > 60 * MICROSECONDS)

    @property
    def first_event(self) -> datetime:
        """The earliest time of an accepted event; the first slot when there is none."""
        times = self.event_us[self.accepted]
        return datetime.fromtimestamp((times.min() if times.size else self.slot_us[0]) / MICROSECONDS, UTC)


def draw_schedule(plan: TrafficPlan, start_us: int, partitions: int) -> Schedule:
    """Draw the slots, faults and partitions of a run that begins at `start_us` (epoch microseconds)."""
    rng = np.random.default_rng([plan.seed, 0])
    count = plan.events
    gap_us = MICROSECONDS / plan.rate
    slot_us = start_us + ((np.arange(count) + rng.random(count)) * gap_us).astype(np.int64)
    kind = faults.draw_kinds(plan, slot_us, rng)
    event_us = faults.shift_times(plan, slot_us, kind, rng)
    identity = faults.draw_identities(slot_us // 1000, kind, rng)
    content, event_us = faults.copy_contents(slot_us, event_us, kind, identity, rng)
    partition = rng.integers(0, partitions, count)
    stays = (kind == Kind.DUPLICATE) & (rng.random(count) < 0.5)
    partition[stays] = partition[identity[stays]]
    flavour = rng.integers(0, 2**30, count)
    return Schedule(slot_us, event_us, kind, identity, content, partition, flavour)
