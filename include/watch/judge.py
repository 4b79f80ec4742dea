"""Judges one stream from what was seen of it: a verdict and its reason. Pure.

Health is progress, not a process: the master says RUNNING of a paused driver too. Leaves whether
and how a stream is repaired to repair.py.
"""

from __future__ import annotations

from include.spark.heartbeats import HEALTHY_SECONDS
from include.watch.types import (
    DOUBLED,
    GONE,
    HEALTHY,
    LIVE_STATES,
    SLOW,
    STALLED,
    STOPPED,
    Carrier,
    Judgement,
    Observation,
)

# A driver that was killed is started again by its worker and says so within half a minute on a quiet machine.
OUTAGE_SECONDS = 60.0
# Records wait for no longer than this, a supervised restart included.
STALLED_SECONDS = 90.0
WAITING_SECONDS = 30.0
BEHIND_SECONDS = 60.0
# What a launch may take (LaunchStreamOperator's limit): a second one beside it would only slow it down.
LAUNCH_SECONDS = 150.0
# Generations without a commit that make a driver one that only restarts.
RESTARTS = 3
# Slow for this long is no passing load any more.
SLOW_SECONDS = 900.0
_GRACE = f"Kafka, ClickHouse or the master came back less than {OUTAGE_SECONDS:.0f} s ago"


def judge(seen: Observation) -> Judgement:
    """Return the verdict on one stream."""
    if seen.order is not None and not seen.order.is_launch:
        still = f"; still carried by {_drivers(seen.carriers)}" if seen.carried else ""
        return Judgement(verdict=STOPPED, reason=f"{seen.order.by} ordered it to stop{still}")
    if seen.order is None and not seen.carried and not _is_alive(seen):
        return Judgement(verdict=STOPPED, reason="nobody has launched it yet")
    if seen.master_error:
        return _without_master(seen)
    return _doubled(seen) or _absent(seen) or _hung(seen) or _progress(seen)


def _is_alive(seen: Observation) -> bool:
    beat, age = seen.beat, seen.beat_seconds
    return beat is not None and age is not None and age < HEALTHY_SECONDS and beat.state in LIVE_STATES


def _without_master(seen: Observation) -> Judgement:
    if _is_alive(seen):
        return Judgement(
            verdict=SLOW,
            reason=f"the stream runs, but its cluster is not seen: {seen.master_error}",
            tell=True,
        )
    return Judgement(verdict=GONE, reason=f"{_silence(seen)}, and {seen.master_error}", tell=True)


def _doubled(seen: Observation) -> Judgement | None:
    live = [carrier for carrier in seen.carriers if carrier.said in LIVE_STATES]
    if len(live) < 2:
        return None
    newest = max(live, key=lambda carrier: carrier.generation)
    older = [carrier for carrier in live if carrier.generation < newest.generation]
    if newest.said != "running":
        return Judgement(
            verdict=SLOW, reason=f"generation {newest.generation} takes over from {_drivers(older)}"
        )
    ends = tuple(carrier.driver for carrier in older if carrier.superseded)
    if not ends:
        # What the older ones carry beside this stream is theirs alone; of this stream they are fenced.
        return None
    reason = (
        f"{len(live)} drivers carry it; generation {newest.generation} counts, {_drivers(older)} is older"
    )
    return Judgement(verdict=DOUBLED, reason=reason, ends=ends)


def _absent(seen: Observation) -> Judgement | None:
    if seen.carried or (_is_alive(seen) and seen.unnamed_drivers):
        return None
    if _is_launching(seen):
        return Judgement(verdict=SLOW, reason=f"launched {_launch_age(seen):.0f} s ago and not seen yet")
    silence = seen.beat_seconds
    if seen.unnamed_drivers and silence is not None and silence < OUTAGE_SECONDS:
        return Judgement(verdict=SLOW, reason=f"{_silence(seen)}; a supervised driver waits for a worker")
    if _has_grace(seen) and seen.unnamed_drivers:
        return Judgement(verdict=SLOW, reason=_GRACE)
    return Judgement(
        verdict=GONE, reason=f"the master lists no driver of it; {_silence(seen)}", relaunch_helps=True
    )


def _hung(seen: Observation) -> Judgement | None:
    if seen.kafka_error:
        return Judgement(verdict=SLOW, reason=f"lag is unknown: {seen.kafka_error}", tell=True)
    if _is_alive(seen):
        return None
    if _is_launching(seen):
        return Judgement(verdict=SLOW, reason=f"launched {_launch_age(seen):.0f} s ago; {_silence(seen)}")
    if seen.beat_seconds is not None and seen.beat_seconds < OUTAGE_SECONDS:
        return Judgement(verdict=SLOW, reason=f"{_silence(seen)}; it may be started again by its worker")
    if _is_starting(seen):
        return Judgement(verdict=SLOW, reason=f"{_silence(seen)}; its driver is starting again")
    if _has_grace(seen):
        return Judgement(verdict=SLOW, reason=f"{_silence(seen)}; {_GRACE}")
    states = {carrier.state for carrier in seen.carriers}
    if states and states <= {"SUBMITTED", "RELAUNCHING"}:
        reason = f"{_silence(seen)}; the master says {', '.join(sorted(states))}: it waits for a worker"
        return Judgement(verdict=GONE, reason=reason, relaunch_helps=True)
    reason = f"{_silence(seen)}, though the master lists {_drivers(seen.carriers)}: it hangs"
    return Judgement(verdict=STALLED, reason=reason, relaunch_helps=True)


def _progress(seen: Observation) -> Judgement:
    """Judge a stream whose driver is listed and speaks."""
    assert seen.beat is not None
    running, waiting, fresh = seen.running_seconds, seen.waiting_seconds, seen.freshness_seconds
    if seen.restarts >= RESTARTS and (running is None or running < OUTAGE_SECONDS):
        detail = f", last: {seen.beat.detail}" if seen.beat.detail else ""
        return _stalled(f"{seen.restarts} restarts without a commit{detail}")
    if seen.beat.state != "running":
        age = seen.generation_seconds or 0.0
        if age >= LAUNCH_SECONDS:
            return _stalled(f"{seen.beat.state} for {age:.0f} s")
        return Judgement(verdict=SLOW, reason=f"generation {seen.beat.generation} is {seen.beat.state}")
    if waiting is not None and waiting >= STALLED_SECONDS and not _has_grace(seen):
        return _stalled(f"{seen.lag} offsets wait and nothing was committed for {waiting:.0f} s")
    if waiting is not None and waiting >= WAITING_SECONDS:
        return _slow(seen, f"{seen.lag} offsets wait without a commit for {waiting:.0f} s")
    if fresh is not None and fresh >= BEHIND_SECONDS:
        return _slow(seen, f"it commits, and is {fresh:.0f} s or more behind, {seen.lag} offsets")
    return Judgement(
        verdict=HEALTHY, reason="nothing waits" if not seen.lag else f"{seen.lag} offsets behind"
    )


def _stalled(reason: str) -> Judgement:
    return Judgement(verdict=STALLED, reason=reason, relaunch_helps=True)


def _slow(seen: Observation, reason: str) -> Judgement:
    tell = seen.slow_seconds >= SLOW_SECONDS
    since = f", slow for {seen.slow_seconds / 60:.0f} min" if tell else ""
    return Judgement(verdict=SLOW, reason=reason + since, tell=tell)


def _is_launching(seen: Observation) -> bool:
    return bool(seen.launched_at) and _launch_age(seen) < LAUNCH_SECONDS


def _is_starting(seen: Observation) -> bool:
    spoke, silence = seen.starting_seconds, seen.beat_seconds
    young = silence is None or silence < LAUNCH_SECONDS
    return spoke is not None and spoke < HEALTHY_SECONDS and young


def _launch_age(seen: Observation) -> float:
    return (seen.at - seen.launched_at) / 1000


def _has_grace(seen: Observation) -> bool:
    return seen.grace_seconds < OUTAGE_SECONDS


def _silence(seen: Observation) -> str:
    if seen.beat is None or seen.beat_seconds is None:
        return "no heartbeat within a day"
    return f"last heartbeat ({seen.beat.state}) {seen.beat_seconds:.0f} s ago"


def _drivers(carriers: tuple[Carrier, ...] | list[Carrier]) -> str:
    return ", ".join(f"{c.driver} ({c.state}, generation {c.generation})" for c in carriers) or "no driver"
