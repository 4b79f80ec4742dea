"""Several streams in one streaming job, on topics, a database and a control topic of their own, and their recount."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from clickhouse_driver import Client
from confluent_kafka.admin import AdminClient, NewTopic
from pyspark.sql import SparkSession

from include.contracts import Contract
from include.reconcile.judging import judge_run
from include.reconcile.plan import make_plans
from include.reconcile.recount import recount_run
from include.reconcile.report import HourLine
from include.reconcile.seal import seal_run
from include.settings import Settings
from include.streaming import job
from include.streaming.ledger import read_position
from include.traffic import generator_for
from include.traffic.plan import TrafficPlan
from include.traffic.run import chunks
from include.traffic.schedule import draw_schedule
from include.traffic.send import Sender
from include.warehouse.client import connect
from include.warehouse.migrate import prepare_warehouse
from tests.conftest import create_topic, platform_settings
from tests.helpers import eventually
from tests.leftovers import fresh_suffix
from tests.spark import recount_session

LIMIT_SECONDS = 150


@dataclass
class Together:
    """The streams, how many records were sent to each, and the one job that folds them all."""

    settings: Settings
    contracts: dict[str, Contract]
    spark: SparkSession
    client: Client
    sent: dict[str, int] = field(default_factory=dict)

    def load(self, stream: str) -> Contract:
        """Return a stream's contract, with the topic of this test."""
        return self.contracts[stream]

    def send(self, plan: TrafficPlan) -> Any:
        """Send a past stretch of one stream at once, with the Kafka timestamps of then; return its traffic."""
        assert plan.start is not None
        contract = self.load(plan.stream)
        schedule = draw_schedule(plan, round(plan.start.timestamp() * 1e6), contract.topic.partitions)
        traffic = generator_for(plan.stream).draw(schedule, secrets.randbits(32), plan.seed)
        sender = Sender(self.settings.kafka_bootstrap_servers, contract.topic.name)
        handed = sender.send(chunks(schedule, traffic, contract.topic.partitions))
        self.sent[plan.stream] = self.sent.get(plan.stream, 0) + len(handed)
        return traffic

    @contextmanager
    def streaming(self, max_offsets: int = 5_000) -> Iterator[None]:
        """Run the streaming job for all streams during the block, then stop it as stop_stream does."""
        chosen = job.parse_arguments(
            [
                *("--streams", ",".join(self.contracts), "--launch", "launch-1"),
                *("--trigger-seconds", "0.2", "--max-offsets", str(max_offsets)),
            ]
        )
        with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1, "job") as pool:
            patch.setattr(job, "load_contract", self.load)
            patch.setattr(job, "get_settings", lambda: self.settings)
            running = pool.submit(job.run, chosen, self.spark.newSession)
            try:
                yield
            finally:
                now = datetime.now(UTC)
                stops = [
                    (stream, read_position(self.client, stream).generation, now) for stream in self.contracts
                ]
                self.client.execute("INSERT INTO stop_requests VALUES", stops)
                assert running.result(LIMIT_SECONDS) == 0, "the job did not end well"

    def await_commits(self) -> None:
        """Wait until all that was sent is in the ledger of its stream."""

        def committed() -> dict[str, int]:
            return {s: sum(read_position(self.client, s).frontier.values()) for s in self.sent}

        eventually(lambda: committed() == self.sent, f"{self.sent} offsets are committed", LIMIT_SECONDS)

    def reconcile(self, first: datetime, last: datetime, repair: str = "auto") -> list[HourLine]:
        """Plan, recount in one Spark job, judge and seal what these hours of every stream need."""
        run, _ = make_plans(self.settings, list(self.contracts), first, last, repair, self.load, False)
        recount_run(recount_session(self.spark), self.settings, run, self.load)
        judge_run(self.settings, run, self.load)
        return seal_run(self.settings, run, self.load)


@contextmanager
def streams_together(spark: SparkSession, contracts: Sequence[Contract], scratch: Path) -> Iterator[Together]:
    """Make topics, tables and views for these contracts, and remove them at the end."""
    name = fresh_suffix()
    settings = platform_settings(
        clickhouse_database=f"test_{name}",
        control_topic=f"test-control-{name}",
        scratch_dir=scratch,
        artifacts_dir=scratch / "artifacts",
        allow_inject_drift=True,
        grace_seconds=0.0,
    )
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    renamed = {
        c.stream: c.model_copy(
            update={"topic": c.topic.model_copy(update={"name": f"test-{name}-{c.topic.name}"})}
        )
        for c in contracts
    }
    with ExitStack() as cleaning:
        create_topic(admin, NewTopic(settings.control_topic, 1, 1, config={"retention.ms": "-1"}))
        topics = [settings.control_topic]
        for contract in renamed.values():
            topic = contract.topic
            create_topic(admin, NewTopic(topic.name, topic.partitions, 1, config=topic.config))
            topics.append(topic.name)
        cleaning.callback(lambda: [done.result(30) for done in admin.delete_topics(topics).values()])
        prepare_warehouse(settings)
        client = connect(settings)
        cleaning.callback(client.disconnect)
        cleaning.callback(client.execute, f"DROP DATABASE {settings.clickhouse_database}")
        yield Together(settings, renamed, spark, client)
