"""Tells people of incidents through the configured notifiers, each incident once to each of them.

An incident is marked as told only after its notifier returned. Where the warehouse is away, Airflow's
variable TOLD remembers what was told, so that a long outage is one message too.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

from airflow.sdk import Variable
from clickhouse_driver import Client
from clickhouse_driver.errors import Error as ClickHouseError

from include.alerts.channels import Channel, NotifiersError, load_channels
from include.alerts.incidents import (
    Incident,
    close_incident,
    find_open,
    mark_told,
    mended,
    open_among,
    open_incident,
)
from include.settings import Settings, get_settings
from include.warehouse.client import connect

TOLD = "incidents_told_without_warehouse"
log = logging.getLogger(__name__)


def tell_once(
    context: dict[str, Any], incidents: Sequence[Incident], settings: Settings | None = None
) -> None:
    """Open each incident and send it through every notifier that has not told it yet."""
    settings = settings or get_settings()
    channels = _channels(settings)
    client = connect(settings)
    try:
        for incident in incidents:
            try:
                _tell(context, client, incident, channels)
            except (ClickHouseError, OSError, EOFError) as error:
                log.error("the incident %s could not be written down: %s", incident.key, error)
                _tell_without_warehouse(context, incident, channels)
    finally:
        client.disconnect()


def mend(context: dict[str, Any], keys: Sequence[str], settings: Settings | None = None) -> list[str]:
    """Close the incidents of these keys that are open, and tell that they are over; return their keys."""
    settings = settings or get_settings()
    client = connect(settings)
    over = []
    try:
        for key in open_among(client, keys):
            incident = find_open(client, key)
            if incident is not None and close_incident(client, key):
                over.append(incident)
    finally:
        client.disconnect()
    for incident in over:
        log.info("incident %s", mended(incident).title)
        # Only those who heard of it are told that it is over.
        for name, channel in _channels(settings).items():
            if name in incident.told:
                _send(context, mended(incident), name, channel)
    _forget(keys)
    return [incident.key for incident in over]


def _tell(context: dict[str, Any], client: Client, incident: Incident, channels: dict[str, Channel]) -> None:
    opened = open_incident(
        client, incident.key, incident.stream, incident.severity, incident.title, incident.message
    )
    known = find_open(client, incident.key)
    if known is None:
        return
    if opened:
        log.error("incident %s: %s: %s", known.key, known.title, known.message)
    remembered = _remembered(incident.key)
    for name, channel in channels.items():
        if name not in known.told and (name in remembered or _send(context, known, name, channel)):
            mark_told(client, known, name)


def _tell_without_warehouse(
    context: dict[str, Any], incident: Incident, channels: dict[str, Channel]
) -> None:
    told = _remembered(incident.key)
    new = {
        name
        for name, channel in channels.items()
        if name not in told and _send(context, incident, name, channel)
    }
    if new:
        kept = json.loads(Variable.get(TOLD, default=None) or "{}")
        Variable.set(TOLD, json.dumps({**kept, incident.key: sorted(told | new)}))


def _send(context: dict[str, Any], incident: Incident, name: str, channel: Channel) -> bool:
    """Send through one notifier; return whether it took the message."""
    try:
        channel.build()({**context, "incident": incident})
    except Exception as error:
        # Whatever a notifier raises, the incident stays open, and untold through this one.
        log.error("%s did not tell of %s: %s: %s", name, incident.key, type(error).__name__, error)
        return False
    return True


def _channels(settings: Settings) -> dict[str, Channel]:
    try:
        return load_channels(settings)
    except NotifiersError as error:
        log.error("nobody is told: %s", error)
        return {}


def _remembered(key: str) -> frozenset[str]:
    return frozenset(json.loads(Variable.get(TOLD, default=None) or "{}").get(key, ()))


def _forget(keys: Sequence[str]) -> None:
    kept = json.loads(Variable.get(TOLD, default=None) or "{}")
    left = {key: names for key, names in kept.items() if key not in keys}
    if left != kept:
        Variable.set(TOLD, json.dumps(left))
