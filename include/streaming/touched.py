"""What committed batches touched, handed from a stream's query to its detectors; a query never waits for them.

Panes that nobody takes are kept up to MOST_PANES a cube; then the oldest are forgotten: a seal judges them anyhow.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from include.contracts import Contract
from include.streaming.partials import CUBE_PREFIX, HOURS

MOST_PANES = 5_000


@dataclass
class Panes:
    """Starts of panes by cube, or of windows of arrival, in epoch seconds; highest event time in epoch microseconds."""

    starts: dict[str, set[int]] = field(default_factory=dict)
    highest_us: int = 0


class Touched:
    """A letter box with one writer and one reader."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._panes = Panes()
        self.arrived = threading.Event()
        self.committed_at = time.monotonic()

    def add(self, contract: Contract, results: Mapping[str, pa.Table]) -> None:
        """Note what a batch touched that has just been committed."""
        found = panes_of(contract, results)
        with self._lock:
            self.committed_at = time.monotonic()
            self._panes.highest_us = max(self._panes.highest_us, found.highest_us)
            for cube, new in found.starts.items():
                kept = self._panes.starts.setdefault(cube, set())
                kept |= new
                if len(kept) > MOST_PANES:
                    self._panes.starts[cube] = set(sorted(kept)[-MOST_PANES:])
        self.arrived.set()

    def take(self) -> Panes:
        """Return what was touched since the last call."""
        with self._lock:
            found, self._panes = self._panes, Panes(highest_us=self._panes.highest_us)
            self.arrived.clear()
        return found


def panes_of(contract: Contract, results: Mapping[str, pa.Table]) -> Panes:
    """Return what the partial results of a batch touch."""
    found = Panes()
    for cube in contract.cubes:
        table = results.get(CUBE_PREFIX + cube.name)
        if table is not None:
            column = table.column("arrived" if cube.arrival_seconds else "window_start")
            found.starts[cube.name] = {int(start) for start in pc.unique(column).to_pylist()}
    hours = results.get(HOURS)
    if hours is not None and hours.num_rows:
        found.highest_us = int(pc.max(hours.column("latest_us")).as_py())
    return found
