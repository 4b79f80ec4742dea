"""The tasks of watch_stream: look, repair what a relaunch or an end repairs, and say loudly what is left.

Imports what they need when they run, since Airflow parses DAG files often.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from include.settings import Settings
    from include.watch.types import Check

# What a killed driver may take to leave the master's list; a paused one is killed the hard way after 10 s.
KILL_SECONDS = 20.0
POLL_SECONDS = 1.0
DAG, CHECK, CONFIRM = "watch_stream", "check", "confirm"
ALERTS = "alerts"
log = logging.getLogger(__name__)


def check() -> dict[str, Any]:
    """Check every stream, end drivers that must go, and return what is to be launched.

    Returns nothing when all is well, which ends the run: else `relaunch`, the arguments of each
    launch, and `unhealthy`, the streams that are confirmed after it.
    """
    from include.contracts import stream_names
    from include.settings import get_settings
    from include.watch.repair import relaunches, to_end
    from include.watch.report import log_checks

    settings = get_settings()
    if not _is_prepared(settings):
        log.info("the warehouse is not prepared yet: nothing to watch; trigger prepare_platform")
        return {}
    checks = look(settings, stream_names())
    log_checks("streams", checks)
    end_drivers(settings, to_end(checks))
    _mend(checks)
    tell_alerts()
    wanted = [
        {
            "streams": list(launch.streams),
            "trigger_seconds": launch.trigger_seconds,
            "max_offsets": launch.max_offsets,
            "start": launch.start,
            "force": launch.force,
        }
        for launch in relaunches(checks)
    ]
    unhealthy = [item.seen.stream for item in checks if not item.ok or item.seen.mismatches]
    return {"relaunch": wanted, "unhealthy": unhealthy} if wanted or unhealthy else {}


def launches(checked: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the arguments of each launch that a check asked for: what relaunch is mapped over."""
    return list(checked["relaunch"])


def confirm(checked: dict[str, Any] | None) -> None:
    """Look again after the repair, however it went; `checked` is what check returned, None where it failed.

    Raises:
        StreamUnhealthyError: a stream is still not healthy; the message names it, its figures and what to do.
        NotCheckedError: check failed, which is told already.
    """
    from include.contracts import stream_names
    from include.settings import get_settings
    from include.watch.report import NotCheckedError, StreamUnhealthyError, incidents, log_checks

    if checked is None:
        raise NotCheckedError
    checks = look(get_settings(), stream_names(), acts=False)
    log_checks("streams, after the repair", checks)
    _mend(checks)
    found = incidents(checks)
    if found:
        raise StreamUnhealthyError(found)


def look(settings: Settings, streams: Sequence[str], *, acts: bool = True) -> list[Check]:
    """Observe and judge streams, decide on each, and keep one row a stream; return the checks.

    acts: whether the caller will do what is decided; otherwise a relaunch is left to the next check.
    """
    from include.warehouse.client import connect
    from include.watch.judge import judge
    from include.watch.measure import observe
    from include.watch.repair import decide
    from include.watch.store import write
    from include.watch.types import END_OLDER, NONE, RELAUNCH

    client = connect(settings)
    try:
        checks = [decide(seen, judge(seen)) for seen in observe(settings, client, streams)]
        if not acts:
            checks = [
                replace(item, action=NONE, note=f"next: {item.note or item.action}")
                if item.action in (RELAUNCH, END_OLDER)
                else item
                for item in checks
            ]
        write(client, checks)
    finally:
        client.disconnect()
    return checks


def end_drivers(settings: Settings, drivers: Sequence[str]) -> None:
    """Kill drivers and wait until the master has let go of them; one that stays is left to the next check."""
    from include.spark.cluster import kill_driver, read_cluster

    for driver in drivers:
        log.warning("ending driver %s", driver)
        kill_driver(settings, driver)
    deadline = time.monotonic() + KILL_SECONDS
    while drivers and {found.id for found in read_cluster(settings).drivers} & set(drivers):
        if time.monotonic() > deadline:
            log.warning("still listed %.0f s after the kill: %s", KILL_SECONDS, ", ".join(drivers))
            return
        time.sleep(POLL_SECONDS)


def _mend(checks: Sequence[Check]) -> None:
    from airflow.sdk import get_current_context

    from include.alerts.notifier import task_key
    from include.alerts.telling import mend
    from include.watch.report import closed_keys

    tasks = [task_key(DAG, CHECK), task_key(DAG, CONFIRM)]
    mend(dict(get_current_context()), [*closed_keys(checks), *tasks])


def tell_alerts() -> None:
    """Tell of critical alerts of the detectors, each run of them once, and of those that are over.

    A failure is logged, and told of as an incident: it keeps no stream from being watched.
    """
    from airflow.sdk import get_current_context

    from include.alerts.incidents import Incident
    from include.alerts.telling import mend, tell_once
    from include.detect.load import load_detectors
    from include.detect.store import is_prepared
    from include.detect.telling import read_incidents
    from include.settings import get_settings
    from include.warehouse.client import connect

    context, settings = dict(get_current_context()), get_settings()
    try:
        client = connect(settings)
        try:
            there, over = read_incidents(client, load_detectors()) if is_prepared(client) else ([], [])
        finally:
            client.disconnect()
        tell_once(context, there)
        mend(context, [*over, ALERTS])
    except Exception as error:
        log.exception("alerts are not told")
        said = f"{type(error).__name__}: {error}"
        tell_once(
            context,
            [Incident(key=ALERTS, stream="", severity="critical", title="alerts are not told", message=said)],
        )


def _is_prepared(settings: Settings) -> bool:
    """Say whether the tables of the watch exist; before prepare_platform nothing can run."""
    from include.warehouse.client import connect

    admin = connect(settings, database="")
    try:
        rows = admin.execute(
            "SELECT count() FROM system.tables WHERE database = %(database)s AND name IN ('stream_checks', 'orders')",
            {"database": settings.clickhouse_database},
        )
    finally:
        admin.disconnect()
    return bool(rows[0][0] == 2)
