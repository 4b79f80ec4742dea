"""The contenders of the recount: each brings the exact figures of one hour from Kafka into ClickHouse, as a batch.

Owns: one timed run of each. Leaves to others: the topic and its ledger, order, repetition and figures (recount.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from clickhouse_driver import Client
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.contenders import OBVIOUS_COLUMNS, SCHEMA, IncompleteRunError
from benchmarks.workload import SQL, STREAM, Totals, Workload
from include.contracts import Contract
from include.reconcile.judging import judge_run
from include.reconcile.plan import make_plans
from include.reconcile.ranges import join
from include.reconcile.recount import recount_run
from include.reconcile.types import PROVED, HourPlan
from include.topics.offsets import FETCH_OPTIONS
from include.warehouse.client import connect

HOUR = timedelta(hours=1)


class HourContender:
    """One way to bring an hour into ClickHouse; `run` may be called again and again."""

    name: str

    def __init__(self, spark: SparkSession, workload: Workload, hour: datetime) -> None:
        self.workload, self.hour = workload, hour
        self.client: Client = connect(workload.settings)
        self._spark = spark

    def run(self) -> float:
        """Return the seconds from the first question to the last inserted row."""
        self.client.execute("TRUNCATE TABLE obvious")
        clock = time.perf_counter()
        self.work()
        return time.perf_counter() - clock

    def work(self) -> None:
        """Read, aggregate and insert."""
        raise NotImplementedError

    def served(self) -> Totals:
        """Return the figures in ClickHouse."""
        raise NotImplementedError

    def close(self) -> None:
        """End the connection."""
        self.client.disconnect()


class Recount(HourContender):
    """The product: plan, recount, rows written and read back, as reconcile_hour does it."""

    name = "recount"
    run_id: str
    plan: HourPlan

    def work(self) -> None:
        settings = self.workload.settings
        self.run_id, (self.plan,) = make_plans(settings, [STREAM], self.hour, self.hour, "auto", self._load)
        if self.plan.verdict is not None:
            raise IncompleteRunError(f"the hour was not recounted: {self.plan.verdict}, {self.plan.reason}")
        recount_run(self._spark, settings, self.run_id, self._load)

    def served(self) -> Totals:
        return _totals(
            self.client.execute(
                (SQL / "recounted.sql").read_text(encoding="utf-8"),
                {
                    "begin": self.hour,
                    "end": self.hour + HOUR,
                    "frontier": self.plan.frontier,
                    "seal": self.plan.seal,
                },
            )
        )

    def offsets_read(self) -> int:
        """Return how many offsets the last run read."""
        return sum(item.offsets for item in join(segment.range for segment in self.plan.segments))

    def require_proved(self) -> None:
        """Judge the last run.

        Raises:
            IncompleteRunError: the hour is not PROVED at once.
        """
        verdicts = judge_run(self.workload.settings, self.run_id, self._load)
        if verdicts != {PROVED: 1}:
            raise IncompleteRunError(f"the recounted hour is {verdicts} and not PROVED")

    def _load(self, _: str) -> Contract:
        return self.workload.contract


class ObviousBatch(HourContender):
    """What the manuals show: the whole topic, from_json, the hour by a filter, windows, one insert; no rule enforced."""

    name = "obvious"

    def work(self) -> None:
        window, dimensions = F.window("timestamp", "1 minute"), ("event_type", "country", "ad_format")
        totals = (
            self.events()
            .groupBy(window, *dimensions)
            .agg(F.count("*").alias("events"), F.sum("revenue").alias("total"), F.avg("revenue").alias("avg"))
            .select(F.unix_timestamp("window.start"), *dimensions, "events", "total", "avg")
        )
        rows = [(*row[:4], 0, *row[4:]) for row in totals.collect()]
        self.client.execute(f"INSERT INTO obvious ({OBVIOUS_COLUMNS}) VALUES", rows)

    def events(self) -> DataFrame:
        """Return the events of the hour."""
        event = F.from_json(F.col("value").cast("string"), SCHEMA)
        moment = F.col("timestamp")
        inside = (moment >= F.lit(self.hour)) & (moment < F.lit(self.hour + HOUR))
        return self.read().select(event.alias("event")).select("event.*").where(inside)

    def read(self, **bounds: str) -> DataFrame:
        """Return the records of the topic, of all of it without bounds."""
        settings = self.workload.settings
        return (
            self._spark.read.format("kafka")
            .options(
                **{
                    "kafka.bootstrap.servers": settings.kafka_bootstrap_servers,
                    "kafka.isolation.level": "read_committed",
                    "subscribe": self.workload.topic,
                    **FETCH_OPTIONS,
                    **bounds,
                }
            )
            .load()
        )

    def served(self) -> Totals:
        return _totals(self.client.execute((SQL / "obvious_served.sql").read_text(encoding="utf-8")))


class BoundedBatch(ObviousBatch):
    """The obvious job told by somebody that every record of the hour arrived in it or in the minute after it."""

    name = "bounded"

    def read(self, **bounds: str) -> DataFrame:
        late = timedelta(seconds=self.workload.contract.lateness_seconds)
        times = {
            "startingTimestamp": str(int(self.hour.timestamp() * 1000)),
            "endingTimestamp": str(int((self.hour + HOUR + late).timestamp() * 1000)),
        }
        return super().read(**times, **bounds)


class DeduplicatedBatch(ObviousBatch):
    """The obvious job told to count each identity once, as the recount does."""

    name = "deduplicated"

    def events(self) -> DataFrame:
        return super().events().dropDuplicates(["event_id"])


HOUR_CONTENDERS: dict[str, Callable[[SparkSession, Workload, datetime], HourContender]] = {
    kind.name: kind for kind in (Recount, ObviousBatch, BoundedBatch, DeduplicatedBatch)
}


def _totals(rows: list[tuple[int, str, str, str, int, int]]) -> Totals:
    return {(*key,): (events, micros) for *key, events, micros in rows}  # type: ignore[misc]
