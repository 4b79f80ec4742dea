"""How a request is written down: as JSON, as an nginx combined or as an Apache common line, and damaged.

Owns: the bytes. Leaves to others: what happened (services.py, logs.py).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from include.traffic import faults
from include.traffic.services import NAMES, SERVICES

I64 = NDArray[np.int64]
JSON, NGINX, APACHE = range(3)
FORMAT_SHARES = (0.7, 0.2, 0.1)
LEVELS = ("", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
DEBUG, INFO, WARN, ERROR, FATAL = range(1, 6)
AGENTS = ("curl/8.5", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0)", "okhttp/4.12", "kube-probe/1.30")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
ZONES = (0, 0, 0, 0, 0, 0, 0, 9, -5, 2)
MESSAGES = ("served", 'served from "cache"', "gesendet: schöne Grüße", "handled\tin one step")
FAILURE_MESSAGES = ("upstream timed out", 'refused: "quota"', "connection reset by peer")


class Request(NamedTuple):
    """One request to write down; '' and None are absent fields. `chance` chooses what makes no difference."""

    form: int
    event_us: int
    service: int
    status: int
    level: str
    seconds: float | None
    user: str
    address: str
    request_id: str
    chance: int


def json_level(status: I64, rng: np.random.Generator) -> I64:
    """Draw the level that a service writes itself."""
    chance = rng.random(status.size)
    calm = np.where(chance < 0.1, DEBUG, INFO)
    failed = np.where(chance < 0.02, FATAL, ERROR)
    return np.where(status < 400, calm, np.where(status < 500, WARN, failed))


def line_level(status: I64) -> I64:
    """Return the level that the status of an access-log line stands for."""
    return np.where(status < 400, INFO, np.where(status < 500, WARN, ERROR))


def write(request: Request) -> bytes:
    """Return the record's bytes."""
    return _json(request) if request.form == JSON else _line(request)


def _json(request: Request) -> bytes:
    chance, failed = request.chance, request.status >= 400
    event: dict[str, Any] = {
        "timestamp": f"{_iso_second(request.event_us // 1_000_000)}.{request.event_us // 1000 % 1000:03d}Z",
        "level": request.level,
        "service": NAMES[request.service],
        "message": FAILURE_MESSAGES[chance % 3] if failed else MESSAGES[chance % 4],
        "ip_address": request.address,
        "user_id": request.user,
        "request_id": request.request_id,
        "response_time": request.seconds,
        "status_code": request.status,
        "error_code": f"E_{request.status}" if failed and chance % 5 else "",
    }
    # An absent field is left out, null, or (a text) empty.
    absent = [name for name, value in event.items() if value in ("", None)]
    for name in absent:
        way = (chance >> 8) % 10
        if way < 7:
            del event[name]
        elif way < 9 or name == "level":
            event[name] = None
    return msgspec.json.encode(event)


def _line(request: Request) -> bytes:
    chance, service = request.chance, SERVICES[request.service]
    moment = _log_second(request.event_us // 1_000_000, ZONES[chance % len(ZONES)])
    path = service.paths[chance // 16 % len(service.paths)]
    target = f"/{service.name}/{path}" if path else "/"
    method = "POST" if chance % 4 == 0 else "GET"
    line = (
        f"{request.address or '-'} - {request.user or '-'} [{moment}] "
        f'"{method} {target} HTTP/1.1" {request.status} {chance % 60_000}'
    )
    if request.form == NGINX:
        line += f' "-" "{AGENTS[chance // 7 % len(AGENTS)]}"'
    return line.encode()


@lru_cache(maxsize=8192)
def _iso_second(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"


@lru_cache(maxsize=8192)
def _log_second(second: int, zone_hours: int) -> str:
    moment = datetime.fromtimestamp(second, timezone(timedelta(hours=zone_hours)))
    return f"{moment:%d}/{MONTHS[moment.month - 1]}/{moment:%Y:%H:%M:%S %z}"


def malform(value: bytes, flavour: int) -> bytes:
    """Damage a record so that it is neither one whole JSON object nor a line; `flavour` chooses how."""
    if value.startswith(b"{"):
        return faults.malform(value, flavour)
    way, rest = flavour % 3, flavour // 3
    if way == 0:
        return value[: 1 + rest % (value.index(b'" ') - 1)]
    if way == 1:
        return value + b"\n" + value
    inside = value.index(b" HTTP/")
    return value[:inside] + b"\xff\xfe" + value[inside:]


def break_schema(value: bytes, flavour: int) -> bytes:
    """Return a whole JSON object or line that the contract of logs refuses; `flavour` chooses why."""
    if not value.startswith(b"{"):
        return re.sub(rb'" \d{3} ', b'" %d ' % (600 + flavour % 400), value, count=1)
    event: dict[str, Any] = msgspec.json.decode(value)
    required = ("timestamp", "service", "status_code")
    way, rest = flavour % 7, flavour // 7
    if way == 0:
        del event[required[rest % len(required)]]
    else:
        event |= (
            {"status_code": 600},
            {"status_code": str(event["status_code"])},
            {"level": "NOTICE"},
            {"response_time": -0.5},
            {"response_time": "fast"},
            {"service": ""},
        )[way - 1]
    return msgspec.json.encode(event)
