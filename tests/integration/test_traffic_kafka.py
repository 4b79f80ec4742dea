"""Traffic on a real topic and in a real warehouse: what is consumed and stored equals what was reported."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from include.settings import Settings
from include.traffic.plan import parse_plan
from include.traffic.run import generate
from include.traffic.send import BrokerUnreachableError, Chunk, DeliveryError, Sender, TopicMissingError
from include.traffic.store import TrafficReport
from include.warehouse.client import connect

SHARES = {"malformed": 0.02, "schema_breaking": 0.02, "duplicate": 0.02, "late": 0.05, "future": 0.02}
READ_SECONDS = 30


def consume(settings: Settings, topic: str, partitions: int = 4) -> list[tuple[int, int, bytes]]:
    """Return (partition, Kafka timestamp in ms, value) of every record up to the end offsets of now."""
    consumer = Consumer({"bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": f"read-{topic}"})
    ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p))[1] for p in range(partitions)}
    consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
    records: list[tuple[int, int, bytes]] = []
    deadline = time.monotonic() + READ_SECONDS
    while len(records) < sum(ends.values()):
        assert time.monotonic() < deadline, f"{len(records)} of {ends} read from {topic} in {READ_SECONDS} s"
        for message in consumer.consume(10_000, timeout=0.2):
            assert message.error() is None, message.error()
            records.append((message.partition(), message.timestamp()[1], message.value()))
    consumer.close()
    return records


def truth_of(settings: Settings, report: TrafficReport) -> list[tuple[Any, ...]]:
    client = connect(settings)
    rows: list[tuple[Any, ...]] = client.execute(
        "SELECT toUInt32(window_start), dimensions, once, came FROM traffic_truth "
        "WHERE run = %(run)s AND stream = %(stream)s AND cube = 'ad_events'",
        {"run": report.run, "stream": report.stream},
    )
    client.disconnect()
    return rows


def stored_run(settings: Settings, report: TrafficReport) -> dict[str, Any]:
    client = connect(settings)
    names = ("seed", "sent", "accepted", "rejected", "late", "duplicates", "parameters")
    rows = client.execute(
        f"SELECT {', '.join(names)} FROM traffic_runs WHERE run = %(run)s AND stream = %(stream)s",
        {"run": report.run, "stream": report.stream},
    )
    client.disconnect()
    assert len(rows) == 1, rows
    return dict(zip(names, rows[0], strict=True))


def test_a_replay_arrives_whole_with_its_own_timestamps_and_its_truth_is_stored(
    kafka_topic: str, warehouse: Settings
) -> None:
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    plan = parse_plan({"start": start.isoformat(), "duration": 600, "rate": 20, "seed": 3, **SHARES})
    report = generate(plan, topic=kafka_topic, settings=warehouse)
    records = consume(warehouse, kafka_topic)

    assert len(records) == report.sent == plan.events
    begin = start.timestamp() * 1000
    assert all(begin <= ms < begin + 600_000 for _, ms, _ in records)
    assert {partition for partition, _, _ in records} == {0, 1, 2, 3}
    for partition in range(4):
        stamps = [ms for p, ms, _ in records if p == partition]
        assert stamps == sorted(stamps), f"Kafka timestamps of partition {partition} go back"
    stored = stored_run(warehouse, report)
    assert json.loads(stored.pop("parameters"))["rate"] == 20
    assert stored == {name: getattr(report, name) for name in stored}
    assert (report.rejected, report.accepted + report.rejected) == (720, report.sent)
    rows = truth_of(warehouse, report)
    assert 0 < len(rows) < report.windows  # those of the other cube are counted too
    assert sum(json.loads(came)["event_count"] for *_, came in rows) == report.accepted
    assert sum(json.loads(once)["event_count"] for *_, once, _ in rows) == report.accepted - report.duplicates


def test_the_stored_truth_equals_the_sums_of_a_plain_run_as_consumed(
    kafka_topic: str, warehouse: Settings
) -> None:
    start = (datetime.now(UTC) - timedelta(minutes=30)).isoformat()
    report = generate(parse_plan({"start": start, "duration": 120}), topic=kafka_topic, settings=warehouse)
    expected: dict[tuple[int, str], list[int]] = {}
    for _, _, value in consume(warehouse, kafka_topic):
        event = json.loads(value)
        minute = datetime.fromisoformat(event["timestamp"][:16]).replace(tzinfo=UTC)
        names = {name: event[name] for name in ("ad_format", "country", "event_type")}
        key = (int(minute.timestamp()), json.dumps(names, separators=(",", ":")))
        figures = expected.setdefault(key, [0, 0])
        figures[0] += 1
        figures[1] += round(event["revenue"] * 1_000_000)
    stored = {(row[0], row[1]): list(json.loads(row[2]).values()) for row in truth_of(warehouse, report)}
    assert stored == expected


def test_live_traffic_is_paced_and_its_sends_are_stored(kafka_topic: str, warehouse: Settings) -> None:
    before = time.time() * 1000
    plan = parse_plan({"rate": 50, "duration": 3, "late": 0.1, "malformed": 0.1})
    report = generate(plan, topic=kafka_topic, settings=warehouse)
    after = time.time() * 1000
    records = consume(warehouse, kafka_topic)
    assert len(records) == report.sent == 150
    assert (report.late, report.rejected) == (15, 15)
    assert 2.5 <= report.seconds <= 15, f"three seconds of traffic took {report.seconds} s"
    assert all(before <= ms <= after for _, ms, _ in records)
    client = connect(warehouse)
    sends = client.execute("SELECT sent_at FROM traffic_sends WHERE run = %(run)s", {"run": report.run})
    client.disconnect()
    assert len(sends) == report.accepted
    assert all(before <= sent_at <= after for (sent_at,) in sends)


def test_two_runs_of_one_plan_share_no_event_id(kafka_topic: str, warehouse: Settings) -> None:
    plan = parse_plan({"start": (datetime.now(UTC) - timedelta(minutes=5)).isoformat(), "duration": 10})
    first, second = (generate(plan, topic=kafka_topic, settings=warehouse) for _ in range(2))
    assert first.run != second.run
    ids = [json.loads(value)["event_id"] for _, _, value in consume(warehouse, kafka_topic)]
    assert len(set(ids)) == len(ids) == first.sent + second.sent


def test_a_missing_topic_is_named(warehouse: Settings) -> None:
    with pytest.raises(TopicMissingError, match="topic no-such-topic does not exist"):
        generate(parse_plan({"duration": 1}), topic="no-such-topic", settings=warehouse)


def test_a_broker_that_is_down_is_named(warehouse: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.traffic.send.CONTACT_SECONDS", 1.0)
    nowhere = warehouse.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"})
    with pytest.raises(BrokerUnreachableError, match=r"127\.0\.0\.1:1 answered"):
        generate(parse_plan({"duration": 1}), topic="any", settings=nowhere)


@pytest.mark.parametrize(
    ("partition", "hours_ahead", "reason"),
    [(1000, 0, "partition 1000"), (1, 3, "timestamp .*partition 1,")],
    ids=["by the client", "by the broker"],
)
def test_a_refused_record_is_counted_and_the_first_is_named(
    kafka_topic: str, warehouse: Settings, partition: int, hours_ahead: int, reason: str
) -> None:
    sender = Sender(warehouse.kafka_bootstrap_servers, kafka_topic)
    sender.count_partitions()
    now_ms = int(time.time() * 1000)
    stamps = [now_ms, now_ms + hours_ahead * 3_600_000]
    with pytest.raises(DeliveryError, match=rf"of 2 records 1 failed .* first failure: .*{reason}"):
        sender.send([Chunk(values=[b"{}", b"{}"], partitions=[0, partition], kafka_ms=stamps)])
