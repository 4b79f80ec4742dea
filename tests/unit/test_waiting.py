"""Which failures are Kafka's absence, what is waited for, and when waiting is given up."""

from __future__ import annotations

import pytest
import tenacity.nap
from clickhouse_driver import errors
from confluent_kafka import KafkaError, KafkaException
from pyspark.errors import StreamingQueryException

from include.streaming.control import ControlTopicError, ControlTopicSilentError
from include.streaming.vitals import Vitals
from include.streaming.waiting import insist, kafka_is_away
from include.topics.admin import BrokerUnreachableError


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


def spark(message: str) -> Exception:
    return StreamingQueryException(message=message, errorClass=None)


@pytest.mark.parametrize(
    "error",
    [
        BrokerUnreachableError("127.0.0.1:9092", "timed out"),
        ControlTopicSilentError("nothing read"),
        KafkaException(KafkaError(KafkaError._TRANSPORT)),
        KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN)),
        caused(ControlTopicError("refused"), KafkaException(KafkaError(KafkaError._MSG_TIMED_OUT))),
        caused(ControlTopicError("x"), BrokerUnreachableError("127.0.0.1:9092", "timed out")),
        spark("Caused by: org.apache.kafka.common.errors.TimeoutException: Call(listOffsets) timed out"),
        spark("Caused by: org.apache.kafka.common.errors.NotLeaderOrFollowerException: moved"),
        caused(RuntimeError("a batch"), spark("org.apache.kafka.common.errors.DisconnectException")),
    ],
    ids=str,
)
def test_a_broker_that_is_away_is_known_by_any_of_its_faces(error: Exception) -> None:
    assert kafka_is_away(error)


@pytest.mark.parametrize(
    "error",
    [
        ControlTopicError("it was recreated"),
        KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)),
        spark("Caused by: org.apache.kafka.common.errors.TopicAuthorizationException: no"),
        spark("org.apache.spark.SparkException: Python worker exited unexpectedly"),
        RuntimeError("org.apache.kafka.common.errors.TimeoutException in the text of a record"),
    ],
    ids=str,
)
def test_other_failures_are_not_taken_for_it(error: Exception) -> None:
    assert not kafka_is_away(error)


def test_waiting_ends_when_what_is_asked_between_attempts_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(tenacity.nap.time, "sleep", waits.append)
    said: list[str] = []

    def between(message: str) -> None:
        said.append(message)
        if len(said) == 3:
            raise LookupError("fenced")

    def action() -> None:
        raise errors.NetworkError("refused")

    with pytest.raises(LookupError, match="fenced"):
        insist(action, "batch 7: ledger", between)
    assert (len(said), len(waits)) == (3, 2)
    assert "waits for ClickHouse: batch 7: ledger" in said[0]


def test_what_is_insisted_on_is_returned() -> None:
    assert insist(lambda: 7, "an answer") == 7


def test_lag_counts_offsets_beyond_the_frontier_and_a_partition_without_one_from_0() -> None:
    vitals = Vitals("logs", "logs", frontier={0: 10, 1: 7}, ends={0: 12, 1: 5, 2: 4}, kafka="waits for Kafka")
    assert vitals.lag == 2 + 0 + 4
    assert Vitals("logs", "logs", ends={0: 12}).lag == 0, "nothing is known of the frontier yet"
    assert vitals.says == "waits for Kafka"
