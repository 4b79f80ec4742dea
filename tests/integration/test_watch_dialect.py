"""The watch's and the incidents' SQL on a current ClickHouse: statements and their results on chdb."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from chdb import session as chdb_session
from clickhouse_driver.util.escape import escape_params

from include.warehouse.migrate import schema_statements
from include.warehouse.sql import read_sql
from tests.helpers import ad_events

BATCH = 1 << 40 | 1
HOUR = 1_765_850_400


class Engine:
    """chdb with the tables of the migrations and of ad_events."""

    def __init__(self) -> None:
        self.session = chdb_session.Session()
        self.session.query("CREATE DATABASE watch ENGINE = Memory")
        self.session.query("USE watch")
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


def test_an_incident_is_found_with_who_told_it_until_it_is_closed(engine: Engine) -> None:
    for at, event, notifier in ((1, "opened", ""), (2, "told", "n"), (3, "closed", "")):
        engine.session.query(
            f"INSERT INTO incidents VALUES ('a:k', 1, {at}, '{event}', '{notifier}', 's', 'critical', 't', 'm')"
        )
        (row,) = engine.ask("alerts/incident.sql", {"key": "a:k"})
        assert row[1:5] == ["s", "critical", "t", "m"]
        assert (row[5], int(row[6])) == ([] if event == "opened" else ["n"], int(event == "closed"))
        is_open = [] if event == "closed" else [["a:k"]]
        assert engine.ask("alerts/open_keys.sql", {"begins": "a:%"}) == is_open
        assert engine.ask("alerts/open_among.sql", {"keys": ("a:k", "b")}) == is_open
    assert engine.ask("alerts/open_keys.sql", {"begins": "b:%"}) == []


def test_critical_alerts_and_errors_of_detectors_are_read_as_on_the_server(engine: Engine) -> None:
    now = int(time.time())
    engine.session.query(
        "INSERT INTO alerts (detector, stream, window_start, subject, severity, state, fired_ms, judged_ms) VALUES "
        f"('ddos', 'logs', 60, 'a', 'critical', 'provisional', 1000, 0), "
        f"('ddos', 'logs', 60, 'a', 'critical', 'confirmed', 1000, {now}000), "
        f"('ddos', 'logs', 120, 'b', 'critical', 'confirmed', 1000, 2000)"
    )
    rows = engine.ask("detect/critical.sql", {"since_ms": now * 1000})
    assert [(row[4], row[6]) for row in rows] == [("a", "confirmed")]
    assert engine.ask("detect/critical.sql", {"since_ms": (now + 3600) * 1000}) == []
    rows = [("*", "logs", now, "e"), ("*", "user_events", now, "e"), ("*", "user_events", now + 1, "")]
    for detector, stream, at, error in [*rows, ("ddos", "logs", now - 86_400, "old")]:
        engine.session.query(
            "INSERT INTO detector_checks (detector, stream, at, day, error) "
            f"VALUES ('{detector}', '{stream}', {at}000, toDate({at}), '{error}')"
        )
    errors = sorted(engine.ask("detect/errors.sql", {"since_ms": (now - 300) * 1000}))
    assert errors == [["*", "logs", "e"], ["*", "user_events", ""]]


def test_recent_batches_and_delta_counts_agree(engine: Engine) -> None:
    engine.session.query(
        "INSERT INTO ledger (stream, batch, partition, hours, hour_events, replayed_hours, committed_at) "
        f"VALUES ('ad_events', {BATCH}, 0, [toDateTime({HOUR}, 'UTC')], [3], [], now()), "
        f"('ad_events', {BATCH}, 1, [toDateTime({HOUR}, 'UTC')], [4], [toDateTime({HOUR}, 'UTC')], now())"
    )
    engine.session.query(
        "INSERT INTO ad_events_delta (window_start, event_type, country, ad_format, batch, event_count) "
        f"SELECT toDateTime({HOUR + 60}, 'UTC'), 'click', 'US', 'banner', {BATCH}, 8"
    )
    (ledger,) = engine.ask("watch/recent_batches.sql", {"stream": "ad_events", "since": 1})
    cube = ad_events().cubes[0]
    bounds = {"begin": HOUR, "end": HOUR + 3600, "hours": (HOUR,), "low": BATCH, "high": BATCH}
    (served,) = engine.ask("watch/delta_counts.sql.j2", bounds, cube=cube, measure=cube.counts_events)
    assert [int(x) for x in ledger] == [int(x) for x in served] == [BATCH, HOUR, 8]
    (commit,) = engine.ask("watch/last_commit.sql", {"stream": "ad_events", "lowest": BATCH})
    assert int(commit[0]) > HOUR


def test_heartbeats_orders_and_checks_are_read_as_on_the_server(engine: Engine) -> None:
    engine.session.query(
        "INSERT INTO heartbeats VALUES ('s', 10, '1970-01-01', 'l', 0, 'starting', 0, 0, ''), "
        "('s', 20, '1970-01-01', 'l', 4, 'starting', 0, 0, ''), ('s', 30, '1970-01-01', 'l', 4, 'running', 0, 0, ''), "
        "('s', 40, '1970-01-01', 'l', 4, 'running', 0, 9, '')"
    )
    found = engine.ask("watch/heartbeats.sql", {"stream": "s", "since": 0, "day": "1970-01-01"})
    assert [[int(x) for x in row] for row in found] == [[0, 10, 0, 0, 10], [4, 20, 30, 30, 40]]
    assert [[int(x) for x in row] for row in engine.ask("watch/last_launch.sql", {"stream": "s"})] == [[0, 0]]
    past = {"stream": "s", "since": 0, "day": "1970-01-01"}
    assert engine.ask("watch/history.sql", past) == []
    assert [[int(x) for x in row] for row in engine.ask("watch/gave_up.sql", past)] == [[0]]
    assert int(engine.ask("watch/uptime.sql", {})[0][0]) >= 0
