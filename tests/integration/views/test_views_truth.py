"""Every view against the plain truth of the same events: as they came, and once their hours are sealed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.contracts import Contract, load_contract, load_contracts
from include.contracts.classifier import Event
from include.traffic.view_truth import VIEWS, SeenEvent, counted_once, view_rows
from include.traffic.view_truth.compare import differences, same
from tests.helpers import Record, add_event
from tests.views import HOUR, Desk, text

START = HOUR + timedelta(minutes=48)
STREAM_OF = {
    **dict.fromkeys(
        ("user_activity", "action_metrics", "user_totals", "busy_users", "late_events"), "user_events"
    ),
    "ad_events_aggregated": "ad_events",
}


def happening(stream: str, rng: random.Random) -> tuple[float, dict[str, Any]]:
    """Return the second after START at which something happens, and its fields as the classifier gives them."""
    second = rng.choice([rng.uniform(0, 1500), rng.uniform(600, 800), rng.randrange(50) * 30.0])
    who = rng.choice(["u1", "u1", "u1", "u1", "u2", "u3"])
    if stream == "ad_events":
        kind = rng.choice(["click", "impression"])
        money = rng.randrange(1, 100_000) if kind == "click" else 0
        return second, {
            "event_type": kind,
            "country": rng.choice(["US", "KR"]),
            "ad_format": "banner",
            "revenue": money,
        }
    if stream == "user_events":
        action = rng.choice(["view", "click", "purchase"])
        return second, {"user_id": who, "action": action, "value": rng.randrange(10**7)}
    time = rng.choice([None, rng.randrange(3_000_000), 1_000_000])
    return second, {
        "service": rng.choice(["api", "search"]),
        "status_code": rng.choice([200, 200, 201, 404, 500]),
        "response_time": time,
        "user_id": rng.choice([who, ""]),
        "ip_address": rng.choice(["10.0.0.1", "::1", ""]),
    }


def happened(stream: str, rng: random.Random, count: int) -> list[SeenEvent]:
    """Return events in order of their arrival, some late, some early, some twice."""
    lateness = load_contract(stream).lateness_seconds
    events = []
    for _ in range(count):
        second, fields = happening(stream, rng)
        event_us = round((START.timestamp() + second) * 1e6)
        for copy in range(rng.choice([1, 1, 1, 2])):
            delay = rng.choice([0.0004, 0.25, 12.0, 31.0, 700.0, -0.3]) + copy
            kafka_ms = (event_us + round(delay * 1e6)) // 1000
            late = kafka_ms * 1000 - event_us > lateness * 1_000_000
            events.append(SeenEvent(stream, event_us, kafka_ms, copy == 0, late, fields))
    return sorted(events, key=lambda event: event.kafka_ms)


def cells(
    contract: Contract, events: Iterable[tuple[int, SeenEvent]]
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield cube, pane and figures of events, each with its offset."""
    for cube in contract.cubes:
        found: dict[tuple[Any, ...], list[int]] = {}
        for offset, event in events:
            if event.late or not cube.only:
                record = Record(None, 0, offset, event.kafka_ms)
                add_event(contract, cube, found, Event(event.event_us, event.fields), record)
        for (pane, *dimensions), figures in found.items():
            named = dict(zip(cube.dimensions, dimensions, strict=True))
            if "arrived" in named:
                named["arrived"] = datetime.fromtimestamp(named["arrived"], UTC)
            moment = datetime.fromtimestamp(pane, UTC)
            names = [measure.name for measure in cube.measures]
            yield cube.name, f"{moment:%H:%M:%S}", named | dict(zip(names, figures, strict=True))


def assert_true(desk: Desk, events: dict[str, list[SeenEvent]], status: str) -> None:
    for view in VIEWS:
        streams = list(events) if view == "arrival_delay" else [STREAM_OF.get(view, "logs")]
        expected = [row for stream in streams for row in view_rows(view, events[stream])]
        assert expected, f"the events show nothing of {view}"
        served = desk.served(view)
        for row in served:
            for name in ("window_start", "window_end"):
                row[name] = datetime.fromisoformat(row[name]).replace(tzinfo=UTC)
        wrong = differences(expected, served)
        assert not wrong, f"{view}:\n" + "\n".join(wrong)
        assert {row["status"] for row in served} == {status}, view


def test_the_views_say_what_the_events_say(desk: Desk) -> None:
    rng = random.Random(1)
    events = {c.stream: happened(c.stream, rng, 150) for c in load_contracts()}
    for contract in load_contracts():
        numbered = list(enumerate(events[contract.stream]))
        for batch in range(3):
            for cube, pane, figures in cells(contract, numbered[batch::3]):
                desk.came(cube, pane, batch, **figures)
    assert_true(desk, events, "provisional")
    for contract in load_contracts():
        once = [(offset, e) for offset, e in enumerate(events[contract.stream]) if e.once]
        for cube, pane, figures in cells(contract, once):
            desk.sealed(cube, pane, frontier=2, **figures)
        desk.certified(contract.stream, text(HOUR)[11:], "11:00:00", frontier=2)
    assert_true(desk, {stream: counted_once(found) for stream, found in events.items()}, "sealed")


@pytest.mark.parametrize(
    "delays",
    [
        [0.0],
        [0.0004],
        [-30.5],
        [0.9995],
        [29.99],
        [30.0],
        [30.079],
        [59.99],
        [300.5],
        [1, 299.9],
        [95.678, 2990],
    ],
)
def test_the_event_at_p99_is_within_the_recommended_lateness(desk: Desk, delays: list[float]) -> None:
    contract = load_contract("ad_events")
    (arrival,) = (cube for cube in contract.cubes if cube.arrival_seconds)
    kafka_ms = round(START.timestamp()) * 1000
    events = [
        SeenEvent(
            contract.stream, kafka_ms * 1000 - round(delays[n % len(delays)] * 1e6), kafka_ms, True, False, {}
        )
        for n in range(100)
    ]
    only = contract.model_copy(update={"cubes": (arrival,)})
    for cube, pane, figures in cells(only, list(enumerate(events))):
        desk.came(cube, pane, **figures)
    (served,) = desk.served("arrival_delay")
    (expected,) = view_rows("arrival_delay", events)
    assert same(expected["recommended_lateness"], served["recommended_lateness"]), (expected, served)
