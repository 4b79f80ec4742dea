"""Keeps one stream running inside the job: starts its query, and another one after a failure.

A service that is away is waited for as long as it takes; a failure that stays is given up after some
attempts, so that the process ends and is started again. What a query does is in query.py.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from concurrent.futures import Future

from pyspark.sql import SparkSession

from include.contracts import Contract
from include.settings import Settings
from include.streaming.begin import Skip
from include.streaming.commit import ExpiredWhileReadingError, UnansweredInsertError
from include.streaming.control import ControlLog, ControlTopicError
from include.streaming.ledger import GenerationError
from include.streaming.query import FencedError, Query, StoppedError, StreamOptions
from include.streaming.vitals import Vitals
from include.streaming.waiting import kafka_is_away, passes_with_time
from include.topics.admin import BrokerUnreachableError
from include.topics.offsets import Offsets

log = logging.getLogger(__name__)

RESTART_SECONDS = 1.0
LONGEST_RESTART_SECONDS = 30.0
ATTEMPTS_WITHOUT_A_COMMIT = 5
STEADY_SECONDS = 300.0  # a query that ran this long was no failed start, even of a topic that is idle


class StreamDriver(threading.Thread):
    """The life of one stream inside the job; `vitals.state` ends as stopped, fenced or failed."""

    def __init__(
        self,
        spark: Future[SparkSession],
        settings: Settings,
        contract: Contract,
        vitals: Vitals,
        options: StreamOptions,
        skip: Skip,
    ) -> None:
        super().__init__(name=f"stream-{contract.stream}", daemon=True)
        self._spark, self._settings, self._contract, self.vitals = spark, settings, contract, vitals
        self._options, self._skip = options, skip
        self._owner = uuid.uuid4().hex
        self._offsets = Offsets(settings, contract.topic.name)
        self._generation = 0
        self._failures = self._repeats = 0

    def run(self) -> None:
        vitals = self.vitals
        while True:
            try:
                self._run_query()
            except StoppedError:
                vitals.state, vitals.detail = "stopped", ""
            except FencedError as error:
                log.warning("%s: %s", self._contract.stream, error)
                vitals.state, vitals.detail = "fenced", str(error)
            except Exception as error:
                vitals.detail = f"{type(error).__name__}: {error}"
                log.exception("%s: failure %d in a row", self._contract.stream, self._repeats)
                if not self._is_final(error):
                    vitals.state = "starting"
                    self._pause()
                    continue
                # A driver that fails is started again; one that was fenced, or needs a person, must not be.
                vitals.needs_person = isinstance(error, GenerationError)
                vitals.state = "fenced" if self._is_fenced() else "failed"
            else:
                vitals.state, vitals.detail = "stopped", ""
            return

    def _run_query(self) -> None:
        """Start one query and run it to its end, and count the failure when it has one."""
        if self.vitals.stop.is_set():
            raise StoppedError("a stop was asked for")
        query = Query(
            self._settings,
            self._contract,
            self._offsets,
            self._options,
            self._skip,
            self.vitals,
            self._owner,
        )
        began = time.monotonic()
        try:
            query.begin(self._generation)
            query.run(self._spark.result())
        except Exception as error:
            if query.commits or time.monotonic() - began > STEADY_SECONDS:
                self._failures = self._repeats = 0
            self._repeats += 1
            self._failures += not _passes(error)
            raise
        finally:
            self._generation = max(self._generation, query.generation)
            query.close()

    def _is_final(self, error: Exception) -> bool:
        """Say whether another query would be of no use."""
        return (
            isinstance(error, GenerationError)
            or self._failures >= ATTEMPTS_WITHOUT_A_COMMIT
            or _is_gone(self._spark)
        )

    def _is_fenced(self) -> bool:
        """Say whether another driver has claimed the stream since this one did, as far as Kafka can be asked."""
        control = ControlLog(self._settings)
        try:
            newest = control.newest(self._contract.stream)
            return 0 < self._generation < newest.generation and newest.owner != self._owner
        except ControlTopicError:
            return False
        finally:
            control.close()

    def _pause(self) -> None:
        """Wait before the next query: longer after each failure, and until Kafka answers."""
        stop = self.vitals.stop
        pause = min(RESTART_SECONDS * 2 ** (self._repeats - 1), LONGEST_RESTART_SECONDS)
        while not stop.wait(pause):
            try:
                self._offsets.partitions()
                return
            except BrokerUnreachableError as error:
                self._failures = 0
                self.vitals.detail = f"waits for Kafka: {error}"
                pause = RESTART_SECONDS
            except LookupError:
                return


def _passes(error: Exception) -> bool:
    if isinstance(error, OSError) and error.filename is not None:  # of a file, not of a connection
        return False
    folded_again = isinstance(error, ExpiredWhileReadingError | UnansweredInsertError)
    return folded_again or kafka_is_away(error) or passes_with_time(error)


def _is_gone(spark: Future[SparkSession]) -> bool:
    """Say whether Spark itself has ended in this process: only another process can go on."""
    if not spark.done() or spark.cancelled() or spark.exception() is not None:
        return spark.done()
    try:
        context = spark.result().sparkContext._jsc
        return context is None or bool(context.sc().isStopped())
    except Exception:  # whatever py4j makes of a JVM that does not answer
        return True
