"""What a driver does when it is fenced, when a service is away, and when offsets are never to be read."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from clickhouse_driver import errors
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from pyspark.sql import SparkSession

from include.contracts import Contract
from include.contracts.load import CONTRACTS_DIR, load_contract
from include.spark.orders import Order, record
from include.streaming import driver as driver_module
from include.streaming import query as query_module
from include.streaming.control import claim, newest_claim
from include.streaming.heartbeat import Heartbeat
from include.streaming.job import parse_arguments, run
from include.streaming.ledger import record_takeover, take_over
from tests.helpers import eventually
from tests.streams import LIMIT_SECONDS, Job, clicks, ended

CLOSED_PORT = 1


def test_an_idle_driver_that_was_fenced_ends_by_itself(job: Job) -> None:
    driver = job.start()
    job.watch(driver)
    other = claim(job.settings, "ad_events", "another driver")
    eventually(ended(driver), f"the idle driver ended ({driver.vitals})", LIMIT_SECONDS)
    assert driver.vitals.state == "fenced", driver.vitals
    assert f"fenced by generation {other}" in driver.vitals.detail


def test_a_driver_fenced_between_two_queries_does_not_claim_the_stream_back(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims: list[int] = []

    def failing(*_: object, **__: object) -> None:
        claims.append(claim(job.settings, "ad_events", "another driver"))
        raise RuntimeError("a batch that fails while another driver takes over")

    monkeypatch.setattr(query_module, "write_batch", failing)
    job.send(*clicks(10))
    driver = job.start(wait=False)
    eventually(ended(driver), f"the driver ended ({driver.vitals})", LIMIT_SECONDS)
    assert driver.vitals.state == "fenced", driver.vitals
    assert newest_claim(job.settings, "ad_events") == claims[-1], "it claimed the stream back"
    assert len(claims) == 1


def test_a_claim_of_its_own_that_was_never_acknowledged_does_not_fence_a_driver(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[int] = []

    def unanswered(settings: Any, stream: str, owner: str) -> int:
        generation = claim(settings, stream, owner)
        if len(lost) < 2:
            lost.append(generation)
            raise query_module.LostClaimError("no answer")
        return generation

    monkeypatch.setattr(query_module, "claim", unanswered)
    monkeypatch.setattr(driver_module, "RESTART_SECONDS", 0.1)
    job.send(*clicks(10))
    driver = job.start(wait=False)
    job.await_commit()
    assert (len(lost), driver.vitals.state) == (2, "running"), driver.vitals
    job.assert_exact()


def test_a_takeover_whose_answer_is_lost_is_no_failure(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = [errors.NetworkError("cut after the insert")]

    def recorded(*arguments: Any) -> None:
        record_takeover(*arguments)
        if lost:
            raise lost.pop()

    monkeypatch.setattr(query_module, "record_takeover", recorded)
    job.send(*clicks(10))
    driver = job.start()
    job.await_commit()
    assert (lost, driver.vitals.generation) == ([], 1), "the takeover was not repeated under its generation"
    job.assert_exact()


def test_a_recreated_control_topic_fails_at_once_and_claims_nothing(job: Job) -> None:
    take_over(job.client, "ad_events", 7)
    driver = job.start(wait=False)
    eventually(ended(driver), f"the driver ended ({driver.vitals})", LIMIT_SECONDS)
    assert driver.vitals.state == "failed", driver.vitals
    assert "GenerationError" in driver.vitals.detail
    assert newest_claim(job.settings, "ad_events") == 0, "claims that are refused grow past the ledger's"


def test_a_ledger_that_was_lost_is_refused_until_a_person_orders_a_launch(job: Job) -> None:
    claim(job.settings, "ad_events")
    refused = job.start(wait=False)
    eventually(ended(refused), f"the driver ended ({refused.vitals})", LIMIT_SECONDS)
    assert (refused.vitals.state, refused.vitals.needs_person) == ("failed", True), refused.vitals
    assert "confirm_rebuild" in refused.vitals.detail
    assert newest_claim(job.settings, "ad_events") == 1, "a driver that was refused has claimed the stream"
    record(job.client, Order(stream="ad_events", kind="launch", by="launch_stream"))
    assert job.start().vitals.generation == 2


def test_a_stream_that_was_ordered_to_stop_is_not_brought_back_by_supervision(job: Job) -> None:
    record(job.client, Order(stream="ad_events", kind="stop", by="stop_stream"))
    driver = job.start(wait=False)
    eventually(ended(driver), f"the driver ended ({driver.vitals})", LIMIT_SECONDS)
    assert (driver.vitals.state, driver.vitals.generation) == ("stopped", 0), driver.vitals


def test_a_failure_that_stays_ends_the_driver_after_bounded_attempts(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_module, "RESTART_SECONDS", 0.05)
    attempts: list[int] = []

    def failing(*_: object, **__: object) -> int:
        attempts.append(1)
        raise KeyError("a fault of the program")

    monkeypatch.setattr(query_module, "claim", failing)
    driver = job.start(wait=False)
    eventually(ended(driver), f"the driver ended ({driver.vitals})", LIMIT_SECONDS)
    assert (driver.vitals.state, len(attempts)) == ("failed", 5), driver.vitals


def test_failed_query_starts_leave_no_connection_behind(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "RESTART_SECONDS", 0.05)
    monkeypatch.setattr(driver_module, "ATTEMPTS_WITHOUT_A_COMMIT", 9)
    seen: list[int] = []

    def failing(*_: object, **__: object) -> int:
        seen.append(len(list(Path("/proc/self/task").iterdir())))
        raise KeyError("a fault of the program")

    monkeypatch.setattr(query_module, "claim", failing)
    driver = job.start(wait=False)
    eventually(ended(driver), f"the driver ended ({driver.vitals})", LIMIT_SECONDS)
    assert seen[-1] - seen[1] <= 3, f"threads of the Kafka client pile up: {seen}"


def test_kafka_away_is_waited_for_without_spending_attempts(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.topics.offsets.REQUEST_SECONDS", 0.3)
    monkeypatch.setattr(driver_module, "RESTART_SECONDS", 0.05)
    monkeypatch.setattr(driver_module, "ATTEMPTS_WITHOUT_A_COMMIT", 1)
    reachable = job.settings
    job.settings = reachable.model_copy(update={"kafka_bootstrap_servers": f"127.0.0.1:{CLOSED_PORT}"})
    driver = job.start(wait=False)
    job.watch(driver)
    eventually(
        lambda: "waits for Kafka: no Kafka broker answered" in driver.vitals.detail,
        f"it says what it waits for ({driver.vitals})",
        LIMIT_SECONDS,
    )
    eventually(lambda: bool(driver.vitals.kafka), "the watch says so too", LIMIT_SECONDS)
    assert (driver.vitals.state, driver.is_alive()) == ("starting", True)
    job.settings = reachable


def test_clickhouse_away_is_waited_for_before_anything_is_claimed(job: Job) -> None:
    reachable = job.settings
    job.settings = reachable.model_copy(update={"clickhouse_port": CLOSED_PORT})
    driver = job.start(wait=False)
    job.settings = reachable
    eventually(
        lambda: "waits for ClickHouse" in driver.vitals.detail,
        f"it says what it waits for ({driver.vitals})",
        LIMIT_SECONDS,
    )
    assert newest_claim(reachable, "ad_events") == 0
    driver.vitals.stop.set()
    eventually(ended(driver), f"a stop ends the waiting ({driver.vitals})", LIMIT_SECONDS)
    assert driver.vitals.state == "stopped"


def test_the_last_heartbeat_gives_up_on_a_clickhouse_that_is_away(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.streaming.heartbeat.LAST_WORDS_SECONDS", 0.5)
    away = job.settings.model_copy(update={"clickhouse_port": CLOSED_PORT})
    heartbeat = Heartbeat(away, "launch-1", [])
    heartbeat.start()
    heartbeat.end()
    assert not heartbeat.is_alive()


def test_a_skip_is_recorded_at_once_as_lost_and_not_repeated(job: Job) -> None:
    job.send(*clicks(40))
    skipped = dict(job.ends)
    moment = datetime.fromtimestamp(time.time(), UTC).isoformat()
    job.sent.clear()
    first = job.start(skip_to=moment)
    state = job.await_commit()
    assert {r.partition: (r.start_offset, r.lost_to, r.end_offset) for r in state.rows} == {
        p: (0, end, end) for p, end in skipped.items()
    }, "the gap was not committed by itself"
    job.send(*clicks(20))
    job.await_commit()
    first.vitals.stop.set()
    eventually(ended(first), f"the driver stopped ({first.vitals})", LIMIT_SECONDS)
    job.client.execute(
        "INSERT INTO heartbeats (stream, at, day, launch, generation, state, batch, lag, detail) VALUES",
        [("ad_events", 1, datetime.now(UTC).date(), "launch-1", 1, "running", first.vitals.batch, 0, "")],
    )
    later = clicks(8)
    job.send(*later)  # stamped now; a relaunch that skipped to the end again would lose them
    future = datetime.now(UTC).isoformat()
    job.start(skip_to=future)
    state = job.await_commit()
    assert [r for r in state.rows if r.lost_to > r.start_offset] == state.rows[:4]
    assert sum(r.accepted for r in state.rows) == 28
    job.assert_exact()


def test_a_ledger_that_is_past_the_time_skips_nothing(job: Job) -> None:
    moment = datetime.now(UTC).isoformat()
    job.send(*clicks(40))
    first = job.start()
    job.await_commit()
    first.vitals.stop.set()
    eventually(ended(first), f"the driver stopped ({first.vitals})", LIMIT_SECONDS)
    job.send(*clicks(12))
    job.start(skip_to=moment, launch="launch-2")
    state = job.await_commit()
    assert all(row.lost_to == row.start_offset for row in state.rows)
    job.assert_exact()


def test_what_expired_unread_is_recorded_though_nothing_new_arrives(job: Job) -> None:
    job.send(*clicks(40))
    first = job.start()
    job.await_commit()
    first.vitals.stop.set()
    eventually(ended(first), f"the driver stopped ({first.vitals})", LIMIT_SECONDS)
    before = job.state().frontier
    job.send(*clicks(40))
    admin = AdminClient({"bootstrap.servers": job.settings.kafka_bootstrap_servers})
    places = [TopicPartition(job.contract.topic.name, p, end) for p, end in job.ends.items()]
    for future in admin.delete_records(places).values():
        future.result(30)
    job.start()
    state = job.await_commit()
    lost = {r.partition: (r.start_offset, r.lost_to) for r in state.rows if r.lost_to > r.start_offset}
    assert lost == {p: (before[p], job.ends[p]) for p in range(4)}


def test_a_backlog_is_folded_in_bounded_batches_with_one_part_a_table_each(job: Job) -> None:
    job.send(*clicks(900))
    job.start(max_offsets=300)
    state = job.await_commit()
    batches: dict[int, int] = {}
    for row in state.rows:
        batches[row.batch] = batches.get(row.batch, 0) + row.end_offset - row.start_offset
    assert list(batches.values()) == [300, 300, 300], batches
    parts = job.client.execute(
        "SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'ad_events_delta'"
    )[0][0]
    assert parts <= 2 * 3, f"{parts} parts of three batches, at most two days each"
    job.assert_exact()


@pytest.fixture
def second_stream(tmp_path: Path) -> Contract:
    """A contract of its own stream, from a file, on the topic of the first."""
    text = (CONTRACTS_DIR / "ad_events.yaml").read_text(encoding="utf-8")
    folder = tmp_path / "contracts"
    folder.mkdir()
    (folder / "second.yaml").write_text(
        text.replace("stream: ad_events", "stream: second").replace(
            "- name: ad_events", "- name: second_events"
        ),
        encoding="utf-8",
    )
    return load_contract("second", folder)


def test_of_two_streams_in_a_driver_one_is_fenced_and_the_other_goes_on(
    job: Job, local_spark: SparkSession, second_stream: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = {"topic": second_stream.topic.model_copy(update={"name": job.contract.topic.name})}
    contracts = {"ad_events": job.contract, "second": second_stream.model_copy(update=topic)}
    monkeypatch.setattr("include.streaming.job.load_contract", contracts.__getitem__)
    monkeypatch.setattr("include.streaming.job.get_settings", lambda: job.settings)
    arguments = parse_arguments(
        ["--streams", "ad_events,second", "--launch", "both", "--trigger-seconds", "0.2"]
    )
    codes: list[int] = []
    thread = threading.Thread(
        target=lambda: codes.append(run(arguments, local_spark.newSession)), daemon=True
    )
    thread.start()
    eventually(lambda: state_of(job, "second") == "running", "the second stream runs", LIMIT_SECONDS)
    claim(job.settings, "second", "another driver")
    eventually(lambda: state_of(job, "second") == "fenced", "the second stream is fenced", LIMIT_SECONDS)
    assert thread.is_alive()
    job.send(*clicks(40))
    job.await_commit()
    job.assert_exact()
    assert state_of(job, "ad_events") == "running"
    generation = newest_claim(job.settings, "ad_events")
    job.client.execute("INSERT INTO stop_requests VALUES", [("ad_events", generation, datetime.now(UTC))])
    eventually(lambda: not thread.is_alive(), "the job ended", LIMIT_SECONDS)
    assert codes == [0], "a driver that was fenced and stopped must not be started again"
    assert (state_of(job, "ad_events"), state_of(job, "second")) == ("stopped", "fenced")


def state_of(job: Job, stream: str) -> str:
    rows = job.client.execute(
        "SELECT state FROM heartbeats WHERE stream = %(stream)s ORDER BY at DESC LIMIT 1", {"stream": stream}
    )
    return str(rows[0][0]) if rows else ""
