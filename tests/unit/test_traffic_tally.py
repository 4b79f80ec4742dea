"""The tally against a recount, written here from the requirements, of the bytes that are sent."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import pytest

from include.contracts import load_contract
from include.contracts.classifier import Classifier, Reject
from include.traffic import generator_for
from include.traffic.faults import Kind
from include.traffic.plan import parse_plan
from include.traffic.schedule import draw_schedule

Key = tuple[int, str]
Figures = dict[Key, dict[str, int]]
ALLOWED = {
    "ad_format": {"banner", "interstitial", "rewarded_video"},
    "country": {"US", "KR", "JP", "UK", "CA", "FR", "DE"},
    "device": {"iOS", "Android"},
    "event_type": {"impression", "click"},
}


def accept(value: bytes, kafka_ms: int) -> tuple[int, dict[str, Any]] | None:
    """Return (event time in microseconds, event), or none for a record that must be rejected."""
    try:
        event = json.loads(value.decode("utf-8"))
    except ValueError:
        return None
    texts = ("event_id", "timestamp", "user_id", "campaign_id", *ALLOWED)
    if not isinstance(event, dict) or any(not isinstance(event.get(name), str) for name in texts):
        return None
    if any(event[name] not in allowed for name, allowed in ALLOWED.items()):
        return None
    revenue = event.get("revenue")
    if not isinstance(revenue, int | float) or not 0 <= revenue <= 1000:
        return None
    if (revenue > 0) != (event["event_type"] == "click"):
        return None
    moment = datetime.fromisoformat(event["timestamp"]).replace(tzinfo=UTC)
    time_us = (
        round(moment.timestamp()) * 1_000_000
        if not moment.microsecond
        else (int(moment.replace(microsecond=0).timestamp()) * 1_000_000 + moment.microsecond)
    )
    return None if time_us > (kafka_ms + 60_000) * 1000 else (time_us, event)


def recount(records: list[tuple[int, int, int, bytes]]) -> tuple[Figures, Figures, int, int]:
    """Return (once, came, accepted, late) of records (Kafka timestamp, partition, offset, value)."""
    once: Figures = defaultdict(lambda: {"event_count": 0, "revenue": 0})
    came: Figures = defaultdict(lambda: {"event_count": 0, "revenue": 0})
    seen: set[tuple[str, int]] = set()
    accepted = late = 0
    for kafka_ms, _, _, value in sorted(records):
        taken = accept(value, kafka_ms)
        if taken is None:
            continue
        time_us, event = taken
        accepted += 1
        late += kafka_ms * 1000 - time_us > 60_000_000
        names = {name: event[name] for name in ("ad_format", "country", "event_type")}
        key = (time_us // 60_000_000 * 60, json.dumps(names, separators=(",", ":")))
        identity = (event["event_id"], time_us // 3_600_000_000)
        for figures in (came, once) if identity not in seen else (came,):
            figures[key]["event_count"] += 1
            figures[key]["revenue"] += round(event["revenue"] * 1_000_000)
        seen.add(identity)
    return once, came, accepted, late


@pytest.mark.parametrize("start", ["2025-12-16T02:00:00", "2025-12-16T02:53:17.5+00:00"])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_tally_equals_a_recount_of_the_bytes(start: str, seed: int) -> None:
    shares = {"malformed": 0.05, "schema_breaking": 0.05, "duplicate": 0.1, "late": 0.1, "future": 0.05}
    plan = parse_plan({"start": start, "seed": seed, "duration": 900, "rate": 20, **shares})
    assert plan.start is not None
    schedule = draw_schedule(plan, round(plan.start.timestamp() * 1e6), 4)
    traffic = generator_for("ad_events").draw(schedule, 99, plan.seed)
    offsets = [0] * 4
    records = []
    for kafka_ms, partition, value in zip(
        schedule.kafka_ms.tolist(),
        schedule.partition.tolist(),
        traffic.values(0, plan.events),
        strict=True,
    ):
        records.append((kafka_ms, partition, offsets[partition], value))
        offsets[partition] += 1
    once, came, accepted, late = recount(records)

    rows = [row for row in traffic.truth() if row.cube == "ad_events"]
    truth = {(int(row.window_start.timestamp()), row.dimensions): row for row in rows}
    assert {key: json.loads(row.came) for key, row in truth.items()} == came
    served = {key: json.loads(row.once) for key, row in truth.items()}
    assert {key: figures for key, figures in served.items() if figures["event_count"]} == once
    assert accepted == int(schedule.accepted.sum())
    assert late == int(schedule.late.sum())
    assert sum(f["event_count"] for f in came.values()) - sum(f["event_count"] for f in once.values()) == int(
        (schedule.kind == Kind.DUPLICATE).sum()
    )


def test_dimensions_are_json_with_sorted_keys() -> None:
    plan = parse_plan({"start": "2025-12-16T02:00:00", "duration": 1})
    schedule = draw_schedule(plan, 1_765_850_400_000_000, 1)
    row = generator_for("ad_events").draw(schedule, 1, 1).truth()[0]
    assert row.dimensions == json.dumps(json.loads(row.dimensions), sort_keys=True, separators=(",", ":"))
    assert list(json.loads(row.came)) == ["event_count", "revenue"]


def test_the_contract_judges_each_record_as_the_generator_meant_it() -> None:
    shares = {"malformed": 0.1, "schema_breaking": 0.1, "duplicate": 0.1, "late": 0.1, "future": 0.1}
    plan = parse_plan({"start": "2025-12-16T02:00:00", "duration": 200, "rate": 20, **shares})
    schedule = draw_schedule(plan, 1_765_850_400_000_000, 4)
    traffic = generator_for("ad_events").draw(schedule, 99, plan.seed)
    classifier = Classifier(load_contract("ad_events"))
    reasons = {Kind.MALFORMED: "malformed", Kind.SCHEMA_BREAKING: "schema", Kind.FUTURE: "future"}
    for value, kafka_ms, kind in zip(
        traffic.values(0, plan.events), schedule.kafka_ms.tolist(), schedule.kind.tolist(), strict=True
    ):
        judged = classifier.classify(value, kafka_ms)
        reason = judged.reason if isinstance(judged, Reject) else None
        assert reason == reasons.get(Kind(kind)), f"{Kind(kind).name}: {judged} for {value!r}"
