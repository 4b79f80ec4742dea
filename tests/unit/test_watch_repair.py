"""What is done about a verdict: budget, giving up, and which streams one launch takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from include.spark.orders import Order
from include.watch.repair import BUDGET, decide, relaunches, to_end
from include.watch.report import StreamUnhealthyError, closed_keys, describe, incidents
from include.watch.types import (
    DOUBLED,
    END_OLDER,
    GAVE_UP,
    GONE,
    HEALTHY,
    NONE,
    RELAUNCH,
    SLOW,
    STALLED,
    Check,
    Judgement,
    Mismatch,
    Observation,
)

NOW = 1_790_000_000_000
HELPS = {GONE, STALLED}


def order(stream: str = "s", **changes: Any) -> Order:
    plain = Order(
        stream=stream,
        kind="launch",
        by="launch_stream",
        at=NOW - 9_000_000,
        streams=("s", "t"),
        trigger_seconds=2.0,
        max_offsets=1000,
        start="2026-01-01T00:00:00Z",
    )
    return replace(plain, **changes)


def decided(verdict: str, stream: str = "s", ends: tuple[str, ...] = (), **changes: Any) -> Check:
    observed = Observation(stream=stream, at=NOW, **{"order": order(stream), **changes})
    return decide(
        observed, Judgement(verdict=verdict, reason="why", ends=ends, relaunch_helps=verdict in HELPS)
    )


@pytest.mark.parametrize("verdict", [GONE, STALLED])
@pytest.mark.parametrize("spent", range(BUDGET + 2))
def test_a_relaunch_is_ordered_until_the_budget_is_spent(verdict: str, spent: int) -> None:
    check = decided(verdict, relaunches=spent)
    assert check.action == (RELAUNCH if spent < BUDGET else GAVE_UP)
    assert (f"relaunch {spent + 1} of {BUDGET}" if spent < BUDGET else "gave up") in check.note


def test_giving_up_holds_though_the_window_has_passed() -> None:
    check = decided(GONE, relaunches=0, gave_up_at=NOW - 3_600_000)
    assert check.action == GAVE_UP
    assert "60 min ago; a launch by a person clears it" in check.note


def test_a_healthy_stream_says_that_its_repair_is_off() -> None:
    check = decided(HEALTHY, gave_up_at=NOW - 60_000)
    assert (check.action, check.ok) == (NONE, True)
    assert "no repair by itself" in check.note


def test_what_nobody_ordered_is_not_launched() -> None:
    check = decided(GONE, order=None)
    assert (check.action, check.ok) == (NONE, False)


@pytest.mark.parametrize("verdict", [HEALTHY, SLOW])
def test_what_a_relaunch_does_not_help_is_left_alone(verdict: str) -> None:
    assert decided(verdict).action == NONE


def test_of_a_doubled_stream_the_older_driver_is_ended_and_nothing_launched() -> None:
    check = decided(DOUBLED, ends=("driver-1",))
    assert check.action == END_OLDER
    assert to_end([check, decided(HEALTHY, "t")]) == ("driver-1",)
    assert relaunches([check]) == []


def test_streams_that_were_launched_together_share_a_driver_again() -> None:
    (launch,) = relaunches([decided(GONE, "t"), decided(GONE, "s"), decided(HEALTHY, "u")])
    assert launch.streams == ("s", "t")
    assert (launch.trigger_seconds, launch.max_offsets, launch.start) == (2.0, 1000, "2026-01-01T00:00:00Z")
    assert not launch.force


def test_streams_of_other_orders_have_launches_of_their_own() -> None:
    found = relaunches([decided(GONE, "s"), decided(GONE, "t", order=order("t", max_offsets=2000))])
    assert [launch.streams for launch in found] == [("s",), ("t",)]


def test_a_stalled_stream_is_launched_although_its_driver_says_that_it_runs() -> None:
    (launch,) = relaunches([decided(STALLED, "s"), decided(HEALTHY, "t")])
    assert (launch.streams, launch.force) == (("s",), True)


def test_a_stream_with_a_ledger_goes_on_where_it_ends() -> None:
    (launch,) = relaunches([decided(GONE, batch=1 << 40)])
    assert launch.start == ""


def test_an_incident_names_stream_verdict_figures_and_what_to_do() -> None:
    check = decided(GONE, relaunches=BUDGET, ends=(), frontiers={0: 90}, commit_seconds=77.0)
    check = replace(check, seen=replace(check.seen, ends={0: 100}))
    (incident,) = incidents([check, decided(HEALTHY, "t")])
    assert (incident.key, incident.severity) == ("gave_up:s", "critical")
    assert incident.title == "s is gone, and is not relaunched any more"
    for part in ("why", "gave up", "last commit 77 s ago", "lag 10 (0: 10)", "trigger launch_stream"):
        assert part in incident.message, incident.message
    assert str(StreamUnhealthyError([incident])).startswith(incident.title)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(119.0, "119 s ago"), (120.0, "2 min ago"), (7199.0, "119 min ago"), (13_896.0, "3 h 51 min ago")],
)
def test_an_age_is_said_in_the_unit_that_a_person_reads(seconds: float, said: str) -> None:
    assert f"last commit {said} ·" in describe(decided(HEALTHY, commit_seconds=seconds))


def test_an_outage_and_giving_it_up_are_two_incidents() -> None:
    keys = [incidents([decided(GONE, relaunches=spent)])[0].key for spent in (1, 2, BUDGET)]
    assert keys == ["stream:s", "stream:s", "gave_up:s"]


def test_a_mismatch_is_an_incident_beside_a_healthy_stream() -> None:
    wrong = Mismatch(cube="c", hour="2026-01-01T00:00Z", batches=((1 << 40) + 1,), ledger=5, served=4)
    check = decided(HEALTHY, mismatches=(wrong,))
    (incident,) = incidents([check])
    assert incident.key == "deltas:s"
    assert "served 4 events, the ledger 5" in incident.message
    assert "reconcile_hour" in incident.message
    assert closed_keys([check]) == ["stream:s", "gave_up:s"]
    assert closed_keys([decided(HEALTHY)]) == ["stream:s", "gave_up:s", "deltas:s"]
    assert closed_keys([decided(GONE)]) == ["deltas:s"]
