"""What the random faults hold the served figures against: each identity once, late cubes, places, minima."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
import pytest

from include.contracts import load_contract
from tests.prove.truth import Truth

HOUR = datetime(2026, 1, 1, 5, tzinfo=UTC)
START_MS = int(HOUR.timestamp() * 1000)
Found = dict[str, list[tuple[dict[str, object], object]]]


def learned(stream: str, *partitions: list[tuple[bytes, int]]) -> Found:
    """Learn records of (value, Kafka timestamp) and return by cube the cells of HOUR: dimensions and figures."""
    truth = Truth(load_contract(stream))
    for end in (1, None):  # in two steps, as the rounds do
        truth.learn({number: records[:end] for number, records in enumerate(partitions)})
    found: Found = {}
    for (_, cube, keys), (status, figures) in truth.cells(HOUR).items():
        assert status == "sealed"
        found.setdefault(str(cube), []).append((json.loads(str(keys)), figures))
    return found


def user_event(second: float, value: float, **changes: object) -> bytes:
    event = {"timestamp": START_MS + int(second * 1000), "user_id": "u", "action": "view", "value": value}
    return msgspec.json.encode(event | {"session_id": "s"} | changes)


def log_line(**changes: object) -> bytes:
    return msgspec.json.encode(
        {"timestamp": "2026-01-01T05:00:01Z", "service": "cart", "status_code": 200} | changes
    )


def test_of_copies_the_first_to_arrive_counts_wherever_it_lies_and_whenever_it_is_learned() -> None:
    late, early = (user_event(1, 7.0), START_MS + 9_000), (user_event(1, 5.0), START_MS + 2_000)
    other = (user_event(40, 1.0), START_MS + 50_000)
    for order in ([late, early, other], [early, other, late]):
        found = learned("user_events", [order[0]], [order[1], order[2]])
        ((_, figures),) = found["user_minutes"]
        assert figures == {
            "event_count": 2,
            "value": 6_000_000,
            "value_min": 1_000_000,
            "value_max": 5_000_000,
        }


def test_events_of_one_user_and_moment_in_two_places_are_one_cell() -> None:
    first, second = user_event(1, 5.0), user_event(1, 2.0, session_id="t")
    found = learned("user_events", [(first, START_MS + 2_000)], [(second, START_MS + 2_000)])
    key = {"action": "view", "event_us": (START_MS + 1_000) * 1000, "user_id": "u"}
    assert found["user_actions"] == [(key, {"event_count": 2, "value": 7_000_000})]


def test_a_late_cube_holds_late_events_alone() -> None:
    assert "user_late" not in learned("user_events", [(user_event(1, 5.0), START_MS + 300_000)])
    found = learned("user_events", [(user_event(1, 5.0), START_MS + 301_001)])
    ((_, figures),) = found["user_late"]
    assert figures == {"event_count": 1, "earliest_us": (START_MS + 1_000) * 1000}


@pytest.mark.parametrize(("changes", "counted"), [({"request_id": "r"}, 1), ({}, 2), ({"request_id": ""}, 2)])
def test_every_copy_without_an_identity_counts(changes: dict[str, object], counted: int) -> None:
    record = (log_line(**changes), START_MS + 2_000)
    ((_, figures),) = learned("logs", [record, record])["log_access"]
    assert figures == {"request_count": counted, "timed_count": 0, "response_time": 0}


def test_what_the_contract_refuses_and_what_lies_in_another_hour_is_not_of_the_hour() -> None:
    wrong, before = user_event(1, -1.0), user_event(-1, 5.0)
    assert learned("user_events", [(wrong, START_MS + 2_000), (before, START_MS)]) == {}
