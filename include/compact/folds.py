"""Folds the old part of a stream's ledger, and holds what is folded against the rows: the daily look at all of them.

Every piece is added up again from its rows, slice by slice. What differs from what is stored was altered or lost since;
what is stored is then made anew from the rows as they are, so that the next plan sees the fault as it would in the rows
(include/reconcile/long_ledger.py). Why folds may stand for rows is told in include/streaming/stretch.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import time
from typing import Any

from clickhouse_driver import Client

from include.compact.mutate import delete_rows
from include.reconcile import store
from include.reconcile.long_ledger import PIECE_BITS, read_pieces
from include.reconcile.types import as_utc
from include.streaming.ledger import GENERATION_BITS, read_limits, read_position, validity
from include.streaming.stretch import NOTHING, Stretch, read_stretch
from include.warehouse.sql import read_sql

SETTLED = timedelta(days=2)  # the hourly plan reads every row for so long
SLICE = 1 << 20  # batches of one query
FRESH_SECONDS = 12 * 3600  # a stretch that was checked so lately is not stored again only to say so

Piece = tuple[Any, ...]


@dataclass(frozen=True)
class Folding:
    """What was folded of one stream. pieces: rows that were stored, 0 where nothing changed since they last were;
    altered: a sentence if pieces no longer equal their rows."""

    pieces: int = 0
    altered: str = ""


def fold_ledger(
    client: Client, stream: str, now: datetime, going: int = 0, dry_run: bool = False, bits: int = PIECE_BITS
) -> Folding:
    """Fold the batches of a stream that were committed SETTLED ago, and check those that are folded.

    going: the highest batch whose rows are about to expire; what is stored begins above it.
    """
    _, limits = read_limits(client, stream)
    before = read_stretch(client, stream, limits)
    stored = read_pieces(client, stream, before) if before.bits == bits else None
    if stored is None:
        before = NOTHING
    old = [_plain(columns) for columns in stored or []]
    newest = read_position(client, stream).keep
    low = max(before.low, ((going >> bits) + 1) << bits if going else 0)
    high = _settled_end(client, stream, before, now, max(newest.values(), default=0)) >> bits << bits
    if high <= low:
        return Folding()
    pieces, hours = _added_up(client, stream, limits, _slices(newest, low, high, bits), bits)
    altered = _altered(
        stream, [piece for piece in old if piece[0] >= low >> bits], pieces, before.high >> bits
    )
    after = _stretch(bits, low, high, pieces, hours)
    same = pieces == old and (before.low, before.high, before.hours) == (low, high, hours)
    if same and before.age < FRESH_SECONDS:
        return Folding()
    if not dry_run:
        _write(client, stream, after, pieces)
    return Folding(len(pieces), altered)


def _added_up(
    client: Client, stream: str, limits: Mapping[int, int], slices: Iterable[tuple[int, int]], bits: int
) -> tuple[list[Piece], dict[datetime, int]]:
    """Return the pieces of some slices, and the highest batch of each event hour that their rows list."""
    pieces: list[Piece] = []
    hours: dict[datetime, int] = {}
    for first, end in slices:
        values = {"stream": stream, "bits": bits, "low": first, "high": end, **validity(limits)}
        found = client.execute(read_sql("reconcile/folded_ledger.sql.j2", slice=True), values)
        pieces += (_plain(columns) for columns in found)
        for hour, batch in client.execute(read_sql("reconcile/ledger_hours.sql.j2", slice=True), values):
            hours[as_utc(hour)] = max(hours.get(as_utc(hour), 0), batch)
    return pieces, hours


def _settled_end(client: Client, stream: str, before: Stretch, now: datetime, newest: int) -> int:
    """Return the batch before which all were committed long ago, at most the newest: its piece may still grow."""
    values = {"stream": stream, "high": before.high, "since": store.text(now - SETTLED)}
    young = client.execute(read_sql("compact/young_batch.sql"), values)[0][0]
    return min(young or newest, newest)


def _slices(newest: Mapping[int, int], low: int, high: int, bits: int) -> Iterator[tuple[int, int]]:
    """Yield the batches of a stretch as ranges [first, end) of at most SLICE, each within one generation."""
    for generation, last in sorted(newest.items()):
        end = min(high, ((last >> bits) + 1) << bits)
        for first in range(max(low, generation << GENERATION_BITS), end, SLICE):
            yield first, min(first + SLICE, end)


def _plain(columns: Sequence[Any]) -> Piece:
    """Return a piece as the columns of folded_pieces after its version."""
    hours, events = columns[10]
    return (*columns[:10], [as_utc(hour) for hour in hours], list(events), *columns[11:])


def _altered(stream: str, old: Sequence[Piece], new: Sequence[Piece], end: int) -> str:
    """Say how many pieces below piece `end` are not what they were."""
    were, are = ({piece[:2]: piece for piece in found if piece[0] < end} for found in (old, new))
    wrong = sorted(key for key in were.keys() | are.keys() if were.get(key) != are.get(key)) if were else []
    if not wrong:
        return ""
    first = were.get(wrong[0]) or are[wrong[0]]
    return (
        f"{stream}: ledger rows of {len(wrong)} pieces were altered or lost since they were folded, the first in "
        f"partition {wrong[0][1]}, batches {first[2]} to {first[3]}"
    )


def _stretch(
    bits: int, low: int, high: int, pieces: Sequence[Piece], hours: Mapping[datetime, int]
) -> Stretch:
    keep: dict[int, int] = {}
    frontier: dict[int, int] = {}
    for _, partition, _, last, _, end, *_ in pieces:
        keep[last >> GENERATION_BITS] = max(keep.get(last >> GENERATION_BITS, 0), last)
        frontier[partition] = max(frontier.get(partition, 0), end)
    return Stretch(0, bits, low, high, len(pieces), keep, frontier, hours)


def _write(client: Client, stream: str, stretch: Stretch, pieces: Sequence[Piece]) -> None:
    """Store a stretch: its pieces first, since the stretch's own row puts them in force. The one before stays for
    whoever is reading it, and goes with the next."""
    found = client.execute(read_sql("life_cycle/stretch.sql"), {"stream": stream})
    previous = found[0][0] if found else 0
    version = max(previous + 1, int(time() * 1_000_000))
    client.execute("INSERT INTO folded_pieces VALUES", [(stream, version, *piece) for piece in pieces])
    row = (stream, version, stretch.bits, stretch.low, stretch.high, stretch.pieces)
    lists = [
        values
        for mapping in (stretch.keep, stretch.frontier, stretch.hours)
        for values in (list(mapping), list(mapping.values()))
    ]
    client.execute("INSERT INTO folded_stretches VALUES", [(*row, *lists, datetime.now(UTC))])
    for table in ("folded_stretches", "folded_pieces"):
        values = {"stream": stream, "version": previous}
        statement = read_sql(
            "compact/drop_rows.sql.j2", table=table, condition="compact/conditions/folds.sql"
        )
        delete_rows(client, table, statement, values)
