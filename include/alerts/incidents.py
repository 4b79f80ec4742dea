"""The table `incidents`: what people must know of, each opened once, told once to each notifier, and closed once.

One row an event, appended. An incident is known by its key, which names what is wrong and where, and
by the moment it was opened. Two callers that open one key in the same instant open it twice: each
key has one writer, a DAG of one active run.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from include.clock import now_ms
from include.warehouse.sql import read_sql

if TYPE_CHECKING:
    from clickhouse_driver import Client

COLUMNS = "key, opened_at, at, event, notifier, stream, severity, title, message"


@dataclass(frozen=True, kw_only=True)
class Incident:
    """What went wrong. severity: critical or warning. opened_at: epoch milliseconds, 0 before it is opened.

    told: names of the notifiers that have told people of it.
    """

    key: str
    stream: str
    severity: str
    title: str
    message: str
    opened_at: int = 0
    told: frozenset[str] = frozenset()


def open_incident(client: Client, key: str, stream: str, severity: str, title: str, message: str) -> bool:
    """Open an incident unless one of this key is open; return whether it is new."""
    if find_open(client, key) is not None:
        return False
    incident = Incident(
        key=key, stream=stream, severity=severity, title=title, message=message, opened_at=now_ms()
    )
    _append(client, incident, "opened")
    return True


def find_open(client: Client, key: str) -> Incident | None:
    """Return the open incident of a key as it was opened, None when there is none."""
    rows = client.execute(read_sql("alerts/incident.sql"), {"key": key})
    if not rows or rows[0][6]:
        return None
    opened_at, stream, severity, title, message, told, _ = rows[0]
    return Incident(
        key=key,
        stream=stream,
        severity=severity,
        title=title,
        message=message,
        opened_at=opened_at,
        told=frozenset(told),
    )


def open_keys(client: Client, kind: str) -> set[str]:
    """Return the keys of open incidents of a kind: what their keys begin with, up to the first colon."""
    return {key for (key,) in client.execute(read_sql("alerts/open_keys.sql"), {"begins": f"{kind}:%"})}


def open_among(client: Client, keys: Collection[str]) -> set[str]:
    """Return those of the keys whose incidents are open."""
    if not keys:
        return set()
    rows = client.execute(read_sql("alerts/open_among.sql"), {"keys": tuple(sorted(keys))})
    return {key for (key,) in rows}


def mark_told(client: Client, incident: Incident, notifier: str) -> None:
    """Note that a notifier has told people of an open incident."""
    _append(client, incident, "told", notifier)


def close_incident(client: Client, key: str) -> bool:
    """Close the incident of a key; return whether one was open."""
    incident = find_open(client, key)
    if incident is None:
        return False
    _append(client, incident, "closed")
    return True


def mended(incident: Incident) -> Incident:
    """Return what people are told when an incident is over."""
    minutes = (now_ms() - incident.opened_at) / 60_000
    return replace(
        incident,
        severity="info",
        title=f"over: {incident.title}",
        message=f"It lasted {minutes:.0f} min, and nothing is to be done any more. What was told: {incident.message}",
    )


def _append(client: Client, incident: Incident, event: str, notifier: str = "") -> None:
    what = (incident.stream, incident.severity, incident.title, incident.message)
    row = (incident.key, incident.opened_at, now_ms(), event, notifier, *what)
    client.execute(f"INSERT INTO incidents ({COLUMNS}) VALUES", [row])
