"""Where a launch may begin, judged on a real topic, control topic and ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from clickhouse_driver import Client
from confluent_kafka import Producer

from include.contracts import Contract
from include.settings import Settings
from include.spark.orders import LAUNCH, Order, record
from include.spark.start import Skip, StartRefusedError, iso
from include.spark.start_evidence import StartPlan, plan_start
from include.streaming.control import claim
from include.streaming.ledger import LedgerRow, batch_id, insert_ledger_rows, take_over
from include.warehouse.client import connect
from tests.helpers import ad_events, encoded

STREAM = "ad_events"
# Records a minute apart, ten in each partition; the first one is this old.
FIRST = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
COUNT = 10


@dataclass
class Platform:
    """A topic of records at known Kafka times, and a database and a control topic that know nothing yet."""

    settings: Settings
    contract: Contract
    client: Client

    def commit(self, ends: dict[int, int]) -> int:
        """Claim, take over, and commit one batch up to these offsets; return the generation."""
        generation = claim(self.settings, STREAM)
        frontier = take_over(self.client, STREAM, generation).frontier
        rows = [self.row(generation, p, frontier.get(p, 0), end) for p, end in ends.items()]
        if rows:
            insert_ledger_rows(self.client, rows)
        return generation

    def row(self, generation: int, partition: int, start: int, end: int) -> LedgerRow:
        latest = int((FIRST + timedelta(minutes=end - 1)).timestamp() * 1000)
        return LedgerRow(
            stream=STREAM,
            batch=batch_id(generation, 0),
            partition=partition,
            start_offset=start,
            lost_to=start,
            end_offset=end,
            accepted=end - start,
            rejected=0,
            late=0,
            non_records=0,
            hours=[],
            hour_events=[],
            hour_first=[],
            hour_last=[],
            kafka_time_min=latest,
            kafka_time_max=latest,
            contract_version=1,
        )

    def plan(self, start: str | None = None, *, confirm_rebuild: bool = False) -> StartPlan:
        return plan_start(self.settings, [self.contract], start, confirm_rebuild=confirm_rebuild)


def at(minutes: int) -> str:
    return iso(FIRST + timedelta(minutes=minutes))


@pytest.fixture
def platform(control_topic: Settings, kafka_topic: str) -> Iterator[Platform]:
    contract = ad_events()
    contract = contract.model_copy(update={"topic": contract.topic.model_copy(update={"name": kafka_topic})})
    producer = Producer({"bootstrap.servers": control_topic.kafka_bootstrap_servers})
    for partition in range(4):
        for minute in range(COUNT):
            moment = int((FIRST + timedelta(minutes=minute)).timestamp() * 1000)
            producer.produce(kafka_topic, encoded(), partition=partition, timestamp=moment)
    assert producer.flush(30) == 0
    client = connect(control_topic)
    yield Platform(control_topic, contract, client)
    client.disconnect()


@pytest.mark.parametrize("start", [None, "earliest", pytest.param(at(3), id="timestamp")])
def test_a_new_stream_starts_where_it_is_told(platform: Platform, start: str | None) -> None:
    assert platform.plan(start) == StartPlan(start or "earliest", (), ())


def test_a_known_stream_goes_on_at_its_ledger(platform: Platform) -> None:
    platform.commit(dict.fromkeys(range(4), 5))
    assert platform.plan().skips == ()
    assert platform.plan(at(5)).skips == ()


@pytest.mark.parametrize("start", ["earliest", pytest.param(at(4), id="timestamp")])
def test_a_start_before_the_ledger_is_refused(platform: Platform, start: str) -> None:
    platform.commit({0: 2, 1: 3, 2: 4, 3: 5})
    with pytest.raises(StartRefusedError, match="reconcile_hour"):
        platform.plan(start)


def test_a_start_past_the_ledger_needs_approval_for_exactly_what_it_leaves_out(platform: Platform) -> None:
    platform.commit({0: 2, 1: 5, 2: 7, 3: 7})
    (skip,) = platform.plan(at(7)).skips
    assert skip.offsets == {0: (2, 7), 1: (5, 7)}
    assert skip.first_hour == (FIRST + timedelta(minutes=1)).replace(minute=0, second=0)
    assert skip.last_hour > datetime.now(UTC)
    assert platform.plan(at(7)).skip_to() == f"{STREAM}={at(7)}"


def test_a_start_past_every_record_leaves_all_of_them_out(platform: Platform) -> None:
    platform.commit(dict.fromkeys(range(4), 9))
    (skip,) = platform.plan(at(60)).skips
    assert isinstance(skip, Skip)
    assert skip.offsets == dict.fromkeys(range(4), (9, 10))


def test_a_database_that_was_lost_is_refused_until_a_person_confirms(platform: Platform) -> None:
    claim(platform.settings, STREAM)
    with pytest.raises(StartRefusedError, match=r"claims of ad_events up to generation 1\b.*confirm_rebuild"):
        platform.plan()
    assert platform.plan(confirm_rebuild=True) == StartPlan("earliest", (), (STREAM,))


@pytest.mark.parametrize("table", ["ledger", "takeovers"])
def test_a_table_that_was_lost_is_refused(platform: Platform, table: str) -> None:
    platform.commit({0: 2})
    platform.commit({0: 5})
    assert platform.plan().rebuilt == ()
    platform.client.execute(f"TRUNCATE TABLE {table}")
    with pytest.raises(StartRefusedError, match="lost its ledger"):
        platform.plan()


def test_a_ledger_of_one_generation_that_was_lost_is_told_by_its_heartbeats(platform: Platform) -> None:
    generation = platform.commit({0: 2})
    now = datetime.now(UTC)
    platform.client.execute(
        "INSERT INTO heartbeats (stream, at, day, launch, generation, state, batch, lag, detail) VALUES",
        [(STREAM, 1, now.date(), "abc", generation, "running", batch_id(generation, 0), 0, "")],
    )
    platform.client.execute("TRUNCATE TABLE ledger")
    with pytest.raises(StartRefusedError, match=rf"generation {generation} of ad_events told of committed"):
        platform.plan()


def test_after_a_rebuild_began_nothing_is_refused(platform: Platform) -> None:
    platform.commit({0: 2})
    platform.client.execute("TRUNCATE TABLE ledger")
    platform.client.execute("TRUNCATE TABLE takeovers")
    with pytest.raises(StartRefusedError):
        platform.plan()
    record(platform.client, Order(stream=STREAM, kind=LAUNCH, by="launch_stream"))
    platform.commit({})
    assert platform.plan() == StartPlan("earliest", (), ())


def test_an_idle_stream_and_one_whose_driver_died_early_have_lost_nothing(platform: Platform) -> None:
    record(platform.client, Order(stream=STREAM, kind=LAUNCH, by="launch_stream"))
    claim(platform.settings, STREAM)
    assert platform.plan() == StartPlan("earliest", (), ())
    platform.commit({})
    assert platform.plan() == StartPlan("earliest", (), ())
