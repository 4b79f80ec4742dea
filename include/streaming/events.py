"""Accepted events as columns, and the figures that follow from an event and its place in the log.

A column of texts has no nulls ('' where the field is absent); a column of numbers holds integers at
the field's scale, null where it is absent. Times end in their unit.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pyarrow as pa

from include.contracts import Contract, Cube

LAST_SECOND = 2**32 - 1  # of a ClickHouse DateTime


class Places:
    """Where records lie in the log, and their Kafka timestamps in epoch milliseconds; arrays of one length."""

    def __init__(self, partition: np.ndarray, offset: np.ndarray, kafka_ms: np.ndarray) -> None:
        self.partition, self.offset, self.kafka_ms = partition, offset, kafka_ms

    def take(self, index: np.ndarray) -> Places:
        """Return the records at these positions."""
        return Places(self.partition[index], self.offset[index], self.kafka_ms[index])


class Events:
    """Accepted records: place, event time in epoch microseconds and the columns that the cubes need."""

    def __init__(
        self, contract: Contract, places: Places, time_us: np.ndarray, columns: dict[str, pa.Array]
    ) -> None:
        self.contract, self.places, self.time_us, self.columns = contract, places, time_us, columns

    def __len__(self) -> int:
        return len(self.time_us)

    def take(self, index: np.ndarray) -> Events:
        """Return the events at these positions."""
        positions = pa.array(index)
        columns = {name: column.take(positions) for name, column in self.columns.items()}
        return Events(self.contract, self.places.take(index), self.time_us[index], columns)

    @cached_property
    def delay_us(self) -> np.ndarray:
        """Kafka time - event time, in microseconds; below 0 where the producer's clock was ahead."""
        delay_us: np.ndarray = self.places.kafka_ms * 1_000 - self.time_us
        return delay_us

    @cached_property
    def late(self) -> np.ndarray:
        """Which events came later than the contract's lateness."""
        late: np.ndarray = self.delay_us > self.contract.lateness_seconds * 1_000_000
        return late

    @cached_property
    def delay_ms(self) -> np.ndarray:
        """The bin of each delay, as times.delay_bin finds it."""
        delay_ms = np.maximum(self.delay_us // 1_000, 0)
        seconds_bits = np.frexp(delay_ms // 1_000)[1].astype(np.int64)
        width = np.where(delay_ms < 1_000, 1, 10 << np.maximum(seconds_bits - 1, 0))
        edges: np.ndarray = delay_ms - delay_ms % width
        return edges

    def windows(self, seconds: int) -> np.ndarray:
        """Return the start of each event's window of event time, in epoch seconds."""
        starts: np.ndarray = self.time_us // (seconds * 1_000_000) * seconds
        return starts

    def arrived(self, seconds: int) -> np.ndarray:
        """Return the start of each event's window of Kafka time, in epoch seconds, within what a DateTime holds."""
        within: np.ndarray = np.clip(self.places.kafka_ms // 1_000, 0, LAST_SECOND)
        return within // seconds * seconds

    def dimension(self, cube: Cube, name: str) -> pa.Array | np.ndarray:
        """Return a dimension of a cube for each event: a field's text or a derived integer."""
        if name in self.columns:
            return self.columns[name]
        if name == "arrived" and cube.arrival_seconds:
            return self.arrived(cube.arrival_seconds)
        if name == "delay_ms":
            return self.delay_ms
        return {
            "event_us": self.time_us,
            "kafka_partition": self.places.partition,
            "record_offset": self.places.offset,
        }[name]
