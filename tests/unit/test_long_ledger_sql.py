"""A long ledger's statements on the current dialect, and which pieces of it are read row by row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any

import pytest
from chdb import session as chdb_session
from clickhouse_driver.util.escape import escape_params

from include.reconcile.chain import chain_faults
from include.reconcile.long_ledger import Fold, broken_pieces, needed_pieces
from include.reconcile.types import epoch
from include.streaming.ledger import COLUMNS, GENERATION_BITS, LedgerRow, batch_id
from include.warehouse.sql import SQL_DIR, read_sql, split_statements

HOUR = datetime(2026, 1, 1, 5, tzinfo=UTC)
G = 1 << GENERATION_BITS
LIMITS = {"stream": "ad_events", "generations": [1, 2], "limits": [G + 8, 3 * G - 1], "low": 0, "high": 0}


@pytest.fixture(scope="module")
def ask() -> Iterator[Any]:
    """A function that runs a statement on eight chained batches, with a stale one above the limit."""
    session = chdb_session.Session()
    session.query("CREATE DATABASE own ENGINE = Memory")
    session.query("USE own")
    for name in ("0001_commit.sql", "0012_replay.sql", "0016_folded_ledger.sql"):
        for statement in split_statements((SQL_DIR / "migrations" / name).read_text(encoding="utf-8")):
            session.query(statement)
    for number in range(9):
        hours = f"[toDateTime({epoch(HOUR)}, 'UTC')]"
        start = number * 10
        session.query(
            f"INSERT INTO ledger ({COLUMNS}, committed_at) VALUES ('ad_events', {G + 1 + number}, 0, {start}, "
            f"{start}, {start + 10}, 9, 1, 0, 0, {hours}, [9], [{start}], [{start + 8}], 5, 6, 1, [], [], [], 0)"
        )

    def run(path: str, identifiers: dict[str, object] | None = None, **values: Any) -> list[list[Any]]:
        columns = {"columns": "batch, start_offset"} if "rows" in path else {}
        text = path if path.startswith("INSERT") else read_sql(path, **columns, **(identifiers or {}))
        statement = text % escape_params({**LIMITS, **values}, None)
        return [json.loads(line) for line in str(session.query(statement, "JSONCompactEachRow")).splitlines()]

    yield run
    session.close()


def test_a_piece_is_added_up_and_says_whether_it_chains(ask: Any) -> None:
    pieces = ask("reconcile/folded_ledger.sql.j2", bits=2)
    assert [row[:6] for row in pieces] == [
        [G >> 2, 0, G + 1, G + 3, 0, 30],
        [(G >> 2) + 1, 0, G + 4, G + 7, 30, 70],
        [(G >> 2) + 2, 0, G + 8, G + 8, 70, 80],
    ], "by piece: partition, first and last batch, offsets; the batch above the limit is in none"
    assert pieces[1][6:] == [36, 4, 0, 0, [["2026-01-01 05:00:00"], [36]], 5, 6, 1, 1, 0]


def test_a_stretch_is_read_alone_or_left_out(ask: Any) -> None:
    stretch = {"bits": 2, "low": G, "high": G + 4}
    folded, hours = "reconcile/folded_ledger.sql.j2", "reconcile/ledger_hours.sql.j2"
    assert [row[0] for row in ask(folded, **stretch)] == [(G >> 2) + 1, (G >> 2) + 2]
    assert [row[0] for row in ask(folded, {"slice": True}, **stretch)] == [G >> 2]
    assert [row[1] for row in ask(hours, **stretch)] == [G + 8]
    assert [row[1] for row in ask(hours, {"slice": True}, **stretch)] == [G + 3]
    position = "life_cycle/position.sql"
    assert ask(position) == ask(position, **stretch) == [[1, 0, G + 8, 80]]
    assert ask(position, low=G, high=2 * G) == []
    assert [ask("life_cycle/any_from.sql.j2", high=high) for high in (G + 8, G + 9)] == [[[1]], [[0]]]
    assert [ask("life_cycle/highest_batch.sql", lowest=lowest) for lowest in (G, 2 * G)] == [[[G + 9]], [[0]]]
    assert ask("compact/young_batch.sql", since="2026-01-01 05:00:00") == [[0]]
    assert ask("compact/young_batch.sql", since="1970-01-01 00:00:00") == [[G + 1]]


def test_a_folded_stretch_is_read_as_it_was_written_and_forgotten(ask: Any) -> None:
    assert ask("life_cycle/stretch.sql") == ask("reconcile/stored_pieces.sql", version=1) == []
    for version in (1, 2):
        row = f"('ad_events', {version}, 2, 0, {G}, 1, [1], [{G}], [0], [9], [], [], 0)"
        ask(f"INSERT INTO folded_stretches VALUES {row}")
        ask(
            f"INSERT INTO folded_pieces VALUES ('ad_events', {version}, 7, 0, 28, 31, 5, 9, 4, 0, 0, 0, "
            "['2026-01-01 05:00:00'], [4], 5, 6, 1, 1, 0)"
        )
    ((*stretch, age),) = ask("life_cycle/stretch.sql")
    assert stretch == [2, 2, 0, G, 1, [1], [G], [0], [9], [], []]
    assert age > 10**9, "seconds since 1970"
    assert ask("reconcile/stored_pieces.sql", version=2) == [
        [7, 0, 28, 31, 5, 9, 4, 0, 0, 0, [["2026-01-01 05:00:00"], [4]], 5, 6, 1, 1, 0]
    ]
    for table in ("folded_stretches", "folded_pieces"):
        ask("life_cycle/forget_folds.sql.j2", {"table": table})
    assert ask("life_cycle/stretch.sql") == ask("reconcile/stored_pieces.sql", version=2) == []


def test_rows_of_pieces_and_batches_of_an_hour(ask: Any) -> None:
    assert sorted(ask("reconcile/ledger_rows.sql.j2", low=G + 4, high=G + 6)) == [[G + 4, 30], [G + 5, 40]]
    assert ask("reconcile/ledger_hours.sql.j2") == [["2026-01-01 05:00:00", G + 8]]
    hours = [["2026-01-01 05:00:00"], ["1970-01-01 00:00:00"]]
    assert sorted(ask("reconcile/gone_hours.sql.j2", partitions=[0], starts=[1])) == sorted(hours)
    assert ask("reconcile/gone_hours.sql.j2", partitions=[0], starts=[0]) == []
    values = {"hour": "2026-01-01 05:00:00", "base_frontier": G + 2, "frontier": G + 4}
    assert sorted(ask("reconcile/hour_batches.sql.j2", **values)) == [[G + 3, 9], [G + 4, 9]]


def row(number: int, start: int, end: int, partition: int = 0, hour: datetime = HOUR) -> LedgerRow:
    times = (epoch(hour) * 1000, epoch(hour) * 1000 + 5)
    offsets = (start, start, end, end - start, 0, 0, 0)
    return LedgerRow(
        "ad_events",
        batch_id(1, number),
        partition,
        *offsets,
        [hour],
        [end - start],
        [start],
        [end],
        *times,
        1,
    )


def fold(piece: int, hour: datetime, sound: bool = True, number: int = 1) -> Fold:
    return Fold(piece, batch_id(1, piece * 4 + number), row(piece * 4 + 3, piece, piece + 1, 0, hour), sound)


def test_pieces_that_an_hour_or_a_fault_needs_are_read() -> None:
    folds = [fold(piece, HOUR + timedelta(hours=piece), sound=piece != 5) for piece in range(9)]
    assert needed_pieces(folds, []) == {0, 5, 8}, "the first, one that is not sound, the last"
    assert needed_pieces(folds, [HOUR + timedelta(hours=3)]) == {0, 3, 5, 8}
    assert needed_pieces([], [HOUR]) == set()


def test_pieces_on_both_sides_of_a_fault_are_read() -> None:
    rows = [row(1 + at * 4, at * 10, at * 10 + 10) for at in range(6)]
    folds = [Fold(found.batch >> 2, found.batch, found, True) for found in rows]
    pieces = [found.piece for found in folds]
    assert broken_pieces(folds, rows, 2) == set()
    assert broken_pieces(folds, [*rows[:2], *rows[3:]], 2) == {pieces[1], pieces[2], pieces[3]}
    longer = [*rows[:1], row(5, 10, 45), *rows[2:]]
    assert broken_pieces(folds, longer, 2) == set(pieces[1:5]), "the long row reaches over three others"


def test_a_chain_of_a_whole_day_is_walked_in_seconds() -> None:
    rows = [row(at, at * 10, at * 10 + 10) for at in range(86_400)]
    began = perf_counter()
    assert chain_faults({0: rows}, {1: 2 * G - 1}) == []
    (gap,) = chain_faults({0: [*rows[:5_000], *rows[5_001:]]}, {1: 2 * G - 1})
    assert (gap.span.start, gap.batch) == (50_000, batch_id(1, 5_000))
    assert perf_counter() - began < 30, "a step over a row must not look at all the others"
