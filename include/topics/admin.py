"""The connection to Kafka's admin interface, and its failures in one line.

Leaves what a topic should be to include/topics/ensure.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import TypeVar

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from include.settings import Settings

REQUEST_SECONDS = 15.0
T = TypeVar("T")


class BrokerUnreachableError(ConnectionError):
    """No broker answered within the limit."""

    def __init__(self, servers: str, reason: str) -> None:
        super().__init__(
            f"no Kafka broker answered at {servers} ({reason}): start Kafka, "
            "or correct PLATFORM_KAFKA_BOOTSTRAP_SERVERS"
        )


def connect_admin(settings: Settings) -> AdminClient:
    """Return an admin client whose brokers have answered.

    Raises:
        BrokerUnreachableError: none answered within REQUEST_SECONDS.
    """
    servers = settings.kafka_bootstrap_servers
    # librdkafka's own connection warnings would drown the one line that the error below says.
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    try:
        admin.list_topics(timeout=REQUEST_SECONDS)
    except KafkaException as error:
        raise BrokerUnreachableError(servers, error.args[0].str()) from error
    return admin


def results(futures: Mapping[str, Future[T]]) -> dict[str, T | KafkaException]:
    """Wait for each future of an admin call; a failure of one topic is returned, not raised."""
    answers: dict[str, T | KafkaException] = {}
    for name, future in futures.items():
        try:
            answers[name] = future.result(timeout=REQUEST_SECONDS)
        except KafkaException as error:
            answers[name] = error
    return answers
