"""The balance of offsets on real Kafka: aborted transactions, compaction, deleted records, a ledger that lies.

The stream is folded by the streaming job's own steps (source, fold, ledger rows, writes); the
non-records are counted a third time by a plain consumer.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from clickhouse_driver import Client
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from pyspark.sql import DataFrame, SparkSession

from include.contracts import Contract, load_contract
from include.reconcile.judging import judge_run
from include.reconcile.plan import make_plans
from include.reconcile.recount import recount_run
from include.reconcile.report import HourLine
from include.reconcile.seal import seal_run
from include.settings import Settings
from include.streaming.commit import ledger_rows, write_batch
from include.streaming.control import claim
from include.streaming.fold import Fold
from include.streaming.ledger import (
    CommitState,
    LedgerRow,
    batch_id,
    insert_ledger_rows,
    read_commit_state,
    take_over,
)
from include.streaming.partials import OUTPUT_DDL, collect
from include.streaming.source import batch_ends, source_options
from include.topics.offsets import EARLIEST, Offsets
from tests.conftest import create_topic
from tests.helpers import encoded, eventually
from tests.leftovers import fresh_suffix

HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=4)
LATER = HOUR + timedelta(hours=1)
LIMIT_SECONDS = 240
PARTITIONS = 2
ANY_TIME = {"message.timestamp.type": "CreateTime", "message.timestamp.before.max.ms": str(2**62)}
BALANCE = ("offsets", "this_hour", "other_hours", "rejected", "non_records", "ledger_non_records")
COMPACTED = {
    **ANY_TIME,
    "cleanup.policy": "compact",
    "segment.ms": "600000",
    "min.cleanable.dirty.ratio": "0.0",
    "min.compaction.lag.ms": "0",
}


@dataclass
class Stream:
    """ad_events on a topic of its own, folded on demand."""

    spark: SparkSession
    settings: Settings
    client: Client
    contract: Contract
    scratch: Path
    generation: int = 0
    batches: int = 0
    events: int = 0
    producer: Producer = field(init=False)

    def __post_init__(self) -> None:
        self.producer = Producer({"bootstrap.servers": self.settings.kafka_bootstrap_servers})
        self.generation = claim(self.settings, "ad_events")
        take_over(self.client, "ad_events", self.generation)

    @property
    def topic(self) -> str:
        return self.contract.topic.name

    def send(
        self,
        count: int,
        hour: datetime = HOUR,
        partition: int = 0,
        producer: Producer | None = None,
        keys: int | None = None,
        value: bytes | None = None,
    ) -> None:
        """Send events of an hour, each an identity of its own, with `keys` Kafka keys in turn."""
        own = producer or self.producer
        for i in range(count):
            self.events += 1
            moment = hour + timedelta(seconds=i % 500)
            event = encoded(event_id=f"E{self.events}", timestamp=moment.strftime("%Y-%m-%dT%H:%M:%S"))
            own.produce(
                self.topic,
                event if value is None else value,
                None if keys is None else f"{hour:%H}-{i % keys}",
                partition=partition,
                timestamp=int(moment.timestamp() * 1000),
            )
        assert own.flush(30) == 0

    def state(self) -> CommitState:
        return read_commit_state(self.client, "ad_events")

    def fold(self, start: str = EARLIEST) -> list[LedgerRow]:
        """Fold what Kafka holds beyond the ledger, or from a start, as the job does; return the new ledger rows."""
        checkpoint = self.scratch / uuid.uuid4().hex
        frontier = {**Offsets(self.settings, self.topic).begin_at(start), **self.state().frontier}
        starts = Offsets(self.settings, self.topic).starts()
        begin = {p: max(offset, starts[p]) for p, offset in frontier.items()}
        written: list[LedgerRow] = []

        def commit(folded: DataFrame, spark_batch: int) -> None:
            ends = batch_ends(checkpoint, spark_batch, self.topic)
            results = collect(self.contract, ((row.kind, row.payload) for row in folded.collect()))
            batch = batch_id(self.generation, self.batches)
            self.batches += 1
            ranges = {p: (frontier[p], end) for p, end in ends.items()}
            rows = ledger_rows(self.contract, batch, ranges, starts, results)
            write_batch(self.client, self.contract, batch, results, rows)
            written.extend(rows)

        query = (
            self.spark.readStream.format("kafka")
            .options(**source_options(self.settings, self.contract, begin, 1_000_000))
            .load()
            .select("value", "partition", "offset", "timestamp")
            .mapInArrow(Fold(self.contract), OUTPUT_DDL)
            .writeStream.foreachBatch(commit)
            .option("checkpointLocation", checkpoint.absolute().as_uri())
            .trigger(availableNow=True)
            .start()
        )
        assert query.awaitTermination(LIMIT_SECONDS), "the fold did not end"
        return written

    def reconcile(self, hour: datetime = HOUR, repair: str = "auto") -> HourLine:
        def load(_: str) -> Contract:
            return self.contract

        run, _ = make_plans(self.settings, ["ad_events"], hour, hour, repair, load)
        recount_run(self.spark, self.settings, run, load)
        judge_run(self.settings, run)
        lines = seal_run(self.settings, run)
        assert len(lines) == 1, lines
        return lines[0]

    def is_due(self) -> bool:
        """Say whether a run over the hour takes it up."""
        asked = (self.settings, ["ad_events"], HOUR, HOUR, "auto", lambda _: self.contract)
        return bool(make_plans(*asked, recount_anyway=False)[1])

    def balances(self, hour: datetime = HOUR) -> dict[int, tuple[int, ...]]:
        """Return the newest balance of an hour by partition: BALANCE's columns."""
        rows = self.client.execute(
            f"SELECT partition, {', '.join(BALANCE)} FROM balances WHERE stream = 'ad_events' AND hour = %(hour)s "
            "ORDER BY seal",
            {"hour": hour},
        )
        return {row[0]: tuple(row[1:]) for row in rows}

    def delivered(self, partition: int) -> list[int]:
        """Return the offsets that a plain consumer of committed records gets."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.settings.kafka_bootstrap_servers,
                "group.id": "test-balance",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
            }
        )
        consumer.assign([TopicPartition(self.topic, partition, 0)])
        found: list[int] = []
        try:
            while True:
                message = consumer.poll(LIMIT_SECONDS)
                assert message is not None, f"{self.topic}-{partition} did not reach its end"
                error = message.error()
                if error is not None:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    return found
                found.append(message.offset())
        finally:
            consumer.close()

    def delete_before(self, partition: int, offset: int) -> None:
        admin = AdminClient({"bootstrap.servers": self.settings.kafka_bootstrap_servers})
        for answer in admin.delete_records([TopicPartition(self.topic, partition, offset)]).values():
            answer.result(30)

    def certified(self, hour: datetime = HOUR) -> list[str]:
        rows = self.client.execute(
            "SELECT verdict FROM certificates WHERE stream = 'ad_events' AND hour = %(hour)s ORDER BY seal",
            {"hour": hour},
        )
        return [row[0] for row in rows]


@pytest.fixture
def stream(
    request: pytest.FixtureRequest,
    clickhouse: Client,
    control_topic: Settings,
    spark: SparkSession,
    tmp_path: Path,
) -> Iterator[Stream]:
    config: Mapping[str, str] = getattr(request, "param", ANY_TIME)
    admin = AdminClient({"bootstrap.servers": control_topic.kafka_bootstrap_servers})
    name = f"test-{fresh_suffix()}"
    create_topic(admin, NewTopic(name, PARTITIONS, 1, config=dict(config)))
    contract = load_contract("ad_events")
    topic = contract.topic.model_copy(update={"name": name, "partitions": PARTITIONS})
    settings = control_topic.model_copy(update={"grace_seconds": 0.0})
    yield Stream(spark, settings, clickhouse, contract.model_copy(update={"topic": topic}), tmp_path)
    admin.delete_topics([name])[name].result(30)


def transactional(settings: Settings) -> Producer:
    producer = Producer(
        {"bootstrap.servers": settings.kafka_bootstrap_servers, "transactional.id": uuid.uuid4().hex}
    )
    producer.init_transactions(30)
    return producer


def test_aborted_transactions_and_markers_are_non_records_on_both_sides(stream: Stream) -> None:
    producer = transactional(stream.settings)
    for count, commits in ((12, True), (9, False), (5, True), (4, False)):
        producer.begin_transaction()
        stream.send(count, producer=producer)
        (producer.commit_transaction if commits else producer.abort_transaction)(30)
    stream.send(20, partition=1)
    stream.send(3, partition=1, value=b"{")
    rows = stream.fold()
    ends = Offsets(stream.settings, stream.topic).ends()
    independent = {p: ends[p] - len(stream.delivered(p)) for p in range(PARTITIONS)}
    assert independent == {0: 9 + 4 + 4, 1: 0}, "two aborted transactions and four markers"
    assert {row.partition: row.non_records for row in rows} == independent
    line = stream.reconcile()
    assert (line.verdict, line.reason) == ("PROVED", "equal at once")
    assert stream.balances() == {
        0: (34, 17, 0, 0, 17, 17),
        1: (23, 20, 0, 3, 0, 0),
    }


def test_a_range_of_nothing_but_an_aborted_transaction_balances(stream: Stream) -> None:
    stream.send(6, partition=1)
    stream.fold()
    producer = transactional(stream.settings)
    producer.begin_transaction()
    stream.send(7, producer=producer)
    producer.abort_transaction(30)
    stream.send(2, partition=1)
    rows = stream.fold()
    assert {row.partition: row.non_records for row in rows} == {0: 8, 1: 0}
    assert stream.reconcile().verdict == "PROVED"
    found = stream.balances()
    assert all(non_records == ledger for *_, non_records, ledger in found.values()), found
    assert found[1][1] == 8


@pytest.mark.parametrize("stream", [COMPACTED], indirect=True)
def test_compacted_records_are_non_records_before_the_fold_and_unprovable_after_it(stream: Stream) -> None:
    stream.send(60, keys=10)
    stream.fold()
    assert stream.reconcile().verdict == "PROVED"
    stream.send(50, hour=LATER, keys=5)
    stream.send(
        1, hour=LATER + timedelta(hours=1), keys=1
    )  # begins a new segment: the newest is never compacted
    eventually(lambda: len(stream.delivered(0)) == 16, "the topic is compacted to 16 records", LIMIT_SECONDS)

    (row,) = (row for row in stream.fold() if row.partition == 0)
    assert (row.start_offset, row.end_offset, row.accepted, row.non_records) == (60, 111, 6, 45)
    later = stream.reconcile(LATER)
    assert (later.verdict, later.reason) == ("PROVED", "equal at once")
    assert stream.balances(LATER)[0] == (51, 5, 1, 0, 45, 45)

    line = stream.reconcile()
    assert line.verdict == "UNPROVABLE", f"50 of 60 folded records were compacted away: {line}"
    assert "the topic is compacted; partition 0: 50 of the records that the ledger counted" in line.reason
    assert stream.certified() == ["PROVED"], "what was proved while the records were there stays"


def test_records_deleted_before_they_were_read_are_lost_and_their_hours_never_green(stream: Stream) -> None:
    stream.send(10)
    stream.fold()
    stream.send(10)
    stream.delete_before(0, 16)
    (row,) = (row for row in stream.fold() if row.partition == 0)
    assert (row.start_offset, row.lost_to, row.end_offset, row.accepted, row.non_records) == (
        10,
        16,
        20,
        4,
        0,
    )
    line = stream.reconcile()
    assert line.verdict == "UNPROVABLE"
    assert "offsets 10 to 16 had expired before they were read" in line.reason
    assert stream.certified() == []


def test_records_deleted_after_the_fold_and_before_the_proof_are_unprovable(stream: Stream) -> None:
    stream.send(10)
    stream.send(10, hour=LATER, partition=1)
    stream.fold()
    stream.delete_before(0, 4)
    line = stream.reconcile()
    assert line.verdict == "UNPROVABLE"
    assert "raw records from offset 0 are gone, the log starts at 4" in line.reason
    assert stream.certified() == []
    assert stream.reconcile(LATER).verdict == "PROVED", "an hour whose records are all there is not concerned"


def test_an_altered_seal_whose_records_are_gone_is_drifted_and_looked_at_again(stream: Stream) -> None:
    stream.send(10)
    stream.fold()
    assert stream.reconcile().verdict == "PROVED"
    stream.delete_before(0, 4)
    assert stream.reconcile().verdict == "UNPROVABLE"
    assert not stream.is_due(), "its certificate stands, and nothing has changed"
    frontier, seal = stream.client.execute("SELECT frontier, seal FROM certificates")[0]
    altered = [(HOUR, "click", "US", "banner", frontier, seal, 1, 1, 1, 1)]
    stream.client.execute("INSERT INTO ad_events_sealed VALUES", altered)
    assert stream.is_due()
    line = stream.reconcile()
    assert line.verdict == "DRIFTED"
    assert "the sealed rows are not those that were certified, and cannot be counted again: " in line.reason
    assert "raw records from offset 0 are gone" in line.reason
    assert stream.certified() == ["PROVED"]
    assert stream.is_due(), "until the rows are those that were certified"


def test_an_hour_whose_first_records_expired_before_the_stream_began_is_never_green(stream: Stream) -> None:
    stream.send(10)
    stream.send(10, hour=LATER)
    stream.delete_before(0, 6)
    stream.fold()
    line = stream.reconcile()
    assert line.verdict == "UNPROVABLE"
    assert "partition 0: offsets 0 to 6 were never read, since the stream began there" in line.reason
    assert stream.certified() == []
    assert stream.reconcile(LATER).verdict == "PROVED", "nothing of an hour that came later was left out"
    empty = LATER + timedelta(hours=1)
    line = stream.reconcile(empty)
    assert (line.verdict, line.windows, line.offsets) == ("PROVED", 0, 0), "an hour without an event"
    assert stream.certified(empty) == ["PROVED"]


def test_hours_that_a_start_by_timestamp_left_out_are_never_green(stream: Stream) -> None:
    stream.send(10)
    stream.send(10, hour=LATER)
    stream.fold(start=(HOUR + timedelta(seconds=5)).isoformat())
    for hour in (HOUR - timedelta(hours=1), HOUR):
        line = stream.reconcile(hour)
        assert line.verdict == "UNPROVABLE", hour
        assert "partition 0: offsets 0 to 5 were never read, since the stream began there" in line.reason
        assert stream.certified(hour) == []
    assert stream.reconcile(LATER).verdict == "PROVED", "nothing of an hour that came later was left out"


def test_the_balance_fails_when_the_ledger_miscounts(stream: Stream) -> None:
    stream.send(10)
    stream.send(3, value=b"{")
    rows = stream.fold()
    (true,) = (row for row in rows if row.partition == 0)
    lies = {
        "accepted 9 in the ledger, 10 in the log": replace(true, accepted=9),
        "rejected 4 in the ledger, 3 in the log": replace(true, rejected=4),
        "non-records 2 in the ledger, 0 in the log": replace(true, non_records=2),
        "late 1 in the ledger, 0 in the log": replace(true, late=true.late + 1),
        "1 event hours have other counts": replace(true, hour_events=[11]),
    }
    for finding, row in lies.items():
        insert_ledger_rows(stream.client, [row])
        line = stream.reconcile(repair="never")
        assert (line.verdict, finding in line.reason) == ("DRIFTED", True), f"{finding}: {line}"
        assert ("does not balance" in line.reason) == (row.non_records != 0), line
        assert stream.certified() == []
    insert_ledger_rows(stream.client, [true])
    assert stream.reconcile(repair="never").verdict == "PROVED"
