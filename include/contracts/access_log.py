"""Access-log lines: nginx's combined format and Apache's common one, and what the fields of a line are.

Owns the form of a line and how its parts become field values; docs/contract.md says it in words. Whether the
values are acceptable, the time among them, is for the contract to say (classifier.py).

The forms are those of https://nginx.org/en/docs/http/ngx_http_log_module.html (combined) and
https://httpd.apache.org/docs/2.4/mod/mod_log_config.html (common).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

NGINX_COMBINED, APACHE_COMMON = "nginx_combined", "apache_common"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MONTH_NUMBERS = {name: f"{number:02}" for number, name in enumerate(MONTHS, 1)}
NO_USER = ("-", '""')  # Apache writes "" for an empty name
ROOT = "root"

_NAME = r'[^\x00-\x20"\[\]\x7f]+'
_TIME = (
    r"(?P<day>0[1-9]|[12][0-9]|3[01])/(?P<month>" + "|".join(MONTHS) + r")/(?P<year>[0-9]{4})"
    r":(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9]):(?P<second>[0-5][0-9])"
    r" (?P<zone>[+-](?:[01][0-9]|2[0-3])[0-5][0-9])"
)
# Both servers write a quote, a backslash and a control character inside quotes with a backslash in front.
_QUOTED = r'[^\x00-\x1f"\\\x7f]*(?:\\[^\x00-\x1f\x7f][^\x00-\x1f"\\\x7f]*)*'
_TARGET = (
    r"(?:[A-Za-z][A-Za-z0-9+.-]*:/)?/"
    r'[^\x00-\x20"\\\x7f]*(?:\\[^\x00-\x20\x7f][^\x00-\x20"\\\x7f]*)*'
)
_REQUEST = rf"[A-Za-z_-]+ (?P<target>{_TARGET})(?: HTTP/[0-9](?:\.[0-9])?)?|{_QUOTED}"
_COMMON = (
    rf'(?P<ip>[0-9A-Za-z.:%_-]+) {_NAME} (?P<user>""|{_NAME}) \[{_TIME}\]'
    rf' "(?:{_REQUEST})" (?P<status>[0-9]{{3}}) (?:[0-9]+|-)'
)
_REFERER_AND_AGENT = rf' "{_QUOTED}" "{_QUOTED}"'
_TAILS: dict[tuple[str, ...], str] = {(NGINX_COMBINED,): _REFERER_AND_AGENT, (APACHE_COMMON,): ""}

# First path segment of a target; an empty one is the root.
SERVICE_PATTERN = r"^(?:[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*)?/*(?P<service>[^/?#]*)"
_SERVICE = re.compile(SERVICE_PATTERN)


def line_pattern(formats: Sequence[str]) -> str:
    """Return the pattern of the lines of these formats, for Python's `re` (fullmatch) and for RE2.

    Groups: ip, user, day, month, year, hour, minute, second, zone, target, status. `target` is missing or empty
    where the request has no path.
    """
    tail = _TAILS.get(tuple(formats), f"(?:{_REFERER_AND_AGENT})?")
    return rf"^{_COMMON}{tail}(?:\r?\n)?$"


@lru_cache(maxsize=8)
def _compiled(formats: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(line_pattern(formats))


@dataclass(frozen=True, slots=True)
class AccessLine:
    """What a line yields: text as the line has it, '' where absent; time as times.parse_iso8601 takes it."""

    time: str
    ip_address: str
    user_id: str
    service: str
    status_code: int
    level: str


def parse_line(text: str, formats: tuple[str, ...] = (NGINX_COMBINED, APACHE_COMMON)) -> AccessLine | None:
    """Return what a line yields, None where it is of none of the formats; its time may still be no real one."""
    found = _compiled(formats).fullmatch(text)
    if found is None:
        return None
    part = found.groupdict(default="")
    zone, status = part["zone"], int(part["status"])
    return AccessLine(
        time=f"{part['year']}-{MONTH_NUMBERS[part['month']]}-{part['day']}"
        f"T{part['hour']}:{part['minute']}:{part['second']}{zone[:3]}:{zone[3:]}",
        ip_address="" if part["ip"] == "-" else part["ip"],
        user_id="" if part["user"] in NO_USER else part["user"],
        service=service_of(part["target"]),
        status_code=status,
        level=level_of(status),
    )


def service_of(target: str) -> str:
    """Return the first path segment of a request's target, `root` where it is empty; '' for no target."""
    found = _SERVICE.match(target)
    return (found["service"] if found else "") or (ROOT if target else "")


def level_of(status: int) -> str:
    """Return the log level that stands for a status code."""
    return "INFO" if status < 400 else "WARN" if status < 500 else "ERROR"
