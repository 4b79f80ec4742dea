"""What the Spark master and its workers say of drivers and applications, and how a driver is killed.

A driver's id changes when its worker is lost, so drivers are known by the launch id and the
application name in their command line, which the worker writes at the head of the driver's log.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from include.settings import Settings
from include.spark.submission import streams_of

# Of a driver that will not run again; NOT_FOUND is ours, for an id that the master does not know.
DEAD_STATES = frozenset({"FINISHED", "FAILED", "ERROR", "KILLED", "NOT_FOUND"})
HTTP_SECONDS = 10.0
RETRY_SECONDS = 5.0
# What a worker may take until it has written a new driver's command line.
NAMING_SECONDS = 10.0
_LOG_BYTES = 32_768
_LINE_LENGTH = 300
_NAME = re.compile(r'"--name" "([^"]*)"')
_LAUNCH = re.compile(r'"--launch" "([^"]*)"')


class MasterUnreachableError(ConnectionError):
    """The Spark master's web address does not answer."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(
            f"the Spark master does not answer at {address} ({reason}): start it, or correct "
            "PLATFORM_SPARK_MASTER_UI and PLATFORM_SPARK_MASTER"
        )


@dataclass(frozen=True)
class Driver:
    """A driver that the master holds for active; name and launch are empty where its log cannot be read.

    worker is empty while the driver waits for one.
    """

    id: str
    state: str
    name: str
    launch: str
    log: str
    worker: str = ""

    @property
    def streams(self) -> frozenset[str]:
        return streams_of(self.name)


@dataclass(frozen=True)
class ClusterState:
    """Active drivers, and the names of active applications, at one moment."""

    drivers: tuple[Driver, ...]
    applications: tuple[str, ...]

    def carries(self, stream: str) -> bool:
        """Return whether an active driver or application carries the stream."""
        active = [driver.streams for driver in self.drivers] + [
            streams_of(name) for name in self.applications
        ]
        return any(stream in streams for streams in active)

    def drivers_of(self, stream: str) -> tuple[Driver, ...]:
        return tuple(driver for driver in self.drivers if stream in driver.streams)


def read_cluster(settings: Settings) -> ClusterState:
    """Return what is active now.

    Raises:
        MasterUnreachableError: the master's web address does not answer.
    """
    state = _request("GET", f"{settings.spark_master_ui}/json/")
    workers = {worker["id"]: worker["webuiaddress"] for worker in state.get("workers", [])}
    return ClusterState(
        drivers=tuple(_driver(item, workers) for item in state.get("activedrivers", [])),
        applications=tuple(app["name"] for app in state.get("activeapps", [])),
    )


def find_launch(settings: Settings, launch: str) -> str:
    """Return the id of the active driver of a launch; empty when there is none.

    A driver that was just submitted has no readable name yet: those without one are asked again for NAMING_SECONDS.
    """
    deadline = time.monotonic() + NAMING_SECONDS
    while True:
        drivers = read_cluster(settings).drivers
        found = next((driver.id for driver in drivers if driver.launch == launch), "")
        if found or all(driver.launch for driver in drivers) or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


def driver_log(settings: Settings, driver_id: str) -> str:
    """Return the page of a driver's output on its worker, Python's included; empty when no worker is known."""
    state = _request("GET", f"{settings.spark_master_ui}/json/")
    workers = {worker["id"]: worker["webuiaddress"] for worker in state.get("workers", [])}
    drivers = [*state.get("activedrivers", []), *state.get("completeddrivers", [])]
    return next((_log_page(item, workers) for item in drivers if item["id"] == driver_id), "")


def log_tail(page: str, lines: int = 20) -> str:
    """Return the last lines of a driver's output, or of its JVM's log where it has printed nothing."""
    for address in (page, page.replace("logType=stdout", "logType=stderr")):
        # The first line is the worker's own, about which bytes follow.
        found = [line[:_LINE_LENGTH] for line in _log_text(address).rstrip().splitlines()[1:]]
        if found:
            return "\n".join(found[-lines:])
    return ""


def driver_state(settings: Settings, driver_id: str) -> str:
    """Return the driver's state from the REST server; NOT_FOUND for an unknown id."""
    answer = _request("GET", f"{settings.spark_rest}/v1/submissions/status/{driver_id}")
    return str(answer["driverState"]) if answer.get("success") else "NOT_FOUND"


def kill_driver(settings: Settings, driver_id: str) -> bool:
    """Ask the REST server to kill a driver; return whether it accepted."""
    answer = _request("POST", f"{settings.spark_rest}/v1/submissions/kill/{driver_id}")
    return bool(answer.get("success"))


def _request(method: str, address: str) -> dict[str, Any]:
    """Return the JSON answer; a master that is being restarted has RETRY_SECONDS to come back."""
    attempts = Retrying(
        retry=retry_if_exception_type((httpx.HTTPError, ValueError)),
        stop=stop_after_delay(RETRY_SECONDS),
        wait=wait_fixed(0.5),
        reraise=True,
    )
    try:
        answer: dict[str, Any] = attempts(lambda: httpx.request(method, address, timeout=HTTP_SECONDS).json())
    except (httpx.HTTPError, ValueError) as error:
        raise MasterUnreachableError(address, str(error)) from error
    return answer


def _log_page(item: dict[str, Any], workers: dict[str, str], kind: str = "stdout") -> str:
    worker = workers.get(item.get("worker", ""), "")
    return f"{worker}/logPage/?driverId={item['id']}&logType={kind}" if worker else ""


def _log_text(page: str, offset: int | None = None) -> str:
    """Return a log as text: its end, or from an offset on; empty when it cannot be read."""
    if not page:
        return ""
    part = "" if offset is None else f"&offset={offset}"
    address = page.replace("/logPage/", "/log/") + f"{part}&byteLength={_LOG_BYTES}"
    try:
        answer = httpx.get(address, timeout=HTTP_SECONDS)
    except httpx.HTTPError:
        return ""
    return answer.text if answer.is_success else ""


def _driver(item: dict[str, Any], workers: dict[str, str]) -> Driver:
    # The worker writes the command line at the head of the JVM's log.
    head = _log_text(_log_page(item, workers, "stderr"), offset=0)
    name, launch = _NAME.search(head), _LAUNCH.search(head)
    return Driver(
        id=item["id"],
        state=item["state"],
        name=name.group(1) if name else "",
        launch=launch.group(1) if launch else "",
        log=_log_page(item, workers),
        worker=item["worker"] if item.get("worker") in workers else "",
    )
