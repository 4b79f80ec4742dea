"""A contract that changes on a live platform: hours are judged under the versions that their ledger rows carry."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from clickhouse_driver import Client
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from pyspark.sql import SparkSession

from include.contracts import Contract, load_contract
from include.reconcile.certificate import read_certificate
from include.reconcile.prove_again import EQUAL, prove_again
from include.reconcile.types import HOUR as ONE_HOUR
from include.settings import Settings
from include.warehouse.contract_versions import store_version
from include.warehouse.cube_tables import ensure_cube
from tests.reconciling import HOUR, Stream, drop, event, only

NOW = load_contract("ad_events").version
NEXT = NOW + 1
FILLED = "filled by the recount, since not all was folded: ad_devices, ad_events.fees"
BEFORE, AFTER = HOUR + timedelta(minutes=10), HOUR + timedelta(minutes=40)
FIGURES = "SELECT sum(event_count), toInt64(sum(revenue)), toInt64(sum(fees)) FROM ad_events_sealed FINAL WHERE seal = %(seal)s"
DEVICES = "SELECT device, sum(n) FROM ad_devices_sealed FINAL WHERE seal = %(seal)s GROUP BY device"


@pytest.fixture
def stream(clickhouse: Client, control_topic: Settings, kafka_topic: str, spark: SparkSession) -> Stream:
    """100 events and 4 of an unknown country, folded under the loaded version by the first generation."""
    contract = load_contract("ad_events")
    topic = contract.topic.model_copy(update={"name": kafka_topic})
    settings = control_topic.model_copy(update={"grace_seconds": 0.0})
    own = Stream(settings, clickhouse, contract.model_copy(update={"topic": topic}), spark)
    own.start()
    records = [event(n, BEFORE) for n in range(100)]
    records += [event(n, BEFORE, country="ES") for n in range(500, 504)]
    own.send([(json.dumps(record).encode(), BEFORE) for record in records])
    own.fold()
    return own


def second(first: Contract) -> Contract:
    """The next version: one more country, a field with a measure, and a cube."""
    document = first.model_dump()
    document["version"] = NEXT
    document["fields"]["country"]["allowed"] += ("ES",)
    document["fields"]["fee"] = {"type": "number", "minimum": 0, "maximum": 10, "scale": 6}
    cube, arrival = document["cubes"]
    cube["measures"] += ({"name": "fees", "kind": "sum", "field": "fee"},)
    devices = {"name": "ad_devices", "pane_seconds": 60, "dimensions": ["device"]}
    document["cubes"] = [cube, arrival, {**devices, "measures": [{"name": "n", "kind": "count"}]}]
    return Contract.model_validate(document)


def change(stream: Stream, contract: Contract) -> None:
    """Prepare the warehouse for a contract, and let the next generation fold by it."""
    stream.contract = contract
    store_version(stream.client, contract)
    for cube in contract.cubes:
        ensure_cube(stream.client, cube)
    stream.start()
    stream.batches = 0


def fold_second(stream: Stream) -> None:
    """Fold 50 events, 3 of them of the country that the next version allows, each with a fee of 0.25."""
    records = [event(n, AFTER, fee=0.25) for n in range(1000, 1047)]
    records += [event(n, AFTER, fee=0.25, country="ES") for n in range(1047, 1050)]
    stream.send([(json.dumps(record).encode(), AFTER) for record in records])
    stream.fold()


def close(stream: Stream) -> None:
    """Commit past the hour's end, so that it is closed."""
    later = HOUR + timedelta(minutes=63)
    extra = {"fee": 0.5} if stream.contract.version == NEXT else {}
    stream.send([(json.dumps(event(n, later, **extra)).encode(), later) for n in range(9000, 9008)])
    stream.fold()


def seal_of(stream: Stream) -> int:
    return read_certificate(stream.client, "ad_events", HOUR).seal


def test_an_hour_of_two_versions_is_proved_each_record_under_its_own(stream: Stream) -> None:
    change(stream, second(stream.contract))
    fold_second(stream)
    close(stream)
    line = only(stream.reconcile())
    assert (line.verdict, line.reason) == ("PROVED", f"equal at once; {FILLED}")
    figures = stream.client.execute(FIGURES, {"seal": seal_of(stream)})[0]
    assert (figures[0], figures[2]) == (150, 50 * 250_000), "a record of the version before has no fee"
    assert stream.client.execute(DEVICES, {"seal": seal_of(stream)}) == [("iOS", 150)]
    rejected = stream.client.execute("SELECT sum(rejected), sum(this_hour) FROM balances")[0]
    assert rejected == (4, 150), "what the version before refused stays refused"
    document = read_certificate(stream.client, "ad_events", HOUR)
    assert {item.contract_version for item in document.offset_ranges} == {NOW, NEXT}
    outcome = prove_again(stream.settings, stream.client, document, lambda: stream.spark, stream.load)
    assert (outcome.code, outcome.findings) == (EQUAL, ())


def test_damage_to_what_both_versions_fold_is_found_in_an_hour_of_two(stream: Stream) -> None:
    change(stream, second(stream.contract))
    fold_second(stream)
    close(stream)
    drop(stream, "ad_events_delta", "country = 'KR' AND batch < bitShiftLeft(toUInt64(2), 40)")
    line = only(stream.reconcile())
    assert (line.verdict, FILLED in line.reason) == ("REPAIRED", True)
    assert stream.client.execute(FIGURES, {"seal": seal_of(stream)})[0][0] == 150
    assert only(stream.reconcile()).verdict == "PROVED"


def test_a_certified_hour_is_filled_once_and_nothing_else_of_it_changes(stream: Stream) -> None:
    close(stream)
    assert {line.verdict for line in stream.reconcile(hour=None)} == {"PROVED"}
    assert stream.reconcile(hour=None) == []
    first = seal_of(stream)
    change(stream, second(stream.contract))
    lines = [line for line in stream.reconcile(hour=None) if line.hour == f"{HOUR:%Y-%m-%dT%H}"]
    assert (only(lines).verdict, only(lines).reason) == ("PROVED", f"equal at once; {FILLED}")
    assert seal_of(stream) > first
    assert stream.client.execute(DEVICES, {"seal": seal_of(stream)}) == [("iOS", 100)]
    amendments = read_certificate(stream.client, "ad_events", HOUR).amendments
    assert amendments is not None
    assert (amendments.base_intact, amendments.changed, amendments.added) == (True, 0, 0)
    assert stream.reconcile(hour=None) == [], "filled hours are due no more"


def test_a_seal_that_was_altered_before_the_change_is_still_found(stream: Stream) -> None:
    close(stream)
    stream.reconcile()
    change(stream, second(stream.contract))
    drop(stream, "ad_events_sealed", "country = 'KR'")
    line = only(stream.reconcile())
    assert line.verdict == "REPAIRED"
    assert "the sealed rows are not those that were certified" in line.reason


def test_an_hour_whose_raw_records_are_gone_keeps_its_seal(stream: Stream) -> None:
    close(stream)
    stream.reconcile(hour=None)
    first = seal_of(stream)
    admin = AdminClient({"bootstrap.servers": stream.settings.kafka_bootstrap_servers})
    expired = [TopicPartition(stream.contract.topic.name, p, 26) for p in range(4)]
    for answer in admin.delete_records(expired).values():
        answer.result(30)
    change(stream, second(stream.contract))
    filled = {line.hour for line in stream.reconcile(hour=None)}
    assert f"{HOUR + ONE_HOUR:%Y-%m-%dT%H}" in filled, "its records are still there"
    assert f"{HOUR:%Y-%m-%dT%H}" not in filled
    assert seal_of(stream) == first


def test_a_cube_by_a_dimension_that_the_records_lack_cannot_be_proved(stream: Stream) -> None:
    document = second(stream.contract).model_dump()
    document["fields"]["browser"] = {"type": "string"}
    browsers = {"name": "ad_browsers", "pane_seconds": 60, "dimensions": ["browser"]}
    document["cubes"] += ({**browsers, "measures": [{"name": "n", "kind": "count"}]},)
    close(stream)
    change(stream, Contract.model_validate(document))
    line = only(stream.reconcile())
    assert line.verdict == "UNPROVABLE"
    assert f"cube ad_browsers: its dimension browser is no text field of version {NOW}" in line.reason


def test_rows_of_a_version_that_nobody_kept_cannot_be_proved(stream: Stream) -> None:
    close(stream)
    drop(stream, "contract_versions", f"version = {NOW}")
    stream.contract = stream.contract.model_copy(update={"version": NEXT})
    line = only(stream.reconcile())
    assert line.verdict == "UNPROVABLE"
    assert f"contract ad_events version {NOW} is not kept" in line.reason
