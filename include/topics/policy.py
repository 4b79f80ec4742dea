"""What the broker may remove from a topic besides whole expired segments."""

from __future__ import annotations

from confluent_kafka import KafkaException
from confluent_kafka.admin._config import ConfigResource

from include.settings import Settings
from include.topics.admin import REQUEST_SECONDS, connect_admin, results

CLEANUP = "cleanup.policy"


def is_compacted(settings: Settings, topic: str) -> bool:
    """Say whether the broker compacts the topic, so that records of any age can vanish from it.

    Raises:
        BrokerUnreachableError: no broker answers.
        KafkaException: the broker does not say.
    """
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    admin = connect_admin(settings)  # held until it has answered: a client that is dropped never does
    futures = admin.describe_configs([resource], request_timeout=REQUEST_SECONDS)
    answer = results({topic: futures[resource]})[topic]
    if isinstance(answer, KafkaException):
        raise answer
    return "compact" in str(answer[CLEANUP].value).split(",")
