"""The fold: Kafka records in, partial aggregates out, one vectorised pass in the Python worker.

A pure function of the records (value, Kafka timestamp, partition, offset) and the contract: no
clock, no randomness, no dependence on order. What the vectorised rules cannot accept goes record
by record through the contract's classifier, so one bad record never costs its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.contracts import Contract, Cube
from include.contracts.classifier import BROKEN, DEEPEST_NESTING, Classifier, Event, too_deep
from include.contracts.records import record_type
from include.contracts.times import END_US, ISO8601_PATTERN, parse_iso8601
from include.streaming.partials import (
    CUBE_PREFIX,
    HOURS,
    OUTPUT_SCHEMA,
    PARTITIONS,
    PAYLOAD_BYTES,
    REJECTS,
    REJECTS_SCHEMA,
    TASK_PAYLOAD_BYTES,
    cube_schema,
    merge_cube,
    merge_hours,
    merge_partitions,
    reject_row,
    to_ipc,
)

HOUR_US = 3_600_000_000
SLICE = 2_000  # records decoded at once: their objects stay in the processor's cache, which halves the time
ZONED = r"(Z|[+-][0-9:]{5})$"


@dataclass(frozen=True)
class FoldInput:
    """Columns of some records, all of one length n: Kafka metadata and, where wanted, the value."""

    partition: np.ndarray
    offset: np.ndarray
    kafka_ms: np.ndarray

    def take(self, index: np.ndarray) -> FoldInput:
        """Return the records at these positions."""
        return FoldInput(self.partition[index], self.offset[index], self.kafka_ms[index])


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
        used = {name for cube in contract.cubes for name in cube.dimensions}
        used |= {measure.field for cube in contract.cubes for measure in cube.measures if measure.field}
        used |= {rule.field for rule in contract.rules} | {
            name for rule in contract.rules for name in rule.when
        }
        self._fields = [name for name in contract.fields if name in used]
        self._columns = {
            name: pa.string() if contract.fields[name].scale is None else pa.float64()
            for name in [contract.event_time.field, *self._fields]
        }

    def add(self, batch: pa.RecordBatch) -> None:
        """Fold one batch of records into the partial results."""
        kafka_ms = batch.column("timestamp").cast(pa.timestamp("us")).view(pa.int64()).to_numpy() // 1000
        records = FoldInput(batch.column("partition").to_numpy(), batch.column("offset").to_numpy(), kafka_ms)
        values = batch.column("value")
        decoded, doubtful = self._decode_all(values)
        self._partitions.append(
            pa.table(
                {
                    "partition": records.partition,
                    "records": np.ones(len(kafka_ms), np.int64),
                    "offset_min": records.offset,
                    "kafka_min": kafka_ms,
                    "kafka_max": kafka_ms,
                }
            )
        )
        index = np.setdiff1d(np.arange(len(values)), np.array(doubtful, np.int64), assume_unique=True)
        good = records if not doubtful else records.take(index)
        time_us, columns, accepted = self._judge(decoded, good)
        if not accepted.all():
            doubtful = sorted([*doubtful, *index[~accepted].tolist()])
            keep = np.flatnonzero(accepted)
            good, time_us = good.take(keep), time_us[keep]
            columns = {name: column.take(pa.array(keep)) for name, column in columns.items()}
        self._aggregate(good, time_us, columns)
        if doubtful:
            self._one_by_one(records, values, doubtful)

    def _decode_all(self, values: pa.Array) -> tuple[dict[str, pa.Array], list[int]]:
        """Return the columns of the records that decode, in order, and the positions of those that do not."""
        suspects = _suspects(values)
        parts: dict[str, list[pa.Array]] = {name: [] for name in self._columns}
        failed: list[int] = []
        for start in range(0, len(values), SLICE):
            raw = values.slice(start, SLICE).to_pylist()
            positions = (
                [start + i for i in range(len(raw)) if start + i not in suspects] if suspects else None
            )
            queue = (
                iter(raw) if positions is None else iter([raw[position - start] for position in positions])
            )
            decoded: list[msgspec.Struct] = []
            before = len(failed)
            while True:
                try:
                    decoded.extend(map(self._decode, queue))  # keeps what came before a failure
                    break
                except BROKEN:
                    at = len(decoded) + len(failed) - before
                    failed.append(start + at if positions is None else positions[at])
            for name, kind in self._columns.items():
                parts[name].append(pa.array(list(map(attrgetter(name), decoded)), kind))
        return {name: pa.concat_arrays(part) for name, part in parts.items()}, sorted([*failed, *suspects])

    def _judge(
        self, decoded: dict[str, pa.Array], records: FoldInput
    ) -> tuple[np.ndarray, dict[str, pa.Array], np.ndarray]:
        """Return event times, the columns that cubes need, and which records pass every rule."""
        contract = self._contract
        time_us, accepted = _times(decoded[contract.event_time.field])
        columns: dict[str, pa.Array] = {}
        for name in self._fields:
            scale = contract.fields[name].scale
            if scale is None:
                columns[name] = decoded[name]
            else:
                scaled = np.rint(decoded[name].to_numpy() * np.float64(10**scale))
                columns[name] = pa.array(scaled.astype(np.int64))
        for rule in contract.rules:
            figure = columns[rule.field].to_numpy()
            breaks = figure != rule.equals if rule.equals is not None else figure <= rule.above
            for name, text in rule.when.items():
                breaks = breaks & pc.equal(columns[name], text).to_numpy(zero_copy_only=False)
            accepted &= ~breaks
        ahead = time_us - records.kafka_ms * 1_000
        accepted &= ahead <= contract.skew_seconds * 1_000_000
        accepted &= -ahead <= contract.maximum_age_hours * HOUR_US
        return time_us, columns, accepted

    def _one_by_one(self, records: FoldInput, values: pa.Array, positions: list[int]) -> None:
        events: list[tuple[int, Event]] = []
        for position in positions:
            value, kafka_ms = values[position].as_py(), int(records.kafka_ms[position])
            verdict = self._classifier.classify(value, kafka_ms)
            if isinstance(verdict, Event):
                events.append((position, verdict))
            else:
                place = int(records.partition[position]), int(records.offset[position])
                keep = min(PAYLOAD_BYTES, max(0, TASK_PAYLOAD_BYTES - self._payload_bytes))
                self._rejects.append(reject_row(*place, kafka_ms, verdict, value, keep))
                self._payload_bytes += min(keep, len(value or b""))
        if events:
            where = records.take(np.array([position for position, _ in events]))
            columns = {
                name: pa.array(
                    [event.values[name] for _, event in events],
                    pa.string() if self._contract.fields[name].scale is None else pa.int64(),
                )
                for name in self._fields
            }
            self._aggregate(where, np.array([event.time_us for _, event in events], np.int64), columns)

    def _aggregate(self, records: FoldInput, time_us: np.ndarray, columns: dict[str, pa.Array]) -> None:
        count = len(time_us)
        if not count:
            return
        late = records.kafka_ms * 1_000 - time_us > self._contract.lateness_seconds * 1_000_000
        self._hours.append(
            merge_hours(
                pa.table(
                    {
                        "partition": records.partition,
                        "hour": time_us // HOUR_US * 3600,
                        "events": np.ones(count, np.int64),
                        "late": late.astype(np.int64),
                        "first": records.offset,
                        "last": records.offset,
                    }
                )
            )
        )
        for cube in self._contract.cubes:
            self._cubes[cube.name].append(merge_cube(cube, _cube_rows(cube, time_us, columns)))

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


def _cube_rows(cube: Cube, time_us: np.ndarray, columns: dict[str, pa.Array]) -> pa.Table:
    """Return a row for each event, as merge_cube takes them."""
    pane_us = cube.pane_seconds * 1_000_000
    rows: dict[str, object] = {"window_start": time_us // pane_us * cube.pane_seconds}
    rows |= {name: columns[name] for name in cube.dimensions}
    for measure in cube.measures:
        rows[measure.name] = (
            np.ones(len(time_us), np.int64) if measure.field is None else columns[measure.field]
        )
    return pa.table(rows, schema=cube_schema(cube))


def _suspects(values: pa.Array) -> set[int]:
    """Return the positions of values that the decoder would not see to be broken, or must not be given."""
    found: set[int] = set()
    try:
        values.cast(pa.string())  # checks all bytes; the decoder looks only into strings that it keeps
    except pa.ArrowInvalid:
        found |= {
            i for i, value in enumerate(values.to_pylist()) if value is not None and not _is_utf8(value)
        }
    for i in np.flatnonzero(pc.greater(pc.binary_length(values), 2 * DEEPEST_NESTING).fill_null(False)):
        if too_deep(values[int(i)].as_py()):
            found.add(int(i))
    if values.null_count:
        found |= set(np.flatnonzero(values.is_null()).tolist())
    return found


def _times(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return epoch microseconds and which texts are times; the form is that of contracts/times.py."""
    formed = pc.match_substring_regex(column, f"^{ISO8601_PATTERN}$")
    zoned = pc.and_(formed, pc.match_substring_regex(column, ZONED))
    plain = pc.and_(formed, pc.invert(zoned))
    time_us = np.zeros(len(column), np.int64)
    accepted = np.zeros(len(column), bool)
    for mask, kind in ((plain, pa.timestamp("us")), (zoned, pa.timestamp("us", "UTC"))):
        where = np.flatnonzero(mask.to_numpy(zero_copy_only=False))
        if len(where):
            part = column if len(where) == len(column) else column.take(pa.array(where))
            time_us[where], accepted[where] = _cast(part, kind)
    return time_us, accepted & (time_us >= 0) & (time_us < END_US)


def _cast(column: pa.Array, kind: pa.DataType) -> tuple[np.ndarray, np.ndarray]:
    """Return epoch microseconds and which texts name a real instant, at once or else one by one."""
    try:
        return column.cast(kind).view(pa.int64()).to_numpy(), np.ones(len(column), bool)
    except pa.ArrowInvalid:
        found = [_parse(text) for text in column.to_pylist()]
        return np.array([t or 0 for t in found], np.int64), np.array([t is not None for t in found])


def _parse(text: str) -> int | None:
    try:
        return parse_iso8601(text)
    except ValueError:
        return None


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
