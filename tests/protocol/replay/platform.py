"""The raw log of a world in a real topic, its tables in a real database, and what the served view holds.

Each record has a minute of its own in its hour, so that the view's counts by minute say how often
each record counts.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from clickhouse_driver import Client
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from include.contracts import Contract
from include.settings import Settings
from include.streaming.ledger import read_commit_state
from include.warehouse.client import connect
from include.warehouse.contract_versions import store_version
from tests.helpers import Record as KafkaRecord
from tests.helpers import ad_event, eventually
from tests.protocol.replay.versions import country, versions
from tests.protocol.state import Offset
from tests.protocol.world import World

STREAM = "ad_events"
HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=4)


@dataclass
class Platform:
    """Where a replay takes place. `generations` are the real numbers of the model's 1, 2, …

    `contracts` are the versions that drivers have; `contract`, which everybody else has, is the newest of them.
    """

    settings: Settings
    contract: Contract
    world: World
    contracts: dict[int, Contract] = field(init=False)
    generations: list[int] = field(default_factory=list)
    client: Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = connect(self.settings)
        self.contracts = versions(self.contract)
        self.contract = self.contracts[max(self.world.drivers)]
        for contract in self.contracts.values():
            store_version(self.client, contract)
        servers = {"bootstrap.servers": self.settings.kafka_bootstrap_servers}
        self._producer = Producer({**servers, "acks": "all", "linger.ms": 0})
        self._admin = AdminClient(servers)

    def connect(self) -> Client:
        """Return a client for one more thread."""
        return connect(self.settings)

    def moment(self, offset: Offset) -> datetime:
        """Return a record's event time."""
        minute = sorted(self.world.records).index(offset)
        return HOUR + timedelta(hours=self.world.records[offset].hour, minutes=minute, seconds=7)

    def kafka_ms(self, offset: Offset) -> int:
        """Return a record's Kafka timestamp, epoch milliseconds: after its event, in the hour that the model says."""
        record = self.world.records[offset]
        delay = timedelta(hours=record.arrival - record.hour, seconds=2)
        return int((self.moment(offset) + delay).timestamp() * 1000) + 120_000

    def value(self, offset: Offset) -> bytes:
        """Return a record's value."""
        identity = self.world.records[offset].identity or f"E{offset}"
        stamp = self.moment(offset).strftime("%Y-%m-%dT%H:%M:%S.%f")
        where = country(self.world.records[offset])
        return json.dumps(ad_event(event_id=identity, timestamp=stamp, country=where)).encode()

    def record(self, offset: Offset) -> KafkaRecord:
        """Return a record as the fold sees it."""
        return KafkaRecord(self.value(offset), *offset, self.kafka_ms(offset))

    def send(self, offset: Offset) -> None:
        """Append the record to its partition."""
        self._producer.produce(
            self.contract.topic.name,
            self.value(offset),
            partition=offset[0],
            timestamp=self.kafka_ms(offset),
        )
        assert self._producer.flush(30) == 0, f"{offset} was not delivered"

    def expire(self, partition: int, upto: int) -> None:
        """Remove what is below an offset, as retention does."""
        where = TopicPartition(self.contract.topic.name, partition, upto)
        for removed in self._admin.delete_records([where]).values():
            removed.result(30)

    def served(self) -> Counter[Offset]:
        """Return how often each record counts in the view, now."""
        rows = self.client.execute(
            "SELECT window_start, sum(event_count) FROM ad_events_aggregated GROUP BY window_start"
        )
        return self.by_record(rows)

    def by_record(self, rows: list[tuple[datetime, int]]) -> Counter[Offset]:
        """Return counts by minute as counts by record."""
        minutes = {self.moment(o).replace(second=0): o for o in self.world.records}
        return Counter({minutes[window.replace(tzinfo=UTC)]: int(events) for window, events in rows})

    def committed(self) -> Counter[Offset]:
        """Return each record that valid ledger rows accept, once: what the view must serve when nothing is in flight."""
        found: Counter[Offset] = Counter()
        for row in read_commit_state(self.client, STREAM).rows:
            version = next(v for v, own in self.contracts.items() if own.version == row.contract_version)
            read = ((row.partition, o) for o in range(max(row.start_offset, row.lost_to), row.end_offset))
            again = zip(row.replayed_partitions, row.replayed_offsets, strict=True)
            found |= Counter([*(o for o in read if self.world.accepts(version, o)), *again])
        return found

    def replayed(self) -> Counter[Offset]:
        """Return how often valid ledger rows list each dead letter as replayed."""
        rows = read_commit_state(self.client, STREAM).rows
        lists = (zip(row.replayed_partitions, row.replayed_offsets, strict=True) for row in rows)
        return Counter(offset for listed in lists for offset in listed)

    def verdicts(self) -> Counter[str]:
        """Return how many certificates there are of each verdict."""
        return Counter(
            dict(self.client.execute("SELECT verdict, count() FROM certificates GROUP BY verdict"))
        )

    def wait_for_mutations(self, table: str) -> None:
        """Wait until every deletion of a table is done."""

        def done() -> bool:
            waiting: list[tuple[int]] = self.client.execute(
                "SELECT count() FROM system.mutations "
                "WHERE database = currentDatabase() AND table = %(table)s AND NOT is_done",
                {"table": table},
            )
            return waiting == [(0,)]

        eventually(done, f"mutations of {table} are done", 30)

    def close(self) -> None:
        """End the connection."""
        self.client.disconnect()
