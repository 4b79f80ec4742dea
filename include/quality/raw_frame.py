"""Sampled records as a frame: one row for each record, and one of figures about the sample."""

from __future__ import annotations

from typing import Any

import pandas as pd  # type: ignore[import-untyped]

from include.contracts import Contract
from include.contracts.classifier import Classifier, Reject
from include.quality.raw_log import RawSample
from include.quality.raw_values import broken, event_time, field_values, parse, printable
from include.reconcile.raw import RawRecord

ACCEPTED, MALFORMED, OK = "accepted", "malformed", "ok"
RECORD, SAMPLE = "record", "sample"
COLUMNS = (
    *("record", "partition", "offset", "key", "kafka_time", "parse", "verdict"),
    *("event_time", "delay_seconds", "broken"),
)
COUNTS = ("sampled_records", "planned_offsets", "expired_offsets", "beyond_offsets")
SHARES = ("malformed_share", "refused_share")


def raw_frame(contract: Contract, sample: RawSample) -> pd.DataFrame:
    """Return the rows of a sample; `record` is `record`, or `sample` for the one row of figures, COUNTS and SHARES.

    A record has `partition`, `offset`, `key` (text, empty where there is none), `kafka_time` and `event_time` (naive
    UTC), `parse` (ok, malformed), `verdict` (accepted, or the reason why the contract's classifier rejects it),
    `delay_seconds` (Kafka time - event time), `broken` (types, formats and rules that do not hold) and, for each field,
    `value.<field>`: text or number as the record has it, null where it is absent or of another type.
    """
    classifier = Classifier(contract)
    rows = [_row(contract, classifier, record) for record in sample.records]
    fields = {f"value.{name}": rule for name, rule in contract.fields.items()}
    columns = [*COLUMNS, *fields, *COUNTS, *SHARES]
    frame = pd.DataFrame([*rows, _figures(rows, sample)], columns=columns, dtype=object)
    numbers = [name for name, rule in fields.items() if rule.is_number]
    kinds = dict.fromkeys([*numbers, "delay_seconds", *SHARES], "float64")
    kinds |= dict.fromkeys(["partition", "offset", *COUNTS], "Int64")
    frame = frame.astype(kinds)
    for name in ("kafka_time", "event_time"):
        frame[name] = pd.to_datetime(frame[name], unit="us")
    return frame


def _row(contract: Contract, classifier: Classifier, record: RawRecord) -> dict[str, Any]:
    verdict = classifier.classify(record.value, record.kafka_ms)
    parsed = parse(contract, record.value)
    row = {
        "record": RECORD,
        "partition": record.partition,
        "offset": record.offset,
        "key": printable((record.key or b"").decode("utf-8", "backslashreplace")),
        "kafka_time": record.kafka_ms * 1000,
        "parse": MALFORMED if parsed is None else OK,
        "verdict": verdict.reason if isinstance(verdict, Reject) else ACCEPTED,
    }
    if parsed is None:
        return row
    moment = event_time(contract, parsed)
    if moment is not None:
        row |= {"event_time": moment, "delay_seconds": (record.kafka_ms * 1000 - moment) / 1_000_000}
    values = {f"value.{name}": value for name, value in field_values(contract, parsed).items()}
    return row | values | {"broken": broken(contract, parsed)}


def _figures(rows: list[dict[str, Any]], sample: RawSample) -> dict[str, Any]:
    records = max(1, len(rows))
    return {
        "record": SAMPLE,
        "sampled_records": len(rows),
        "planned_offsets": sample.planned,
        "expired_offsets": sample.expired,
        "beyond_offsets": sample.beyond,
        "malformed_share": sum(row["parse"] == MALFORMED for row in rows) / records,
        "refused_share": sum(row["verdict"] != ACCEPTED for row in rows) / records,
    }
