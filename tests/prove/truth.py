"""What a sealed hour must serve, from what was sent: the contract's classifier, and each identity once in its hour.

Of copies the one with the lowest (Kafka timestamp, partition, offset) counts; an event that has nothing of an
identity counts always. Where a record lies in the log is summed over, as read_served does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from include.contracts import Contract, Cube
from include.contracts.classifier import Classifier, Event
from include.reconcile.types import from_epoch
from include.traffic.tally import PLACE_IN_THE_LOG
from tests.helpers import Record, add_event
from tests.prove.seen import Cells

Copy = tuple[tuple[int, int, int], Event, Record]  # order among copies, what it holds, where it lies
Sent = Mapping[int, Sequence[tuple[bytes | None, int]]]  # by partition: value, Kafka timestamp in epoch ms


class Truth:
    """Learns what was sent to one stream and says what must be served of it."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._classifier = Classifier(contract)
        self._judged: dict[int, int] = {}
        self._winners: dict[datetime, dict[object, Copy]] = {}
        places = set(PLACE_IN_THE_LOG)
        self._cubes = [
            cube.model_copy(update={"dimensions": tuple(n for n in cube.dimensions if n not in places)})
            for cube in contract.cubes
        ]

    def learn(self, sent: Sent) -> None:
        """Take up the records that are new since the last time."""
        for partition, records in sent.items():
            for offset in range(self._judged.get(partition, 0), len(records)):
                value, at = records[offset]
                outcome = self._classifier.classify(value, at)
                if isinstance(outcome, Event):
                    self._count(outcome, Record(value, partition, offset, at))
            self._judged[partition] = len(records)

    def _count(self, event: Event, record: Record) -> None:
        hour = datetime.fromtimestamp(event.time_us // 1_000_000, UTC).replace(minute=0, second=0)
        order = record.kafka_ms, record.partition, record.offset
        held = self._winners.setdefault(hour, {})
        named = tuple(event.values[name] for name in self._contract.identity)
        identity = named if any(value not in ("", None) for value in named) else order
        if identity not in held or order < held[identity][0]:
            held[identity] = (order, event, record)

    def cells(self, hour: datetime) -> Cells:
        """Return the cells of every cube that the hour must serve when it is sealed."""
        found: Cells = {}
        for cube in self._cubes:
            names = [measure.name for measure in cube.measures]
            for (pane, *dimensions), figures in self._figures(cube, hour).items():
                keys = dict(sorted(zip(cube.dimensions, dimensions, strict=True)))
                key = from_epoch(pane), cube.name, json.dumps(keys, separators=(",", ":"))
                found[key] = "sealed", dict(zip(names, figures, strict=True))
        return found

    def _figures(self, cube: Cube, hour: datetime) -> dict[tuple[Any, ...], list[int]]:
        cells: dict[tuple[Any, ...], list[int]] = {}
        for _, event, record in self._winners.get(hour, {}).values():
            delay_us = record.kafka_ms * 1000 - event.time_us
            if cube.only != "late" or delay_us > self._contract.lateness_seconds * 1_000_000:
                add_event(self._contract, cube, cells, event, record)
        return cells
