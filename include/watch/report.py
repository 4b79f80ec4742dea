"""Says what a check found: the aligned summary in the task's log, and the incidents that people are told."""

from __future__ import annotations

from collections.abc import Sequence

from include.alerts.incidents import Incident
from include.summary import log_summary
from include.watch.types import GAVE_UP, GONE, SLOW, STALLED, Check

CRITICAL, WARNING = "critical", "warning"
_TO_DO = {
    GAVE_UP: "read the driver's log on the Spark master's page, mend the cause, then trigger launch_stream",
    GONE: "see that the Spark master and a worker run; if it is not back in a minute or two, trigger launch_stream",
    STALLED: "see that Kafka and ClickHouse answer, and read the driver's log on the Spark master's page",
    SLOW: "look at what the reason names; more cores, a longer trigger interval or fewer producers help a slow stream",
    "doubled": "open the Spark master's page and kill the driver that the reason calls older",
}


class StreamUnhealthyError(RuntimeError):
    """A stream is not healthy and was not repaired; `incidents` are what people are to be told."""

    def __init__(self, incidents: Sequence[Incident]) -> None:
        self.incidents = tuple(incidents)
        super().__init__("\n".join(f"{item.title}: {item.message}" for item in incidents))


class NotCheckedError(RuntimeError):
    """Nothing was checked; it has no incident of its own, since the failure of check is one."""

    incidents: tuple[Incident, ...] = ()

    def __init__(self) -> None:
        super().__init__("nothing was checked: the log of task check says why")


def stream_key(stream: str) -> str:
    """Return the key of a stream's health incident."""
    return f"stream:{stream}"


def gave_up_key(stream: str) -> str:
    """Return the key of a stream that the watch gave up: told beside its outage, since now a person is needed."""
    return f"gave_up:{stream}"


def ledger_key(stream: str) -> str:
    """Return the key of the incident of deltas that differ from the ledger."""
    return f"deltas:{stream}"


def incidents(checks: Sequence[Check]) -> list[Incident]:
    """Return what people must know of these checks."""
    found = []
    for check in checks:
        if not check.ok:
            found.append(_health(check))
        if check.seen.mismatches:
            found.append(_mismatch(check))
    return found


def closed_keys(checks: Sequence[Check]) -> list[str]:
    """Return the keys whose incidents are over, if there were any."""
    keys = [key(check.seen.stream) for check in checks if check.ok for key in (stream_key, gave_up_key)]
    return keys + [ledger_key(check.seen.stream) for check in checks if not check.seen.mismatches]


def log_checks(title: str, checks: Sequence[Check]) -> None:
    """Log one aligned summary of every stream."""
    figures: dict[str, object] = {}
    for check in checks:
        said = "; ".join(filter(None, (check.judged.reason, check.note)))
        figures[check.seen.stream] = f"{check.judged.verdict}: {said}"
        figures[f"{check.seen.stream} figures"] = describe(check)
        if check.seen.mismatches:
            figures[f"{check.seen.stream} deltas"] = [str(item) for item in check.seen.mismatches]
    log_summary(title, figures)


def describe(check: Check) -> str:
    """Return the figures of a check in one line."""
    seen = check.seen
    by_partition = ", ".join(
        f"{partition}: {max(0, end - seen.frontiers.get(partition, 0))}"
        for partition, end in sorted(seen.ends.items())
    )
    parts = {
        "generation": seen.beat.generation if seen.beat else "none",
        "drivers": ", ".join(carrier.driver for carrier in seen.carriers) or "none",
        "heartbeat": _age(seen.beat_seconds),
        "last commit": _age(seen.commit_seconds),
        "lag": "unknown" if seen.lag is None else f"{seen.lag} ({by_partition})",
        "freshness": "unknown" if seen.freshness_seconds is None else f"{seen.freshness_seconds:.0f} s",
        "action": check.action,
    }
    return " · ".join(f"{name} {value}" for name, value in parts.items())


def _health(check: Check) -> Incident:
    stream, verdict = check.seen.stream, check.judged.verdict
    said = "; ".join(filter(None, (check.judged.reason, check.note)))
    gave_up = check.action == GAVE_UP
    return Incident(
        key=gave_up_key(stream) if gave_up else stream_key(stream),
        stream=stream,
        severity=WARNING if verdict == SLOW else CRITICAL,
        title=f"{stream} is {verdict}, and is not relaunched any more"
        if gave_up
        else f"{stream} is {verdict}",
        message=f"{said}. {describe(check)}. What to do: {_TO_DO[GAVE_UP if gave_up else verdict]}.",
    )


def _mismatch(check: Check) -> Incident:
    stream = check.seen.stream
    lines = "; ".join(str(item) for item in check.seen.mismatches)
    return Incident(
        key=ledger_key(stream),
        stream=stream,
        severity=CRITICAL,
        title=f"served figures of {stream} differ from its ledger",
        message=f"{lines}. What to do: reconcile_hour repairs an hour once it is closed; "
        "trigger it for the hours named, and look for who wrote to the delta tables.",
    )


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if minutes < 2:
        return f"{seconds:.0f} s ago"
    return f"{minutes} min ago" if hours < 2 else f"{hours} h {minutes % 60} min ago"
