"""One id in two hours, on real Kafka, Spark and ClickHouse: both certificates report it, and neither proof knows of it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from clickhouse_driver import Client
from pyspark.sql import SparkSession

from include.contracts import load_contract
from include.reconcile.certificate import read_certificate
from include.reconcile.report import remarks
from include.settings import Settings
from tests.reconciling import HOUR, Stream, event

LATER = HOUR + timedelta(hours=1)
CERTIFIED = "SELECT hour, id_reused, digest FROM certificates ORDER BY hour, seal"


@pytest.fixture
def stream(clickhouse: Client, control_topic: Settings, kafka_topic: str, spark: SparkSession) -> Stream:
    """Two hours, each a batch of its own: E1 twice in the first, E2 in both, E3 and E4 in one each."""
    contract = load_contract("ad_events")
    topic = contract.topic.model_copy(update={"name": kafka_topic})
    settings = control_topic.model_copy(update={"grace_seconds": 0.0})
    own = Stream(settings, clickhouse, contract.model_copy(update={"topic": topic}), spark)
    own.start()
    first = [(1, HOUR), *((number, HOUR + timedelta(minutes=number)) for number in (1, 2, 3))]
    for moments in (first, [(2, LATER), (4, LATER + timedelta(minutes=1))]):
        own.send([(json.dumps(event(number, moment)).encode(), moment) for number, moment in moments])
        own.fold()
    return own


def test_both_hours_report_an_id_of_both_and_their_figures_and_proofs_stay_their_own(stream: Stream) -> None:
    (alone,) = stream.reconcile(hour=LATER)
    assert (alone.verdict, alone.remarks) == ("PROVED", ()), "the other hour's ranges were not read"
    lines = stream.reconcile(hour=HOUR, until=LATER)
    assert [(line.verdict, line.reason) for line in lines] == [("PROVED", "equal at once")] * 2
    kept = stream.client.execute(CERTIFIED)
    assert [(hour, count) for hour, count, _ in kept] == [(HOUR, 1), (LATER, 0), (LATER, 1)]
    assert kept[1][2] == kept[2][2], "the digest of an hour knows nothing of its neighbours"
    documents = [read_certificate(stream.client, "ad_events", hour) for hour in (HOUR, LATER)]
    figures = [(d.figures.events, d.figures.events_as_they_came, d.figures.id_reused) for d in documents]
    assert figures == [(3, 4, 1), (2, 2, 1)], "a second copy in one hour is a duplicate, and not reused"
    assert [sum(item.duplicates for item in document.balance) for document in documents] == [1, 0]
    assert (stream.served(HOUR)[0], stream.served(LATER)[0]) == (3, 2)
    assert [line.partition(": ")[2] for line in remarks(lines)] == [
        "duplicates 1, id_reused 1",
        "id_reused 1",
    ]
