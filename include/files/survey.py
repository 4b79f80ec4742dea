"""What the stream's contract will say of a file's lines, under the Kafka timestamps that they will have.

Pure but for the reading of the file. The whole file is judged, line by line and before a transaction is open.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from include.clock import now_ms
from include.contracts import Contract
from include.contracts.classifier import FUTURE, STALE, Classifier, Event
from include.contracts.times import HOUR_US, hour_of
from include.files.content import Content, FileChangedError, FileError, Identity
from include.files.form import EVENT

RECORD_OVERHEAD = 1_024  # bytes of a batch that are not its record's value and key
DEFAULT_MAXIMUM_BYTES = 1_048_588
# A transaction holds back the live records of the topic, so that a file has a bound.
MOST_RECORDS = 1_000_000
MOST_BYTES = 2**30
# Durations that no judgement of time can fail: 2,000 years.
ANY_TIME = {"skew_seconds": 6 * 10**10, "maximum_age_hours": 2 * 10**7}


def longest_line(contract: Contract) -> int:
    """Return how many bytes a line and its key may have to fit into a record of the topic."""
    most = int(contract.topic.config.get("max.message.bytes", DEFAULT_MAXIMUM_BYTES))
    return max(1, most - RECORD_OVERHEAD)


@dataclass(frozen=True, slots=True)
class Judged:
    """A line as it will be sent: Kafka time in epoch ms, key, event time in epoch microseconds where it has one.

    `reason` is why the contract will reject it, empty where it is accepted.
    """

    kafka_ms: int
    key: bytes | None
    event_us: int | None
    reason: str = ""
    detail: str = ""


class LineJudge:
    """Stamps and judges lines of one stream.

    A line's Kafka time is `now_ms` or, under `event`, its event time, which is never taken beyond `now_ms`: an event
    from the future stays one. A line without an event time has `now_ms`.
    """

    def __init__(self, contract: Contract, timestamps: str, key_field: str | None) -> None:
        self._by_event, self._key = timestamps == EVENT, key_field
        self._skew_us = contract.skew_seconds * 1_000_000
        self._age_us = contract.maximum_age_hours * HOUR_US
        self._classify = Classifier(contract.model_copy(update=ANY_TIME)).classify

    def stamp(self, line: bytes, now_ms: int) -> tuple[int, bytes | None]:
        """Return the Kafka time and the key of a line, unjudged where neither needs it."""
        if not self._by_event and self._key is None:
            return now_ms, None
        judged = self.judge(line, now_ms)
        return judged.kafka_ms, judged.key

    def judge(self, line: bytes, now_ms: int) -> Judged:
        """Return what will become of a line that is sent at `now_ms`, epoch milliseconds."""
        found = self._classify(line, now_ms)
        if not isinstance(found, Event):
            return Judged(now_ms, None, None, found.reason, found.detail)
        kafka_ms = min(found.time_us // 1_000, now_ms) if self._by_event else now_ms
        ahead = found.time_us - kafka_ms * 1_000
        reason = FUTURE if ahead > self._skew_us else STALE if -ahead > self._age_us else ""
        key = str(found.values[self._key]).encode() if self._key else None
        return Judged(
            kafka_ms, key, found.time_us, reason, f"event time is {ahead / 1e6:+,.0f} s from Kafka's"
        )


@dataclass
class Survey:
    """What a file holds. `hours` counts accepted lines by event hour (epoch seconds); `rejected` the others by reason.

    `oldest` is the lowest event time and its line: (epoch microseconds, number). `first_rejected` names the first
    line that is rejected.
    """

    path: Path
    identity: Identity
    records: int = 0
    record_bytes: int = 0
    blank: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    hours: Counter[int] = field(default_factory=Counter)
    oldest: tuple[int, int] | None = None
    first_rejected: str = ""

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def accepted(self) -> int:
        return self.records - sum(self.rejected.values())

    def add(self, number: int, line: bytes, judged: Judged) -> None:
        """Count a line."""
        self.records += 1
        self.record_bytes += len(line)
        if judged.event_us is not None:
            self.oldest = min(self.oldest or (judged.event_us, number), (judged.event_us, number))
        if judged.reason:
            self.rejected[judged.reason] += 1
            self.first_rejected = self.first_rejected or f"line {number} is {judged.reason} ({judged.detail})"
        elif judged.event_us is not None:
            self.hours[hour_of(judged.event_us)] += 1


def survey(path: Path, identity: Identity, contract: Contract, judge: LineJudge) -> Survey:
    """Read a file whose identity is known and return what it holds.

    Raises:
        FileError: it cannot be read, a line is too long, it has more lines or bytes than a transaction takes (the rest is
            not read), or it is no longer the file that was identified.
    """
    found = Survey(path, identity)
    moment, longest = now_ms(), longest_line(contract)
    with Content(path, longest) as content:
        for number, line in content.lines():
            judged = judge.judge(line, moment)
            if len(line) + len(judged.key or b"") > longest:
                raise FileError(
                    path.name, f"line {number} and its key are longer than the {longest:,} bytes of a record"
                )
            found.add(number, line, judged)
            if found.records > MOST_RECORDS or found.record_bytes > MOST_BYTES:
                raise FileError(
                    path.name,
                    f"holds more than the {MOST_RECORDS:,} records or {MOST_BYTES:,} bytes that a transaction takes: split "
                    "it, for example with `split --lines 500000`",
                )
        found.blank = content.blank
        require_same(path.name, identity, content.finish())
    return found


def require_same(name: str, identity: Identity, read: Identity) -> None:
    """Refuse a file that is not the one that was identified.

    Raises:
        FileChangedError
    """
    if read != identity:
        raise FileChangedError(name, f"SHA-256 {identity.digest[:12]} before, {read.digest[:12]} after")
