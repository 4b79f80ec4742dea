"""The folded stretch of a ledger says what its rows say, is checked against them, and spares reading them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from clickhouse_driver import Client

from include.compact import folds
from include.compact.folds import SETTLED, Folding, fold_ledger
from include.contracts import load_contract
from include.quality.data import read_frame
from include.quality.raw_log import sample_ranges
from include.reconcile import long_ledger, mend
from include.reconcile.chain import chain_faults
from include.reconcile.history import ledger_hours
from include.reconcile.long_ledger import read_long_ledger
from include.reconcile.mend import Repair
from include.reconcile.ranges import by_partition, hour_ranges, segments
from include.reconcile.replays import replays
from include.settings import Settings
from include.streaming.ledger import (
    LedgerRow,
    batch_id,
    read_commit_state,
    read_limits,
    read_position,
    take_over,
)
from include.streaming.stretch import NOTHING, read_stretch
from include.warehouse.sql import read_sql
from tests.ledgers import (
    BEGIN,
    BITS,
    HOURS,
    STREAM,
    commit_on_time,
    damaged,
    faults,
    hours_of,
    kept_of,
    ledger,
    rewrite,
)

LATER = BEGIN + timedelta(days=9)  # every row is settled by then


def committed(client: Client, rows: list[LedgerRow], stream: str = STREAM) -> None:
    take_over(client, stream, 1)
    commit_on_time(client, rows, stream)


def fold(client: Client, stream: str = STREAM, now: datetime = LATER, going: int = 0) -> Folding:
    return fold_ledger(client, stream, now, going, bits=BITS)


def stretch_of(client: Client, stream: str = STREAM) -> Any:
    return read_stretch(client, stream, read_limits(client, stream)[1])


def require_same(client: Client, stream: str = STREAM) -> None:
    """Check that what is read with folds is what the rows say one by one."""
    whole = read_commit_state(client, stream)
    position = read_position(client, stream)
    assert (position.keep, position.frontier) == (kept_of(whole), whole.frontier), stream
    folded = read_long_ledger(client, stream, bits=BITS)
    assert (folded.frontier, folded.highest_batch) == (whole.frontier, whole.highest_batch), stream
    assert ledger_hours(client, whole) == hours_of(whole), stream
    assert faults(folded) == faults(whole), stream
    if faults(whole):
        return
    for hour in HOURS:
        both = [whole, read_long_ledger(client, stream, [hour], bits=BITS)]
        rows = [by_partition(state.rows) for state in both]
        replayed = [replays(state.rows) for state in both]
        needed = [hour_ranges(own, hour, {}, items) for own, items in zip(rows, replayed, strict=True)]
        assert needed[0] == needed[1], (stream, hour)
        cut = [segments(rows[at], [needed[at]], replayed[at]) for at in (0, 1)]
        assert cut[0] == cut[1], (stream, hour)


def speaking(rows: list[LedgerRow]) -> list[LedgerRow]:
    """Return the ledger with rows that say more than a sum: a loss, a replay, another contract version."""
    lost, later = rows[300], rows[500]
    rows[300] = replace(lost, lost_to=lost.start_offset + 1, accepted=lost.accepted - 1)
    rows[500] = replace(later, replayed_partitions=[0], replayed_offsets=[5], replayed_hours=[HOURS[0]])
    rows[800:] = [replace(row, contract_version=2) for row in rows[800:]]
    return rows


def test_folds_say_what_the_rows_say(clickhouse: Client) -> None:
    committed(clickhouse, speaking(ledger()))
    larger = read_long_ledger(clickhouse, STREAM)
    assert fold(clickhouse).pieces > 60
    require_same(clickhouse)
    assert read_long_ledger(clickhouse, STREAM) == larger, "pieces of another size are made from the rows"


def test_faults_that_were_there_before_are_found(clickhouse: Client) -> None:
    for seed in range(12):
        stream = f"stream_{seed}"
        committed(clickhouse, damaged(Random(seed)), stream)
        assert fold(clickhouse, stream).pieces, stream
        assert faults(read_commit_state(clickhouse, stream)), f"the damage of seed {seed} must show"
        require_same(clickhouse, stream)


def test_damage_to_folded_rows_is_found_by_the_next_check(clickhouse: Client) -> None:
    hidden = 0
    for seed in range(12):
        stream = f"stream_{seed}"
        committed(clickhouse, ledger(), stream)
        fold(clickhouse, stream)
        rewrite(clickhouse, damaged(Random(seed)), stream)
        whole = faults(read_commit_state(clickhouse, stream))
        hidden += faults(read_long_ledger(clickhouse, stream, bits=BITS)) != whole
        checked = fold(clickhouse, stream)
        assert "altered or lost" in checked.altered, f"seed {seed}: {checked}"
        require_same(clickhouse, stream)
        assert fold(clickhouse, stream) == Folding(), f"seed {seed}: it is said once"
    assert hidden, "folds must have stood for damaged rows, or nothing was tested"


def test_damage_to_folded_rows_is_found_at_once_where_its_hour_is_read(clickhouse: Client) -> None:
    rows = ledger()
    committed(clickhouse, rows)
    fold(clickhouse)
    rewrite(clickhouse, rows[:400] + rows[401:])
    whole = faults(read_commit_state(clickhouse, STREAM))
    assert faults(read_long_ledger(clickhouse, STREAM, rows[400].hours, bits=BITS)) == whole != []


def test_a_repair_of_folded_rows_is_seen(clickhouse: Client, settings: Settings) -> None:
    rows = ledger()
    committed(clickhouse, rows[:200])
    take_over(clickhouse, STREAM, 2)
    later = [replace(row, batch=row.batch - batch_id(1, 0) + batch_id(2, 0)) for row in rows[200:]]
    commit_on_time(clickhouse, later[:400] + later[401:])
    fold(clickhouse)
    state = read_long_ledger(clickhouse, STREAM, bits=BITS)
    (fault,) = chain_faults(by_partition(state.rows), state.keep)
    mended = replace(
        later[400], batch=batch_id(2, 0) - 1
    )  # number 0: its piece has no fault, and is not read
    repair = Repair(fault, mended, LATER, tuple(mended.hours))
    mend._write(settings, clickhouse, load_contract(STREAM), [repair], number=1)
    assert faults(read_long_ledger(clickhouse, STREAM, bits=BITS)) == []
    require_same(clickhouse)
    assert fold(clickhouse, now=LATER + SETTLED + timedelta(hours=1)).pieces
    require_same(clickhouse)


def test_a_repair_of_young_rows_leaves_the_folds(clickhouse: Client, settings: Settings) -> None:
    rows = ledger()
    committed(clickhouse, rows[:-3] + rows[-2:])
    fold(clickhouse)
    stretch = stretch_of(clickhouse)
    state = read_long_ledger(clickhouse, STREAM, bits=BITS)
    (fault,) = chain_faults(by_partition(state.rows), state.keep)
    repair = Repair(fault, rows[-3], LATER, ())
    mend._write(settings, clickhouse, load_contract(STREAM), [repair], number=1)
    assert stretch_of(clickhouse) == stretch != NOTHING
    require_same(clickhouse)


def test_a_takeover_that_voids_folded_batches_is_obeyed(clickhouse: Client) -> None:
    rows = ledger()
    committed(clickhouse, rows)
    fold(clickhouse)
    limit = rows[700].batch
    clickhouse.execute(
        "INSERT INTO takeovers (stream, generation, keep_gen, keep_upto) VALUES",
        [(STREAM, 2, [1, 2], [limit, batch_id(3, 0) - 2])],
    )
    require_same(clickhouse)
    assert read_position(clickhouse, STREAM).keep == {1: limit}
    later = [replace(row, batch=row.batch - batch_id(1, 0) + batch_id(2, 0)) for row in rows[702:]]
    commit_on_time(clickhouse, later)
    require_same(clickhouse)
    assert fold(clickhouse).altered == "", "what a takeover leaves out is no damage"
    assert set(stretch_of(clickhouse).keep) == {1, 2}
    require_same(clickhouse)


def test_batches_that_came_too_late_are_not_folded(clickhouse: Client) -> None:
    rows = ledger()
    committed(clickhouse, rows[:900])
    take_over(clickhouse, STREAM, 2)
    stale = [replace(rows[899], batch=rows[899].batch + 1 + at, end_offset=10**6) for at in range(40)]
    commit_on_time(clickhouse, stale)
    later = [replace(row, batch=row.batch - batch_id(1, 0) + batch_id(2, 0)) for row in rows[900:]]
    commit_on_time(clickhouse, later)
    assert fold(clickhouse).pieces
    assert set(stretch_of(clickhouse).keep) == {1, 2}
    require_same(clickhouse)
    assert faults(read_long_ledger(clickhouse, STREAM, bits=BITS)) == []


@pytest.mark.parametrize(
    "loss",
    [
        "TRUNCATE TABLE folded_stretches",
        "TRUNCATE TABLE folded_pieces",
        "CREATE TABLE fewer AS folded_pieces; INSERT INTO fewer SELECT * FROM folded_pieces WHERE modulo(piece, 7) > 0; "
        "DROP TABLE folded_pieces; RENAME TABLE fewer TO folded_pieces",
    ],
)
def test_folds_that_are_lost_are_not_needed(clickhouse: Client, loss: str) -> None:
    committed(clickhouse, ledger())
    fold(clickhouse)
    for statement in loss.split("; "):
        clickhouse.execute(statement)
    require_same(clickhouse)
    assert fold(clickhouse).pieces
    require_same(clickhouse)


def test_a_ledger_that_lost_what_is_above_the_folds_stands_where_its_rows_end(clickhouse: Client) -> None:
    rows = ledger()
    committed(clickhouse, rows)
    fold(clickhouse)
    for left in (rows[:600], []):
        rewrite(clickhouse, left)
        require_same(clickhouse)
    take_over(clickhouse, STREAM, 2)
    commit_on_time(clickhouse, [replace(rows[0], batch=batch_id(2, 0))])
    require_same(clickhouse)


def test_a_second_run_writes_nothing(clickhouse: Client) -> None:
    rows = ledger()
    committed(clickhouse, rows)
    assert fold(clickhouse).pieces
    stored = clickhouse.execute("SELECT * FROM folded_stretches")
    assert fold(clickhouse) == Folding()
    commit_on_time(clickhouse, rows[100:200])
    assert fold(clickhouse) == Folding(), "rows that were written twice are one"
    assert clickhouse.execute("SELECT * FROM folded_stretches") == stored
    require_same(clickhouse)


def test_what_is_young_or_may_still_grow_is_read_from_its_rows(clickhouse: Client) -> None:
    rows = ledger()
    committed(clickhouse, rows)
    for hours in range(11):
        fold(clickhouse, now=BEGIN + SETTLED + timedelta(hours=hours))
        settled = batch_id(1, hours * 60)
        assert settled - 2**BITS <= max(stretch_of(clickhouse).high, settled - 2**BITS) <= settled, hours
        require_same(clickhouse)
    high = stretch_of(clickhouse).high
    assert rows[-1].batch - 2**BITS < high <= rows[-1].batch, "the newest piece is never folded"


def test_only_the_last_two_foldings_are_stored(clickhouse: Client) -> None:
    committed(clickhouse, ledger())
    for hours in range(2, 10):
        assert fold(clickhouse, now=BEGIN + SETTLED + timedelta(hours=hours)).pieces
    for table in ("folded_stretches", "folded_pieces"):
        assert clickhouse.execute(f"SELECT uniqExact(version) FROM {table}") == [(2,)], table


def test_a_fold_that_nobody_checks_any_more_does_not_count(
    clickhouse: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ledger()
    committed(clickhouse, rows)
    fold(clickhouse)
    rewrite(clickhouse, rows[:400] + rows[401:])
    assert faults(read_long_ledger(clickhouse, STREAM, bits=BITS)) == []
    monkeypatch.setattr(long_ledger, "CHECKED_SECONDS", -1)
    assert faults(read_long_ledger(clickhouse, STREAM, bits=BITS)) == faults(
        read_commit_state(clickhouse, STREAM)
    )


def test_a_check_that_finds_all_equal_is_stored_when_the_last_one_is_old(
    clickhouse: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed(clickhouse, ledger())
    fold(clickhouse)
    assert fold(clickhouse) == Folding()
    monkeypatch.setattr(folds, "FRESH_SECONDS", 0)
    checked = fold(clickhouse)
    assert checked.pieces, "or an idle stream would be read whole after some days"
    assert checked.altered == ""


def test_quality_of_an_hour_reads_alike_with_folds(clickhouse: Client) -> None:
    idle = [row for row in ledger() if row.partition == 0 or not 420 <= row.batch - batch_id(1, 0) < 545]
    committed(clickhouse, idle)

    def answers() -> list[object]:
        found: list[object] = [sample_ranges(clickhouse, STREAM, hour) for hour in HOURS]
        frames = [
            read_frame(clickhouse, "quality/ledger_balance.sql.j2", load_contract(STREAM), hour)
            for hour in HOURS
        ]
        return found + [frame.sort_values(list(frame.columns)).to_dict("records") for frame in frames]

    plain = answers()
    assert any(row["offset_gap"] > 0 for row in plain[-1]), (
        "the gap before the idle partition's row must show"
    )
    assert fold(clickhouse, now=BEGIN + SETTLED + timedelta(hours=8)).pieces
    assert answers() == plain


@contextmanager
def rows_read(client: Client) -> Iterator[list[int]]:
    """Give a list that holds, at the end, how many rows each statement read."""
    read: list[int] = []
    execute = client.execute

    def counting(*args: Any, **options: Any) -> Any:
        answer = execute(*args, **options)
        read.append(client.last_query.progress.rows)
        return answer

    client.execute = counting
    yield read
    client.execute = execute


FILL = (
    "INSERT INTO ledger (stream, batch, partition, start_offset, lost_to, end_offset, accepted, hours, hour_events, "
    "hour_first, hour_last, kafka_time_min, kafka_time_max, contract_version, committed_at) "
    "SELECT %(stream)s, %(first)s + number AS id, 0, number * 10 AS begin, begin, begin + 10, 10, "
    "[toStartOfHour(toDateTime(%(from)s + number, 'UTC'))], [10], [begin], [begin + 9], "
    "toInt64(%(from)s + number) * 1000 AS ms, ms + 999, 1, toDateTime(%(from)s + number, 'UTC') FROM numbers(%(rows)s)"
)


OTHERS: dict[str, dict[str, object]] = {
    "watch/recent_batches.sql": {"since": 1},
    "detect/recent_hours.sql": {"seconds": 600},
    "reconcile/committed_at.sql": {"batches": (batch_id(1, 5), batch_id(1, 500_000))},
}


def test_old_rows_are_not_read(clickhouse: Client) -> None:
    days, rows = 11, 11 * 86_400
    begin = datetime.now(UTC).replace(microsecond=0) - timedelta(days=days)
    take_over(clickhouse, STREAM, 1)
    values = {"stream": STREAM, "first": batch_id(1, 0), "from": int(begin.timestamp()), "rows": rows}
    clickhouse.execute(FILL, values)
    young = (
        (SETTLED // timedelta(seconds=1)) + 2**10 + 3 * 8192
    )  # settled, a piece, and granules of the index
    plain = read_position(clickhouse, STREAM), read_long_ledger(clickhouse, STREAM)
    with rows_read(clickhouse) as before:
        read_position(clickhouse, STREAM)
    assert max(before) >= rows, "the count must see a ledger that is read whole"
    fold_ledger(clickhouse, STREAM, datetime.now(UTC))
    asked = [datetime.now(UTC).replace(minute=0, second=0, microsecond=0)]
    with rows_read(clickhouse) as read:
        position, state = read_position(clickhouse, STREAM), read_long_ledger(clickhouse, STREAM)
        read_long_ledger(clickhouse, STREAM, asked)
        hours = ledger_hours(clickhouse, state)
        sample_ranges(clickhouse, STREAM, asked[0])
        read_frame(clickhouse, "quality/ledger_balance.sql.j2", load_contract(STREAM), asked[0])
        take_over(clickhouse, STREAM, 2)
        for statement, values in OTHERS.items():
            clickhouse.execute(read_sql(statement), {"stream": STREAM, **values})
    assert (position, state) == plain
    assert len(hours) > 24 * (days - 1)
    twice = 2 * young  # some read the young rows twice
    assert rows > 2 * twice
    assert 0 < max(read) <= twice, f"of {rows} rows the statements read {read}"
