"""The served view before, during and after a seal; the same SQL on the server and on chdb."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from chdb import session as chdb_session

from include.settings import Settings
from include.streaming.ledger import batch_id
from include.warehouse.client import connect
from include.warehouse.migrate import schema_statements
from include.warehouse.views import view_sql
from tests.helpers import ad_events

HOUR = datetime(2026, 1, 1, tzinfo=UTC)
ALL = 2**63
Row = tuple[datetime, str, int, Decimal, str]


def text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")


@dataclass
class Engine:
    """A database with the tables and the view; `run` executes a statement, `ask` returns its rows as JSON values."""

    run: Callable[[str], object]
    ask: Callable[[str], list[list[str]]]

    def delta(
        self, batch: int, events: int, micros: int = 0, window: datetime = HOUR, country: str = "US"
    ) -> None:
        self.run(
            "INSERT INTO ad_events_delta (window_start, event_type, country, ad_format, batch, event_count, revenue) "
            f"SELECT toDateTime('{text(window)}', 'UTC'), 'click', '{country}', 'banner', toUInt64({batch}), "
            f"toUInt64({events}), toDecimal128('{micros}', 0)"
        )

    def sealed(
        self,
        frontier: int,
        seal: int,
        events: int,
        micros: int = 0,
        window: datetime = HOUR,
        country: str = "US",
    ) -> None:
        self.run(
            "INSERT INTO ad_events_sealed (window_start, event_type, country, ad_format, frontier, seal, event_count, "
            "came_event_count, revenue, came_revenue) "
            f"SELECT toDateTime('{text(window)}', 'UTC'), 'click', '{country}', 'banner', toUInt64({frontier}), "
            f"toUInt64({seal}), toUInt64({events}), toUInt64({events + 1}), toDecimal128('{micros}', 0), "
            f"toDecimal128('{micros}', 0)"
        )

    def certificate(self, frontier: int, seal: int, hour: datetime = HOUR, stream: str = "ad_events") -> None:
        self.run(
            "INSERT INTO certificates (stream, hour, frontier, seal, verdict) "
            f"SELECT '{stream}', toDateTime('{text(hour)}', 'UTC'), toUInt64({frontier}), toUInt64({seal}), 'PROVED'"
        )

    def takeover(self, generation: int, keep: dict[int, int], stream: str = "ad_events") -> None:
        limits = {**keep, generation: ((generation + 1) << 40) - 1}
        numbers = [", ".join(f"toUInt64({n})" for n in side) for side in (limits, limits.values())]
        self.run(
            "INSERT INTO takeovers (stream, generation, keep_gen, keep_upto) "
            f"SELECT '{stream}', toUInt64({generation}), [{numbers[0]}], [{numbers[1]}]"
        )

    def served(self) -> list[Row]:
        rows = self.ask(
            "SELECT toString(window_start), country, toString(event_count), toString(total_revenue), status "
            "FROM ad_events_aggregated ORDER BY window_start, country"
        )
        return [
            (datetime.fromisoformat(w).replace(tzinfo=UTC), country, int(n), Decimal(money), status)
            for w, country, n, money, status in rows
        ]

    def counts(self) -> list[tuple[int, str]]:
        return [(count, status) for _, _, count, _, status in self.served()]


TABLES = ("ad_events_delta", "ad_events_sealed", "certificates", "takeovers")


@pytest.fixture(scope="module")
def embedded() -> Iterator[Engine]:
    session = chdb_session.Session()
    name = f"test_{uuid.uuid4().hex[:12]}"
    for statement in (f"CREATE DATABASE {name}", f"USE {name}"):
        session.query(statement)
    for statement in schema_statements([ad_events().cubes[0]]):
        session.query(statement)
    session.query(view_sql("ad_events_aggregated", [ad_events()]))

    def ask(query: str) -> list[list[str]]:
        return [
            json.loads(line) for line in str(session.query(query, "JSONCompactEachRow")).splitlines() if line
        ]

    yield Engine(session.query, ask)
    session.close()


@pytest.fixture(params=["server", "chdb"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "chdb":
        found: Engine = request.getfixturevalue("embedded")
        for table in TABLES:
            found.run(f"TRUNCATE TABLE {table}")
        yield found
        return
    warehouse: Settings = request.getfixturevalue("warehouse")
    client = connect(warehouse)
    yield Engine(client.execute, lambda query: [list(row) for row in client.execute(query)])
    client.disconnect()


def test_nothing_is_served_without_a_takeover_row(engine: Engine) -> None:
    engine.delta(batch_id(1, 0), 5)
    assert engine.served() == []
    engine.takeover(1, {})
    assert engine.counts() == [(5, "provisional")]


def test_before_during_and_after_a_seal_each_event_is_served_once(engine: Engine) -> None:
    engine.takeover(1, {})
    engine.delta(batch_id(1, 0), 5, 50)
    engine.delta(batch_id(1, 1), 2, 7)
    came = [(HOUR, "US", 7, Decimal("0.000057"), "provisional")]
    assert engine.served() == came
    frontier = batch_id(1, 1)
    engine.sealed(frontier, 9, 6, 55)
    assert engine.served() == came, "sealed rows must not show before their certificate"
    engine.certificate(frontier, 9)
    assert engine.served() == [(HOUR, "US", 6, Decimal("0.000055"), "sealed")]
    engine.delta(batch_id(1, 2), 1, 3)
    assert engine.served() == [(HOUR, "US", 7, Decimal("0.000058"), "provisional")]
    engine.sealed(batch_id(1, 2), 11, 7, 58)
    engine.certificate(batch_id(1, 2), 11)
    assert engine.served() == [(HOUR, "US", 7, Decimal("0.000058"), "sealed")]


def test_another_hour_and_another_stream_are_not_touched_by_a_certificate(engine: Engine) -> None:
    engine.takeover(1, {})
    engine.takeover(5, {}, stream="logs")
    engine.delta(batch_id(1, 0), 5)
    engine.delta(batch_id(1, 0), 3, window=HOUR + timedelta(minutes=59))
    engine.delta(batch_id(1, 0), 7, window=HOUR + timedelta(minutes=60))
    engine.sealed(batch_id(1, 0), 9, 4)
    engine.certificate(batch_id(1, 0), 9, stream="logs")
    assert engine.counts() == [(5, "provisional"), (3, "provisional"), (7, "provisional")]
    engine.certificate(batch_id(1, 0), 9)
    assert engine.counts() == [(4, "sealed"), (7, "provisional")]


def test_the_certificate_in_force_is_the_highest_frontier_and_then_the_highest_seal(engine: Engine) -> None:
    engine.takeover(1, {})
    for frontier, seal, events in ((2, 9, 29), (1, 12, 12), (2, 4, 24), (2, 10, 30)):
        engine.sealed(batch_id(1, frontier), seal, events)
        engine.certificate(batch_id(1, frontier), seal)
    assert engine.counts() == [(30, "sealed")]


def test_a_sealed_row_that_was_written_twice_is_served_once(engine: Engine) -> None:
    engine.takeover(1, {})
    engine.delta(batch_id(1, 0), 5, 5)
    for _ in range(2):
        engine.sealed(batch_id(1, 0), 9, 4, 4, window=HOUR + timedelta(hours=1))
        engine.certificate(batch_id(1, 0), 9, hour=HOUR + timedelta(hours=1))
    assert engine.counts() == [(5, "provisional"), (4, "sealed")]


def test_only_what_the_highest_takeover_lists_is_served(engine: Engine) -> None:
    engine.takeover(1, {})
    engine.delta(batch_id(1, 0), 1)
    engine.delta(batch_id(1, 1), 10)
    engine.takeover(2, {1: batch_id(1, 0)})
    assert engine.counts() == [(1, "provisional")], "a batch beyond its generation's limit is void"
    engine.delta(batch_id(2, 0), 100)
    engine.delta(batch_id(1, 2), 1000)
    engine.delta(batch_id(3, 0), 10_000)
    assert engine.counts() == [(101, "provisional")]
    engine.takeover(3, {2: batch_id(2, 0)})
    assert engine.counts() == [(10_100, "provisional")]


def test_the_walkthrough_of_the_checked_protocol_gives_its_rows(engine: Engine) -> None:
    generation = 1 << 40
    engine.takeover(1, {})
    engine.takeover(2, {1: generation + 2})
    for batch, events in ((1, 5), (2, 1), (3, 100)):
        engine.delta(generation + batch, events)
    engine.delta(2 * generation + 1, 2)
    engine.delta(2 * generation + 1, 7, window=HOUR + timedelta(hours=1), country="KR")
    engine.delta(generation + 3, 70, window=HOUR + timedelta(hours=1), country="KR")
    engine.delta(3 * generation + 1, 1000)
    engine.sealed(2 * generation, 11, 5)
    engine.sealed(generation + 1, 12, 4)
    engine.certificate(2 * generation, 11)
    engine.certificate(generation + 1, 12)
    assert engine.counts() == [(7, "provisional"), (7, "provisional")]


def test_money_is_decimal_and_its_sum_does_not_wrap(engine: Engine) -> None:
    engine.takeover(1, {})
    for batch in range(4):
        engine.delta(batch_id(1, batch), 3, 9_000_000_000_000_000_001)
    assert engine.served() == [(HOUR, "US", 12, Decimal("36000000000000.000004"), "provisional")]
    ((average,),) = engine.ask("SELECT toString(avg_revenue) FROM ad_events_aggregated")
    assert abs(Decimal(average) - Decimal("3000000000000.000000333")) < Decimal("0.00000001"), average


def test_a_window_that_a_delta_joins_is_provisional_and_its_neighbours_stay_sealed(engine: Engine) -> None:
    engine.takeover(1, {})
    for country in ("DE", "US"):
        engine.sealed(batch_id(1, 0), 9, 4, country=country)
    engine.certificate(batch_id(1, 0), 9)
    engine.delta(batch_id(1, 1), 1)
    assert [(row[1], row[2], row[4]) for row in engine.served()] == [
        ("DE", 4, "sealed"),
        ("US", 5, "provisional"),
    ]
    ((end,),) = engine.ask("SELECT toString(max(window_end)) FROM ad_events_aggregated")
    assert datetime.fromisoformat(end).replace(tzinfo=UTC) == HOUR + timedelta(minutes=1)


@pytest.mark.parametrize("seed", range(4))
def test_random_histories_are_served_as_the_rules_say(engine: Engine, seed: int) -> None:
    rng = random.Random(seed)
    keep: dict[int, int] = {}
    for generation in range(1, 4):
        engine.takeover(generation, {g: limit for g, limit in keep.items() if rng.random() < 0.8})
        keep = {g: batch_id(g, rng.randrange(4)) for g in range(1, generation + 1)}
    keep = {3: (4 << 40) - 1, **{g: batch_id(g, 1) for g in (1, 2)}}
    engine.takeover(4, keep)
    keep[4] = (5 << 40) - 1
    deltas = {}
    for _ in range(40):
        window = HOUR + timedelta(minutes=rng.randrange(3) * 60 + rng.randrange(2))
        key = (window, rng.choice(["US", "KR"]), batch_id(rng.randrange(1, 6), rng.randrange(4)))
        deltas[key] = rng.randrange(1, 9)
    for (window, country, batch), events in deltas.items():
        engine.delta(batch, events, events * 3, window, country)
    seals: dict[tuple[datetime, int, int], dict[tuple[datetime, str], int]] = {}
    for seal in range(6):
        hour = HOUR + timedelta(hours=rng.randrange(2))
        frontier = batch_id(rng.randrange(1, 5), rng.randrange(4))
        rows = {
            (hour + timedelta(minutes=m), country): rng.randrange(1, 9)
            for m in (0, 1)
            for country in ("US", "KR")
        }
        for (window, country), events in rows.items():
            engine.sealed(frontier, seal, events, events * 3, window, country)
        if rng.random() < 0.7:
            seals[hour, frontier, seal] = rows
            engine.certificate(frontier, seal, hour)
    expected: dict[tuple[datetime, str], tuple[int, str]] = {}
    forces = {hour: max((f, s) for h, f, s in seals if h == hour) for hour, _, _ in seals}
    for hour, force in forces.items():
        expected |= {key: (events, "sealed") for key, events in seals[(hour, *force)].items()}
    for (window, country, batch), events in deltas.items():
        frontier = forces.get(window.replace(minute=0), (0, 0))[0]
        if batch <= keep.get(batch >> 40, -1) and batch > frontier:
            had = expected.get((window, country), (0, ""))[0]
            expected[window, country] = (had + events, "provisional")
    found = {(window, country): (count, status) for window, country, count, _, status in engine.served()}
    assert found == expected, f"\n  served   {sorted(found.items())}\n  expected {sorted(expected.items())}"
