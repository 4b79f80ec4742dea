"""Switches rules of the product off, one place each, so that a replay is seen to give wrong figures."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest
from clickhouse_driver import Client

from include.reconcile import mend
from include.replay import letters
from include.streaming import commit, ledger
from include.streaming.ledger import COLUMNS, GENERATION_BITS, CommitState, LedgerRow, Position
from include.streaming.waiting import insist
from include.warehouse.sql import read_sql, render_sql
from tests.protocol.world import Rules

VALID = '{% from "compact/_macros.sql.j2" import valid %}{{ valid() }}'


def weaken(patch: pytest.MonkeyPatch, rules: Rules) -> None:
    """Make the product follow weaker rules; those that need no change of the product are the actors' own."""
    if not rules.takeovers_decide:
        patch.setattr(ledger, "take_over", take_over_keeping_everything)
    if not rules.takeovers_are_read_first:
        patch.setattr(ledger, "read_position", position_ledger_first)
        patch.setattr(mend, "read_long_ledger", commit_state_ledger_first)
    if not rules.frontier_is_highest_end:
        patch.setattr(ledger, "read_position", position_contiguous)
    if not rules.deltas_are_written_once:
        patch.setattr(commit, "_insert_once", insert_again)
    if not rules.dead_letters_need_validity:
        patch.setattr(letters, "read_sql", sql_of_any_letter)


def _rows(client: Client, stream: str) -> list[LedgerRow]:
    statement = f"SELECT {COLUMNS} FROM ledger FINAL WHERE stream = %(stream)s"
    return [LedgerRow(*row) for row in client.execute(statement, {"stream": stream})]


def _position(state: CommitState) -> Position:
    kept: dict[int, int] = {}
    for row in state.rows:
        generation = row.batch >> GENERATION_BITS
        kept[generation] = max(kept.get(generation, 0), row.batch)
    return Position(state.stream, state.generation, kept, state.frontier)


def take_over_keeping_everything(client: Client, stream: str, generation: int) -> Position:
    """Take over without deciding anything: every ledger row of every generation counts."""
    client.execute("SELECT count() FROM takeovers")
    rows = _rows(client, stream)
    keep = {g: ((g + 1) << GENERATION_BITS) - 1 for g in range(1, generation + 1)}
    position = replace(_position(CommitState(stream, generation, keep, rows)), keep=keep)
    client.execute(
        "INSERT INTO takeovers (stream, generation, keep_gen, keep_upto, taken_at) VALUES",
        [(stream, generation, list(keep), list(keep.values()), datetime.now(UTC))],
    )
    return position


def commit_state_ledger_first(client: Client, stream: str, _: object = ()) -> CommitState:
    """Read the ledger, then the takeover rows: a batch that the later ones count is missed."""
    rows = _rows(client, stream)
    found = client.execute(
        "SELECT generation, keep_gen, keep_upto FROM takeovers WHERE stream = %(stream)s "
        "ORDER BY generation DESC LIMIT 1",
        {"stream": stream},
    )
    generation, keep = (found[0][0], dict(zip(*found[0][1:], strict=True))) if found else (0, {})
    valid = [row for row in rows if row.batch <= keep.get(row.batch >> GENERATION_BITS, -1)]
    return CommitState(stream, generation, keep, valid)


def position_ledger_first(client: Client, stream: str) -> Position:
    """The same for a driver."""
    return _position(commit_state_ledger_first(client, stream))


def position_contiguous(client: Client, stream: str) -> Position:
    """Go on where the contiguous part ends: what comes after a lost ledger row is folded again."""
    state = ledger.read_commit_state(client, stream)
    ends: dict[int, int] = {}
    for row in sorted(state.rows, key=lambda row: (row.partition, row.start_offset)):
        if row.start_offset <= ends.get(row.partition, 0):
            ends[row.partition] = max(ends.get(row.partition, 0), row.end_offset)
    return replace(_position(state), frontier=ends)


def insert_again(client: Client, what: str, statement: str, columns: list[list[object]]) -> None:
    """Repeat an insert that was not answered."""
    insist(partial(client.execute, statement, columns, columnar=True), what)


def sql_of_any_letter(path: str, **identifiers: object) -> str:
    """Return a statement over dead letters of any batch, valid or not; what is replayed is asked of valid rows still."""
    statement = read_sql(path, **identifiers)
    if path != "replay/letters.sql.j2":
        return statement
    of_letters, found, of_ledger = statement.partition(render_sql(VALID))
    assert found, f"{path} asks for no validity"
    return f"{of_letters}1{of_ledger}"
