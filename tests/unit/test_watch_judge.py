"""The verdict on a stream, from crafted observations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from include.spark.heartbeats import Heartbeat
from include.spark.orders import Order
from include.watch.deltas import differences
from include.watch.judge import LAUNCH_SECONDS, OUTAGE_SECONDS, SLOW_SECONDS, STALLED_SECONDS, judge
from include.watch.measure import freshness, slow_seconds
from include.watch.store import Past
from include.watch.types import Carrier, Observation

NOW = 1_790_000_000_000
LONG_AGO = NOW - 7_200_000


def order(kind: str = "launch") -> Order:
    return Order(stream="s", kind=kind, by=f"{kind}_stream", at=LONG_AGO, streams=("s",))


def beat(age: float = 2.0, state: str = "running", generation: int = 5, detail: str = "") -> Heartbeat:
    return Heartbeat("s", NOW - int(age * 1000), "l5", generation, state, 9, 0, detail)


def carrier(**changes: Any) -> Carrier:
    plain = Carrier(
        driver="driver-1",
        state="RUNNING",
        launch="l5",
        streams=frozenset({"s"}),
        generation=5,
        said="running",
    )
    return replace(plain, **changes)


def seen(**changes: Any) -> Observation:
    """A healthy, idle stream, with changes."""
    idle = Observation(
        stream="s",
        at=NOW,
        order=order(),
        launched_at=LONG_AGO,
        beat=beat(),
        carriers=(carrier(),),
        applications=1,
        frontiers={0: 100, 1: 100},
        ends={0: 100, 1: 100},
        commit_seconds=3600.0,
        freshness_seconds=0.0,
        generation_seconds=900.0,
        running_seconds=900.0,
    )
    return replace(idle, **changes)


ABSENT: dict[str, Any] = {"carriers": (), "applications": 0}
LAGGING: dict[str, Any] = {"ends": {0: 200, 1: 100}}


@pytest.mark.parametrize(
    ("verdict", "why", "changes"),
    [
        ("healthy", "nothing waits", {}),
        ("healthy", "100 offsets behind", {**LAGGING, "waiting_seconds": 1.0, "freshness_seconds": 1.0}),
        ("healthy", "the application alone is seen", {"carriers": ()}),
        ("healthy", "its worker's page cannot be read", {**ABSENT, "unnamed_drivers": 1}),
        ("slow", "without a commit for 60 s", {**LAGGING, "waiting_seconds": 60.0}),
        ("slow", "60 s or more behind", {**LAGGING, "waiting_seconds": 1.0, "freshness_seconds": 60.0}),
        ("slow", "is starting", {"beat": beat(state="starting"), "generation_seconds": 20.0}),
        ("slow", "may be started again", {"beat": beat(OUTAGE_SECONDS - 1)}),
        ("slow", "launched 20 s ago", {**ABSENT, "beat": beat(500), "launched_at": NOW - 20_000}),
        ("slow", "waits for a worker", {**ABSENT, "beat": beat(30), "unnamed_drivers": 1}),
        ("slow", "starting again", {"beat": beat(80), "starting_seconds": 3.0}),
        ("slow", "came back less than", {"beat": beat(300), "grace_seconds": 10.0}),
        (
            "slow",
            "takes over",
            {"carriers": (carrier(), carrier(driver="d2", generation=6, said="starting"))},
        ),
        ("stalled", "it hangs", {"beat": beat(OUTAGE_SECONDS + 1)}),
        ("stalled", "it hangs", {"beat": beat(LAUNCH_SECONDS + 1), "starting_seconds": 3.0}),
        ("stalled", "nothing was committed for 90 s", {**LAGGING, "waiting_seconds": STALLED_SECONDS}),
        ("stalled", "starting for 200 s", {"beat": beat(state="starting"), "generation_seconds": 200.0}),
        (
            "stalled",
            "3 restarts without a commit, last: no such column",
            {"restarts": 3, "running_seconds": 2.0, "beat": beat(detail="no such column")},
        ),
        ("healthy", "restarted, and runs since", {"restarts": 3, "running_seconds": 70.0}),
        ("gone", "lists no driver", {**ABSENT, "beat": beat(100)}),
        ("gone", "a master that forgot a driver which speaks", {**ABSENT}),
        ("gone", "lists no driver", {**ABSENT, "beat": None}),
        ("gone", "waits for a worker", {"beat": beat(90), "carriers": (carrier(state="RELAUNCHING"),)}),
        ("gone", "the worker's drivers are nameless", {**ABSENT, "beat": beat(90), "unnamed_drivers": 1}),
        ("stopped", "ordered it to stop", {"order": order("stop")}),
        ("stopped", "nobody has launched", {**ABSENT, "order": None, "beat": None}),
        ("stopped", "nobody has launched", {**ABSENT, "order": None, "beat": beat(4000, "stopped")}),
        ("healthy", "runs without an order on record", {"order": None}),
    ],
)
def test_verdict(verdict: str, why: str, changes: dict[str, Any]) -> None:
    judged = judge(seen(**changes))
    assert judged.verdict == verdict, f"{why}: {judged}"
    if verdict != "healthy" and "that forgot" not in why and "nameless" not in why:
        assert why in judged.reason, judged.reason


def test_only_gone_and_stalled_are_helped_by_a_relaunch() -> None:
    assert judge(seen(**ABSENT, beat=None)).relaunch_helps
    assert judge(seen(**LAGGING, waiting_seconds=100.0)).relaunch_helps
    assert not judge(seen()).relaunch_helps
    assert not judge(seen(**LAGGING, waiting_seconds=60.0)).relaunch_helps


def test_a_stop_that_still_runs_says_by_what() -> None:
    assert "driver-1" in judge(seen(order=order("stop"))).reason


def test_of_two_drivers_the_older_generation_is_to_be_ended() -> None:
    newer = carrier(driver="driver-2", launch="l6", generation=6)
    judged = judge(seen(carriers=(newer, carrier(superseded=True))))
    assert (judged.verdict, judged.ends) == ("doubled", ("driver-1",)), judged


def test_an_older_driver_that_carries_another_stream_is_left_alone() -> None:
    newer = carrier(driver="driver-2", launch="l6", generation=6)
    judged = judge(seen(carriers=(newer, carrier(streams=frozenset({"s", "t"})))))
    assert (judged.verdict, judged.ends) == ("healthy", ()), judged


def test_a_query_that_was_fenced_or_has_not_begun_does_not_double() -> None:
    for said in ("fenced", "stopped", ""):
        judged = judge(seen(carriers=(carrier(driver="driver-2", generation=6), carrier(said=said))))
        assert judged.verdict == "healthy", (said, judged)


def test_a_part_of_the_platform_that_is_away_is_told_and_not_relaunched() -> None:
    no_master = judge(seen(**ABSENT, master_error="the master does not answer"))
    assert (no_master.verdict, no_master.tell, no_master.relaunch_helps) == ("slow", True, False)
    both = judge(seen(**ABSENT, master_error="the master does not answer", beat=beat(300)))
    assert (both.verdict, both.tell, both.relaunch_helps) == ("gone", True, False)
    no_kafka = judge(seen(kafka_error="no broker", ends={}, beat=beat(300)))
    assert (no_kafka.verdict, no_kafka.tell, no_kafka.relaunch_helps) == ("slow", True, False)


def test_a_stream_slow_for_long_is_told() -> None:
    behind: dict[str, Any] = {**LAGGING, "waiting_seconds": 1.0, "freshness_seconds": 100.0}
    assert not judge(seen(**behind, slow_seconds=SLOW_SECONDS - 60)).tell
    assert judge(seen(**behind, slow_seconds=SLOW_SECONDS)).tell


def past(age: float, end: int, verdict: str = "slow") -> Past:
    return Past(NOW - int(age * 1000), verdict, "none", {0: end}, "")


def test_freshness_is_the_age_of_the_oldest_end_that_is_not_served() -> None:
    checks = [past(180, 100), past(120, 200), past(60, 300)]
    assert freshness(NOW, {0: 150}, 400, 1.0, checks) == 120.0
    assert freshness(NOW, {0: 300}, 100, 1.0, checks) == 1.0
    assert freshness(NOW, {0: 300}, 100, 40.0, checks) == 40.0
    assert freshness(NOW, {0: 300}, 0, None, checks) == 0.0


def test_slow_lasts_since_the_last_check_that_said_otherwise() -> None:
    assert slow_seconds(NOW, []) == 0.0
    assert slow_seconds(NOW, [past(300, 1), past(240, 1, "healthy"), past(180, 1), past(60, 1)]) == 180.0


def test_differences_name_the_hour_and_every_batch() -> None:
    hour, batch = 1_765_850_400, 1 << 40
    ledger = {(hour, batch + 1): 5, (hour, batch + 2): 5, (hour, batch + 3): 5}
    served = {(hour, batch + 1): 5, (hour, batch + 2): 4, (hour, batch + 4): 2}
    (found,) = differences("c", ledger, served)
    assert (found.batches, found.ledger, found.served) == ((batch + 2, batch + 3, batch + 4), 10, 6)
    assert str(found) == "c 2025-12-16T02:00Z: served 6 events, the ledger 10, in batch 1/1 and 2 more"
    assert differences("c", ledger, dict(ledger)) == []
