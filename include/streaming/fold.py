"""The fold: Kafka records in, partial aggregates out, one vectorised pass in the Python worker.

A pure function of the records (value, Kafka timestamp, partition, offset) and the contract: no
clock, no randomness, no dependence on order. What the vectorised rules cannot accept goes record
by record through the contract's classifier, so one bad record never costs its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

import msgspec
import numpy as np
import pyarrow as pa

from include.contracts import Contract
from include.contracts.classifier import Classifier, Event
from include.contracts.records import record_type
from include.streaming.cells import cube_rows
from include.streaming.decode import decode, suspects, without
from include.streaming.events import Events, Places
from include.streaming.lines import Lines, sort_by_form
from include.streaming.partials import (
    CUBE_PREFIX,
    HOURS,
    OUTPUT_SCHEMA,
    PARTITIONS,
    PAYLOAD_BYTES,
    REJECTS,
    REJECTS_SCHEMA,
    TASK_PAYLOAD_BYTES,
    merge_cube,
    merge_hours,
    merge_partitions,
    reject_row,
    to_ipc,
)
from include.streaming.rules import judge, raw_type

Reader = Callable[[pa.Array], tuple[dict[str, pa.Array], np.ndarray]]


class Fold:
    """Folds the record batches of one Spark task: call it with an iterator of Arrow batches.

    Input columns: value binary, partition int32, offset int64, timestamp in microseconds.
    Output: rows of OUTPUT_SCHEMA, an Arrow IPC stream for each kind of result.
    """

    def __init__(self, contract: Contract) -> None:
        self.contract = contract

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        task = _Task(self.contract)
        for batch in batches:
            if batch.num_rows:
                task.add(batch)
        yield from task.results()


@lru_cache(maxsize=16)
def _decoder(contract_json: str) -> tuple[Contract, msgspec.json.Decoder[msgspec.Struct], Classifier]:
    contract = Contract.model_validate_json(contract_json)
    return contract, msgspec.json.Decoder(record_type(contract)), Classifier(contract)


def _used_fields(contract: Contract) -> list[str]:
    """Return the fields that a cube or a rule on columns asks for, in the contract's order."""
    used = {name for cube in contract.cubes for name in cube.dimensions}
    for cube in contract.cubes:
        used |= {measure.field for measure in cube.measures if measure.field}
        used |= {measure.where.field for measure in cube.measures if measure.where}
    for rule in contract.rules:
        used |= {rule.field, *rule.when}
    return [name for name, rule in contract.fields.items() if name in used or rule.format]


class _Task:
    """Partial results of the batches seen so far."""

    def __init__(self, contract: Contract) -> None:
        self._contract, decoder, self._classifier = _decoder(contract.model_dump_json())
        self._decode = decoder.decode
        self._cubes: dict[str, list[pa.Table]] = {cube.name: [] for cube in contract.cubes}
        self._hours: list[pa.Table] = []
        self._partitions: list[pa.Table] = []
        self._rejects: list[dict[str, object]] = []
        self._payload_bytes = 0
        self._fields = _used_fields(contract)
        named = list(dict.fromkeys([contract.event_time.field, *self._fields]))
        self._raw = {name: raw_type(contract.fields[name]) for name in named}
        self._lines = Lines(contract, named) if contract.line_formats else None

    def add(self, batch: pa.RecordBatch) -> None:
        """Fold one batch of records into the partial results."""
        kafka_ms = batch.column("timestamp").cast(pa.timestamp("us")).view(pa.int64()).to_numpy() // 1000
        places = Places(batch.column("partition").to_numpy(), batch.column("offset").to_numpy(), kafka_ms)
        values = batch.column("value")
        self._partitions.append(
            pa.table(
                {
                    "partition": places.partition,
                    "records": np.ones(len(kafka_ms), np.int64),
                    "offset_min": places.offset,
                    "kafka_min": kafka_ms,
                    "kafka_max": kafka_ms,
                }
            )
        )
        doubtful = suspects(values)
        if self._lines is None:
            sources = [(without(len(values), doubtful), self._read_json)]
        else:
            objects, lines = sort_by_form(self._contract, values)
            sources = [(objects, self._read_json), (lines, self._lines.parse)]
            if doubtful:
                sources = [(rows[~np.isin(rows, list(doubtful))], read) for rows, read in sources]
        for rows, read in sources:
            if len(rows):
                doubtful.update(self._at_once(places, values, rows, read).tolist())
        if doubtful:
            self._one_by_one(places, values, sorted(doubtful))

    def _read_json(self, values: pa.Array) -> tuple[dict[str, pa.Array], np.ndarray]:
        return decode(self._decode, values, self._raw)

    def _at_once(self, places: Places, values: pa.Array, rows: np.ndarray, read: Reader) -> np.ndarray:
        """Fold the records at these positions, all of one form; return the positions of those left over."""
        some = len(rows) < len(values)
        raw, unread = read(values.take(pa.array(rows)) if some else values)
        good = rows[without(len(rows), unread)] if len(unread) else rows
        here = places.take(good) if len(good) < len(values) else places
        events, accepted = judge(self._contract, here, raw, self._fields)
        if not accepted.all():
            events = events.take(np.flatnonzero(accepted))
        self._aggregate(events)
        return np.concatenate([rows[unread], good[~accepted]])

    def _one_by_one(self, places: Places, values: pa.Array, positions: list[int]) -> None:
        found: list[tuple[int, Event]] = []
        for position in positions:
            value, kafka_ms = values[position].as_py(), int(places.kafka_ms[position])
            verdict = self._classifier.classify(value, kafka_ms)
            if isinstance(verdict, Event):
                found.append((position, verdict))
            else:
                place = int(places.partition[position]), int(places.offset[position])
                keep = min(PAYLOAD_BYTES, max(0, TASK_PAYLOAD_BYTES - self._payload_bytes))
                self._rejects.append(reject_row(*place, kafka_ms, verdict, value, keep))
                self._payload_bytes += min(keep, len(value or b""))
        if found:
            columns = {
                name: pa.array(
                    [event.values[name] for _, event in found],
                    pa.int64() if self._contract.fields[name].is_number else pa.string(),
                )
                for name in self._fields
            }
            where = places.take(np.array([position for position, _ in found]))
            time_us = np.array([event.time_us for _, event in found], np.int64)
            self._aggregate(Events(self._contract, where, time_us, columns))

    def _aggregate(self, events: Events) -> None:
        if not len(events):
            return
        self._hours.append(
            merge_hours(
                pa.table(
                    {
                        "partition": events.places.partition,
                        "hour": events.windows(3600),
                        "events": np.ones(len(events), np.int64),
                        "late": events.late.astype(np.int64),
                        "first": events.places.offset,
                        "last": events.places.offset,
                        "latest_us": events.time_us,
                    }
                )
            )
        )
        for cube in self._contract.cubes:
            rows = cube_rows(cube, events)
            if len(rows):
                self._cubes[cube.name].append(merge_cube(cube, rows))

    def results(self) -> Iterator[pa.RecordBatch]:
        """Yield each kind of result once, as one row."""
        tables: dict[str, pa.Table] = {}
        if self._partitions:
            tables[PARTITIONS] = merge_partitions(pa.concat_tables(self._partitions))
        if self._hours:
            tables[HOURS] = merge_hours(pa.concat_tables(self._hours))
        if self._rejects:
            tables[REJECTS] = pa.Table.from_pylist(self._rejects, REJECTS_SCHEMA)
        for cube in self._contract.cubes:
            if self._cubes[cube.name]:
                tables[CUBE_PREFIX + cube.name] = merge_cube(cube, pa.concat_tables(self._cubes[cube.name]))
        for kind, table in tables.items():
            yield pa.record_batch([[kind], [to_ipc(table)]], schema=OUTPUT_SCHEMA)
