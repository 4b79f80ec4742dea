"""Builders that several tests share: advertising events, record batches, folds and their plain recount."""

from __future__ import annotations

import json
import operator
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pyarrow as pa

from include.contracts import Contract, Cube, Measure, load_contract
from include.contracts.classifier import Classifier, Event
from include.contracts.model import NO_MAXIMUM, NO_MINIMUM
from include.contracts.times import delay_bin
from include.streaming.fold import Fold
from include.streaming.partials import CUBE_PREFIX, collect

MOMENT = datetime(2025, 12, 16, 2, 4, 8, 891_156, tzinfo=UTC)
KAFKA_MS = int(MOMENT.timestamp() * 1000) + 1_000
# By chance, and the same in every process of a run; what uses it prints it.
RUN_SEED = int(os.environ.setdefault("TEST_RUN_SEED", str(random.SystemRandom().randrange(2**32))))
EMPTY = {"count": 0, "sum": 0, "sumsq": 0, "min": NO_MINIMUM, "max": NO_MAXIMUM}
MERGE: dict[str, Callable[[int, int], int]] = {
    "count": operator.add,
    "sum": operator.add,
    "sumsq": operator.add,
    "min": min,
    "max": max,
}
INPUT_SCHEMA = pa.schema(
    [
        ("value", pa.binary()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("timestamp", pa.timestamp("us", "UTC")),
    ]
)


@dataclass(frozen=True)
class Record:
    """A Kafka record as the fold sees it; kafka_ms in epoch milliseconds."""

    value: bytes | None
    partition: int = 0
    offset: int = 0
    kafka_ms: int = KAFKA_MS


def ad_event(**changes: object) -> dict[str, object]:
    """Return an acceptable click of 0.0165 dollars at MOMENT, with changes; a field set to ... is left out."""
    event: dict[str, object] = {
        "event_id": "E1765818248891151",
        "timestamp": MOMENT.strftime("%Y-%m-%dT%H:%M:%S.%f"),
        "user_id": "U95480",
        "campaign_id": "C004",
        "ad_format": "rewarded_video",
        "country": "UK",
        "device": "Android",
        "event_type": "click",
        "revenue": 0.0165,
        **changes,
    }
    return {name: value for name, value in event.items() if value is not ...}


def encoded(**changes: object) -> bytes:
    """Return the JSON of ad_event(**changes)."""
    return json.dumps(ad_event(**changes)).encode()


def record_batch(records: Sequence[Record]) -> pa.RecordBatch:
    """Return the Arrow batch that Spark would hand to the fold."""
    return pa.record_batch(
        [
            [r.value for r in records],
            [r.partition for r in records],
            [r.offset for r in records],
            pa.array([r.kafka_ms * 1000 for r in records], pa.int64()).view(pa.timestamp("us", "UTC")),
        ],
        schema=INPUT_SCHEMA,
    )


def folded(contract: Contract, tasks: Iterable[Iterable[Sequence[Record]]]) -> dict[str, pa.Table]:
    """Fold tasks, each a list of batches of records, and merge what they emit as the driver does."""
    rows: list[tuple[str, bytes]] = []
    for task in tasks:
        for out in Fold(contract)(record_batch(batch) for batch in task):
            rows += zip(out.column("kind").to_pylist(), out.column("payload").to_pylist(), strict=True)
    return collect(contract, rows)


@dataclass
class Figures:
    """All that a fold finds, in plain Python, so that two of them can be compared with ==."""

    cubes: dict[tuple[object, ...], tuple[int, ...]]
    hours: dict[tuple[int, int], tuple[int, int, int, int]]
    partitions: dict[int, tuple[int, int, int, int]]
    rejects: list[tuple[int, int, str, int]]


def figures(contract: Contract, results: dict[str, pa.Table]) -> Figures:
    """Return the figures of a fold; a key that two rows share is an error of the merge."""

    def rows(kind: str) -> list[dict[str, int]]:
        return results[kind].to_pylist() if kind in results else []

    cubes: dict[tuple[object, ...], tuple[int, ...]] = {}
    for cube in contract.cubes:
        for row in rows(CUBE_PREFIX + cube.name):
            key = (cube.name, row["window_start"], *(row[name] for name in cube.dimensions))
            assert key not in cubes, f"two rows of {key} after the merge"
            cubes[key] = tuple(row[measure.name] for measure in cube.measures)
    return Figures(
        cubes,
        {(r["partition"], r["hour"]): (r["events"], r["late"], r["first"], r["last"]) for r in rows("hours")},
        {
            r["partition"]: (r["records"], r["offset_min"], r["kafka_min"], r["kafka_max"])
            for r in rows("partitions")
        },
        sorted(
            (r["partition"], r["record_offset"], str(r["reason"]), r["kafka_time"]) for r in rows("rejects")
        ),
    )


def recounted(contract: Contract, records: Iterable[Record]) -> Figures:
    """Return the same figures by the contract's classifier, one record after the other."""
    classifier = Classifier(contract)
    cells: dict[str, dict[tuple[Any, ...], list[int]]] = {}
    hours: dict[tuple[int, int], list[int]] = {}
    partitions: dict[int, list[int]] = {}
    rejects = []
    for r in records:
        seen = partitions.setdefault(r.partition, [0, r.offset, r.kafka_ms, r.kafka_ms])
        partitions[r.partition] = [
            seen[0] + 1,
            min(seen[1], r.offset),
            min(seen[2], r.kafka_ms),
            max(seen[3], r.kafka_ms),
        ]
        verdict = classifier.classify(r.value, r.kafka_ms)
        if not isinstance(verdict, Event):
            rejects.append((r.partition, r.offset, verdict.reason, r.kafka_ms))
            continue
        hour = (r.partition, verdict.time_us // 3_600_000_000 * 3600)
        late = r.kafka_ms * 1000 - verdict.time_us > contract.lateness_seconds * 1_000_000
        had = hours.setdefault(hour, [0, 0, r.offset, r.offset])
        hours[hour] = [had[0] + 1, had[1] + late, min(had[2], r.offset), max(had[3], r.offset)]
        for cube in contract.cubes:
            if cube.only == "late" and not late:
                continue
            add_event(contract, cube, cells.setdefault(cube.name, {}), verdict, r)
    return Figures(
        {(name, *key): tuple(value) for name, own in cells.items() for key, value in own.items()},
        {key: (value[0], value[1], value[2], value[3]) for key, value in hours.items()},
        {key: (value[0], value[1], value[2], value[3]) for key, value in partitions.items()},
        sorted(rejects),
    )


def add_event(
    contract: Contract, cube: Cube, cells: dict[tuple[Any, ...], list[int]], event: Event, record: Record
) -> None:
    """Add an event to a cube's cells: (window, *dimensions) -> figures."""
    pane = event.time_us // (cube.pane_seconds * 1_000_000) * cube.pane_seconds
    values = event.values | derived(cube, event, record)
    key = (pane, *(values[name] for name in cube.dimensions))
    adds = [added(contract, measure, values) for measure in cube.measures]
    had = cells.get(key, [EMPTY[measure.kind] for measure in cube.measures])
    cells[key] = [MERGE[measure.kind](a, b) for measure, a, b in zip(cube.measures, had, adds, strict=True)]


def derived(cube: Cube, event: Event, record: Record) -> dict[str, str | int | None]:
    """Return what follows from an event and its place in the log, by the names that cubes use."""
    delay_us = record.kafka_ms * 1000 - event.time_us
    seconds = min(max(record.kafka_ms // 1000, 0), 2**32 - 1)
    width = cube.arrival_seconds or 1
    return {
        "arrived": seconds // width * width,
        "delay_ms": delay_bin(delay_us),
        "event_us": event.time_us,
        "kafka_partition": record.partition,
        "record_offset": record.offset,
        "delay_us": delay_us,
    }


def added(contract: Contract, measure: Measure, values: dict[str, str | int | None]) -> int:
    """Return what one event gives to a measure."""
    if measure.where is not None:
        figure = values[measure.where.field]
        bounds = (measure.where.equals, measure.where.at_least, measure.where.at_most)
        tests = (operator.eq, operator.ge, operator.le)
        return int(
            figure is not None
            and all(test(figure, b) for test, b in zip(tests, bounds, strict=True) if b is not None)
        )
    if measure.field is None:
        return 1
    value = values[measure.field]
    if value is None or value == "":
        return EMPTY[measure.kind]
    if measure.kind == "count":
        return 1
    assert isinstance(value, int)
    if measure.kind in ("min", "max"):
        return value
    rule = contract.fields[measure.field]
    coarser = (rule.scale or 0) - contract.scale_of(measure)
    rounded = round(Fraction(value, 10**coarser))  # halves to even
    return rounded if measure.kind == "sum" else rounded**2


def ad_events() -> Contract:
    """Return the shipped contract of ad_events."""
    return load_contract("ad_events")


def served_truth(records: Iterable[Record]) -> dict[tuple[object, ...], tuple[int, int]]:
    """Return what the served view must hold for records of ad_events: key -> (events, micro-dollars)."""
    totals: Counter[tuple[object, ...]] = Counter()
    money: Counter[tuple[object, ...]] = Counter()
    for (cube, pane, *dimensions), (count, micros) in recounted(ad_events(), records).cubes.items():
        if cube != "ad_events":
            continue
        assert isinstance(pane, int)
        key = (datetime.fromtimestamp(pane, UTC), *dimensions)
        totals[key] += count
        money[key] += micros
    return {key: (totals[key], money[key]) for key in totals}


def eventually(
    condition: Callable[[], bool], what: str, seconds: float = 60.0, poll_seconds: float = 0.1
) -> None:
    """Wait until the condition holds; after the limit fail and say what was awaited."""
    limit = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < limit, f"waited {seconds:.0f} s in vain until {what}"
        pause.wait(poll_seconds)
