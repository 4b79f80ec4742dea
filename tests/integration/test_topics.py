"""Topics on the real broker: created, verified, and drift named."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from include.contracts import Contract, load_contract
from include.settings import Settings
from include.topics import TopicDrift, TopicDriftError, ensure_topics
from include.topics.admin import BrokerUnreachableError
from include.topics.offsets import Offsets, TopicMissingError
from tests.helpers import eventually


@dataclass(frozen=True)
class Place:
    """Settings and a contract whose topics nobody else has."""

    settings: Settings
    contract: Contract
    admin: AdminClient

    def changed(self, **config: str) -> Contract:
        """The contract with other topic settings."""
        topic = self.contract.topic
        return self.contract.model_copy(
            update={"topic": topic.model_copy(update={"config": {**topic.config, **config}})}
        )


@pytest.fixture
def place(settings: Settings) -> Iterator[Place]:
    suffix = uuid.uuid4().hex[:10]
    contract = load_contract("ad_events")
    topic = contract.topic.model_copy(update={"name": f"test-topics-{suffix}"})
    own = settings.model_copy(
        update={
            "control_topic": f"test-topics-control-{suffix}",
            "files_topic": f"test-topics-files-{suffix}",
        }
    )
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    yield Place(own, contract.model_copy(update={"topic": topic}), admin)
    names = [name for name in admin.list_topics(timeout=10).topics if name.endswith(suffix)]
    for future in admin.delete_topics(names).values() if names else ():
        future.result(30)


def test_a_first_run_creates_and_a_second_changes_nothing(place: Place) -> None:
    names = (place.contract.topic.name, place.settings.control_topic, place.settings.files_topic)
    first = ensure_topics(place.settings, [place.contract])
    second = ensure_topics(place.settings, [place.contract])
    assert (first.created, first.unchanged) == (names, ())
    assert (second.created, second.unchanged) == ((), names)


def test_created_topics_have_the_contract_s_partitions_and_leaders(place: Place) -> None:
    ensure_topics(place.settings, [place.contract])
    topics = place.admin.list_topics(timeout=10).topics
    found = topics[place.contract.topic.name].partitions
    assert len(found) == place.contract.topic.partitions
    assert all(partition.leader >= 0 for partition in found.values())
    assert len(topics[place.settings.control_topic].partitions) == 1


def test_another_configuration_is_reported_by_name_and_not_altered(place: Place) -> None:
    ensure_topics(place.settings, [place.contract])
    wanted = place.changed(**{"retention.ms": "691200000", "max.message.bytes": "2000000"})
    expected = {
        TopicDrift(place.contract.topic.name, "retention.ms", "691200000", "604800000"),
        TopicDrift(place.contract.topic.name, "max.message.bytes", "2000000", "1048588"),
    }
    for _ in range(2):
        with pytest.raises(TopicDriftError) as caught:
            ensure_topics(place.settings, [wanted])
        assert set(caught.value.report.drift) == expected
        assert caught.value.report.unchanged == (
            place.settings.control_topic,
            place.settings.files_topic,
        )
    assert "retention.ms is 604800000, expected 691200000" in str(caught.value)


def test_another_number_of_partitions_is_drift(place: Place) -> None:
    ensure_topics(place.settings, [place.contract])
    name = place.contract.topic.name
    place.admin.create_partitions([NewPartitions(name, 6)])[name].result(30)
    eventually(lambda: len(Offsets(place.settings, name).partitions()) == 6, "the broker knows of them", 30)
    with pytest.raises(TopicDriftError, match="partitions is 6, expected 4"):
        ensure_topics(place.settings, [place.contract])


def test_missing_topics_are_created_although_another_drifted(place: Place) -> None:
    ensure_topics(place.settings, [place.contract])
    late = place.settings.model_copy(update={"control_topic": f"late-{place.settings.control_topic}"})
    with pytest.raises(TopicDriftError) as caught:
        ensure_topics(late, [place.changed(**{"retention.ms": "691200000"})])
    assert caught.value.report.created == (late.control_topic,)


def test_a_broker_that_is_down_is_one_line_that_says_what_to_do(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.topics.admin.REQUEST_SECONDS", 1.0)
    nowhere = settings.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"})
    with pytest.raises(BrokerUnreachableError, match=r"no Kafka broker answered at 127\.0\.0\.1:1") as caught:
        ensure_topics(nowhere, [load_contract("ad_events")])
    assert "\n" not in str(caught.value)


def test_offsets_of_a_new_topic_are_zero_and_of_none_an_error(place: Place) -> None:
    with pytest.raises(TopicMissingError, match="run prepare_platform first"):
        Offsets(place.settings, place.contract.topic.name).ends()
    ensure_topics(place.settings, [place.contract])
    empty = dict.fromkeys(range(place.contract.topic.partitions), 0)
    offsets = Offsets(place.settings, place.contract.topic.name)
    assert offsets.starts() == offsets.ends() == empty
    assert offsets.begin_at("earliest") == offsets.begin_at("2026-01-01T00:00:00Z") == empty
