"""The contenders: each reads the whole topic once, in bounded batches, and says what it then serves.

Same source, fetch settings, batch bound and trigger for all; what differs is the work between.
Owns: one timed run of each. Leaves to others: order, repetition and figures (throughput.py).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from clickhouse_driver import Client
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming import DataStreamWriter, StreamingQuery

from benchmarks.workload import SQL, FilledTopic, Totals
from include.streaming.commit import ledger_rows, write_batch
from include.streaming.control import ControlLog, claim
from include.streaming.fold import Fold
from include.streaming.ledger import batch_id, take_over
from include.streaming.partials import OUTPUT_DDL, collect
from include.streaming.source import batch_ends, source_options
from include.topics.offsets import Offsets
from include.warehouse.client import connect

SCHEMA = (
    "event_id STRING, timestamp TIMESTAMP, user_id STRING, campaign_id STRING, ad_format STRING, "
    "country STRING, device STRING, event_type STRING, revenue DOUBLE"
)
OBVIOUS_COLUMNS = (
    "window_start, event_type, country, ad_format, batch, event_count, total_revenue, avg_revenue"
)


class IncompleteRunError(RuntimeError):
    """A query ended without having read every record."""


class Contender:
    """One way to bring the topic into ClickHouse; `run` may be called again and again."""

    name: str
    tables: tuple[str, ...] = ()
    served_sql: str | None = None

    def __init__(self, spark: SparkSession, workload: FilledTopic, max_offsets: int) -> None:
        self.workload = workload
        self.client: Client = connect(workload.settings)
        self.offsets = Offsets(workload.settings, workload.topic)
        self.starts = self.offsets.starts()
        self.checkpoint = Path(workload.settings.scratch_dir) / self.name
        self._spark, self._max_offsets = spark, max_offsets

    def run(self) -> float:
        """Read the topic from its start to its end; return the seconds from the query's start to its end.

        Raises:
            IncompleteRunError: fewer or more records were read than sent.
        """
        for table in self.tables:
            self.client.execute(f"TRUNCATE TABLE {table}")
        shutil.rmtree(self.checkpoint, ignore_errors=True)
        self.prepare()
        writers = {
            name: writer.option("checkpointLocation", (self.checkpoint / name).as_uri()).trigger(
                availableNow=True
            )
            for name, writer in self.writers().items()
        }
        queries: dict[str, StreamingQuery] = {}
        clock = time.perf_counter()
        try:
            for name, writer in writers.items():
                queries[name] = writer.start()
            for query in queries.values():
                query.awaitTermination()
            seconds = time.perf_counter() - clock
        finally:
            for query in queries.values():
                query.stop()
        for name, query in queries.items():
            read = sum(progress["numInputRows"] for progress in query.recentProgress)
            if read != self.workload.events:
                who = f"{self.name} {name}".rstrip()
                raise IncompleteRunError(f"{who} read {read:,} records of {self.workload.events:,}")
        return seconds

    def records(self) -> DataFrame:
        """Return Spark's Kafka source over the whole topic."""
        options = source_options(
            self.workload.settings, self.workload.contract, self.starts, self._max_offsets
        )
        return self._spark.readStream.format("kafka").options(**options).load()

    def writers(self) -> dict[str, DataStreamWriter]:
        """Return the queries that run side by side, by name; one without a name keeps its checkpoint in `checkpoint`."""
        return {"": self.write(self.records())}

    def close(self) -> None:
        """End the connections."""
        self.client.disconnect()

    def prepare(self) -> None:
        """Do what a long-running job does once, before its query; not timed."""

    def write(self, records: DataFrame) -> DataStreamWriter:
        """Return the query over the Kafka source."""
        raise NotImplementedError

    def served(self) -> Totals | None:
        """Return the figures in ClickHouse, none if this contender writes none."""
        if self.served_sql is None:
            return None
        rows = self.client.execute((SQL / self.served_sql).read_text(encoding="utf-8"))
        return {
            (window, event_type, country, ad_format): (events, micros)
            for window, event_type, country, ad_format, events, micros in rows
        }


class FoldContender(Contender):
    """The product: fold, merge, fence check, deltas, dead letters, ledger, as include/streaming/driver.py does."""

    name = "fold"
    served_sql = "fold_served.sql"

    def __init__(self, spark: SparkSession, workload: FilledTopic, max_offsets: int) -> None:
        super().__init__(spark, workload, max_offsets)
        deltas = (cube.delta_table for cube in workload.contract.cubes)
        self.tables = (*deltas, "dead_letters", "ledger", "takeovers")
        self.control = ControlLog(workload.settings)

    def close(self) -> None:
        self.control.close()
        super().close()

    def prepare(self) -> None:
        stream = self.workload.contract.stream
        self.generation = claim(self.workload.settings, stream)
        take_over(self.client, stream, self.generation)
        self.frontier = dict(self.starts)

    def write(self, records: DataFrame) -> DataStreamWriter:
        cores = self._spark.sparkContext.defaultParallelism  # a task for each, as the streaming job has
        raw = records.select("value", "partition", "offset", "timestamp").coalesce(cores)
        return raw.mapInArrow(Fold(self.workload.contract), OUTPUT_DDL).writeStream.foreachBatch(self._commit)

    def _commit(self, folded: DataFrame, spark_batch: int) -> None:
        contract = self.workload.contract
        ends = batch_ends(self.checkpoint, spark_batch, contract.topic.name)
        ranges = {p: (self.frontier[p], end) for p, end in ends.items() if end > self.frontier[p]}
        results = collect(contract, ((row.kind, row.payload) for row in folded.collect()))
        batch = batch_id(self.generation, spark_batch)
        rows = ledger_rows(contract, batch, ranges, self.offsets.starts(), results)
        if self.control.newest_claim(contract.stream) != self.generation:
            raise IncompleteRunError(f"generation {self.generation} was fenced in its own control topic")
        write_batch(self.client, contract, batch, results, rows)
        self.frontier |= {p: end for p, (_, end) in ranges.items()}


class ObviousContender(Contender):
    """What the manuals show: from_json, watermark, window, update mode; no rule is enforced."""

    name = "obvious"
    tables = ("obvious",)
    served_sql = "obvious_served.sql"

    def write(self, records: DataFrame) -> DataStreamWriter:
        event = F.from_json(F.col("value").cast("string"), SCHEMA)
        totals = (
            records.select(event.alias("event"))
            .select("event.*")
            .withWatermark("timestamp", "1 minute")
            .groupBy(F.window("timestamp", "1 minute"), "event_type", "country", "ad_format")
            .agg(F.count("*").alias("events"), F.sum("revenue").alias("total"), F.avg("revenue").alias("avg"))
            .select(
                F.unix_timestamp("window.start"),
                "event_type",
                "country",
                "ad_format",
                "events",
                "total",
                "avg",
            )
        )
        return totals.writeStream.outputMode("update").foreachBatch(self._store)

    def _store(self, totals: DataFrame, batch: int) -> None:
        rows = [(*row[:4], batch, *row[4:]) for row in totals.collect()]
        self.client.execute(f"INSERT INTO obvious ({OBVIOUS_COLUMNS}) VALUES", rows)


class SourceContender(Contender):
    """Spark's Kafka source alone: the ceiling of every job that reads through it."""

    name = "source"

    def write(self, records: DataFrame) -> DataStreamWriter:
        return records.select("value").writeStream.format("noop")


CONTENDERS: dict[str, Callable[[SparkSession, FilledTopic, int], Contender]] = {
    kind.name: kind for kind in (FoldContender, ObviousContender, SourceContender)
}
