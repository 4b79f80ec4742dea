"""Files on a real topic and in a real warehouse: each once, whole or not at all, whatever interrupts it."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from clickhouse_driver import Client
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from include.contracts import Contract, load_contract
from include.files import transaction
from include.files.content import Content
from include.files.form import Form
from include.files.ledger import known_files
from include.files.markers import Marker, MarkerLog, MarkersError
from include.files.report import Report
from include.files.run import publish_files
from include.files.survey import LineJudge, longest_line
from include.files.transaction import Ranges, Transaction, TransactionError
from include.forms import FormError
from include.settings import PROJECT_ROOT, Settings
from include.topics.offsets import Offsets, TopicMissingError
from tests.conftest import create_topic
from tests.helpers import encoded
from tests.leftovers import fresh_suffix

LIMIT_SECONDS = 30
NOW = datetime.now(UTC)


@dataclass(frozen=True)
class Place:
    """An inbox, a topic, a topic of markers and a warehouse that nobody else has."""

    settings: Settings
    contract: Contract
    client: Client

    @property
    def folder(self) -> Path:
        return self.settings.inbox / self.contract.stream

    def drop(self, name: str, *lines: bytes) -> Path:
        data = b"".join(line + b"\n" for line in lines)
        path = self.folder / name
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    def publish(self, run: str = "run-1", **form: Any) -> Report:
        return publish_files(
            self.settings, Form(stream=self.contract.stream, **form), run, contract=self.contract
        )

    def outcomes(self, run: str = "run-1", **form: Any) -> dict[str, tuple[str, str]]:
        return {item.name: (item.outcome, item.note) for item in self.publish(run, **form).files}

    def killed(self, point: str, *seconds: str) -> None:
        """Run in a process that is killed at a point of tests/files_run.py."""
        own = {
            "PLATFORM_CLICKHOUSE_DATABASE": self.settings.clickhouse_database,
            "PLATFORM_FILES_TOPIC": self.settings.files_topic,
            "PLATFORM_INBOX": str(self.settings.inbox),
        }
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tests.files_run"),
                *(self.contract.stream, self.contract.topic.name, point, *seconds),
            ],
            env={**os.environ, **own, "PYTHONPATH": str(PROJECT_ROOT)},
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, f"not killed at {point}:\n{done.stderr[-3000:]}"

    def visible(self) -> list[tuple[bytes, bytes | None, int]]:
        """Return (value, key, Kafka time in ms) of every record that a reader of committed records sees."""
        return [(value, key, ms) for value, key, ms, _, _ in self.places()]

    def places(self) -> list[tuple[bytes, bytes | None, int, int, int]]:
        """The same with partition and offset."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.settings.kafka_bootstrap_servers,
                "group.id": f"read-{uuid.uuid4().hex}",
                "enable.partition.eof": True,
            }
        )
        waiting = set(range(4))
        consumer.assign([TopicPartition(self.contract.topic.name, p, 0) for p in waiting])
        found, deadline = [], time.monotonic() + LIMIT_SECONDS
        while waiting:
            assert time.monotonic() < deadline, f"partitions {waiting} were not read to their end"
            for message in consumer.consume(10_000, timeout=0.2):
                error = message.error()
                if error is None:
                    place = (message.timestamp()[1], message.partition(), message.offset())
                    found.append((message.value(), message.key(), *place))
                else:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    waiting.discard(message.partition())
        consumer.close()
        return found

    def row(self, name: str) -> dict[str, Any]:
        columns = ("state", "records", "blank_lines", "partitions", "first_offsets", "last_offsets", "run")
        rows = self.client.execute(
            f"SELECT {', '.join(columns)} FROM files_current WHERE name = %(name)s", {"name": name}
        )
        assert len(rows) == 1, rows
        return dict(zip(columns, rows[0], strict=True))


@pytest.fixture
def place(warehouse: Settings, clickhouse: Client, kafka_topic: str, tmp_path: Path) -> Iterator[Place]:
    name = f"test-{fresh_suffix()}-files"
    admin = AdminClient({"bootstrap.servers": warehouse.kafka_bootstrap_servers})
    create_topic(admin, NewTopic(name, 1, 1, config={"retention.ms": "-1"}))
    own = warehouse.model_copy(update={"files_topic": name, "inbox": tmp_path})
    (tmp_path / "ad_events").mkdir()
    contract = load_contract("ad_events")
    contract = contract.model_copy(update={"topic": contract.topic.model_copy(update={"name": kafka_topic})})
    yield Place(own, contract, clickhouse)
    admin.delete_topics([name])[name].result(30)


def clicks(count: int, ago: timedelta = timedelta(hours=2)) -> list[bytes]:
    """Return clicks of their own, a second apart, the first of them so long ago."""
    return [
        encoded(event_id=uuid.uuid4().hex, timestamp=f"{NOW - ago + timedelta(seconds=i):%Y-%m-%dT%H:%M:%S}")
        for i in range(count)
    ]


def event_ms(line: bytes) -> int:
    moment = datetime.fromisoformat(json.loads(line)["timestamp"]).replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def test_a_file_is_sent_once_with_its_event_times_and_its_row_says_where(place: Place) -> None:
    lines = clicks(50)
    place.drop("a.jsonl.gz", *lines[:20], b"", *lines[20:], b"no json")
    report = place.publish()
    assert [(item.outcome, item.records, item.blank) for item in report.files] == [("published", 51, 1)]
    assert report.files[0].rejected == {"malformed": 1}
    records = place.places()
    assert sorted(record[0] for record in records) == sorted([*lines, b"no json"])
    assert all(ms == event_ms(value) for value, _, ms, _, _ in records if value != b"no json")
    row = place.row("a.jsonl.gz")
    assert (row["state"], row["records"], row["blank_lines"], row["run"]) == ("published", 51, 1, "run-1")
    for partition, first, last in zip(
        row["partitions"], row["first_offsets"], row["last_offsets"], strict=True
    ):
        offsets = [offset for *_, own, offset in records if own == partition]
        assert (min(offsets), max(offsets)) == (first, last)
    assert row["partitions"] == [0, 1, 2, 3]

    outcome, note = place.outcomes("run-2")["a.jsonl.gz"]
    assert outcome == "already published"
    assert note.startswith("published at ")
    assert note.endswith(" by run-1")
    assert len(place.visible()) == 51, "a second run sent records"


def test_the_same_bytes_under_another_name_are_not_sent_and_other_bytes_under_a_known_name_are(
    place: Place,
) -> None:
    lines = clicks(6)
    place.drop("a.jsonl", *lines[:3])
    place.publish()
    place.drop("b.jsonl", *lines[:3])
    place.drop("a.jsonl", *lines[3:])
    place.drop("c.jsonl", *lines[3:])
    found = place.outcomes("run-2")
    assert found["b.jsonl"][0] == "already published"
    assert "the same bytes as a.jsonl, published at" in found["b.jsonl"][1]
    assert found["a.jsonl"][0] == "published"
    assert "another file, though one of this name (SHA-256 " in found["a.jsonl"][1]
    assert found["c.jsonl"] == ("already published", "the same bytes as a.jsonl, which this run takes")
    assert sorted(value for value, _, _ in place.visible()) == sorted(lines)


def test_now_stamps_with_now_and_keys_choose_partitions(place: Place) -> None:
    contract = load_contract("user_events")
    contract = contract.model_copy(update={"topic": place.contract.topic})
    own = replace(place, contract=contract)
    own.folder.mkdir()
    ms = int(NOW.timestamp() * 1000) - 60_000
    event = {"timestamp": ms, "action": "view", "value": 1.5, "session_id": "s"}
    lines = [json.dumps({**event, "user_id": f"user_{i % 5}", "n": i}).encode() for i in range(40)]
    own.drop("u.jsonl", *lines)
    begun = time.time() * 1000 - 1
    own.publish(timestamps="now")
    records = own.places()
    assert len(records) == 40
    assert all(begun <= record[2] <= time.time() * 1000 for record in records)
    assert all(key == json.loads(value)["user_id"].encode() for value, key, *_ in records)
    homes: dict[bytes | None, set[int]] = {}
    for _, key, _, partition, _ in records:
        homes.setdefault(key, set()).add(partition)
    assert all(len(found) == 1 for found in homes.values()), homes


def test_a_run_killed_after_the_commit_and_before_the_row_sends_nothing_twice(place: Place) -> None:
    lines = clicks(30)
    place.drop("a.jsonl", *lines)
    place.killed("committed")
    assert place.row("a.jsonl")["state"] == "started"
    outcome, note = place.outcomes("run-2")["a.jsonl"]
    assert (outcome, "the row of table `files` was missing" in note) == ("already published", True)
    assert sorted(value for value, _, _ in place.visible()) == sorted(lines)
    row = place.row("a.jsonl")
    assert (row["state"], row["records"], row["run"]) == ("published", 30, "killed-committed")


@pytest.mark.parametrize("point", ["sent", "marked"])
def test_of_a_run_killed_within_its_transaction_nothing_is_visible_and_the_next_sends_once(
    place: Place, point: str
) -> None:
    lines = clicks(30)
    place.drop("a.jsonl", *lines)
    place.killed(point, "5")
    assert Offsets(place.settings, place.contract.topic.name).ends() == dict.fromkeys(range(4), 0)
    assert place.row("a.jsonl")["state"] == "started"
    # `marked` holds back the markers of others, too: the first look waits until Kafka has ended it.
    assert place.outcomes("run-2")["a.jsonl"] == ("published", "")
    assert sorted(value for value, _, _ in place.visible()) == sorted(lines)
    assert min(offset for *_, offset in place.places()) > 0, "the first attempt's offsets are not non-records"
    assert place.row("a.jsonl")["run"] == "run-2"


def test_a_marker_behind_an_open_transaction_is_waited_for_and_never_overlooked(place: Place) -> None:
    name = place.settings.files_topic

    def mark(digest: str) -> Producer:
        servers = place.settings.kafka_bootstrap_servers
        producer = Producer({"bootstrap.servers": servers, "transactional.id": f"{name}-{digest}"})
        producer.init_transactions(LIMIT_SECONDS)
        producer.begin_transaction()
        marker = Marker("ad_events", "t", "a", digest, 1, 1, 0, "now", [0], [0], [0], "run", 1)
        producer.produce(name, marker.encode(), partition=0)
        assert producer.flush(LIMIT_SECONDS) == 0
        return producer

    other, own = mark("other"), mark("own")
    own.commit_transaction(LIMIT_SECONDS)
    with MarkerLog(place.settings) as markers:
        with pytest.raises(MarkersError, match="to offset 0 of 3 within 1 s: the transaction of another run"):
            markers.read(1.0)
        other.abort_transaction(LIMIT_SECONDS)
        markers.read(LIMIT_SECONDS)
        assert set(markers.of_stream("ad_events")) == {"own"}


def test_of_two_runs_at_once_the_later_one_sends_and_the_earlier_one_is_fenced(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = clicks(20)
    place.drop("a.jsonl", *lines)
    acknowledge, later = Transaction.acknowledge, []

    def overtaken(self: Transaction) -> Ranges:
        ranges = acknowledge(self)
        if not later:
            later.append("")
            later[0] = place.outcomes("run-2")["a.jsonl"][0]
        return ranges

    monkeypatch.setattr(Transaction, "acknowledge", overtaken)
    with pytest.raises(TransactionError, match=r"fenced|epoch|fatal"):
        place.publish("run-1")
    assert later == ["published"]
    assert sorted(value for value, _, _ in place.visible()) == sorted(lines)
    assert place.row("a.jsonl")["run"] == "run-2"


def test_a_refused_file_costs_its_neighbours_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = clicks(10)
    place.drop("changed.jsonl", *lines[:5])
    place.drop("good.jsonl", *lines[5:])
    (place.folder / "cut.jsonl.gz").write_bytes(gzip.compress(b"{}\n" * 9_000)[:-10])
    place.drop("empty.jsonl")
    stamp, path = LineJudge.stamp, place.folder / "changed.jsonl"

    def grows(self: LineJudge, line: bytes, now_ms: int) -> tuple[int, bytes | None]:
        with path.open("ab") as more:
            more.write(b"{}\n" if line in lines[:5] else b"")
        return stamp(self, line, now_ms)

    monkeypatch.setattr(LineJudge, "stamp", grows)
    found = place.outcomes()
    assert {name: outcome for name, (outcome, _) in found.items()} == {
        "changed.jsonl": "refused",
        "cut.jsonl.gz": "refused",
        "empty.jsonl": "refused",
        "good.jsonl": "published",
    }
    assert "changed while it was read" in found["changed.jsonl"][1]
    assert "its gzip ends early, after line" in found["cut.jsonl.gz"][1]
    assert sorted(value for value, _, _ in place.visible()) == sorted(lines[5:])
    assert place.row("changed.jsonl")["state"] == "started"


def test_odd_names_and_lines_cost_their_neighbours_nothing(place: Place) -> None:
    lines = clicks(6)
    most = longest_line(place.contract)
    place.drop("a b 'c' \u00e9.jsonl", lines[0])
    place.drop("a\nb.jsonl", lines[1])
    place.drop(os.fsdecode(b"\xff.jsonl"), lines[2])
    (place.folder / "marked.jsonl").write_bytes(b"\xef\xbb\xbf" + lines[3] + b"\r\n" + lines[4])
    full = random.Random(1).randbytes(most).replace(b"\n", b"x")  # nothing that compression would make fit
    place.drop("full.jsonl", full)
    place.drop("over.jsonl", full + b"x")
    (place.folder / "more.jsonl.gz").write_bytes(gzip.compress(lines[5] + b"\n") + b"more")
    assert {name: outcome for name, (outcome, _) in place.outcomes().items()} == {
        "a b 'c' \u00e9.jsonl": "published",
        r"a\nb.jsonl": "refused",
        r"\udcff.jsonl": "refused",
        "marked.jsonl": "published",
        "full.jsonl": "published",
        "over.jsonl": "refused",
        "more.jsonl.gz": "refused",
    }
    assert sorted(v for v, _, _ in place.visible()) == sorted([lines[0], lines[3], lines[4], full])


def test_thousands_of_files_are_asked_for_in_parts(place: Place) -> None:
    place.drop("a.jsonl", *clicks(1))
    place.publish()
    names = [f"{number:0255d}" for number in range(1_500)]
    (found,) = known_files(place.client, "ad_events", [], [*names, "a.jsonl"])
    assert (found.name, found.state) == ("a.jsonl", "published")


def test_a_dry_run_reads_all_and_writes_nothing(place: Place) -> None:
    place.drop("a.jsonl", *clicks(5), b"{")
    (item,) = place.publish(dry_run=True).files
    assert (item.outcome, item.records, item.rejected) == ("would be published", 6, {"malformed": 1})
    assert item.hours
    assert place.visible() == []
    assert place.client.execute("SELECT count() FROM files") == [(0,)]


def test_certified_hours_are_refused_until_they_are_allowed(place: Place) -> None:
    (line,) = clicks(1)
    hour = datetime.fromtimestamp(event_ms(line) // 3_600_000 * 3600, UTC)
    place.client.execute(
        "INSERT INTO certificates (stream, hour, frontier, seal) VALUES", [("ad_events", hour, 1, 1)]
    )
    place.drop("a.jsonl", line)
    outcome, note = place.outcomes()["a.jsonl"]
    assert (outcome, f"certified ({hour:%Y-%m-%dT%HZ})" in note) == ("refused", True)
    assert place.outcomes(certified_hours="allow")["a.jsonl"][0] == "published"
    assert place.outcomes()["a.jsonl"][0] == "already published", "what is sent is refused"


def test_a_file_that_would_hold_live_records_back_too_long_is_taken_back(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "HOLD_SECONDS", 0.0)
    place.drop("a.jsonl", *clicks(500))
    outcome, note = place.outcomes()["a.jsonl"]
    assert (outcome, "split the file" in note) == ("refused", True)
    assert place.visible() == []
    ends = Offsets(place.settings, place.contract.topic.name).ends()
    assert max(ends.values()) > 0, f"its transaction is still open: committed records end at {ends}"


def test_a_rate_is_kept_between_files(place: Place) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        place.drop(name, *clicks(40))
    since = time.monotonic()
    place.publish(rate=20)
    assert time.monotonic() - since >= 2
    place.drop("c.jsonl", *clicks(40))
    with pytest.raises(FormError, match=r"40 records at 0\.001 a second take 11.1 hours"):
        place.publish(rate=0.001)


def test_a_file_whose_marker_is_lost_is_not_sent_again(place: Place) -> None:
    place.drop("a.jsonl", *clicks(5))
    place.publish()
    admin = AdminClient({"bootstrap.servers": place.settings.kafka_bootstrap_servers})
    name = f"test-{fresh_suffix()}-files"
    create_topic(admin, NewTopic(name, 1, 1))
    recreated = replace(place, settings=place.settings.model_copy(update={"files_topic": name}))
    outcome, note = recreated.outcomes("run-2")["a.jsonl"]
    admin.delete_topics([name])[name].result(30)
    assert (outcome, "its marker is not in Kafka" in note) == ("already published", True)
    assert len(place.visible()) == 5


def test_without_its_topic_a_run_says_what_to_do(place: Place) -> None:
    own = replace(place, settings=place.settings.model_copy(update={"files_topic": "test-none-files"}))
    with pytest.raises(TopicMissingError, match="test-none-files does not exist: run prepare_platform first"):
        own.publish()


def test_a_large_file_is_sent_within_its_bounds(place: Place) -> None:
    lines = clicks(1_000)
    path = place.folder / "big.jsonl"
    with path.open("wb") as big:
        for i in range(60):
            big.writelines(line.replace(b'"event_id": "', b'"event_id": "%d-' % i) + b"\n" for line in lines)
    (item,) = place.publish().files
    assert (item.outcome, item.records) == ("published", 60_000)
    with Content(path) as content:
        assert sum(1 for _ in content.lines()) == len(place.visible())
