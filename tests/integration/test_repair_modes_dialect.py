"""The SQL of repair modes, incidents of hours and unproved amendments on a current ClickHouse (chdb)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from chdb import session as chdb_session
from clickhouse_driver.util.escape import escape_params

from include.warehouse.migrate import schema_statements
from include.warehouse.sql import read_sql
from tests.helpers import ad_events

HOUR = "2025-12-16 02:00:00"
GENERATION = 3
N = GENERATION << 40 | 1


class Engine:
    """chdb with the tables of the migrations and of ad_events."""

    def __init__(self) -> None:
        self.session = chdb_session.Session()
        self.session.query("CREATE DATABASE modes ENGINE = Memory")
        self.session.query("USE modes")
        for statement in schema_statements([ad_events().cubes[0]]):
            self.session.query(statement)

    def ask(self, path: str, values: dict[str, Any], **identifiers: object) -> list[list[Any]]:
        statement = read_sql(path, **identifiers) % escape_params(values, None)
        answer = str(self.session.query(statement, "JSONCompactEachRow"))
        return [json.loads(line) for line in answer.splitlines()]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.session.close()


def test_an_hour_waits_until_each_run_that_asked_is_answered(engine: Engine) -> None:
    row = "INSERT INTO reconciliations VALUES ('{}', 's', '{}', '{}', 1, 1, 1, 0, 0, '{{}}', '2025-12-16 04:00:00')"
    values = {"stream": "s", "since": "2025-12-15 03:00:00"}
    engine.session.query(row.format("r1", HOUR, "asked"))
    engine.session.query(row.format("r1", "2025-12-16 03:00:00", "plan"))
    assert engine.ask("reconcile/waiting.sql", values) == [[HOUR]]
    assert engine.ask("reconcile/waiting.sql", {**values, "since": "2025-12-16 05:00:00"}) == []
    engine.session.query(row.format("r1", HOUR, "answer"))
    assert engine.ask("reconcile/waiting.sql", values) == []


def test_the_newest_answered_question_of_an_hour_is_read(engine: Engine) -> None:
    row = "INSERT INTO reconciliations VALUES ('{}', 'a', '{}', '{}', 1, 1, 1, 0, 0, '{}', '2025-12-16 {}:00:00')"
    values = {"stream": "a", "since": "2025-12-15 03:00:00"}
    for run, at, said in (("r2", "05", "no"), ("r1", "04", "yes")):
        engine.session.query(row.format(run, HOUR, "asked", f"shown by {run}", at))
        engine.session.query(row.format(run, HOUR, "answer", said, "06"))
    engine.session.query(row.format("r3", HOUR, "asked", "not answered", "07"))
    assert engine.ask("reconcile/answered.sql", values) == [[HOUR, "r2", "shown by r2", "no"]]
    assert engine.ask("reconcile/answered.sql", {**values, "since": "2025-12-16 07:00:00"}) == []


def test_bad_hours_are_those_whose_newest_verdict_is_no_proof(engine: Engine) -> None:
    columns = "stream, hour, seal, verdict, reason, missing, excess, mismatched, run, judged_at, judged_ms"
    for hour, verdict, millisecond in (
        ("01", "PROVED", 1),
        ("01", "DRIFTED", 2),
        ("02", "REPAIRED", 2),
        ("02", "DRIFTED", 1),
    ):
        engine.session.query(
            f"INSERT INTO verdicts ({columns}) VALUES ('s', '2025-12-16 {hour}:00:00', 1, '{verdict}', 'why', 3, 0, 1, "
            f"'run', '2025-12-16 04:00:00', {millisecond})"
        )
    found = engine.ask("reconcile/bad_hours.sql", {"stream": "s"})
    assert [[row[0], row[1], *map(int, row[3:6]), bool(int(row[7]))] for row in found] == [
        ["2025-12-16 01:00:00", "DRIFTED", 3, 0, 1, True]
    ]


def test_late_deltas_change_the_figures_under_a_certificate_and_totals_hold_both_sides(
    engine: Engine,
) -> None:
    engine.session.query(
        f"INSERT INTO takeovers VALUES ('s', {GENERATION}, [{GENERATION}], [{N + 10}], now())"
    )
    cell = f"'{HOUR}', 'click', 'US', 'banner'"
    engine.session.query(f"INSERT INTO ad_events_sealed VALUES ({cell}, {N}, 7, 5, 6, 500, 600)")
    engine.session.query(f"INSERT INTO ad_events_sealed VALUES ({cell}, {N + 1}, 8, 7, 8, 700, 800)")
    engine.session.query(f"INSERT INTO ad_events_delta VALUES ({cell}, {N + 1}, 2, 200)")
    values = {
        **{"stream": "s", "generation": GENERATION, "frontier": N + 1, "seal": 8},
        **{"base_frontier": N, "base_seal": 7, "limit": 10, "from": HOUR, "to": "2025-12-16 03:00:00"},
    }
    (late,) = engine.ask("reconcile/late_cells.sql.j2", values, cube=ad_events().cubes[0])
    assert [int(figure) for figure in late[6:]] == [7, 5, 700, 500], "after and before, of count and revenue"
    one = {**values, "base_frontier": N}
    none = {**values, "base_frontier": N + 1}
    digests = [
        engine.ask("reconcile/delta_digest.sql.j2", some, cube=ad_events().cubes[0]) for some in (one, none)
    ]
    assert [found[0][0].split("-")[0] for found in digests] == ["1", "0"], "deltas after the base alone"
    (totals,) = engine.ask("reconcile/totals.sql.j2", values, cube=ad_events().cubes[0])
    assert [int(figure) for figure in totals] == [8, 8, 800, 800]


def test_ranges_moments_and_unproved_batches_are_read(engine: Engine) -> None:
    engine.session.query(
        f"INSERT INTO balances VALUES ('s', '{HOUR}', 7, 2, '[[5, 9]]', 4, 4, 0, 0, '{{}}', 0, 0, 0, 0)"
    )
    span = {"stream": "s", "seal": 7, "from": HOUR, "to": "2025-12-16 03:00:00"}
    assert engine.ask("reconcile/balance_ranges.sql", span) == [[2, "[[5, 9]]"]]
    engine.session.query(
        f"INSERT INTO amendments VALUES ('s', '{HOUR}', 9, 8, 1, 7, 'c', '{HOUR}', 'd', 'unproved', 'a', 'b')"
    )
    assert [[hour, int(upto)] for hour, upto in engine.ask("reconcile/unproved.sql", {"stream": "s"})] == [
        [HOUR, 9]
    ]
    assert engine.ask("reconcile/certified_at.sql", {"stream": "s"}) == []
