"""Where a topic begins and ends, per partition, as a reader of committed records sees it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from tenacity import retry, retry_if_exception, stop_after_delay, wait_fixed

from include.settings import Settings
from include.topics.admin import REQUEST_SECONDS, BrokerUnreachableError

EARLIEST = "earliest"

# Fetch settings of whatever reads topics at full speed: a third more records a second than the defaults.
FETCH_OPTIONS = {
    "kafka.max.partition.fetch.bytes": str(16 * 2**20),
    "kafka.fetch.max.bytes": str(64 * 2**20),
    "kafka.max.poll.records": "20000",
}


# A partition that is new or changes hands has no leader for a moment.
_LEADERLESS = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}


def _is_leaderless(error: BaseException) -> bool:
    return isinstance(error, KafkaException) and error.args[0].code() in _LEADERLESS


class TopicMissingError(LookupError):
    """A topic of a contract does not exist."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"topic {topic} does not exist: run prepare_platform first")


def beyond_end(folded: Mapping[int, int], ends: Mapping[int, int]) -> dict[int, tuple[int, int | None]]:
    """Return (folded, end) of the partitions of which more was folded than the log holds; end: None without a partition."""
    return {p: (at, ends.get(p)) for p, at in sorted(folded.items()) if at > ends.get(p, 0)}


class Offsets:
    """Asks the broker for offsets of one topic, by partition number.

    Every method raises BrokerUnreachableError when no broker answers, TopicMissingError when the
    topic does not exist, and KafkaException when the broker refuses.
    """

    def __init__(self, settings: Settings, topic: str) -> None:
        self._servers, self._topic = settings.kafka_bootstrap_servers, topic
        self._admin = AdminClient({"bootstrap.servers": self._servers, "log_level": 0})

    def partitions(self) -> list[int]:
        """Return the topic's partitions."""
        try:
            topics = self._admin.list_topics(timeout=REQUEST_SECONDS).topics
        except KafkaException as error:
            raise BrokerUnreachableError(self._servers, error.args[0].str()) from error
        if self._topic not in topics:
            raise TopicMissingError(self._topic)
        return sorted(topics[self._topic].partitions)

    def starts(self) -> dict[int, int]:
        """Return the log start offset of each partition: what is below has expired."""
        return self._ask(OffsetSpec.earliest())

    def ends(self) -> dict[int, int]:
        """Return the offset after the last committed record of each partition."""
        return self._ask(OffsetSpec.latest())

    def at_time(self, epoch_ms: int) -> dict[int, int | None]:
        """Return the first offset with a Kafka timestamp at or past this, None where there is none."""
        found = self._ask(OffsetSpec.for_timestamp(epoch_ms))
        return {partition: offset if offset >= 0 else None for partition, offset in found.items()}

    def begin_at(self, start: str) -> dict[int, int]:
        """Return where reading begins: `earliest`, or an ISO timestamp, and the end where nothing is that late.

        Raises:
            ValueError: start is neither `earliest` nor an ISO timestamp.
        """
        if start == EARLIEST:
            return self.starts()
        moment = datetime.fromisoformat(start)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        ends, found = self.ends(), self.at_time(int(moment.timestamp() * 1000))
        return {partition: ends[partition] if at is None else at for partition, at in found.items()}

    @retry(
        retry=retry_if_exception(_is_leaderless),
        stop=stop_after_delay(10),
        wait=wait_fixed(0.2),
        reraise=True,
    )
    def _ask(self, spec: OffsetSpec) -> dict[int, int]:
        answers = self._admin.list_offsets(
            {TopicPartition(self._topic, partition): spec for partition in self.partitions()},
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=REQUEST_SECONDS,
        )
        return {where.partition: answer.result().offset for where, answer in answers.items()}
