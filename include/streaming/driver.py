"""Runs the query of one stream: claim, take over, fold batches, commit them, end when fenced or asked to.

The ledger is the checkpoint: Spark's own is scratch, made anew for each query start.
"""

from __future__ import annotations

import logging
import shutil
import threading
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from include.contracts import Contract
from include.settings import Settings
from include.streaming.commit import insist, ledger_rows, write_batch
from include.streaming.control import ControlLog, claim
from include.streaming.fold import Fold
from include.streaming.heartbeat import Vitals
from include.streaming.ledger import Position, batch_id, take_over
from include.streaming.partials import OUTPUT_DDL, collect
from include.streaming.source import batch_ends, source_options
from include.topics.offsets import Offsets
from include.warehouse.client import connect

log = logging.getLogger(__name__)

RESTART_SECONDS = 5.0
ATTEMPTS_WITHOUT_A_COMMIT = 5


class FencedError(RuntimeError):
    """A later generation has been claimed: this driver must not write any more."""


class StoppedError(RuntimeError):
    """A stop was asked for before this batch was begun: the next driver folds it."""


class StreamDriver(threading.Thread):
    """The life of one stream inside the job; `vitals.state` ends as stopped, fenced or failed."""

    def __init__(
        self,
        spark: SparkSession,
        settings: Settings,
        contract: Contract,
        vitals: Vitals,
        *,
        start: str,
        trigger_seconds: float,
        max_offsets: int,
    ) -> None:
        super().__init__(name=f"stream-{contract.stream}", daemon=True)
        self._spark, self._settings, self._contract, self.vitals = spark, settings, contract, vitals
        self._start, self._trigger_seconds, self._max_offsets = start, trigger_seconds, max_offsets
        self._offsets = Offsets(settings, contract.topic.name)
        self._commits = 0

    def run(self) -> None:
        failures = 0
        while True:
            before = self._commits
            query = None
            try:
                query = _Query(self)
                query.run()
                self.vitals.state = "stopped"
                return
            except Exception as error:
                if query is not None and query.stopped:
                    self.vitals.state = "stopped"
                    return
                if query is not None and query.fenced:
                    self.vitals.state, self.vitals.detail = "fenced", query.fenced
                    log.warning("%s: %s", self._contract.stream, query.fenced)
                    return
                failures = 1 if self._commits > before else failures + 1
                self.vitals.detail = f"{type(error).__name__}: {error}"
                log.exception(
                    "%s: the query ended (failure %d without a commit)", self._contract.stream, failures
                )
                if failures >= ATTEMPTS_WITHOUT_A_COMMIT:
                    self.vitals.state = "failed"
                    return
                self.vitals.state = "starting"
            if self.vitals.stop.wait(RESTART_SECONDS):
                self.vitals.state = "stopped"
                return


class _Query:
    """One query start under a generation of its own."""

    def __init__(self, driver: StreamDriver) -> None:
        self.driver, self.fenced, self.stopped = driver, "", False
        self._settings, self._contract, self._vitals = driver._settings, driver._contract, driver.vitals
        self._offsets = driver._offsets
        self._client = connect(self._settings)
        self._control = ControlLog(self._settings)
        stream = self._contract.stream
        self.generation = claim(self._settings, stream)
        state: list[Position] = []
        insist(lambda: state.append(take_over(self._client, stream, self.generation)), f"{stream}: takeover")
        known = state[-1].frontier
        self._frontier = self._offsets.begin_at("earliest" if known else driver._start) | known
        # The first commit records where these begin, even where it read nothing of them.
        self._unrecorded = self._frontier.keys() - known.keys()
        self._vitals.generation, self._vitals.frontier = self.generation, dict(self._frontier)
        self._checkpoint = Path(self._settings.scratch_dir) / stream / str(self.generation)
        log.info("%s: generation %d starts at %s", stream, self.generation, self._frontier)

    def run(self) -> None:
        """Run until the query ends; returns when it was asked to stop, raises otherwise."""
        shutil.rmtree(self._checkpoint, ignore_errors=True)
        starts = self._offsets.starts()
        begin = {p: max(offset, starts.get(p, 0)) for p, offset in self._frontier.items()}
        options = source_options(self._settings, self._contract, begin, self.driver._max_offsets)
        folded = (
            self.driver._spark.readStream.format("kafka")
            .options(**options)
            .load()
            .select("value", "partition", "offset", "timestamp")
            .mapInArrow(Fold(self._contract), OUTPUT_DDL)
        )
        query = (
            folded.writeStream.queryName(self._contract.stream)
            .foreachBatch(self._commit)
            .option("checkpointLocation", self._checkpoint.absolute().as_uri())
            .trigger(processingTime=f"{int(self.driver._trigger_seconds * 1000)} milliseconds")
            .start()
        )
        self._vitals.state, self._vitals.detail = "running", ""
        try:
            while not query.awaitTermination(0.5):
                if self._vitals.stop.is_set():
                    self._vitals.state = "stopping"
                    if not query.status["isTriggerActive"]:
                        query.stop()
                        return
        finally:
            self._control.close()
            self._client.disconnect()
            shutil.rmtree(self._checkpoint, ignore_errors=True)

    def _commit(self, folded: DataFrame, spark_batch: int) -> None:
        """Fold and commit one batch: take the ranges, fold, ask for the log start, check the fence, write."""
        if self._vitals.stop.is_set():  # a backlog leaves no pause between two triggers to stop in
            self.stopped = True
            raise StoppedError("a stop was asked for")
        ends = batch_ends(self._checkpoint, spark_batch, self._contract.topic.name)
        spans = {p: (self._frontier.get(p, 0), end) for p, end in ends.items()}
        ranges = {
            p: (start, end) for p, (start, end) in spans.items() if end > start or p in self._unrecorded
        }
        results = collect(self._contract, ((row.kind, row.payload) for row in folded.collect()))
        if all(start == end for start, end in ranges.values()):
            return
        batch = batch_id(self.generation, spark_batch)
        rows = ledger_rows(self._contract, batch, ranges, self._offsets.starts(), results)
        newest = self._control.newest_claim(self._contract.stream)
        if newest != self.generation:
            self.fenced = f"generation {self.generation} is fenced by generation {newest}"
            raise FencedError(self.fenced)
        write_batch(self._client, self._contract, batch, results, rows)
        self._frontier |= {p: end for p, (_, end) in ranges.items()}
        self._unrecorded = set()
        self._vitals.frontier, self._vitals.batch = dict(self._frontier), batch
        self.driver._commits += 1
