"""A ledger row made anew from the raw records of its offsets, by the contract's record-by-record classifier."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from include.contracts import Contract
from include.contracts.classifier import Classifier, Event
from include.contracts.times import hour_of
from include.reconcile.raw import RawRecord
from include.reconcile.types import OffsetRange, from_epoch
from include.streaming.ledger import LedgerRow


@dataclass
class _Hour:
    events: int
    first: int
    last: int


@dataclass
class _Tally:
    """What the records of a range come to."""

    records: int = 0
    rejected: int = 0
    late: int = 0
    hours: dict[int, _Hour] = field(default_factory=dict)
    times: list[int] = field(default_factory=list)


def rebuilt_row(
    contract: Contract, batch: int, span: OffsetRange, log_start: int, records: Iterable[RawRecord]
) -> LedgerRow:
    """Return the ledger row of a batch over `span`, as the fold would have written it; below log_start it is lost."""
    lost_to = min(span.end, max(span.start, log_start))
    tally = _tallied(contract, records)
    hours = sorted(tally.hours.items())
    return LedgerRow(
        stream=contract.stream,
        batch=batch,
        partition=span.partition,
        start_offset=span.start,
        lost_to=lost_to,
        end_offset=span.end,
        accepted=sum(hour.events for _, hour in hours),
        rejected=tally.rejected,
        late=tally.late,
        non_records=span.end - lost_to - tally.records,
        hours=[from_epoch(seconds) for seconds, _ in hours],
        hour_events=[hour.events for _, hour in hours],
        hour_first=[hour.first for _, hour in hours],
        hour_last=[hour.last for _, hour in hours],
        kafka_time_min=min(tally.times, default=0),
        kafka_time_max=max(tally.times, default=0),
        contract_version=contract.version,
    )


def _tallied(contract: Contract, records: Iterable[RawRecord]) -> _Tally:
    classifier, tally = Classifier(contract), _Tally()
    for record in records:
        tally.records += 1
        bounds = [*tally.times, record.kafka_ms]
        tally.times = [min(bounds), max(bounds)]
        outcome = classifier.classify(record.value, record.kafka_ms)
        if not isinstance(outcome, Event):
            tally.rejected += 1
            continue
        tally.late += record.kafka_ms * 1000 - outcome.time_us > contract.lateness_seconds * 1_000_000
        seconds = hour_of(outcome.time_us)
        hour = tally.hours.setdefault(seconds, _Hour(0, record.offset, record.offset))
        hour.events += 1
        hour.last = record.offset
    return tally
