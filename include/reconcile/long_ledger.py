"""Reads a ledger of any length: stretches that nothing needs row by row are folded into one row each.

A stream commits a batch a second for months; a row of its own for each, in this process, would take gigabytes.
ClickHouse adds up pieces of PIECE batches. A piece is folded when its rows make one chain without a hole or an
overlap, were folded under one contract version, and none of them lost, replayed or spanned nothing. A folded row
covers its offsets and carries their sums, and its batch is the highest of the piece. Rows stay as they are in the
first and the last piece, around every fault, and wherever an hour of interest may have records.

Old pieces are not read at all but taken from the folded stretch (include/streaming/stretch.py). Damage to their rows
shows when compact_warehouse has next held the stretch against them, and at once where they are read row by row. A stretch
that nobody has held against its rows for CHECKED_SECONDS does not count.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from clickhouse_driver import Client

from include.reconcile.beginning import NUMBER
from include.reconcile.ranges import by_partition, holds_hour
from include.reconcile.types import as_utc
from include.streaming.ledger import COLUMNS, CommitState, LedgerRow, is_valid, read_limits, validity
from include.streaming.stretch import NOTHING, Stretch, read_stretch
from include.warehouse.sql import read_sql

PIECE_BITS = 10
CHECKED_SECONDS = 3 * 86_400


@dataclass(frozen=True)
class Fold:
    """The rows of one piece and partition as one row, and whether that row may stand for them."""

    piece: int
    first_batch: int
    row: LedgerRow
    sound: bool


def read_long_ledger(
    client: Client, stream: str, hours: Collection[datetime] = (), bits: int = PIECE_BITS
) -> CommitState:
    """Read takeover rows, then the ledger; its rows are folded where that changes nothing for these hours.

    bits: a piece has 2 ** bits batches.
    """
    generation, keep = read_limits(client, stream)
    if not keep:
        return CommitState(stream, generation, keep, [])
    folds = [_fold(stream, *columns) for columns in _folded(client, stream, keep, bits)]
    opened = needed_pieces(folds, hours)
    while True:
        rows = [fold.row for fold in folds if fold.piece not in opened]
        rows += _rows(client, stream, keep, opened, bits)
        more = broken_pieces(folds, rows, bits) - opened
        if not more:
            return CommitState(stream, generation, keep, sorted(rows, key=lambda r: (r.batch, r.partition)))
        opened |= more


def read_pieces(client: Client, stream: str, stretch: Stretch) -> list[tuple[Any, ...]] | None:
    """Return the stored pieces of a stretch, columns as in sql/reconcile/folded_ledger.sql.j2; None if one is missing."""
    values = {"stream": stream, "version": stretch.version}
    found = client.execute(read_sql("reconcile/stored_pieces.sql"), values) if stretch.pieces else []
    return found if len(found) == stretch.pieces else None


def _folded(client: Client, stream: str, keep: dict[int, int], bits: int) -> list[tuple[Any, ...]]:
    """Return all pieces in order: those of the stretch as they are stored, the others from their rows."""
    stretch = read_stretch(client, stream, keep)
    counts = stretch.bits == bits and stretch.age <= CHECKED_SECONDS
    stored = read_pieces(client, stream, stretch) if counts else None
    bounds = (NOTHING if stored is None else stretch).bounds
    values = {"stream": stream, "bits": bits, **validity(keep), **bounds}
    fresh = client.execute(read_sql("reconcile/folded_ledger.sql.j2"), values)
    return sorted([*(stored or []), *fresh], key=lambda columns: columns[:2])


def needed_pieces(folds: Sequence[Fold], hours: Collection[datetime]) -> set[int]:
    """Return the pieces that are read row by row: those that cannot be folded, the stream's first batch, the last
    piece, rows that a repair wrote under number 0, and those that may hold records of an hour."""
    if not folds:
        return set()
    driven = [fold.piece for fold in folds if fold.row.batch & NUMBER]
    first = min(driven, default=folds[0].piece)
    needed = {fold.piece for fold in folds if not fold.sound or fold.first_batch & NUMBER == 0}
    needed |= {first, max(fold.piece for fold in folds)}
    return needed | {fold.piece for fold in folds if any(holds_hour(fold.row, hour, None) for hour in hours)}


def broken_pieces(folds: Iterable[Fold], rows: Iterable[LedgerRow], bits: int) -> set[int]:
    """Return the pieces around each place where rows do not chain, so that the fault is seen between real rows."""
    spans: list[tuple[int, int]] = []
    for ordered in by_partition(rows).values():
        reaching = ordered[0]
        for row in ordered[1:]:
            if row.start_offset != reaching.end_offset:
                low, high = sorted((reaching.batch >> bits, row.batch >> bits))
                spans.append((low, high))
            reaching = max(reaching, row, key=lambda r: r.end_offset)
    return {fold.piece for fold in folds if any(low <= fold.piece <= high for low, high in spans)}


def _fold(
    stream: str,
    piece: int,
    partition: int,
    first: int,
    last: int,
    start: int,
    end: int,
    accepted: int,
    rejected: int,
    late: int,
    non_records: int,
    by_hour: tuple[list[datetime], list[int]],
    kafka_from: int,
    kafka_to: int,
    version: int,
    chained: int,
    special: int,
) -> Fold:
    hours, events = by_hour
    row = LedgerRow(
        *(stream, last, partition, start, start, end, accepted, rejected, late, non_records),
        *([as_utc(hour) for hour in hours], list(events), [start] * len(hours), [end - 1] * len(hours)),
        *(kafka_from, kafka_to, version),
    )
    return Fold(piece, first, row, bool(chained) and not special)


def _rows(
    client: Client, stream: str, keep: dict[int, int], pieces: Collection[int], bits: int
) -> list[LedgerRow]:
    rows: list[LedgerRow] = []
    statement = read_sql("reconcile/ledger_rows.sql.j2", columns=COLUMNS)
    for low, high in _runs(pieces):
        bounds = {"stream": stream, "low": low << bits, "high": high << bits}
        rows += (LedgerRow(*found) for found in client.execute(statement, bounds))
    return [row for row in rows if is_valid(row.batch, keep)]


def _runs(pieces: Collection[int]) -> list[tuple[int, int]]:
    """Return the pieces as ranges [low, high), so that neighbours are read at once."""
    runs: list[tuple[int, int]] = []
    for piece in sorted(pieces):
        if runs and runs[-1][1] == piece:
            runs[-1] = (runs[-1][0], piece + 1)
        else:
            runs.append((piece, piece + 1))
    return runs
