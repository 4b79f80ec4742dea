"""The generator's promises on a seeded plan: mix, shares, repeatability, refusals."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

import include.traffic
from include.traffic import Traffic, UnknownGeneratorError, generator_for
from include.traffic.ad_events import AdEvents, break_schema
from include.traffic.faults import Kind, malform
from include.traffic.plan import PlanError, TrafficPlan, parse_plan
from include.traffic.run import check_stretch
from include.traffic.schedule import Schedule, draw_schedule

START = "2025-12-16T02:00:00Z"
SHARES = {"malformed": 0.01, "schema_breaking": 0.02, "duplicate": 0.03, "late": 0.04, "future": 0.05}


def drawn(run_number: int = 7, **values: object) -> tuple[TrafficPlan, Schedule, Traffic]:
    plan = parse_plan({"start": START, "seed": 11} | values)
    assert plan.start is not None
    schedule = draw_schedule(plan, round(plan.start.timestamp() * 1e6), 4)
    return plan, schedule, generator_for(plan.stream).draw(schedule, run_number, plan.seed)


def events_of(traffic: Traffic, count: int) -> list[dict[str, object]]:
    return [json.loads(value) for value in traffic.values(0, count)]


def test_a_minute_holds_the_impressions_that_are_promised_per_country_and_format() -> None:
    plan, _, traffic = drawn(duration=600)
    cells = Counter(
        (str(e["timestamp"])[:16], e["country"], e["ad_format"])
        for e in events_of(traffic, plan.events)
        if e["event_type"] == "impression"
    )
    assert len(cells) == 10 * 21
    for (minute, country, ad_format), count in cells.items():
        low, high = (200, 400) if country in ("US", "KR", "JP") else (150, 200)
        assert low <= count <= high, f"{minute} {country} {ad_format}: {count} not in {low}..{high}"


def test_prices_click_rates_and_the_ratio_of_revenues_are_as_promised() -> None:
    plan, _, traffic = drawn(duration=3600)
    revenue, clicks, shown, prices = Counter(), Counter(), Counter(), []
    for event in events_of(traffic, plan.events):
        ad_format, earned = str(event["ad_format"]), float(str(event["revenue"]))
        if event["event_type"] == "click":
            prices.append(earned)
            clicks[ad_format] += 1
            revenue[ad_format] += round(earned * 1e6)
        else:
            assert earned == 0, event
            shown[ad_format] += 1
    rate = {ad_format: clicks[ad_format] / shown[ad_format] for ad_format in shown}
    usual = sum(0.03 <= price <= 0.05 for price in prices) / len(prices)
    assert min(prices) >= 0.01
    assert max(prices) <= 0.10
    assert usual > 0.8, f"only {usual:.2f} of the clicks earn 0.03 to 0.05"
    assert rate["banner"] < 0.03 < rate["interstitial"] < 0.06 < rate["rewarded_video"], rate
    ratio = revenue["rewarded_video"] / revenue["banner"]
    assert 4.5 <= ratio <= 5.5, f"rewarded_video earns {ratio:.2f} times a banner"


def test_each_fault_has_its_share_of_all_records() -> None:
    plan, schedule, _ = drawn(duration=600, **SHARES)
    for kind, share in {
        Kind.MALFORMED: 0.01,
        Kind.SCHEMA_BREAKING: 0.02,
        Kind.DUPLICATE: 0.03,
        Kind.LATE: 0.04,
        Kind.FUTURE: 0.05,
    }.items():
        assert int((schedule.kind == kind).sum()) == round(share * plan.events), kind.name
    assert schedule.slot_us.size == plan.events == 82 * 600


def test_times_of_late_and_future_records_keep_their_distances() -> None:
    _, schedule, _ = drawn(duration=3600, **SHARES)
    behind = (schedule.slot_us - schedule.event_us) / 1e6
    late, future = behind[schedule.kind == Kind.LATE], -behind[schedule.kind == Kind.FUTURE]
    assert late.min() >= 61
    assert late.max() <= 900
    assert future.min() >= 120
    assert future.max() <= 7200
    assert schedule.event_us.min() >= schedule.slot_us[0], "an event lies before the run's first event"
    assert (behind[schedule.kind == Kind.PLAIN] == 0).all()


def test_late_events_of_live_traffic_may_lie_before_its_start() -> None:
    plan = TrafficPlan(duration=60, late=0.01)
    schedule = draw_schedule(plan, 1_765_850_400_000_000, 4)
    assert int(schedule.late.sum()) == round(0.01 * plan.events)


def test_duplicates_follow_their_original_within_its_event_hour() -> None:
    _, schedule, _ = drawn(duration=7200, start="2025-12-16T02:30:00", **SHARES)
    copies = np.flatnonzero(schedule.kind == Kind.DUPLICATE)
    originals = schedule.identity[copies]
    hour = 3_600_000_000
    assert (schedule.kind[originals] <= Kind.LATE).all()
    assert (schedule.kafka_ms[copies] > schedule.kafka_ms[originals]).all()
    assert (schedule.event_us[copies] // hour == schedule.event_us[originals] // hour).all()
    elsewhere = (schedule.partition[copies] != schedule.partition[originals]).mean()
    changed = (schedule.content[copies] == copies).mean()
    assert 0.2 < elsewhere < 0.6, elsewhere
    assert 0.05 < changed < 0.15, changed


def test_kafka_timestamps_never_go_back_and_every_partition_is_used() -> None:
    _, schedule, _ = drawn(duration=60)
    assert (np.diff(schedule.kafka_ms) >= 0).all()
    assert np.bincount(schedule.partition).min() > 1000


def test_the_same_seed_gives_the_same_bytes_but_for_the_run_in_the_ids() -> None:
    plan, schedule, traffic = drawn(duration=300, **SHARES)
    _, again, same = drawn(duration=300, **SHARES)
    _, _, other_run = drawn(run_number=8, duration=300, **SHARES)
    _, _, other_seed = drawn(seed=12, duration=300, **SHARES)
    values = traffic.values(0, plan.events)
    assert values == same.values(0, plan.events)
    assert (schedule.partition == again.partition).all()
    assert values != other_seed.values(0, plan.events)
    whole = [i for i, kind in enumerate(schedule.kind) if kind != Kind.MALFORMED]
    renamed = other_run.values(0, plan.events)
    assert [values[i].replace(b"E0000000007", b"E0000000008") for i in whole] == [renamed[i] for i in whole]
    assert traffic.truth() == other_run.truth()


def test_chunks_of_any_size_hold_the_same_values() -> None:
    plan, _, traffic = drawn(duration=122, rate=10, **SHARES)
    by_seven = [v for i in range(0, plan.events, 7) for v in traffic.values(i, min(i + 7, plan.events))]
    assert by_seven == traffic.values(0, plan.events)


@pytest.mark.parametrize("flavour", range(60))
def test_a_malformed_value_is_never_one_whole_object(flavour: int) -> None:
    _, _, traffic = drawn(duration=1)
    damaged = malform(traffic.values(0, 1)[0], flavour)
    with contextlib.suppress(ValueError):
        assert not isinstance(json.loads(damaged.decode("utf-8")), dict), damaged


@pytest.mark.parametrize("flavour", range(50))
def test_a_schema_breaking_value_is_an_object_that_breaks_one_rule(flavour: int) -> None:
    _, _, traffic = drawn(duration=1)
    assert isinstance(traffic, AdEvents)
    event = json.loads(break_schema(traffic.values(0, 1)[0], flavour))
    broken = (
        len(event) == 8
        or isinstance(event["revenue"], str)
        or event["country"] == "ZZ"
        or (event["event_type"] == "click" and event["revenue"] in (0, 5000))
    )
    assert broken, event


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"rate": 0}, "rate = 0"),
        ({"duration": "long"}, "duration = 'long'"),
        ({"late": 0.6}, "late = 0.6"),
        ({"seed": -1}, "seed = -1"),
        ({"start": "yesterday"}, "start = 'yesterday'"),
        ({"speed": 3}, "speed = 3"),
        ({"rate": 100_000, "duration": 3600}, "rate 100000/s for duration 3600 s is 360,000,000 records"),
        ({"malformed": 0.5, "future": 0.5}, "add up to 1"),
        ({"start": START, "duration": 60, "late": 0.01}, "duration is 60"),
    ],
)
def test_a_wrong_plan_is_refused_in_one_line_with_name_and_value(
    values: dict[str, object], named: str
) -> None:
    with pytest.raises(PlanError) as refused:
        parse_plan(values)
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_replay_outside_of_what_the_topic_can_hold_is_refused() -> None:
    plan, week = parse_plan({"start": START, "duration": 3600}), 7 * 86_400_000
    check_stretch(plan, week, datetime(2025, 12, 16, 4, tzinfo=UTC))
    with pytest.raises(PlanError, match="ends in the future"):
        check_stretch(plan, week, datetime(2025, 12, 16, 2, 30, tzinfo=UTC))
    with pytest.raises(PlanError, match="keeps 168 hours"):
        check_stretch(plan, week, datetime(2025, 12, 30, tzinfo=UTC))


def test_a_stream_without_a_generator_is_refused_by_name() -> None:
    for stream in ("nothing", "plan"):
        with pytest.raises(UnknownGeneratorError, match=f"'{stream}'"):
            generator_for(stream)


def test_a_further_stream_brings_its_generator_as_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fourth_stream.py").write_text("def draw(schedule, run_number, seed): return seed\n")
    monkeypatch.setattr(include.traffic, "__path__", [*include.traffic.__path__, str(tmp_path)])
    _, schedule, _ = drawn(duration=1)
    assert generator_for("fourth_stream").draw(schedule, 1, 5) == 5
