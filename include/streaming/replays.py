"""What the driver folds besides its offset ranges: dead letters that were approved, each once.

Asked between batches; commits nothing itself (query.py does). A letter is folded when it is valid,
no valid batch has replayed it, it was approved under the version that is loaded, its record is still
in Kafka, and the contract accepts it. One that fails the last two is left out, and the log says so.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pyarrow as pa

from include.contracts import Contract
from include.contracts.classifier import Classifier
from include.replay.judge import Passed, judge
from include.replay.letters import Letter, approvals_mark, approved
from include.replay.originals import READ_THROUGH, OriginalsError, read_originals
from include.settings import Settings
from include.streaming.commit import ledger_rows
from include.streaming.fold import Fold
from include.streaming.ledger import LedgerRow
from include.streaming.partials import CUBE_PREFIX, HOURS, collect
from include.streaming.waiting import kafka_is_away, passes_with_time
from include.warehouse.client import connect

log = logging.getLogger(__name__)

POLL_SECONDS = 5.0
BATCH_BYTES = 64 * 2**20
BATCH_READS = 10 * READ_THROUGH  # some seconds, in which nobody looks whether a stop was asked for


class ReplayFoldError(AssertionError):
    """The fold and the classifier disagree on approved dead letters."""


@dataclass(frozen=True)
class Replay:
    """Dead letters that one batch folds: their partial cubes, and what its ledger row says of them."""

    letters: list[Passed]
    cubes: dict[str, pa.Table]
    until: tuple[int, int]

    def ledger_row(self, contract: Contract, batch: int, partition: int, frontier: int) -> LedgerRow:
        """Return the row of a batch that reads no offsets of its own and stands at `frontier`."""
        at = {partition: (frontier, frontier)}
        (row,) = ledger_rows(contract, batch, at, {partition: frontier}, {})
        return replace(
            row,
            replayed_partitions=[passed.letter.partition for passed in self.letters],
            replayed_offsets=[passed.letter.offset for passed in self.letters],
            replayed_hours=[datetime.fromtimestamp(passed.hour, UTC) for passed in self.letters],
        )


class Replays:
    """Finds the replays of one query; not for use by two threads."""

    def __init__(self, settings: Settings, contract: Contract) -> None:
        self._settings, self._contract = settings, contract
        self._client = connect(settings)
        self._classifier = Classifier(contract)
        self._mark: tuple[object, ...] = ()
        self._at: tuple[int, int] | None = None
        self._poll_at = 0.0
        self._ready: Replay | None = None

    def close(self) -> None:
        """End the connection."""
        self._client.disconnect()

    def next(self) -> Replay | None:
        """Return what is to be replayed now, the same until `committed`; looks every POLL_SECONDS.

        A service that is away is asked again later: a replay never holds up the stream.

        Raises:
            ReplayFoldError: a bug; nothing was written.
        """
        if self._ready is None and (self._at is not None or time.monotonic() >= self._poll_at):
            self._poll_at = time.monotonic() + POLL_SECONDS
            try:
                self._ready = self._look()
            except Exception as error:
                if not (isinstance(error, OriginalsError) or passes_with_time(error) or kafka_is_away(error)):
                    raise
                log.warning("%s: replays wait: %s", self._contract.stream, error)
                self._mark, self._at = (), None
        return self._ready

    def committed(self) -> None:
        """Go on behind what `next` returned."""
        if self._ready is not None:
            self._at, self._ready = self._ready.until, None

    def _look(self) -> Replay | None:
        stream, version = self._contract.stream, self._contract.version
        if self._at is None:
            mark = approvals_mark(self._client, stream, version)
            if mark == self._mark or not mark[0]:
                return None
            self._mark, self._at = mark, (0, 0)
        letters = _within(approved(self._client, stream, version, self._at))
        if not letters:
            self._at = None
            return None
        self._at = letters[-1].partition, letters[-1].offset + 1
        originals = read_originals(self._settings, self._contract.topic.name, letters)
        judged = judge(self._classifier, letters, originals)
        left_out = judged.rejected + judged.unjudged
        if left_out:
            log.warning(
                "%s: approved dead letters that cannot be replayed: %s",
                stream,
                "; ".join(f"{count} {then}: {now}" for (then, now), count in left_out.items()),
            )
        if not judged.passed:
            return None
        return Replay(judged.passed, folded_cubes(self._contract, judged.passed), self._at)


def folded_cubes(contract: Contract, letters: list[Passed]) -> dict[str, pa.Table]:
    """Fold records as a task of Spark would; return the partial cubes alone.

    Raises:
        ReplayFoldError: the fold finds other events in an hour than the classifier.
    """
    records = pa.record_batch(
        {
            "value": pa.array([passed.value for passed in letters], pa.binary()),
            "partition": pa.array([passed.letter.partition for passed in letters], pa.int32()),
            "offset": pa.array([passed.letter.offset for passed in letters], pa.int64()),
            "timestamp": pa.array([passed.letter.kafka_ms * 1000 for passed in letters], pa.timestamp("us")),
        }
    )
    emitted = (row for batch in Fold(contract)([records]) for row in batch.to_pylist())
    results = collect(contract, ((row["kind"], row["payload"]) for row in emitted))
    counts: dict[int, int] = {}
    for passed in letters:
        counts[passed.hour] = counts.get(passed.hour, 0) + 1
    by_fold: dict[int, int] = {}
    for row in results[HOURS].to_pylist() if HOURS in results else []:
        by_fold[row["hour"]] = by_fold.get(row["hour"], 0) + row["events"]
    if by_fold != counts:
        raise ReplayFoldError(
            f"{contract.stream}: events by hour: the fold {by_fold}, the classifier {counts}"
        )
    return {kind: table for kind, table in results.items() if kind.startswith(CUBE_PREFIX)}


def _within(
    letters: list[Letter], most_bytes: int = BATCH_BYTES, most_reads: int = BATCH_READS
) -> list[Letter]:
    """Return as many of the letters, at least one, as have records of this many bytes and can be read with so many."""
    total = reads = 0
    before = Letter(-1, 0, 0, "", 0, "")
    for count, letter in enumerate(letters):
        near = letter.partition == before.partition
        total += letter.payload_bytes
        reads += min(letter.offset - before.offset, READ_THROUGH) if near else READ_THROUGH
        if count and (total > most_bytes or reads > most_reads):
            return letters[:count]
        before = letter
    return letters
