"""What the fold's tasks emit and the driver merges: schemas, merging by each measure's own rule, IPC bytes.

Integers are exact: 64 bits within a batch (the contract bounds the sums), Decimal(38, 0) in ClickHouse.
Windows and hours are epoch seconds, Kafka times epoch milliseconds.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable

import pyarrow as pa

from include.contracts import Contract, Cube
from include.contracts.classifier import Reject
from include.contracts.model import DERIVED_DIMENSIONS

CUBE_PREFIX = "cube:"
PARTITIONS, HOURS, REJECTS = "partitions", "hours", "rejects"
PAYLOAD_BYTES = 4096
TASK_PAYLOAD_BYTES = 32 * 2**20  # a task keeps no more than this of all its rejects: Kafka has the originals

OUTPUT_SCHEMA = pa.schema([("kind", pa.string()), ("payload", pa.binary())])
OUTPUT_DDL = "kind string, payload binary"
REJECTS_SCHEMA = pa.schema(
    [
        ("partition", pa.int64()),
        ("record_offset", pa.int64()),
        ("kafka_time", pa.int64()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("payload", pa.binary()),
        ("payload_bytes", pa.int64()),
        ("payload_sha256", pa.string()),
    ]
)
MERGES = {"count": "sum", "sum": "sum", "sumsq": "sum", "min": "min", "max": "max"}


def cube_schema(cube: Cube) -> pa.Schema:
    """Return the columns of a cube's partial rows: window_start, dimensions, measures.

    A field's dimension is a text, a derived one an integer. Sums of squares have no sign, and need the 64th bit.
    """
    return pa.schema(
        [("window_start", pa.int64())]
        + [(name, pa.int64() if name in DERIVED_DIMENSIONS else pa.string()) for name in cube.dimensions]
        + [(m.name, pa.uint64() if m.kind == "sumsq" else pa.int64()) for m in cube.measures]
    )


def merge_cube(cube: Cube, rows: pa.Table) -> pa.Table:
    """Return one row for each window and dimensions."""
    keys = ["window_start", *cube.dimensions]
    return _merge(rows, keys, {measure.name: MERGES[measure.kind] for measure in cube.measures})


def merge_hours(rows: pa.Table) -> pa.Table:
    """Return one row for each partition and event hour: events, late, first and last offset, highest event time."""
    merges = {"events": "sum", "late": "sum", "first": "min", "last": "max", "latest_us": "max"}
    return _merge(rows, ["partition", "hour"], merges)


def merge_partitions(rows: pa.Table) -> pa.Table:
    """Return one row for each partition: records read, lowest offset, Kafka times."""
    merges = {"records": "sum", "offset_min": "min", "kafka_min": "min", "kafka_max": "max"}
    return _merge(rows, ["partition"], merges)


def _merge(rows: pa.Table, keys: list[str], merges: dict[str, str]) -> pa.Table:
    grouped = rows.group_by(keys, use_threads=False).aggregate(list(merges.items()))
    renamed = {f"{name}_{how}": name for name, how in merges.items()}
    return grouped.rename_columns([renamed.get(name, name) for name in grouped.column_names]).select(
        [*keys, *merges]
    )


def reject_row(
    partition: int, offset: int, kafka_ms: int, reject: Reject, value: bytes | None, keep: int = PAYLOAD_BYTES
) -> dict[str, object]:
    """Return a row of REJECTS_SCHEMA with the first `keep` bytes of the payload; length and SHA-256 are of all."""
    payload = value or b""
    return {
        "partition": partition,
        "record_offset": offset,
        "kafka_time": kafka_ms,
        "reason": reject.reason,
        "detail": reject.detail[:500],
        "payload": payload[:keep],
        "payload_bytes": len(payload),
        "payload_sha256": hashlib.sha256(payload).hexdigest(),
    }


def to_ipc(table: pa.Table) -> bytes:
    """Return the table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def collect(contract: Contract, rows: Iterable[tuple[str, bytes]]) -> dict[str, pa.Table]:
    """Merge what the tasks of one batch emitted: two tasks share keys. Kinds that nobody emitted are absent."""
    parts: dict[str, list[pa.Table]] = defaultdict(list)
    for kind, payload in rows:
        parts[kind].append(pa.ipc.open_stream(bytes(payload)).read_all())
    merged = {kind: pa.concat_tables(tables) for kind, tables in parts.items()}
    cubes = {CUBE_PREFIX + cube.name: cube for cube in contract.cubes}
    for kind, table in merged.items():
        if kind in cubes:
            merged[kind] = merge_cube(cubes[kind], table)
        elif kind == HOURS:
            merged[kind] = merge_hours(table)
        elif kind == PARTITIONS:
            merged[kind] = merge_partitions(table)
    return merged
