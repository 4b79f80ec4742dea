"""Creates the topics of the contracts, the control topic and that of files, and verifies those that exist.

Never alters a topic: what differs is reported by name, and a person decides.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._topic import TopicDescription
from confluent_kafka.cimpl import NewTopic
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from include.contracts import Contract
from include.settings import Settings
from include.topics.admin import REQUEST_SECONDS, connect_admin, results

LEADER_SECONDS = 30.0
# Generations and seal numbers are offsets of this topic, and files are published once: no record may ever expire.
CONTROL_CONFIG = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TopicSpec:
    """A topic as it should be; config holds only the keys that are asked for."""

    name: str
    partitions: int
    config: Mapping[str, str]


@dataclass(frozen=True)
class TopicDrift:
    """One property of an existing topic that is not as the contract says."""

    topic: str
    key: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.key} is {self.found}, expected {self.expected}"


@dataclass(frozen=True)
class TopicReport:
    """Topics by what was done to them; drift is empty unless it is carried by a TopicDriftError."""

    created: tuple[str, ...]
    unchanged: tuple[str, ...]
    drift: tuple[TopicDrift, ...]


class TopicDriftError(RuntimeError):
    """Existing topics differ from their contracts; `report` lists every difference."""

    def __init__(self, report: TopicReport) -> None:
        lines = "; ".join(str(drift) for drift in report.drift)
        super().__init__(
            f"{len(report.drift)} topic setting(s) drifted: {lines}. "
            "Alter the topic with kafka-configs or kafka-topics, or correct the contract"
        )
        self.report = report


def ensure_topics(settings: Settings, contracts: Sequence[Contract]) -> TopicReport:
    """Create what is missing, verify what exists; a second run changes nothing.

    Raises:
        BrokerUnreachableError: no broker answers.
        TopicDriftError: an existing topic differs; missing topics have been created all the same.
        KafkaException: the broker refuses a topic.
    """
    specs = {spec.name: spec for spec in _specs(settings, contracts)}
    admin = connect_admin(settings)
    existing = _describe(admin, list(specs))
    missing = [spec for name, spec in specs.items() if name not in existing]
    _create(admin, missing, settings.kafka_replication_factor)
    _await_leaders(admin, [spec.name for spec in missing])
    drift = _find_drift(admin, [specs[name] for name in existing], existing)
    drifted = {found.topic for found in drift}
    report = TopicReport(
        created=tuple(spec.name for spec in missing),
        unchanged=tuple(name for name in existing if name not in drifted),
        drift=tuple(drift),
    )
    if drift:
        raise TopicDriftError(report)
    return report


def compare(spec: TopicSpec, partitions: int, config: Mapping[str, str | None]) -> list[TopicDrift]:
    """Return each property of a topic that differs from its spec; keys that the spec omits are free."""
    found = {"partitions": str(partitions), **{key: str(config.get(key)) for key in spec.config}}
    expected = {"partitions": str(spec.partitions), **{key: str(spec.config[key]) for key in spec.config}}
    return [
        TopicDrift(spec.name, key, expected[key], found[key])
        for key in expected
        if found[key] != expected[key]
    ]


def _specs(settings: Settings, contracts: Sequence[Contract]) -> list[TopicSpec]:
    topics = [contract.topic for contract in contracts]
    specs = [TopicSpec(topic.name, topic.partitions, dict(topic.config)) for topic in topics]
    return [
        *specs,
        *(TopicSpec(name, 1, CONTROL_CONFIG) for name in (settings.control_topic, settings.files_topic)),
    ]


def _describe(admin: AdminClient, names: list[str]) -> dict[str, TopicDescription]:
    """Return the descriptions of the topics that exist."""
    found: dict[str, TopicDescription] = {}
    futures = admin.describe_topics(TopicCollection(names), request_timeout=REQUEST_SECONDS)
    for name, answer in results(futures).items():
        if not isinstance(answer, KafkaException):
            found[name] = answer
        elif answer.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise answer
    return found


def _create(admin: AdminClient, specs: list[TopicSpec], replication: int) -> None:
    if not specs:
        return
    topics = [NewTopic(spec.name, spec.partitions, replication, config=dict(spec.config)) for spec in specs]
    for answer in results(admin.create_topics(topics, request_timeout=REQUEST_SECONDS)).values():
        if isinstance(answer, KafkaException):
            raise answer


def _await_leaders(admin: AdminClient, names: list[str]) -> None:
    """Wait until every partition of the topics has a leader, LEADER_SECONDS at most."""
    if not names:
        return

    def leaderless() -> list[str]:
        found = _describe(admin, names)
        return [
            name
            for name in names
            if name not in found or any(p.leader is None or p.leader.id < 0 for p in found[name].partitions)
        ]

    def give_up(_: object) -> list[str]:
        raise TimeoutError(
            f"partitions of {', '.join(leaderless())} had no leader after {LEADER_SECONDS:.0f} s"
        )

    Retrying(
        retry=retry_if_result(bool),
        wait=wait_fixed(0.2),
        stop=stop_after_delay(LEADER_SECONDS),
        retry_error_callback=give_up,
    )(leaderless)


def _find_drift(
    admin: AdminClient, specs: list[TopicSpec], existing: Mapping[str, TopicDescription]
) -> list[TopicDrift]:
    if not specs:
        return []
    resources = [ConfigResource(ConfigResource.Type.TOPIC, spec.name) for spec in specs]
    futures = admin.describe_configs(resources, request_timeout=REQUEST_SECONDS)
    answers = results({resource.name: future for resource, future in futures.items()})
    drift: list[TopicDrift] = []
    for spec in specs:
        answer = answers[spec.name]
        if isinstance(answer, KafkaException):
            raise answer
        config = {key: entry.value for key, entry in answer.items()}
        drift += compare(spec, len(existing[spec.name].partitions), config)
    return drift
