"""Where a topic begins and ends, per partition, as a reader of committed records sees it."""

from __future__ import annotations

from datetime import datetime

from confluent_kafka import Consumer, TopicPartition

from include.settings import Settings
from include.topics.admin import REQUEST_SECONDS, connect_admin

EARLIEST = "earliest"


class TopicMissingError(LookupError):
    """A topic of a contract does not exist."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"topic {topic} does not exist: run prepare_platform first")


def watermarks(settings: Settings, topic: str, start: str = EARLIEST) -> dict[int, tuple[int, int]]:
    """Return (start offset, end offset) per partition.

    start is `earliest`, or an ISO timestamp: then the first offset whose Kafka timestamp is at or
    after it, and the end offset where there is none.

    Raises:
        BrokerUnreachableError: no broker answers.
        TopicMissingError: the topic does not exist.
        ValueError: start is neither `earliest` nor an ISO timestamp.
    """
    metadata = connect_admin(settings).list_topics(timeout=REQUEST_SECONDS).topics
    if topic not in metadata:
        raise TopicMissingError(topic)
    partitions = sorted(metadata[topic].partitions)
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "group.id": "platform-offsets",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    try:
        bounds = {
            number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=REQUEST_SECONDS)
            for number in partitions
        }
        if start == EARLIEST:
            return bounds
        at_ms = int(datetime.fromisoformat(start).timestamp() * 1000)
        asked = [TopicPartition(topic, number, at_ms) for number in partitions]
        found = consumer.offsets_for_times(asked, timeout=REQUEST_SECONDS)
    finally:
        consumer.close()
    return {
        item.partition: (
            item.offset if item.offset >= 0 else bounds[item.partition][1],
            bounds[item.partition][1],
        )
        for item in found
    }
