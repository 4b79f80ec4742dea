"""A consumer of committed records at places that its user assigns."""

from __future__ import annotations

from confluent_kafka import Consumer

from include.settings import Settings


def committed_consumer(settings: Settings, group: str, **options: str | int | bool) -> Consumer:
    """Return a consumer that tells where a partition ends; `group` is required by the client, and nothing is ever committed."""
    return Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "group.id": group,
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            **options,
        }
    )
