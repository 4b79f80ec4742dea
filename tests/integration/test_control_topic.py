"""Generations and seal numbers from a real control topic."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from include.settings import Settings
from include.streaming import control
from include.streaming.control import (
    NOBODY,
    Claim,
    ControlLog,
    ControlTopicError,
    claim,
    draw_seal,
    newest_claim,
)
from include.topics import offsets
from tests.helpers import eventually

HOUR = datetime(2025, 12, 16, 2, tzinfo=UTC)


def test_claims_of_many_threads_are_unique_and_each_thread_sees_them_grow(control_topic: Settings) -> None:
    def claims(thread: int) -> list[int]:
        return [claim(control_topic, f"stream_{thread % 2}") for _ in range(5)]

    with ThreadPoolExecutor(6) as pool:
        drawn = list(pool.map(claims, range(6)))
    numbers = [number for one in drawn for number in one]
    assert sorted(numbers) == list(range(1, 31)), f"generations are not unique: {sorted(numbers)}"
    assert all(one == sorted(one) for one in drawn), drawn
    for stream in range(2):
        newest = max(number for one in drawn[stream::2] for number in one)
        assert newest_claim(control_topic, f"stream_{stream}") == newest


def test_the_newest_claim_is_of_its_own_stream_and_0_where_there_is_none(control_topic: Settings) -> None:
    assert newest_claim(control_topic, "a") == 0
    first, second = claim(control_topic, "a"), claim(control_topic, "b")
    assert (newest_claim(control_topic, "a"), newest_claim(control_topic, "b")) == (first, second)
    assert newest_claim(control_topic, "c") == 0


def test_a_claim_names_its_owner(control_topic: Settings) -> None:
    log = ControlLog(control_topic)
    try:
        assert log.newest("a") == NOBODY
        claim(control_topic, "a", "first")
        second = claim(control_topic, "a", "second")
        assert log.newest("a") == Claim(second, "second")
    finally:
        log.close()


def test_seal_numbers_do_not_fence_and_are_never_drawn_twice(control_topic: Settings) -> None:
    generation = claim(control_topic, "a")
    seals = [draw_seal(control_topic, "a", HOUR) for _ in range(3)]
    assert newest_claim(control_topic, "a") == generation, "a seal number fenced the driver"
    later = claim(control_topic, "a")
    assert len({generation, *seals, later}) == 5
    assert [generation, *seals, later] == sorted([generation, *seals, later])


def test_an_open_log_sees_claims_that_come_later(control_topic: Settings) -> None:
    log = ControlLog(control_topic)
    try:
        assert log.newest_claim("a") == 0
        for _ in range(3):
            generation = claim(control_topic, "a")
            draw_seal(control_topic, "a", HOUR)
            assert log.newest_claim("a") == generation, "a claim that was acknowledged must be seen at once"
    finally:
        log.close()


def test_a_control_topic_that_was_recreated_is_refused_and_not_taken_for_an_unclaimed_one(
    control_topic: Settings,
) -> None:
    log = ControlLog(control_topic)
    for _ in range(3):
        claim(control_topic, "a")
    assert log.newest_claim("a") == 3
    admin = AdminClient({"bootstrap.servers": control_topic.kafka_bootstrap_servers})
    admin.delete_topics([control_topic.control_topic])[control_topic.control_topic].result(30)

    def gone() -> bool:
        return control_topic.control_topic not in admin.list_topics(timeout=10).topics

    eventually(gone, "the control topic was deleted", 30)
    name = control_topic.control_topic
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(30)
    try:
        with pytest.raises(ControlTopicError):
            log.newest_claim("a")
    finally:
        log.close()


def test_a_broker_that_does_not_answer_is_an_error_and_claims_nothing(
    control_topic: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "TIMEOUT_SECONDS", 2)
    monkeypatch.setattr(offsets, "REQUEST_SECONDS", 2.0)
    silent = control_topic.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"})
    with pytest.raises(ControlTopicError):
        newest_claim(silent, "a")
    with pytest.raises(ControlTopicError):
        claim(silent, "a")
    assert newest_claim(control_topic, "a") == 0


def test_records_of_another_kind_are_passed_over(control_topic: Settings) -> None:
    producer = Producer({"bootstrap.servers": control_topic.kafka_bootstrap_servers})
    producer.produce(
        control_topic.control_topic, json.dumps({"kind": "note", "stream": "a"}).encode(), partition=0
    )
    producer.produce(control_topic.control_topic, None, partition=0)
    assert producer.flush(20) == 0
    assert newest_claim(control_topic, "a") == 0
    assert claim(control_topic, "a") == 3
