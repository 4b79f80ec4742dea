"""One query start of a stream: claim, take over, fold batches, commit them, end when fenced or asked to.

The ledger is the checkpoint: Spark's own is scratch, made anew for each query start. Whether to start
another query after a failure is decided in driver.py.

Batches are numbered as they are committed, one at a time: Spark's, and between them those of
replayed dead letters, which an idle stream commits too. After a batch that failed, this query commits
none: a later one would make what the failed one wrote valid.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from include.contracts import Contract
from include.settings import Settings
from include.streaming.begin import Skip, refuse_cut_log, unread
from include.streaming.commit import ledger_rows, write_batch
from include.streaming.control import Claim, ControlLog, claim
from include.streaming.crash import crash_point
from include.streaming.fold import Fold
from include.streaming.ledger import batch_id, plan_takeover, record_takeover, refuse_recreated
from include.streaming.partials import OUTPUT_DDL, collect
from include.streaming.replays import Replays
from include.streaming.source import QUERY_CONF, batch_ends, source_options
from include.streaming.vitals import Vitals
from include.streaming.waiting import insist
from include.streaming.wanted import is_stopped, refuse_lost
from include.topics.offsets import EARLIEST, Offsets
from include.warehouse.client import connect

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
IDLE_TRIGGER_SECONDS = 5.0


class FencedError(RuntimeError):
    """A later generation has been claimed: this driver must not write any more."""


class StoppedError(RuntimeError):
    """A stop was asked for before this batch was begun: the next driver folds it."""


class LogWentBackError(RuntimeError):
    """Spark planned a batch that ends before what is folded already: its records would be dropped unseen."""


class LostClaimError(RuntimeError):
    """A claim of this very driver, whose acknowledgement it never saw, came after the one that it uses."""


@dataclass(frozen=True)
class StreamOptions:
    """How a stream is to run; start is for a stream without a ledger."""

    trigger_seconds: float
    max_offsets: int
    start: str = EARLIEST


class Query:
    """One query start under a generation of its own; `close` it, whatever came of it."""

    def __init__(
        self,
        settings: Settings,
        contract: Contract,
        offsets: Offsets,
        options: StreamOptions,
        skip: Skip,
        vitals: Vitals,
        owner: str,
    ) -> None:
        self._settings, self._contract, self._offsets, self._options = settings, contract, offsets, options
        self._skip, self._vitals, self._owner = skip, vitals, owner
        self.generation = self.commits = 0
        self._frontier: dict[int, int] = {}
        self._unrecorded: set[int] = set()
        self._checkpoint = Path()
        self._committing = False
        self._turn = threading.Lock()  # of whoever writes a batch: Spark's callback or this thread
        self._cause: Exception | None = None
        self._client = connect(settings)
        self._control = ControlLog(settings)
        self._replays = Replays(settings, contract)

    def close(self) -> None:
        """End the connections and remove the scratch checkpoint."""
        self._control.close()
        self._replays.close()
        self._client.disconnect()
        if self.generation:
            shutil.rmtree(self._checkpoint, ignore_errors=True)

    def begin(self, last_generation: int) -> None:
        """Claim a generation, take the stream over, and commit what will never be read.

        Raises:
            StoppedError: a person has ordered a stop since the launch.
            FencedError: another driver has claimed the stream since this one held `last_generation` (0: never).
            GenerationError: the control topic was recreated, the ledger was lost, or the topic ends before it.
        """
        stream = self._contract.stream
        if insist(partial(is_stopped, self._client, stream), f"{stream}: last order", self._between):
            raise StoppedError("a stop was ordered")
        newest = self._control.newest(stream)
        if newest.owner != self._owner:
            traces = partial(refuse_lost, self._client, stream, newest.generation)
            insist(traces, f"{stream}: traces of the stream", self._between)
        known_to = partial(refuse_recreated, self._client, stream, newest.generation)
        insist(known_to, f"{stream}: known generations", self._between)
        if 0 < last_generation < newest.generation and newest.owner != self._owner:
            raise FencedError(f"generation {last_generation} is fenced by generation {newest.generation}")
        self.generation = self._vitals.generation = claim(self._settings, stream, self._owner)
        self._checkpoint = Path(self._settings.scratch_dir) / stream / str(self.generation)
        takeover = f"{stream}: takeover"
        position = insist(
            partial(plan_takeover, self._client, stream, self.generation), takeover, self._between
        )
        insist(partial(record_takeover, self._client, position), takeover, self._between)
        known = position.frontier
        refuse_cut_log(self._contract.topic.name, known, self._offsets)
        self._frontier = self._offsets.begin_at(EARLIEST if known else self._options.start) | known
        # The first commit records where these begin, even where it read nothing of them.
        self._unrecorded = self._frontier.keys() - known.keys()
        self._vitals.frontier = dict(self._frontier)
        log.info("%s: generation %d starts at %s", stream, self.generation, self._frontier)
        skip_to = self._skip.offsets(self._client, self._offsets, self._between)
        gaps = unread(self._frontier, self._offsets.starts(), skip_to)
        if gaps:
            self._commit_gaps(gaps)

    def _commit_gaps(self, gaps: dict[int, tuple[int, int]]) -> None:
        """Commit a batch of their own for offsets that are never read: the record must not wait for traffic."""
        log.warning("%s: these offsets expired or are skipped, unread: %s", self._contract.stream, gaps)
        ranges = {p: (self._frontier[p], self._frontier[p]) for p in self._unrecorded} | gaps
        batch = batch_id(self.generation, self.commits)
        lost = {p: end for p, (_, end) in ranges.items()}
        rows = ledger_rows(self._contract, batch, ranges, lost, {})
        self._check(self._control.newest(self._contract.stream))
        write_batch(self._client, self._contract, batch, {}, rows, between=self._between)
        self._committed(batch, ranges)

    def run(self, spark: SparkSession) -> None:
        """Run until the query ends; returns when it was asked to stop, raises otherwise."""
        for name, value in QUERY_CONF.items():
            spark.conf.set(name, value)
        shutil.rmtree(self._checkpoint, ignore_errors=True)
        options = source_options(self._settings, self._contract, self._frontier, self._options.max_offsets)
        folded = (
            spark.readStream.format("kafka")
            .options(**options)
            .load()
            .select("value", "partition", "offset", "timestamp")
            # A task costs more than folding what a partition holds of a quiet second.
            .coalesce(self._settings.stream_cores)
            .mapInArrow(Fold(self._contract), OUTPUT_DDL)
        )
        query = (
            folded.writeStream.queryName(self._contract.stream)
            .foreachBatch(self._batch)
            .option("checkpointLocation", self._checkpoint.absolute().as_uri())
            .trigger(processingTime=f"{int(self._options.trigger_seconds * 1000)} milliseconds")
            .start()
        )
        self._vitals.state, self._vitals.detail = "running", ""
        try:
            self._follow(query)
        except Exception as error:
            if self._cause is None or self._cause is error:
                raise
            raise self._cause from error
        finally:
            _end(query)

    def _follow(self, query: StreamingQuery) -> None:
        asked = 0.0
        while not query.awaitTermination(POLL_SECONDS):
            self._check(self._vitals.claim)
            if self._vitals.stop.is_set():
                asked = asked or time.monotonic()
                self._vitals.state = "stopping"
                # A trigger that only plans, as one does that waits for Kafka, has nothing to finish.
                waited = time.monotonic() - asked > IDLE_TRIGGER_SECONDS
                if not query.status["isTriggerActive"] or (waited and not self._committing):
                    return
            else:
                self._replay()

    def _batch(self, folded: DataFrame, spark_batch: int) -> None:
        with self._turn:
            if self._cause is not None:
                raise RuntimeError("a batch of this query failed") from self._cause
            self._committing = True
            try:
                self._commit(folded, spark_batch)
            except Exception as error:
                self._cause = error
                raise
            finally:
                self._committing = False

    def _replay(self) -> None:
        """Commit dead letters that were approved, as a batch of their own between two of Spark's."""
        replay = self._replays.next()
        recorded = self._frontier.keys() - self._unrecorded
        if replay is None or not recorded or not self._turn.acquire(timeout=POLL_SECONDS):
            return
        try:
            if self._cause is not None:
                return
            batch, lowest = batch_id(self.generation, self.commits), min(recorded)
            row = replay.ledger_row(self._contract, batch, lowest, self._frontier[lowest])
            self._check(self._control.newest(self._contract.stream))
            write_batch(
                self._client,
                self._contract,
                batch,
                replay.cubes,
                [row],
                between=self._between,
                crash=partial(crash_point, self._settings),
            )
            self._committed(batch, {lowest: (row.start_offset, row.end_offset)})
            self._vitals.touched.add(self._contract, replay.cubes)
            self._replays.committed()
            log.info("%s: batch %d replays %d dead letters", row.stream, batch, len(replay.letters))
        except Exception as error:
            self._cause = error
            raise
        finally:
            self._turn.release()

    def _commit(self, folded: DataFrame, spark_batch: int) -> None:
        """Fold and commit one batch: take the ranges, fold, ask for the log start, check the fence, write."""
        if self._vitals.stop.is_set():  # a backlog leaves no pause between two triggers to stop in
            raise StoppedError("a stop was asked for")
        ends = batch_ends(self._checkpoint, spark_batch, self._contract.topic.name)
        spans = {p: (self._frontier.get(p, 0), end) for p, end in ends.items()}
        back = {p: span for p, span in spans.items() if span[1] < span[0]}
        if back:  # the next query looks whether the log was cut
            raise LogWentBackError(f"{self._contract.topic.name}: planned to end before the frontier: {back}")
        ranges = {
            p: (start, end) for p, (start, end) in spans.items() if end > start or p in self._unrecorded
        }
        results = collect(self._contract, ((row.kind, row.payload) for row in folded.collect()))
        if all(start == end for start, end in ranges.values()):
            return
        batch = batch_id(self.generation, self.commits)
        rows = ledger_rows(self._contract, batch, ranges, self._offsets.starts(), results)
        self._check(self._control.newest(self._contract.stream))
        write_batch(
            self._client,
            self._contract,
            batch,
            results,
            rows,
            between=self._between,
            crash=partial(crash_point, self._settings),
        )
        self._committed(batch, ranges)
        self._vitals.touched.add(self._contract, results)

    def _committed(self, batch: int, ranges: dict[int, tuple[int, int]]) -> None:
        self._frontier |= {p: end for p, (_, end) in ranges.items()}
        self._unrecorded -= ranges.keys()
        self._vitals.frontier, self._vitals.batch = dict(self._frontier), batch
        self._vitals.detail = ""
        self.commits += 1

    def _check(self, newest: Claim) -> None:
        """Raise when a later claim than this query's is known."""
        if newest.generation > self.generation:
            said = f"generation {self.generation} is fenced by generation {newest.generation}"
            raise LostClaimError(said) if newest.owner == self._owner else FencedError(said)

    def _between(self, message: str) -> None:
        """Say what is waited for; give up when fenced, or when asked to stop before the query runs."""
        self._vitals.detail = message
        self._check(self._vitals.claim)
        if self._vitals.stop.is_set() and self._vitals.state == "starting":
            raise StoppedError("a stop was asked for")


def _end(query: StreamingQuery) -> None:
    """Stop a query that still runs; what it may yet write is void or will be folded again."""
    try:
        if query.isActive:
            query.stop()
    except Exception as error:
        log.warning("the query did not stop: %s", error)
