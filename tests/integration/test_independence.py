"""Two implementations, one verdict: the fold and the recount agree on every record, whatever its bytes.

Thousands of records are drawn from seeds (PROOF_SEED, or a fixed one and a random one for each run) and go
through the fold, the contract's classifier and Spark; a difference names the record's bytes and both verdicts.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql.types import BinaryType, IntegerType, LongType, StructField, StructType

from include.contracts import Contract, Cube, Measure, load_contracts
from include.contracts.classifier import Classifier, Event
from include.contracts.model import DERIVED_DIMENSIONS, DERIVED_NUMBERS
from include.reconcile.classify import classified
from include.reconcile.measure import measure
from include.reconcile.types import OffsetRange, Segment
from include.streaming import rules
from include.traffic import generator_for
from include.traffic.plan import parse_plan
from include.traffic.schedule import draw_schedule
from tests.contracts import odd_contracts
from tests.helpers import EMPTY, MOMENT, RUN_SEED, Figures, Record, encoded, figures, folded, recounted
from tests.surprises import Surprises

RECORDS = int(os.environ.get("PROOF_RECORDS", "1500"))  # of each seed and contract
FIXED_SEED = 5
KINDS: tuple[Literal["count", "sum", "min", "max"], ...] = ("count", "sum", "min", "max")
SCHEMA = StructType(
    [
        StructField("partition", IntegerType()),
        StructField("offset", LongType()),
        StructField("value", BinaryType()),
        StructField("kafka_us", LongType()),
    ]
)


def seeds() -> list[int]:
    chosen = os.environ.get("PROOF_SEED")
    return [int(chosen)] if chosen else [FIXED_SEED, RUN_SEED]


SEEDS = seeds()


def contracts() -> list[Contract]:
    """Every shipped contract, and those whose names, rules and kinds of figures are meant to get in the way."""
    return [*load_contracts(), *odd_contracts()]


def with_every_field(contract: Contract) -> Contract:
    """Return the contract with a cube of one-second panes that tells nearly every record from every other."""
    strings = [name for name, rule in contract.fields.items() if not rule.is_number]
    numbers = [name for name, rule in contract.fields.items() if rule.is_number]
    cube = Cube(
        name="every_field",
        pane_seconds=1,
        arrival_seconds=1,
        dimensions=(*strings, *DERIVED_DIMENSIONS),
        measures=(
            Measure(name="n", kind="count"),
            *(Measure(name=f"{kind}_{name}", kind=kind, field=name) for kind in KINDS for name in numbers),
            *(Measure(name=f"count_{name}", kind="count", field=name) for name in strings),
            *(Measure(name=f"least_{name}", kind="min", field=name) for name in DERIVED_NUMBERS),
        ),
    )
    return contract.model_copy(update={"cubes": (*contract.cubes, cube)})


@pytest.fixture
def spark(local_spark: SparkSession) -> SparkSession:
    """In an odd time zone, since no verdict may hang on it."""
    return local_spark


@dataclass(frozen=True)
class Verdict:
    """What one side says of a record; values are empty for a reject."""

    reason: str | None
    time_us: int | None = None
    values: tuple[object, ...] = ()


def by_spark(spark: SparkSession, contract: Contract, records: Sequence[Record]) -> list[Row]:
    rows = classified(frame(spark, records), contract).collect()
    found = {(row["partition"], row["offset"]): row for row in rows}
    assert len(rows) == len(found) == len(records), f"{len(records)} records went in, {len(rows)} came out"
    return [found[record.partition, record.offset] for record in records]


def frame(spark: SparkSession, records: Sequence[Record]):  # type: ignore[no-untyped-def]
    rows = [
        (r.partition, r.offset, None if r.value is None else bytearray(r.value), r.kafka_ms * 1000)
        for r in records
    ]
    return spark.createDataFrame(rows, SCHEMA)


def verdict_of(contract: Contract, row: Row) -> Verdict:
    values = tuple(row[f"field_{name}"] for name in contract.fields)
    if row["reason"] is not None:
        assert (row["time_us"], set(values)) == (None, {None}), row
        return Verdict(row["reason"])
    return Verdict(None, row["time_us"], values)


def classifier_verdicts(contract: Contract, records: Sequence[Record]) -> list[Verdict]:
    classifier = Classifier(contract)
    found = []
    for record in records:
        outcome = classifier.classify(record.value, record.kafka_ms)
        if isinstance(outcome, Event):
            found.append(
                Verdict(None, outcome.time_us, tuple(outcome.values[name] for name in contract.fields))
            )
        else:
            found.append(Verdict(outcome.reason))
    return found


def recount_differences(
    contract: Contract, records: Sequence[Record], rows: Sequence[Row], expected: Sequence[Verdict]
) -> list[str]:
    return [
        f"{record.value!r:.600} at {record.kafka_ms}\n  recount    {actual}\n  classifier {wanted}"
        for record, row, wanted in zip(records, rows, expected, strict=True)
        if (actual := verdict_of(contract, row)) != wanted
    ]


def fold_alone(contract: Contract, record: Record) -> Figures:
    return figures(contract, folded(contract, [[[record]]]))


def fold_differences(contract: Contract, records: Sequence[Record]) -> list[str]:
    """Fold the records as one batch, each as a partition of its own, and halve it until what differs is alone."""
    alone = [Record(r.value, i, i, r.kafka_ms) for i, r in enumerate(records)]
    if figures(contract, folded(contract, [[alone]])) == recounted(contract, alone):
        return []
    if len(records) == 1:
        expected = recounted(contract, records)
        return [
            f"{records[0].value!r:.600}\n  fold       {fold_alone(contract, records[0])}\n  classifier {expected}"
        ]
    half = len(records) // 2
    found = fold_differences(contract, records[:half]) + fold_differences(contract, records[half:])
    return found or [f"{len(records)} records are folded differently together than apart: {records!r:.2000}"]


def came_of(contract: Contract, records: Sequence[Record]) -> Figures:
    """Fold in tasks and batches of many sizes, as the streaming job does."""
    sizes = random.Random(1)
    tasks: list[list[list[Record]]] = [[], []]
    at = 0
    while at < len(records):
        size = sizes.choice((1, 7, 100, 1_999, 2_001, 4_000))
        tasks[sizes.randrange(2)].append(list(records[at : at + size]))
        at += size
    return figures(contract, folded(contract, tasks))


def drawn(contract: Contract, chosen: Sequence[int]) -> list[Record]:
    """Draw records of each seed, at offsets of their own."""
    return [
        replace(record, offset=number * RECORDS + record.offset)
        for number, seed in enumerate(chosen)
        for record in Surprises(contract, seed, MOMENT).records(RECORDS)
    ]


@pytest.mark.parametrize("contract", contracts(), ids=lambda contract: contract.stream)
def test_fold_and_recount_agree_on_every_record(spark: SparkSession, contract: Contract) -> None:
    print(f"PROOF_SEED={SEEDS[-1]} repeats this run of {contract.stream}")
    contract = with_every_field(contract)
    records = drawn(contract, SEEDS)
    expected = classifier_verdicts(contract, records)

    rows = by_spark(spark, contract, records)
    wrong = recount_differences(contract, records, rows, expected) + fold_differences(contract, records)
    assert not wrong, f"{len(wrong)} of {len(records)} records (seeds {SEEDS}):\n" + "\n".join(wrong[:20])

    outcomes = Counter(verdict.reason for verdict in expected)
    assert set(outcomes) == {None, "malformed", "schema", "future", "stale"}, f"the draw is poor: {outcomes}"
    assert min(outcomes[None], outcomes["malformed"], outcomes["schema"]) > len(records) / 10, outcomes
    assert sum(row["clean"] for row in rows) > len(records) / 20, (
        "hardly any record was judged by Spark's own means"
    )
    assert_measured_as_folded(spark, contract, records, expected)


def assert_measured_as_folded(
    spark: SparkSession, contract: Contract, records: Sequence[Record], expected: Sequence[Verdict]
) -> None:
    """Hold the aggregates of both sides against each other: windows, dimensions, figures, hours, late, rejects."""
    hours = sorted({v.time_us // 3_600_000_000 * 3600 for v in expected if v.time_us is not None})
    segments = [Segment(OffsetRange(p, 0, len(records)), 0, 0, 0, 0, {}) for p in range(3)]
    measured = measure(frame(spark, records), contract, segments, hours)
    came = came_of(contract, records)
    cells = {(c.cube, c.window, *c.dimensions): c.came for c in measured.cells}
    differing = {
        k: (cells.get(k), came.cubes.get(k))
        for k in cells.keys() | came.cubes
        if cells.get(k) != came.cubes.get(k)
    }
    assert not differing, f"(recount, fold) by cell: {differing}"
    events = {(c.segment, c.hour): (c.records, c.late) for c in measured.counts if c.reason is None}
    assert events == {key: (count, late) for key, (count, late, _, _) in came.hours.items()}
    rejects = {(c.segment, c.reason): c.records for c in measured.counts if c.reason is not None}
    assert rejects == Counter((partition, reason) for partition, _, reason, _ in came.rejects)
    empty = {cube.name: tuple(EMPTY[item.kind] for item in cube.measures) for cube in contract.cubes}
    once = {(c.cube, c.window, *c.dimensions): c.once for c in measured.cells if c.once != empty[c.cube]}
    assert once == recounted(contract, first_copies(contract, records, expected)).cubes
    anonymous = sum(v.time_us is not None and not has_identity(contract, v) for v in expected)
    assert sum(c.without_identity for c in measured.counts) == anonymous


def identity_of(contract: Contract, verdict: Verdict) -> tuple[object, ...]:
    names = list(contract.fields)
    return tuple(verdict.values[names.index(name)] for name in contract.identity)


def has_identity(contract: Contract, verdict: Verdict) -> bool:
    return any(item not in ("", None) for item in identity_of(contract, verdict))


def first_copies(contract: Contract, records: Sequence[Record], expected: Sequence[Verdict]) -> list[Record]:
    """Return of each identity within its event hour the record with the lowest Kafka timestamp, partition, offset.

    A record that has nothing of an identity is its own.
    """
    winners: dict[object, Record] = {}
    for record, verdict in zip(records, expected, strict=True):
        if verdict.time_us is None:
            continue
        place = (record.kafka_ms, record.partition, record.offset)
        identity = identity_of(contract, verdict) if has_identity(contract, verdict) else place
        key = (verdict.time_us // 3_600_000_000, identity)
        best = winners.setdefault(key, record)
        if place < (best.kafka_ms, best.partition, best.offset):
            winners[key] = record
    return list(winners.values())


def test_a_recount_that_takes_more_than_the_contract_is_found_and_names_the_record(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = contracts()[0]
    records = [Record(encoded(), 0, 0), Record(encoded() + b"\x0c", 0, 1)]
    expected = classifier_verdicts(contract, records)
    monkeypatch.setattr("include.reconcile.clean_json.BLANK", r"\s*+")
    wrong = recount_differences(contract, records, by_spark(spark, contract, records), expected)
    (sentence,) = wrong
    assert r"}\x0c" in sentence
    assert "malformed" in sentence


def test_a_fold_that_misreads_one_time_is_found_and_names_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    contract = contracts()[0]
    records = Surprises(contract, FIXED_SEED, MOMENT).records(300)
    records[77] = Record(encoded(timestamp="2025-12-16T03:04:08+01:00"), 0, 300)
    assert fold_differences(contract, records) == []
    times = rules.times

    def an_hour_early(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        time_us, accepted = times(column)
        wrong = pc.ends_with(column, "08+01:00").to_numpy(zero_copy_only=False)
        return time_us - wrong * rules.HOUR_US, accepted

    monkeypatch.setattr(rules, "times", an_hour_early)
    wrong = fold_differences(contract, records)
    assert any("2025-12-16T03:04:08+01:00" in sentence for sentence in wrong), wrong


@pytest.mark.parametrize("stream", [contract.stream for contract in load_contracts()])
def test_every_event_of_the_generator_takes_the_fast_way(spark: SparkSession, stream: str) -> None:
    contract = next(c for c in load_contracts() if c.stream == stream)
    shares = {"malformed": 0.05, "schema_breaking": 0.05, "duplicate": 0.05, "late": 0.05, "future": 0.05}
    plan = parse_plan({"stream": stream, "rate": 4, "duration": 900, "start": MOMENT, "seed": 3, **shares})
    schedule = draw_schedule(plan, int(MOMENT.timestamp() * 1_000_000), 4)
    values = generator_for(stream).draw(schedule, 7, plan.seed).values(0, plan.events)
    records = [Record(value, 0, i, int(schedule.kafka_ms[i])) for i, value in enumerate(values)]
    rows = by_spark(spark, contract, records)
    accepted = [row["reason"] is None for row in rows]
    assert accepted == schedule.accepted.tolist()
    slow = [
        record.value
        for record, row in zip(records, rows, strict=True)
        if row["reason"] is None and not row["clean"]
    ]
    assert not slow, f"{len(slow)} of {sum(accepted)} events were judged record by record, such as {slow[:3]}"


def test_a_record_of_the_far_edges_of_kafka_time_is_judged_alike(spark: SparkSession) -> None:
    contract = contracts()[0]
    value = next(
        r.value for r in Surprises(contract, 1, datetime(1970, 1, 1, 5, tzinfo=UTC)).records(50) if r.value
    )
    records = [Record(value, 0, i, at) for i, at in enumerate((-1, 0, 2**33, 2**40, 2**43))]
    rows = by_spark(spark, contract, records)
    assert [verdict_of(contract, row) for row in rows] == classifier_verdicts(contract, records)
