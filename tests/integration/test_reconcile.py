"""The proof on real Kafka, Spark and ClickHouse: each kind of damage is done first, then caught and mended."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from clickhouse_driver import Client
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from pyspark.sql import SparkSession

from include.contracts import Contract, load_contract
from include.contracts.classifier import Classifier, Event
from include.reconcile.compare import digest_of
from include.reconcile.judging import judge_run
from include.reconcile.plan import make_plans
from include.reconcile.recount import recount_run
from include.reconcile.report import HourLine, HoursNotProvedError, require_no_failure
from include.reconcile.seal import seal_run
from include.reconcile.types import CertificateChangedError
from include.settings import Settings
from include.spark.submission import connector_jars
from include.streaming.control import claim
from include.streaming.ledger import LedgerRow, batch_id, insert_ledger_rows, take_over
from tests.conftest import platform_environment

HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
SERVED = (
    "SELECT sum(event_count), toInt64(sum(total_revenue) * 1000000), min(status), max(status) "
    "FROM ad_events_aggregated WHERE toStartOfHour(window_start) = %(hour)s"
)


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    jars = connector_jars(Settings(spark_jars=platform_environment()["PLATFORM_SPARK_JARS"]))
    session = (
        SparkSession.builder.master("local[2]")
        .appName("test-reconcile")
        .config("spark.jars", jars)
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.driver.memory", "768m")
        .getOrCreate()
    )
    yield session
    session.stop()


def event(number: int, moment: datetime, **changes: object) -> dict[str, object]:
    clicked = number % 5 == 0
    return {
        "event_id": f"E{number}",
        "timestamp": moment.strftime("%Y-%m-%dT%H:%M:%S.%f"),
        "user_id": f"U{number % 7}",
        "campaign_id": "C1",
        "ad_format": ("banner", "interstitial", "rewarded_video")[number % 3],
        "country": ("US", "KR", "DE")[number % 3],
        "device": "iOS",
        "event_type": "click" if clicked else "impression",
        "revenue": round(0.01 + number % 10 / 1000, 4) if clicked else 0,
        **changes,
    }


@dataclass
class Stream:
    """A stream with a topic of its own, and a driver that does what a driver must, in plain Python."""

    settings: Settings
    client: Client
    contract: Contract
    spark: SparkSession
    generation: int = 0
    batches: int = 0
    sent: dict[int, list[tuple[bytes | None, int]]] = field(default_factory=lambda: {p: [] for p in range(4)})
    folded: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(4), 0))

    def start(self) -> None:
        self.generation = claim(self.settings, "ad_events")
        take_over(self.client, "ad_events", self.generation)

    def send(self, records: list[tuple[bytes | None, datetime]]) -> None:
        producer = Producer({"bootstrap.servers": self.settings.kafka_bootstrap_servers, "acks": "all"})
        for index, (value, moment) in enumerate(records):
            at = int(moment.timestamp() * 1000)
            producer.produce(self.contract.topic.name, value, partition=index % 4, timestamp=at)
            self.sent[index % 4].append((value, at))
        assert producer.flush(30) == 0

    def fold(self, reject_offset: tuple[int, int] | None = None) -> int:
        """Fold all that was sent and not yet folded as one batch; return its id."""
        batch = batch_id(self.generation, self.batches)
        self.batches += 1
        classifier, cube = Classifier(self.contract), self.contract.cubes[0]
        cells: dict[tuple[object, ...], list[int]] = {}
        rows = []
        for partition, records in self.sent.items():
            start = self.folded[partition]
            hours: dict[datetime, list[int]] = {}
            accepted = rejected = late = 0
            for offset in range(start, len(records)):
                value, at = records[offset]
                outcome = classifier.classify(value, at)
                if not isinstance(outcome, Event) or (partition, offset) == reject_offset:
                    rejected += 1
                    continue
                accepted += 1
                late += at * 1000 - outcome.time_us > self.contract.lateness_seconds * 1_000_000
                seconds = outcome.time_us // 1_000_000
                hours.setdefault(datetime.fromtimestamp(seconds - seconds % 3600, UTC), []).append(offset)
                window = datetime.fromtimestamp(seconds - seconds % 60, UTC)
                cell = cells.setdefault((window, *(outcome.values[name] for name in cube.dimensions)), [0, 0])
                cell[0] += 1
                cell[1] += int(outcome.values["revenue"])
            times = [at for _, at in records[start:]] or [0]
            listed = sorted(hours)
            rows.append(
                LedgerRow(
                    *("ad_events", batch, partition, start, start, len(records), accepted, rejected, late, 0),
                    hours=listed,
                    hour_events=[len(hours[hour]) for hour in listed],
                    hour_first=[hours[hour][0] for hour in listed],
                    hour_last=[hours[hour][-1] for hour in listed],
                    kafka_time_min=min(times),
                    kafka_time_max=max(times),
                    contract_version=1,
                )
            )
            self.folded[partition] = len(records)
        if cells:
            self.client.execute(
                "INSERT INTO ad_events_delta VALUES", [(*key, batch, *cell) for key, cell in cells.items()]
            )
        insert_ledger_rows(self.client, rows)
        return batch

    def reconcile(
        self,
        repair: str = "auto",
        hour: datetime | None = HOUR,
        before_judging: Callable[[], None] | None = None,
    ) -> list[HourLine]:
        def load(_: str) -> Contract:
            return self.contract

        run, _ = make_plans(self.settings, ["ad_events"], hour, hour, repair, load)
        recount_run(self.spark, self.settings, run, load)
        if before_judging:
            before_judging()
        judge_run(self.settings, run)
        return seal_run(self.settings, run)

    def served(self, hour: datetime = HOUR) -> tuple[object, ...]:
        return tuple(self.client.execute(SERVED, {"hour": hour})[0])


@pytest.fixture
def stream(clickhouse: Client, control_topic: Settings, kafka_topic: str, spark: SparkSession) -> Stream:
    """An hour of 1,000 events, ten copies, five rejects and some events of its neighbours, folded in two batches."""
    contract = load_contract("ad_events")
    topic = contract.topic.model_copy(update={"name": kafka_topic})
    own = Stream(
        control_topic.model_copy(update={"grace_seconds": 0.0}),
        clickhouse,
        contract.model_copy(update={"topic": topic}),
        spark,
    )
    own.start()
    own.send(hour_of_records(random.Random(7)))
    own.fold()
    own.send([(b"{not json", HOUR + timedelta(minutes=61)), (None, HOUR + timedelta(minutes=62))])
    later = HOUR + timedelta(minutes=63)
    own.send([(json.dumps(event(n, later)).encode(), later) for n in range(5000, 5040)])
    own.fold()
    return own


def hour_of_records(rng: random.Random) -> list[tuple[bytes | None, datetime]]:
    records: list[tuple[bytes | None, datetime]] = []
    for number in range(1000):
        moment = HOUR + timedelta(seconds=rng.uniform(0, 3599))
        records.append((json.dumps(event(number, moment)).encode(), moment))
    copies = rng.sample(records, 10)
    before = HOUR - timedelta(minutes=2)
    wrong = [(json.dumps(event(n, HOUR, country="XX")).encode(), HOUR) for n in range(3000, 3003)]
    return [(json.dumps(event(2000, before)).encode(), before), *records, *copies, *wrong]


def only(lines: list[HourLine]) -> HourLine:
    assert len(lines) == 1, f"expected one hour, got {lines}"
    return lines[0]


def test_an_undamaged_hour_is_proved_and_counts_each_identity_once(stream: Stream) -> None:
    assert stream.served()[0] == 1010
    line = only(stream.reconcile())
    assert (line.verdict, line.reason) == ("PROVED", "equal at once")
    assert stream.served()[0] == 1000
    assert stream.served()[2:] == ("sealed", "sealed")
    balance = stream.client.execute(
        "SELECT sum(offsets), sum(this_hour), sum(other_hours), sum(rejected), sum(non_records), sum(duplicates) FROM balances"
    )[0]
    assert balance == (1014, 1010, 1, 3, 0, 10)


def test_an_hour_that_is_sealed_and_unchanged_is_due_no_more_and_proved_again_when_named(
    stream: Stream,
) -> None:
    first = stream.reconcile(hour=None)
    assert {line.verdict for line in first} == {"PROVED"}
    assert HOUR.strftime("%Y-%m-%dT%H") in {line.hour for line in first}
    assert stream.reconcile(hour=None) == []
    assert only(stream.reconcile()).verdict == "PROVED"


def test_lost_deltas_are_repaired_and_named(stream: Stream) -> None:
    before = stream.served()
    drop(stream, "ad_events_delta", "country = 'US' AND toMinute(window_start) < 10")
    assert stream.served() != before
    line = only(stream.reconcile())
    assert line.verdict == "REPAIRED"
    assert line.missing > 0
    assert line.excess + line.mismatched == 0
    listed = stream.client.execute("SELECT class, count() FROM differences GROUP BY class")
    assert listed == [("missing", line.missing)]
    assert stream.served()[0] == 1000
    assert only(stream.reconcile()).verdict == "PROVED"


def test_a_doubled_batch_and_an_altered_figure_are_caught(stream: Stream) -> None:
    stream.client.execute(
        "INSERT INTO ad_events_delta SELECT window_start, event_type, country, ad_format, batch - 1, event_count, revenue "
        "FROM ad_events_delta WHERE batch = %(batch)s",
        {"batch": batch_id(stream.generation, 0)},
    )
    line = only(stream.reconcile())
    assert line.verdict == "REPAIRED"
    assert line.mismatched == line.differences > 0
    assert stream.served()[0] == 1000


def test_repair_never_reports_and_certifies_nothing(stream: Stream) -> None:
    drop(stream, "ad_events_delta", "country = 'US' AND toMinute(window_start) < 10")
    lines = stream.reconcile(repair="never")
    assert only(lines).verdict == "DRIFTED"
    assert stream.client.execute("SELECT count() FROM certificates") == [(0,)]
    with pytest.raises(HoursNotProvedError, match=rf"ad_events {HOUR:%Y-%m-%dT%H} is DRIFTED.*missing"):
        require_no_failure(lines)
    assert {line.verdict for line in stream.reconcile(hour=None)} == {"PROVED", "REPAIRED"}


def test_a_removed_sealed_row_makes_the_hour_due_and_is_repaired(stream: Stream) -> None:
    stream.reconcile(hour=None)
    drop(stream, "ad_events_sealed", "country = 'KR' AND toMinute(window_start) = 20")
    damaged = stream.served()[0]
    line = only(stream.reconcile(hour=None))
    assert damaged != 1000
    assert line.verdict == "REPAIRED"
    assert line.missing > 0
    assert "not those that were certified" in line.reason
    assert stream.served()[0] == 1000
    assert only(stream.reconcile()).verdict == "PROVED"


def test_a_late_event_after_the_seal_is_provisional_until_sealed_again(stream: Stream) -> None:
    stream.reconcile(hour=None)
    late = json.dumps(event(9000, HOUR + timedelta(minutes=5))).encode()
    stream.send([(late, HOUR + timedelta(minutes=90))])
    stream.fold()
    assert stream.served()[0] == 1001
    assert stream.served()[3] == "sealed"
    assert stream.served()[2] == "provisional"
    line = only([x for x in stream.reconcile(hour=None) if x.hour == f"{HOUR:%Y-%m-%dT%H}"])
    assert (line.verdict, line.reason) == ("PROVED", "equal at once")
    assert stream.served()[0] == 1001
    assert stream.served()[2] == "sealed"


def test_as_they_came_figures_carry_a_seal_over_compaction(stream: Stream) -> None:
    stream.reconcile(hour=None)
    stream.client.execute("TRUNCATE TABLE ad_events_delta")
    line = only(stream.reconcile())
    assert (line.verdict, line.reason) == ("PROVED", "equal at once")


def test_a_record_that_the_fold_wrongly_rejected_is_a_mislabel(
    clickhouse: Client, control_topic: Settings, kafka_topic: str, spark: SparkSession
) -> None:
    contract = load_contract("ad_events")
    topic = contract.topic.model_copy(update={"name": kafka_topic})
    own = Stream(
        control_topic.model_copy(update={"grace_seconds": 0.0}),
        clickhouse,
        contract.model_copy(update={"topic": topic}),
        spark,
    )
    own.start()
    moments = [HOUR + timedelta(seconds=second) for second in range(8)]
    own.send([(json.dumps(event(n, moment)).encode(), moment) for n, moment in enumerate(moments)])
    own.fold(reject_offset=(2, 1))
    line = only(own.reconcile())
    assert line.verdict == "REPAIRED"
    assert "mislabel in partition 2" in line.reason
    assert own.served()[0] == 8


def test_a_hole_in_the_ledger_is_named(stream: Stream) -> None:
    stream.send([(json.dumps(event(9100 + n, HOUR)).encode(), HOUR) for n in range(4)])
    stream.fold()
    drop(stream, "ledger", f"batch = {batch_id(stream.generation, 1)}")
    line = only(stream.reconcile())
    assert line.verdict == "DRIFTED"
    assert "ledger hole in partition 0" in line.reason


def test_a_claim_without_takeover_keeps_the_hour_open(stream: Stream) -> None:
    claim(stream.settings, "ad_events")
    lines = stream.reconcile()
    assert only(lines).verdict == "OPEN"
    require_no_failure(lines)
    stream.start()
    stream.batches = 0
    assert only(stream.reconcile()).verdict == "PROVED"


def test_records_not_yet_folded_keep_the_hour_open(stream: Stream) -> None:
    after, moment = HOUR + timedelta(hours=1), HOUR + timedelta(minutes=70)
    stream.send([(json.dumps(event(9200, moment)).encode(), moment)])
    line = only(stream.reconcile(hour=after))
    assert line.verdict == "OPEN"
    assert "partition 0 is folded to offset" in line.reason
    stream.fold()
    assert only(stream.reconcile(hour=after)).verdict == "PROVED"
    assert only(stream.reconcile(hour=datetime.now(UTC))).verdict == "OPEN"


def test_a_certificate_that_came_meanwhile_voids_the_run(stream: Stream) -> None:
    def another_certificate() -> None:
        stream.client.execute(
            "INSERT INTO certificates (stream, hour, frontier, seal, verdict) VALUES",
            [("ad_events", HOUR, batch_id(stream.generation, 1), 999_999, "PROVED")],
        )

    with pytest.raises(CertificateChangedError, match="trigger reconcile_hour again"):
        stream.reconcile(before_judging=another_certificate)


def test_raw_records_that_are_gone_make_an_hour_unprovable_and_keep_its_certificate(stream: Stream) -> None:
    stream.reconcile()
    admin = AdminClient({"bootstrap.servers": stream.settings.kafka_bootstrap_servers})
    first = TopicPartition(stream.contract.topic.name, 1, 50)
    admin.delete_records([first])[first].result(30)
    lines = stream.reconcile()
    assert only(lines).verdict == "UNPROVABLE"
    assert "partition 1: raw records from offset 0 are gone, the log starts at 50" in only(lines).reason
    assert stream.served()[2:] == ("sealed", "sealed")
    with pytest.raises(HoursNotProvedError, match="UNPROVABLE"):
        require_no_failure(lines)


def test_the_digest_is_the_same_on_this_server_as_on_the_current_one(clickhouse: Client) -> None:
    frontier, at = (1 << 40) + 1, datetime(2026, 1, 1, 0, 5, tzinfo=UTC)
    rows = [
        (at, "click", country, "banner", frontier, 7, *figures)
        for country, figures in (("US", (2, 3, 20, 30)), ("KR", (1, 1, 10, 10)))
    ]
    clickhouse.execute("INSERT INTO ad_events_sealed VALUES", rows)
    hour = at.replace(minute=0)
    digest = digest_of(clickhouse, load_contract("ad_events"), hour, frontier, 7)
    assert digest == "ad_events=2-36115392920430034-18410619867446974764", (
        "as tests/unit/test_recount_sql.py has it"
    )


def drop(stream: Stream, table: str, condition: str) -> None:
    """Remove rows at once: on 18.16 a DELETE is a mutation that ends some time later."""
    stream.client.execute(f"CREATE TABLE {table}_kept AS {table}")
    stream.client.execute(f"INSERT INTO {table}_kept SELECT * FROM {table} WHERE NOT ({condition})")
    stream.client.execute(f"DROP TABLE {table}")
    stream.client.execute(f"RENAME TABLE {table}_kept TO {table}")
