"""The ledger: which batches are committed, which of them are valid, and where the frontier is.

A batch id is generation << 40 | number; a generation's batches are numbered from 1 as they are
committed. A batch is valid when the takeover row of the highest generation lists its generation and
its id is at most the limit beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, fields
from datetime import UTC, datetime

from clickhouse_driver import Client

from include.streaming.stretch import read_stretch
from include.warehouse.sql import read_sql

GENERATION_BITS = 40


class GenerationError(RuntimeError):
    """A generation is not above all that the ledger knows: the control topic was recreated."""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One batch's work on one Kafka partition; columns as in sql/migrations/0001_commit.sql and 0012_replay.sql.

    Offsets are [start_offset, end_offset); Kafka times are epoch milliseconds, both 0 when no record was read.
    The replayed lists are of one length: dead letters that the batch folded besides its range, and no other
    figure of the row includes them.
    """

    stream: str
    batch: int
    partition: int
    start_offset: int
    lost_to: int
    end_offset: int
    accepted: int
    rejected: int
    late: int
    non_records: int
    hours: list[datetime]
    hour_events: list[int]
    hour_first: list[int]
    hour_last: list[int]
    kafka_time_min: int
    kafka_time_max: int
    contract_version: int
    replayed_partitions: list[int] = field(default_factory=list)
    replayed_offsets: list[int] = field(default_factory=list)
    replayed_hours: list[datetime] = field(default_factory=list)


COLUMNS = ", ".join(column.name for column in fields(LedgerRow))


@dataclass(frozen=True)
class Position:
    """Where a stream stands, without its rows.

    `keep` maps each generation to the highest batch id that is to stay valid, `frontier` each Kafka partition to
    the highest end offset over the valid rows.
    """

    stream: str
    generation: int
    keep: dict[int, int]
    frontier: dict[int, int]


@dataclass(frozen=True)
class CommitState:
    """What the ledger says of a stream: the highest generation, its limits, and the valid rows."""

    stream: str
    generation: int
    keep: dict[int, int]
    rows: list[LedgerRow]

    @property
    def frontier(self) -> dict[int, int]:
        """Highest end offset of each partition over the valid rows."""
        ends: dict[int, int] = {}
        for row in self.rows:
            ends[row.partition] = max(ends.get(row.partition, 0), row.end_offset)
        return ends

    @property
    def highest_batch(self) -> int:
        """Highest valid batch id, 0 when nothing is committed."""
        return max((row.batch for row in self.rows), default=0)


def batch_id(generation: int, before: int) -> int:
    """Return the id of the batch that follows `before` others of its generation."""
    return generation << GENERATION_BITS | (before + 1)


def read_commit_state(client: Client, stream: str) -> CommitState:
    """Read takeover rows, then the ledger: in that order no valid batch can be missed.

    Every row of the ledger becomes an object here: include/reconcile/long_ledger.py reads one of any length.
    """
    generation, keep = read_limits(client, stream)
    found = client.execute(
        f"SELECT {COLUMNS} FROM ledger FINAL WHERE stream = %(stream)s", {"stream": stream}
    )
    rows = [LedgerRow(*row) for row in found]
    valid = [row for row in rows if is_valid(row.batch, keep)]
    return CommitState(stream, generation, keep, sorted(valid, key=lambda row: (row.batch, row.partition)))


def read_position(client: Client, stream: str) -> Position:
    """Read takeover rows, then what the valid ledger rows add up to: of old ones their stretch says it, and the others
    are read by ClickHouse, not by this process."""
    generation, limits = read_limits(client, stream)
    if not limits:
        return Position(stream, generation, {}, {})
    stretch = read_stretch(client, stream, limits)
    kept, frontier = dict(stretch.keep), dict(stretch.frontier)
    values = {"stream": stream, **validity(limits), **stretch.bounds}
    for held, partition, batch, end in client.execute(read_sql("life_cycle/position.sql"), values):
        kept[held] = max(kept.get(held, 0), batch)
        frontier[partition] = max(frontier.get(partition, 0), end)
    return Position(stream, generation, kept, frontier)


def take_over(client: Client, stream: str, generation: int) -> Position:
    """Plan a takeover and record it; raises as `plan_takeover` does."""
    position = plan_takeover(client, stream, generation)
    record_takeover(client, position)
    return position


def plan_takeover(client: Client, stream: str, generation: int) -> Position:
    """Return where a new generation begins, and of earlier ones what stays valid; writes nothing.

    Raises:
        GenerationError: a takeover or ledger row of this or a higher generation exists.
    """
    before = read_position(client, stream)
    refuse_recreated(client, stream, generation - 1)
    keep = {**before.keep, generation: ((generation + 1) << GENERATION_BITS) - 1}
    return Position(stream, generation, keep, before.frontier)


def refuse_recreated(client: Client, stream: str, newest: int) -> None:
    """Refuse to go on when the ledger knows of a generation above the newest that the control topic knows.

    Asked before a claim too: claims that are refused would grow until one is above the ledger's.

    Raises:
        GenerationError: it does.
    """
    generation, _ = read_limits(client, stream)
    above = {"stream": stream, "lowest": (generation + 1) << GENERATION_BITS}
    highest = client.execute(read_sql("life_cycle/highest_batch.sql"), above)[0][0]
    known = max(generation, highest >> GENERATION_BITS)
    if known > newest:
        raise GenerationError(
            f"{stream}: claimed generation {newest + 1}, but generation {known} is in the ledger: "
            "the control topic was recreated; delete nothing, and restore it or rebuild the stream"
        )


def record_takeover(client: Client, position: Position) -> None:
    """Make the planned generation the one that counts.

    Writing the same position again changes nothing, so that a write whose answer was lost is repeated
    with it, and not planned anew: a new plan would find its own row and refuse.
    """
    client.execute(
        "INSERT INTO takeovers (stream, generation, keep_gen, keep_upto, taken_at) VALUES",
        [
            (
                position.stream,
                position.generation,
                list(position.keep),
                list(position.keep.values()),
                datetime.now(UTC),
            )
        ],
    )


def insert_ledger_rows(client: Client, rows: list[LedgerRow]) -> None:
    """Commit: all rows of one batch as one block into one ClickHouse partition."""
    now = datetime.now(UTC)
    client.execute(
        f"INSERT INTO ledger ({COLUMNS}, committed_at) VALUES", [(*astuple(row), now) for row in rows]
    )


def is_valid(batch: int, keep: Mapping[int, int]) -> bool:
    """Whether a batch is within the limit of its generation."""
    return batch <= keep.get(batch >> GENERATION_BITS, -1)


def validity(keep: Mapping[int, int]) -> dict[str, list[int]]:
    """Return the parameters by which a query tells valid batches; never empty, since nothing maps from empty arrays."""
    return {"generations": list(keep) or [0], "limits": list(keep.values()) or [0]}


def read_limits(client: Client, stream: str) -> tuple[int, dict[int, int]]:
    """Return the highest generation that took a stream over, 0 for none, and each generation's highest valid batch."""
    found = client.execute(
        "SELECT generation, keep_gen, keep_upto FROM takeovers WHERE stream = %(stream)s "
        "ORDER BY generation DESC LIMIT 1",
        {"stream": stream},
    )
    if not found:
        return 0, {}
    generation, generations, limits = found[0]
    return generation, dict(zip(generations, limits, strict=True))
