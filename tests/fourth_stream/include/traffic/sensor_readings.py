"""Temperatures of forty sensors at four sites: JSON values and truth. Each run has sensors of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from include.contracts import load_contract
from include.traffic.faults import Kind, malform
from include.traffic.schedule import Schedule
from include.traffic.tally import Accepted, Number, Text, TruthRow, tally

SITES = ("harbour", "hill", "station", "tower")
SENSORS = 40


@dataclass(frozen=True)
class SensorReadings:
    """The drawn fields of a run, one entry per record; a sensor stands at one site and measures micro-degrees."""

    schedule: Schedule
    names: list[str]
    sensor: NDArray[np.int64]
    micros: NDArray[np.int64]

    def values(self, first: int, end: int) -> list[bytes]:
        """Return the Kafka values of records [first, end)."""
        return [self._value(record) for record in range(first, end)]

    def _value(self, record: int) -> bytes:
        sensor = int(self.sensor[self.schedule.identity[record]])
        reading = {
            "measured_at": int(self.schedule.event_us[record]) // 1000,
            "sensor_id": self.names[sensor],
            "site": SITES[sensor % len(SITES)],
            "celsius": int(self.micros[self.schedule.content[record]]) / 1e6,
        }
        kind, flavour = self.schedule.kind[record], int(self.schedule.flavour[record])
        if kind == Kind.SCHEMA_BREAKING:
            reading["celsius"] = 451
        value = json.dumps(reading, separators=(",", ":")).encode()
        return malform(value, flavour) if kind == Kind.MALFORMED else value

    def truth(self) -> list[TruthRow]:
        """Return what every cube, window and dimension must come to."""
        rows = np.flatnonzero(self.schedule.accepted)
        sensor = self.sensor[self.schedule.identity[rows]]
        events = Accepted(
            event_us=self.schedule.event_us[rows],
            kafka_ms=self.schedule.kafka_ms[rows],
            counts_once=self.schedule.kind[rows] != Kind.DUPLICATE,
            texts={"sensor_id": Text(sensor, self.names), "site": Text(sensor % len(SITES), SITES)},
            numbers={
                "celsius": Number(self.micros[self.schedule.content[rows]], np.ones(rows.size, np.bool_))
            },
        )
        return tally(load_contract("sensor_readings"), events)


def draw(schedule: Schedule, run_number: int, seed: int) -> SensorReadings:
    """Draw the fields of every record of `schedule`; see include.traffic.Generator."""
    rng = np.random.default_rng([seed, 1])
    count = schedule.size
    # In turn, so that no sensor measures twice in a millisecond: that would be one reading.
    sensor = (np.arange(count) + rng.integers(0, SENSORS)) % SENSORS
    names = [f"s{run_number:010d}-{number:02d}" for number in range(SENSORS)]
    return SensorReadings(schedule, names, sensor, rng.normal(8e6, 9e6, count).astype(np.int64))
