"""The sample of the raw log on a real Kafka: bounded, committed records only, and what they are found to be."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from clickhouse_driver import Client
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from include.contracts import Contract, load_contract
from include.quality import raw_log
from include.quality import run as quality
from include.quality.raw_log import SampleError, fetch, read_sample, sample_ranges
from include.quality.report import QualityFailedError, QualityReport
from include.quality.sample import MOST_RECORDS
from include.reconcile.types import OffsetRange
from include.settings import Settings
from tests.raw_log import event_of, lasting_topic, send, with_topic

__all__ = ["lasting_topic"]  # a fixture

HOUR = datetime(2026, 1, 1, 5, tzinfo=UTC)
NOW = HOUR + timedelta(hours=2)
BATCH = (1 << 40) | 1
USER = {"user_id": "u1", "action": "view", "value": 4.5, "session_id": "s1"}


@pytest.fixture
def contract(lasting_topic: str) -> Contract:
    return with_topic(load_contract("ad_events"), lasting_topic)


def commit(
    client: Client, partition: int, end: int, start: int = 0, batch: int = BATCH, stream: str = "ad_events"
) -> None:
    """Write a ledger row whose records arrived in the hour."""
    arrived = int((HOUR + timedelta(minutes=50)).timestamp() * 1000)
    client.execute("INSERT INTO takeovers VALUES", [(stream, 1, [1], [BATCH + 10], NOW)])
    client.execute(
        "INSERT INTO ledger VALUES",
        [(stream, batch, partition, start, start, end, end - start, 0, 0, 0, [HOUR], [end - start], [start], [end - 1],
          arrived, arrived, 1, [], [], [], NOW)],
    )  # fmt: skip


def check(settings: Settings, contract: Contract, folder: Path) -> QualityReport:
    """Return the report of the hour, also where a critical expectation of another suite fails for want of figures."""
    own = settings.model_copy(update={"artifacts_dir": folder})
    try:
        return quality.check_hours(own, contract.stream, [HOUR], lambda _: contract)
    except QualityFailedError as failure:
        return failure.report


def of_raw_log(report: QualityReport, success: bool) -> dict[tuple[str, str], str]:
    found = [r for r in report.results if r.suite == "raw_log" and r.success == success]
    return {(r.column, r.severity): r.observed for r in found}


def test_bad_records_are_named_and_good_ones_pass(
    warehouse: Settings, clickhouse: Client, contract: Contract, tmp_path: Path
) -> None:
    good = [event_of(HOUR, n) for n in range(180)]
    send(warehouse, contract.topic.name, 0, good, HOUR)
    commit(clickhouse, 0, 180)
    assert of_raw_log(check(warehouse, contract, tmp_path), success=False) == {}
    bad = [event_of(HOUR, n, country="XX") for n in range(12)] + [b"{" for _ in range(10)]
    bad += [event_of(HOUR + timedelta(hours=3), n) for n in range(12)]
    send(warehouse, contract.topic.name, 0, bad, HOUR)
    commit(clickhouse, 0, 214, start=180, batch=BATCH + 1)
    report = check(warehouse, contract, tmp_path)
    failed = of_raw_log(report, success=False)
    assert set(failed) == {
        ("value.country", "warning"), ("delay_seconds", "warning"), ("refused_share", "warning"),
    }  # fmt: skip
    assert '"XX"' in failed["value.country", "warning"]
    assert of_raw_log(report, success=True)["malformed_share", "warning"].startswith("0.046")
    kept = clickhouse.execute(
        "SELECT column_name FROM quality_checks WHERE suite = 'raw_log' AND success = 0 AND run = %(run)s",
        {"run": report.run},
    )
    assert {name for (name,) in kept} == {"value.country", "delay_seconds", "refused_share"}


def test_expired_records_are_a_success_with_the_figure(
    warehouse: Settings, clickhouse: Client, contract: Contract, tmp_path: Path
) -> None:
    send(warehouse, contract.topic.name, 0, [event_of(HOUR, n, country="XX") for n in range(50)], HOUR)
    commit(clickhouse, 0, 50)
    assert ("value.country", "warning") in of_raw_log(check(warehouse, contract, tmp_path), success=False)
    expire(warehouse, contract.topic.name, 50)
    report = check(warehouse, contract, tmp_path)
    assert of_raw_log(report, success=False) == {}
    seen = of_raw_log(report, success=True)
    assert (seen["expired_offsets", "warning"], seen["sampled_records", "warning"]) == ("50", "0")


def expire(settings: Settings, topic: str, before: int) -> None:
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for answer in admin.delete_records([TopicPartition(topic, 0, before)]).values():
        answer.result(30)


def test_a_topic_that_was_made_anew_is_critical(
    warehouse: Settings, clickhouse: Client, contract: Contract, tmp_path: Path
) -> None:
    send(warehouse, contract.topic.name, 0, [event_of(HOUR, n) for n in range(30)], HOUR)
    commit(clickhouse, 0, 40)
    failed = of_raw_log(check(warehouse, contract, tmp_path), success=False)
    assert failed == {("beyond_offsets", "critical"): "10"}


def test_the_sample_is_bounded_spread_and_the_same_each_time(
    warehouse: Settings, clickhouse: Client, contract: Contract
) -> None:
    for partition in (0, 1):
        send(warehouse, contract.topic.name, partition, [event_of(HOUR, n) for n in range(4_000)], HOUR)
        commit(clickhouse, partition, 4_000)
    first = read_sample(warehouse, clickhouse, contract, HOUR)
    assert len(first.records) == first.planned == MOST_RECORDS
    assert (first.expired, first.beyond) == (0, 0)
    assert {(r.partition, r.offset // 400) for r in first.records} == {
        (p, n) for p in (0, 1) for n in range(10)
    }
    assert read_sample(warehouse, clickhouse, contract, HOUR) == first


def test_bytes_are_bounded(warehouse: Settings, contract: Contract, monkeypatch: pytest.MonkeyPatch) -> None:
    send(warehouse, contract.topic.name, 0, [event_of(HOUR, n, pad="x" * 1_000) for n in range(100)], HOUR)
    runs = [OffsetRange(0, 0, 50), OffsetRange(0, 50, 100)]
    whole = fetch(warehouse, contract.topic.name, runs)
    assert [r.offset for r in whole.records] == list(range(100))
    monkeypatch.setattr(raw_log, "MOST_BYTES", 10_000)
    some = fetch(warehouse, contract.topic.name, runs)
    assert sum(len(r.value or b"") for r in some.records) <= 10_000
    assert [r.offset for r in some.records] == [0, 1, 2, 3, 50, 51, 52, 53]


def test_nothing_delivered_in_time_is_an_error_that_names_the_place(
    warehouse: Settings, contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(warehouse, contract.topic.name, 0, [event_of(HOUR, n) for n in range(3)], HOUR)
    monkeypatch.setattr(raw_log, "MOST_SECONDS", 0.0)
    with pytest.raises(SampleError, match=rf"{contract.topic.name}-0: offsets 0 to 3 were not delivered"):
        fetch(warehouse, contract.topic.name, [OffsetRange(0, 0, 3)])


def test_what_was_never_committed_is_not_sampled(warehouse: Settings, contract: Contract) -> None:
    topic = contract.topic.name
    producer = Producer({"bootstrap.servers": warehouse.kafka_bootstrap_servers, "transactional.id": topic})
    producer.init_transactions(30)
    for value, end in ((b"kept", producer.commit_transaction), (b"gone", producer.abort_transaction)):
        producer.begin_transaction()
        producer.produce(topic, value, partition=0)
        producer.flush(30)
        end(30)
    sample = fetch(warehouse, topic, [OffsetRange(0, 0, 4)])
    assert [r.value for r in sample.records] == [b"kept"]
    assert (sample.planned, sample.beyond) == (4, 0)


def test_rows_that_do_not_count_and_those_after_the_certificate_are_left_out(clickhouse: Client) -> None:
    commit(clickhouse, 0, 10)
    commit(clickhouse, 0, 20, start=10, batch=BATCH + 1)
    commit(clickhouse, 0, 30, start=20, batch=BATCH + 99)
    assert [r.end for r in sample_ranges(clickhouse, "ad_events", HOUR)] == [10, 20]
    assert sample_ranges(clickhouse, "ad_events", HOUR + timedelta(hours=1)) == []
    clickhouse.execute(
        "INSERT INTO certificates (stream, hour, frontier, seal) VALUES", [("ad_events", HOUR, BATCH, 7)]
    )
    assert sample_ranges(clickhouse, "ad_events", HOUR) == [OffsetRange(0, 0, 10)]


def test_a_late_event_is_sampled_from_where_the_ledger_lists_it(clickhouse: Client) -> None:
    later = int((HOUR + timedelta(hours=4)).timestamp() * 1000)
    clickhouse.execute("INSERT INTO takeovers VALUES", [("ad_events", 1, [1], [BATCH + 10], NOW)])
    clickhouse.execute(
        "INSERT INTO ledger VALUES",
        [("ad_events", BATCH, 1, 0, 0, 100, 100, 0, 2, 0, [HOUR + timedelta(hours=4), HOUR], [98, 2], [0, 40], [99, 41],
          later, later, 1, [], [], [], NOW)],
    )  # fmt: skip
    assert sample_ranges(clickhouse, "ad_events", HOUR) == [OffsetRange(1, 40, 42)]


def test_keys_and_lines_of_the_other_streams(
    warehouse: Settings, clickhouse: Client, lasting_topic: str, tmp_path: Path
) -> None:
    users = with_topic(load_contract("user_events"), lasting_topic)
    event = json.dumps(USER | {"timestamp": int((HOUR + timedelta(minutes=30)).timestamp() * 1000)}).encode()
    send(warehouse, lasting_topic, 0, [event] * 20, HOUR, keys=[b"u1"] * 20)
    commit(clickhouse, 0, 20, stream="user_events")
    assert of_raw_log(check(warehouse, users, tmp_path), success=False) == {}
    send(warehouse, lasting_topic, 0, [event] * 20, HOUR, keys=[None] * 10 + [b"u2"] * 10)
    commit(clickhouse, 0, 40, start=20, batch=BATCH + 1, stream="user_events")
    failed = of_raw_log(check(warehouse, users, tmp_path), success=False)
    assert set(failed) == {("key", "warning"), ("key, value.user_id", "warning")}
    logs = with_topic(load_contract("logs"), lasting_topic)
    line = b'10.0.3.7 - u [01/Jan/2026:05:30:00 +0000] "GET /checkout/cart HTTP/1.1" 502 512'
    send(warehouse, lasting_topic, 1, [line] * 20, HOUR)
    commit(clickhouse, 1, 20, stream="logs")
    assert of_raw_log(check(warehouse, logs, tmp_path), success=False) == {}
