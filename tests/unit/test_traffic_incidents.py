"""Calm traffic fires nothing; each incident fires what it says, and nothing else, by the rules of the detectors."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import fmean, stdev

import pytest

from include.traffic import Eventful, generator_for
from include.traffic.incidents import ExpectedAlert, facts_of
from include.traffic.plan import PlanError, parse_plan
from include.traffic.schedule import Schedule, draw_schedule
from include.traffic.shapes import INCIDENTS, SHAPES
from include.traffic.view_truth import Row, SeenEvent, seen, view_rows

BUSIEST = "2025-12-16T18:45:30Z"
SHARES = {"malformed": 0.01, "schema_breaking": 0.01, "duplicate": 0.02, "late": 0.02, "future": 0.01}
OF = {name: stream for stream, shape in SHAPES.items() for name in shape.incidents}


def run(stream: str, **values: object) -> tuple[Schedule, list[SeenEvent], list[ExpectedAlert]]:
    """Return the schedule, the events as they come, and the alerts that the traffic says must follow."""
    plan = parse_plan({"stream": stream, "start": BUSIEST, "seed": 5} | values)
    assert plan.start is not None
    schedule = draw_schedule(plan, round(plan.start.timestamp() * 1e6), 2)
    traffic = generator_for(stream).draw(schedule, 1, plan.seed)
    assert isinstance(traffic, Eventful)
    facts = traffic.incident_facts
    assert (facts is None) == (not plan.incident)
    return schedule, seen(stream, traffic.accepted()), list(facts.alerts) if facts else []


def fired(stream: str, events: list[SeenEvent]) -> Iterator[tuple[str, datetime, str]]:
    """Yield (detector, window start, subject) of each rule of requirements.md 1.4 that the events meet."""
    if stream == "user_events":
        for row in view_rows("busy_users", events):
            yield "busy_user", row["window_start"], row["user_id"]
        for row in view_rows("late_events", events):
            if row["late_event_count"] > 5:
                yield "late_user", row["window_start"], row["user_id"]
        return
    for row in view_rows("ip_patterns", events):
        if row["request_count"] > 1000 and row["services_used"] > 5:
            yield "suspicious_ip", row["window_start"], row["ip_address"]
    yield from attacks(events)
    yield from spikes(view_rows("error_rates", events))


def attacks(events: list[SeenEvent]) -> Iterator[tuple[str, datetime, str]]:
    minutes: dict[tuple[int, str], list[str]] = {}
    for event in events:
        if event.fields["ip_address"]:
            key = event.event_us // 60_000_000 * 60, event.fields["ip_address"]
            minutes.setdefault(key, []).append(event.fields["user_id"])
    for (minute, address), users in minutes.items():
        if len(users) > 100 and len({user for user in users if user}) < 5:
            yield "ddos", datetime.fromtimestamp(minute, UTC), address


def spikes(rows: list[Row]) -> Iterator[tuple[str, datetime, str]]:
    rates = {(row["service"], row["window_start"]): row for row in rows}
    for (service, minute), row in rates.items():
        before = rates.get((service, minute - timedelta(minutes=1)))
        if before and row["total_requests"] >= 20 and row["error_rate"] - before["error_rate"] > 10:
            yield "error_rate_spike", minute, service


def scores(events: list[SeenEvent]) -> dict[tuple[str, datetime], float]:
    """Return z of each service and minute that can be judged."""
    averages = {
        (row["service"], row["window_start"]): float(row["avg_response_time"])
        for row in view_rows("response_times", events)
        if row["avg_response_time"] is not None
    }
    found = {}
    for (service, minute), average in averages.items():
        minutes = (minute - timedelta(minutes=back) for back in range(1, 11))
        before = [averages[service, m] for m in minutes if (service, m) in averages]
        if len(before) >= 3:
            found[service, minute] = (average - fmean(before)) / stdev(before)
    return found


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("stream", ["user_events", "logs"])
def test_half_an_hour_of_calm_traffic_at_the_typical_load_fires_nothing(stream: str, seed: int) -> None:
    _, events, _ = run(stream, duration=1800, seed=seed, **SHARES)
    assert list(fired(stream, events)) == []


def test_short_runs_one_after_the_other_fire_nothing() -> None:
    for stream in ("user_events", "logs"):
        events = []
        for number in range(0, 300, 2):
            start = datetime(2025, 12, 16, 18, 45, 30, tzinfo=UTC) + timedelta(seconds=number)
            events += run(stream, duration=2, seed=number, start=start, duplicate=0.02)[1]
        assert list(fired(stream, events)) == []


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("incident", INCIDENTS)
def test_an_incident_fires_the_alerts_that_it_names_and_no_other(incident: str, seed: int) -> None:
    stream = OF[incident]
    duration = 1200 if incident == "offline_phone" else 600
    shares = SHARES | {"late": 0.02 if duration >= 602 else 0}
    schedule, events, alerts = run(stream, incident=incident, duration=duration, seed=seed, **shares)
    expected = sorted((a.detector, a.window_start, a.subject) for a in alerts)
    if incident == "slow_service":
        z = scores(events)[alerts[0].subject, alerts[0].window_start]
        assert (alerts[0].detector, len(alerts)) == ("response_time_anomaly", 1)
        assert z > 10, f"{alerts[0]} has z {z:.1f}"
        expected = []
    assert sorted(fired(stream, events)) == expected
    assert expected or incident == "slow_service"
    minute = datetime.fromtimestamp(schedule.incident_us / 1e6, UTC)
    assert all(alert.window_start <= minute < alert.window_end for alert in alerts)
    assert schedule.size == round(SHAPES[stream].rate * duration) + SHAPES[stream].incidents[incident].extra


def test_events_of_an_offline_phone_come_15_minutes_late_within_one_minute() -> None:
    schedule, events, alerts = run("user_events", incident="offline_phone", duration=1200)
    late = [event for event in events if event.late]
    assert {event.fields["user_id"] for event in late} == {alerts[0].subject}
    assert len(late) == 12
    assert {event.kafka_ms // 60_000 for event in late} == {schedule.incident_us // 60_000_000}
    delays = [event.kafka_ms - event.event_us // 1000 for event in late]
    assert min(delays) >= 900_000
    assert max(delays) <= 900_001
    assert min(event.event_us for event in late) >= schedule.slot_us[0]


def test_a_calm_minute_has_the_scores_of_chance() -> None:
    _, events, _ = run("logs", duration=2400)
    z = [abs(score) for score in scores(events).values()]
    assert 0.03 < sum(score > 2 for score in z) / len(z) < 0.18


def test_every_window_that_holds_the_minute_is_named() -> None:
    minute_us = 1_765_850_400_000_000 + 15 * 60_000_000
    facts = facts_of("user_events", "wild_user", minute_us, "u", {"busy_user": (300, 120)})
    assert [f"{a.window_start:%H:%M}-{a.window_end:%H:%M}" for a in facts.alerts] == [
        "02:14-02:19",
        "02:12-02:17",
    ]
    even = facts_of("user_events", "wild_user", minute_us - 60_000_000, "u", {"busy_user": (300, 120)})
    assert [f"{a.window_start:%H:%M}" for a in even.alerts] == ["02:14", "02:12", "02:10"]
    assert facts.as_dict()["alerts"][0]["window_start"] == "2025-12-16T02:14:00+00:00"


@pytest.mark.parametrize("seconds", [0, 7, 59])
@pytest.mark.parametrize("incident", INCIDENTS)
def test_the_shortest_run_holds_the_whole_minute_wherever_it_begins(incident: str, seconds: int) -> None:
    start = f"2025-12-16T02:00:{seconds:02}.25Z"
    with pytest.raises(PlanError, match="needs a run of at least") as refused:
        parse_plan({"stream": OF[incident], "incident": incident, "start": start, "duration": 1})
    shortest = int(str(refused.value).split("at least ")[1].split(" s")[0])
    schedule, _, _ = run(OF[incident], incident=incident, start=start, duration=shortest, rate=5)
    begin_us = int(schedule.slot_us[0])
    history = SHAPES[OF[incident]].incidents[incident].history_minutes * 60_000_000
    assert begin_us + history <= schedule.incident_us
    assert schedule.incident_us + 60_000_000 <= begin_us + shortest * 1_000_000


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"stream": "logs", "incident": "wild_user"}, "the stream logs has only ddos, error_burst, "),
        ({"stream": "ad_events", "incident": "ddos"}, "the stream ad_events has no incidents"),
        ({"stream": "logs", "incident": "flood"}, "incident = 'flood'"),
    ],
)
def test_an_incident_that_the_stream_does_not_have_is_refused(values: dict[str, object], named: str) -> None:
    with pytest.raises(PlanError) as refused:
        parse_plan(values | {"duration": 3600})
    assert named in str(refused.value)


def test_no_incident_is_a_calm_run() -> None:
    assert parse_plan({"stream": "logs", "incident": None}).incident == ""


def test_the_form_offers_every_incident() -> None:
    tree = ast.parse(Path("dags/demo/generate_traffic.py").read_text())
    offered = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "INCIDENTS"
    )
    assert sorted(offered) == sorted(["", *INCIDENTS])
