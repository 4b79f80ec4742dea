"""The proof on real Kafka, Spark and ClickHouse: what is proved, what keeps an hour open, what cannot be proved."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta

import pytest
from clickhouse_driver import Client
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from pyspark.sql import SparkSession

from include.contracts import load_contract
from include.reconcile.compare import digest_of
from include.reconcile.plan import make_plans
from include.reconcile.report import HoursNotProvedError, require_no_failure
from include.reconcile.types import CertificateChangedError
from include.settings import Settings
from include.streaming.control import claim
from include.streaming.ledger import batch_id
from tests.reconciling import HOUR, Stream, drop, event, hour_of_records, only

LEDGER = (
    "SELECT batch, partition, start_offset, lost_to, end_offset, accepted, rejected, late, non_records, hours, "
    "hour_events, hour_first, hour_last, kafka_time_min, kafka_time_max FROM ledger FINAL "
    "WHERE bitAnd(batch, 1023) < 3 ORDER BY batch, partition"
)


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


def test_certificates_of_months_ago_stand_in_no_run_s_way(stream: Stream) -> None:
    months_ago = HOUR - timedelta(days=90)
    assert only(stream.reconcile(hour=months_ago)).verdict == "PROVED", "an empty hour"
    _, plans = make_plans(stream.settings, ["ad_events"], None, None, "auto", stream.load)
    assert plans[0].hour == HOUR - timedelta(hours=1), "the ledger's first hour: those before it are nobody's"


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


@pytest.mark.parametrize("below", [0, 1])
def test_a_batch_that_is_there_twice_under_its_own_id_or_another_is_caught(
    stream: Stream, below: int
) -> None:
    stream.client.execute(
        "INSERT INTO ad_events_delta SELECT window_start, event_type, country, ad_format, "
        "batch - %(below)s, event_count, revenue FROM ad_events_delta WHERE batch = %(batch)s",
        {"batch": batch_id(stream.generation, 0), "below": below},
    )
    line = only(stream.reconcile())
    assert (line.verdict, {cell.drift for cell in line.cells}) == ("REPAIRED", {"doubled_batch"})
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


NEXT = HOUR + timedelta(hours=1)


def with_a_gap(stream: Stream) -> None:
    """Lose the ledger rows of the second of three batches, whose events are all of NEXT."""
    stream.send([(json.dumps(event(9100 + n, HOUR)).encode(), HOUR) for n in range(4)])
    stream.fold()
    drop(stream, "ledger", f"batch = {batch_id(stream.generation, 1)}")


def test_a_gap_in_the_ledger_is_rebuilt_and_named_for_the_hours_it_holds(stream: Stream) -> None:
    whole = stream.client.execute(LEDGER)
    with_a_gap(stream)
    assert stream.client.execute(LEDGER) != whole
    reported = {line.hour: line for line in stream.reconcile(repair="never", until=NEXT)}
    assert [line.verdict for line in reported.values()] == ["PROVED", "DRIFTED"]
    assert stream.client.execute(LEDGER) != whole, "never mends nothing"
    lines = stream.reconcile(until=NEXT)
    assert [line.verdict for line in lines] == ["PROVED", "REPAIRED"]
    assert "ledger gap in partition 0" in lines[1].reason
    assert stream.client.execute(LEDGER) == whole, "rebuilt under the same id with the same figures"
    assert only(stream.reconcile(hour=NEXT)).verdict == "PROVED"


def test_a_gap_whose_raw_records_are_gone_is_a_lost_range(stream: Stream) -> None:
    with_a_gap(stream)
    admin = AdminClient({"bootstrap.servers": stream.settings.kafka_bootstrap_servers})
    first = TopicPartition(stream.contract.topic.name, 1, 258)
    admin.delete_records([first])[first].result(30)
    line = only(stream.reconcile(hour=NEXT))
    assert line.verdict == "UNPROVABLE"
    assert "partition 1: offsets 254 to 258 had expired before they were read" in line.reason


def test_where_a_stream_began_is_not_guessed(stream: Stream) -> None:
    drop(stream, "ledger", f"batch = {batch_id(stream.generation, 0)}")
    line = only(stream.reconcile(hour=NEXT))
    assert line.verdict == "DRIFTED"
    assert "where it began is not known" in line.reason


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
