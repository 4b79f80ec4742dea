"""Judges a round: what of each fault was found and mended, and whether an hour without one was called damaged. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tests.prove.draw import BEFORE, HARMLESS, OF_LEDGER, Fault
from tests.prove.seen import Seen, Verdict, View

# What became of a fault. COUNTED: void rows or real records, which must not count as damage. SUPERSEDED: a seal
# replaced what it had damaged. UNDONE: another fault took it back, so that nothing was left to be found.
CAUGHT, COUNTED, SUPERSEDED, UNDONE = "caught", "counted", "superseded", "undone"
PROVED, REPAIRED = "PROVED", "REPAIRED"
AT_ONCE = "equal at once"


@dataclass(frozen=True)
class Outcome:
    """What became of a fault: its fate, and whether the class that was named is its own."""

    fault: Fault
    fate: str
    named: bool


@dataclass(frozen=True)
class Judged:
    """A round's outcomes, its clean hours, and what went wrong, in sentences."""

    outcomes: list[Outcome]
    clean_hours: int
    failures: list[str]


def judge_round(seen: Seen) -> Judged:
    """Hold what a round has seen against what must be."""
    failures: list[str] = []
    outcomes = [_outcome(seen, fault, failures) for fault in seen.faults]
    touched = {fault.hour for fault in seen.faults} | seen.reached | seen.reached_during
    clean = [hour for hour in seen.hours if hour not in touched]
    disturbed = seen.reached_during | {fault.hour for fault in seen.faults if fault.when != BEFORE}
    for hour in seen.hours:
        for name, found in (("first", seen.first), ("second", seen.second)):
            if name == "second" and not found:
                continue
            may_differ = hour in seen.reached_during or (name == "first" and hour in seen.reached)
            verdict = found.get(hour)
            if verdict is None:
                failures.append(f"{hour:%Y-%m-%dT%H}: the {name} run says nothing of it")
            elif not may_differ and (verdict.verdict, verdict.reason) != (PROVED, AT_ONCE):
                what = "false alarm" if hour in clean else "not proved at once"
                failures.append(f"{hour:%Y-%m-%dT%H}: {what}, the {name} run says {_said(verdict)}")
            elif may_differ and verdict.verdict not in (PROVED, REPAIRED):
                failures.append(f"{hour:%Y-%m-%dT%H}: not repaired, the {name} run says {_said(verdict)}")
        last = seen.third.get(hour) or seen.second.get(hour) or seen.first.get(hour)
        if last is not None and last.verdict != PROVED:
            failures.append(f"{hour:%Y-%m-%dT%H}: never proved, the last run says {_said(last)}")
        if hour not in disturbed:
            failures += _unequal(seen, hour, "after the first run", seen.after_first)
        failures += _unequal(seen, hour, "at the end", seen.after_all)
    for hour in sorted(seen.reached - disturbed - {fault.hour for fault in seen.faults}):
        if seen.first[hour].verdict != REPAIRED:
            failures.append(
                f"{hour:%Y-%m-%dT%H}: reached by the fault of another hour and undetected: {_said(seen.first[hour])}"
            )
    return Judged(outcomes, len(clean), failures)


def _outcome(seen: Seen, fault: Fault, failures: list[str]) -> Outcome:
    first, second = seen.first.get(fault.hour), seen.second.get(fault.hour)
    verdicts = [verdict for verdict in (first, second) if verdict is not None]
    found = [verdict for verdict in verdicts if verdict.verdict == REPAIRED]
    named = any(fault.kind in verdict.drifts for verdict in found)
    if fault.kind in HARMLESS:
        return Outcome(fault, COUNTED, True)
    if fault.when == BEFORE:
        if fault.hour not in seen.reached:
            return Outcome(fault, UNDONE, False)
        if first is None or first.verdict != REPAIRED:
            said = "nothing" if first is None else _said(first)
            failures.append(
                f"{fault}: undetected, the run says {said}; {seen.accounts.get(fault.number, '')}"
            )
        return Outcome(fault, CAUGHT, named)
    if found:
        return Outcome(fault, CAUGHT, named)
    if fault.kind in OF_LEDGER:
        failures.append(f"{fault}: undetected by two runs; {seen.accounts.get(fault.number, '')}")
    return Outcome(fault, SUPERSEDED, True)


def _unequal(seen: Seen, hour: datetime, when: str, view: View) -> list[str]:
    truth, served = seen.truth[hour], view[hour]
    wrong = [key for key in truth.keys() | served.keys() if truth.get(key) != served.get(key)]
    if not wrong:
        return []
    key = min(wrong, key=str)
    return [
        f"{hour:%Y-%m-%dT%H}: not repaired, {len(wrong)} cells are wrong {when}, first "
        f"{key[0]:%H:%M:%S} {' '.join(map(str, key[1:]))}: sent {truth.get(key)}, served {served.get(key)}"
    ]


def _said(verdict: Verdict) -> str:
    return f"{verdict.verdict} ({verdict.reason})"
