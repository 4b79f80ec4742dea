"""Dead letters that a later batch folded: each counts once, under the contract version of the batch that replayed it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from clickhouse_driver import Client
from pyspark.sql import SparkSession

from include.contracts import load_contract
from include.contracts.classifier import Classifier, Event
from include.reconcile.certificate import read_certificate
from include.reconcile.prove_again import EQUAL, prove_again
from include.settings import Settings
from include.streaming.ledger import insert_ledger_rows, read_commit_state
from include.warehouse.contract_versions import store_version
from tests.helpers import Record
from tests.reconciling import HOUR, Stream, drop, event, only

MOMENT = HOUR + timedelta(minutes=10)
EVENTS = 100
LETTERS = [(partition, EVENTS // 4) for partition in range(4)]  # (partition, offset) of the dead letters
BALANCE = (
    "SELECT sum(this_hour), sum(other_hours), sum(rejected), sum(offsets) FROM balances WHERE seal = %(seal)s"
)


@pytest.fixture
def stream(clickhouse: Client, control_topic: Settings, kafka_topic: str, spark: SparkSession) -> Stream:
    """100 events and 4 that are rejected for their country, sealed; then a version that allows 3 of them."""
    contract = load_contract("ad_events")
    topic = contract.topic.model_copy(update={"name": kafka_topic})
    settings = control_topic.model_copy(update={"grace_seconds": 0.0})
    own = Stream(settings, clickhouse, contract.model_copy(update={"topic": topic}), spark)
    own.start()
    records = [event(n, MOMENT) for n in range(EVENTS)]
    countries = ["ES", "ES", "ES", "XX"]
    records += [event(500 + n, MOMENT, country=country) for n, country in enumerate(countries)]
    own.send([(json.dumps(record).encode(), MOMENT) for record in records])
    own.fold()
    more(own)
    assert only(own.reconcile()).verdict == "PROVED"
    country = contract.fields["country"]
    allowed = country.model_copy(update={"allowed": (*(country.allowed or ()), "ES")})
    own.contract = own.contract.model_copy(
        update={"version": contract.version + 1, "fields": {**contract.fields, "country": allowed}}
    )
    store_version(clickhouse, own.contract)
    own.start()
    own.batches = 0
    return own


def more(stream: Stream) -> int:
    later = HOUR + timedelta(minutes=63)
    stream.send([(json.dumps(event(n, later)).encode(), later) for n in range(9000, 9008)])
    return stream.fold()


def fold_with(stream: Stream, letters: Sequence[tuple[int, int]]) -> None:
    """Fold a batch of the next hour that replays dead letters besides, as the driver does."""
    batch = more(stream)
    classifier = Classifier(stream.contract)
    events = []
    for partition, offset in letters:
        value, at = stream.sent[partition][offset]
        outcome = classifier.classify(value, at)
        if isinstance(outcome, Event):
            events.append((outcome, Record(value, partition, offset, at)))
    stream.write_deltas(batch, events)
    state = read_commit_state(stream.client, "ad_events")
    first = next(row for row in state.rows if row.batch == batch and row.partition == 0)
    replayed = replace(
        first,
        replayed_partitions=[partition for partition, _ in letters],
        replayed_offsets=[offset for _, offset in letters],
        replayed_hours=[HOUR] * len(letters),
    )
    insert_ledger_rows(stream.client, [replayed])


def balance(stream: Stream) -> tuple[int, ...]:
    seal = read_certificate(stream.client, "ad_events", HOUR).seal
    return tuple(stream.client.execute(BALANCE, {"seal": seal})[0])


def test_a_replay_makes_its_hour_due_and_moves_records_from_rejected_to_events(stream: Stream) -> None:
    assert balance(stream)[:3] == (100, 0, 4)
    fold_with(stream, LETTERS[:3])
    lines = [line for line in stream.reconcile(hour=None) if line.hour == f"{HOUR:%Y-%m-%dT%H}"]
    assert (only(lines).verdict, only(lines).reason) == ("PROVED", "equal at once")
    this_hour, other_hours, rejected, offsets = balance(stream)
    assert (this_hour, rejected) == (103, 1)
    assert offsets == this_hour + other_hours + rejected
    assert stream.served()[0] == 103
    document = read_certificate(stream.client, "ad_events", HOUR)
    replayed = [(s.partition, item.offset) for s in document.offset_ranges for item in s.replayed]
    assert replayed == LETTERS[:3]
    assert document.amendments is not None
    assert document.amendments.added > 0
    outcome = prove_again(stream.settings, stream.client, document, lambda: stream.spark, stream.load)
    assert (outcome.code, outcome.findings) == (EQUAL, ())
    assert f"{HOUR:%Y-%m-%dT%H}" not in {line.hour for line in stream.reconcile(hour=None)}


def test_a_replay_of_a_record_that_the_contract_rejects_is_a_finding(stream: Stream) -> None:
    fold_with(stream, LETTERS)
    line = only(stream.reconcile())
    assert line.verdict == "REPAIRED"
    assert "replay in partition 3" in line.reason
    assert "1 of 1 dead letters that were folded are no events of the hours" in line.reason
    assert balance(stream)[0] == 103, "what no version accepts is not counted"


def test_a_replay_whose_figures_were_lost_is_repaired(stream: Stream) -> None:
    fold_with(stream, LETTERS[:1])
    drop(stream, stream.contract.cubes[0].delta_table, "country = 'ES'")
    assert only(stream.reconcile()).verdict == "REPAIRED"
    assert stream.served()[0] == 101


def test_a_record_that_two_batches_replay_is_a_finding_and_counts_once(stream: Stream) -> None:
    fold_with(stream, LETTERS[:1])
    fold_with(stream, LETTERS[:1])
    line = only(stream.reconcile())
    assert line.verdict == "REPAIRED"
    assert f"replay of partition 0, offset {LETTERS[0][1]} by batches" in line.reason
    assert stream.served()[0] == 101
    assert only(stream.reconcile()).verdict == "PROVED"
