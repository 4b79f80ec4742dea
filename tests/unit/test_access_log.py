"""Access-log lines: what was rendered is parsed back, and what no server writes is no line."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import ip_address

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from include.contracts.access_log import (
    APACHE_COMMON,
    MONTHS,
    NGINX_COMBINED,
    SERVICE_PATTERN,
    AccessLine,
    level_of,
    line_pattern,
    parse_line,
    service_of,
)
from include.contracts.model import LINE_FIELDS
from include.contracts.times import parse_iso8601

COMMON = '10.0.3.7 - user_017 [16/Dec/2025:02:04:08 +0000] "GET /checkout/cart HTTP/1.1" 502 512'
COMBINED = COMMON + ' "-" "curl/8.5"'
EXPECTED = AccessLine("2025-12-16T02:04:08+00:00", "10.0.3.7", "user_017", "checkout", 502, "ERROR")


def parsed(text: str) -> AccessLine:
    line = parse_line(text)
    assert line is not None, f"{text!r} is no line"
    return line


def with_request(request: str) -> str:
    return COMMON.replace("GET /checkout/cart HTTP/1.1", request)


def test_both_formats_yield_the_same_values() -> None:
    assert (parsed(COMBINED), parsed(COMMON)) == (EXPECTED, EXPECTED)
    assert set(LINE_FIELDS) == asdict(EXPECTED).keys() - {"time"}


def test_a_format_that_was_not_asked_for_is_no_line() -> None:
    found = {
        (name, which): parse_line(text, (name,)) is not None
        for name in (NGINX_COMBINED, APACHE_COMMON)
        for which, text in (("combined", COMBINED), ("common", COMMON))
    }
    assert [key for key, fits in found.items() if fits] == [
        (NGINX_COMBINED, "combined"),
        (APACHE_COMMON, "common"),
    ]


@dataclass(frozen=True)
class Fields:
    """What a server knows of a request."""

    ip: str
    user: str
    moment: datetime
    method: str
    target: str
    status: int
    size: str
    agent: str | None


def escaped(text: str) -> str:
    """As Apache writes a text inside quotes."""
    return "".join(
        f"\\{c}" if c in '"\\' else f"\\x{ord(c):02x}" if ord(c) < 32 or c == "\x7f" else c for c in text
    )


def rendered(fields: Fields) -> str:
    moment = fields.moment
    time = f"{moment.day:02}/{MONTHS[moment.month - 1]}/{moment.year:04}:{moment:%H:%M:%S %z}"
    tail = "" if fields.agent is None else f' "-" "{escaped(fields.agent)}"'
    return (
        f"{fields.ip} - {fields.user or '-'} [{time}] "
        f'"{fields.method} {fields.target} HTTP/1.1" {fields.status} {fields.size}{tail}'
    )


SEGMENT = st.text(
    st.characters(codec="utf-8", exclude_characters=' "\\/?#\x7f', min_codepoint=33), min_size=1
)
MOMENTS = st.datetimes(
    datetime(1971, 1, 1),
    datetime(2105, 1, 1),
    timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
).map(lambda moment: moment.replace(microsecond=0))
FIELDS = st.builds(
    Fields,
    ip=st.ip_addresses().map(str),
    user=st.from_regex(r"[A-Za-z0-9._@ü-]*[a-z]|", fullmatch=True),
    moment=MOMENTS,
    method=st.sampled_from(["GET", "POST", "OPTIONS", "M-SEARCH"]),
    target=st.builds("/{}{}".format, SEGMENT, st.sampled_from(["", "/", "/a/b", "?q=/x", "#/f"])),
    status=st.integers(100, 599),
    size=st.sampled_from(["-", "0", "512"]),
    agent=st.none() | st.text(st.characters(codec="utf-8")),
)


@given(FIELDS)
def test_what_a_server_renders_is_parsed_back(fields: Fields) -> None:
    line = parsed(rendered(fields))
    microseconds = round((fields.moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
    assert parse_iso8601(line.time) == microseconds, line.time
    assert (line.ip_address, line.user_id, line.status_code) == (fields.ip, fields.user, fields.status)
    assert line.service == service_of(fields.target)
    assert fields.target.startswith(f"/{line.service}")
    assert ip_address(line.ip_address)


PIECES = [
    "10.0.3.7",
    "::1",
    "-",
    " ",
    "[",
    "]",
    '"',
    "\\",
    "\\x22",
    "GET",
    "/a",
    "200",
    "\n",
    "\x00",
    "é",
    "\u2028",
]
TORN = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=30).map("".join)
CUT = st.tuples(st.sampled_from([COMMON, COMBINED]), st.integers(0, 120), st.integers(0, 6), TORN).map(
    lambda cut: cut[0][: cut[1]] + cut[3] + cut[0][cut[1] + cut[2] :]
)


@given(st.text() | TORN | CUT)
@example('h - - [31/Feb/2025:02:04:08 +0000] "GET / HTTP/1.1" 200 0\n\n')
def test_any_text_is_a_line_or_none_and_re2_says_the_same(text: str) -> None:
    """The fold asks RE2, whose groups are empty where Python's are missing; `$` and newlines are where they differ."""
    line = parse_line(text)
    pattern = line_pattern((NGINX_COMBINED, APACHE_COMMON))
    (part,) = pc.extract_regex(pa.array([text]), pattern).to_pylist()
    assert (line is None) == (part is None), f"{text!r}: Python {line}, RE2 {part}"
    if line is not None:
        assert (line.status_code, line.service) == (int(part["status"]), service_of(part["target"]))


@given(st.text() | st.from_regex(r"\A(/|[a-z]+:/?/?|)[a-z/?#:*.]*\Z"))
def test_re2_finds_the_same_service(target: str) -> None:
    (part,) = pc.extract_regex(pa.array([target]), SERVICE_PATTERN).to_pylist()
    assert (part["service"] or ("root" if target else "")) == service_of(target)


@pytest.mark.parametrize(
    ("target", "service"),
    [
        ("/checkout/cart", "checkout"),
        ("/checkout", "checkout"),
        ("/checkout?next=/cart", "checkout"),
        ("/checkout#/cart", "checkout"),
        ("/", "root"),
        ("//", "root"),
        ("/?q=1", "root"),
        ("//checkout/cart", "checkout"),
        ("/Check%20Out/x", "Check%20Out"),
        ("/a;v=1/b", "a;v=1"),
        ("http://shop.example/checkout/cart", "checkout"),
        ("http://shop.example", "root"),
        ("http://shop.example?x=/y", "root"),
        ("", ""),
    ],
)
def test_a_service_is_the_first_path_segment_without_the_query(target: str, service: str) -> None:
    assert service_of(target) == service


@pytest.mark.parametrize(
    "request_",
    [
        "-",
        "",
        r"\x16\x03\x01",
        "GET",
        "GET *",
        "OPTIONS * HTTP/1.0",
        "CONNECT a.b:443 HTTP/1.1",
        "GET /a b HTTP/1.1",
    ],
)
def test_a_request_without_a_path_has_no_service(request_: str) -> None:
    assert parsed(with_request(request_)).service == ""


@pytest.mark.parametrize(
    "request_", ["GET /a", "GET /a HTTP/1.0", "get /a HTTP/2", "PRI /a HTTP/2.0", r"GET /a/\"b HTTP/1.1"]
)
def test_a_request_with_a_path_has_a_service(request_: str) -> None:
    assert parsed(with_request(request_)).service == "a"


@pytest.mark.parametrize(
    ("status", "level"), [(100, "INFO"), (399, "INFO"), (400, "WARN"), (499, "WARN"), (500, "ERROR")]
)
def test_a_level_follows_from_the_status(status: int, level: str) -> None:
    assert (level_of(status), parsed(COMMON.replace("502", str(status))).level) == (level, level)


@pytest.mark.parametrize("user", ["-", '""'])
def test_an_absent_user_is_empty(user: str) -> None:
    assert parsed(COMMON.replace("user_017", user)).user_id == ""


def test_a_client_may_be_absent_an_address_or_a_name() -> None:
    assert parsed(COMMON.replace("10.0.3.7", "-")).ip_address == ""
    assert parsed(COMMON.replace("10.0.3.7", "host.example")).ip_address == "host.example"
    assert parsed(COMMON.replace("10.0.3.7", "2001:db8::1")).ip_address == "2001:db8::1"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_one_line_break_may_end_a_line(end: str) -> None:
    assert parsed(COMMON + end) == parsed(COMBINED + end) == EXPECTED


NO_LINE = {
    "empty": "",
    "blank in front": " " + COMMON,
    "blank behind": COMMON + " ",
    "two line breaks": COMMON + "\n\n",
    "two lines": COMMON + "\n" + COMMON,
    "line break inside": COMMON.replace("/cart", "\n/cart"),
    "byte order mark": "\ufeff" + COMMON,
    "control character": COMMON.replace("cart", "ca\trt"),
    "month in another language": COMMON.replace("Dec", "Dez"),
    "month in small letters": COMMON.replace("Dec", "dec"),
    "month as a number": COMMON.replace("Dec", "12"),
    "day 0": COMMON.replace("16/", "00/"),
    "day 32": COMMON.replace("16/", "32/"),
    "day of one digit": COMMON.replace("16/", "6/"),
    "hour 24": COMMON.replace(":02:04:08", ":24:04:08"),
    "minute 60": COMMON.replace(":02:04:08", ":02:60:08"),
    "second 60": COMMON.replace(":02:04:08", ":02:04:60"),
    "fraction of a second": COMMON.replace(":02:04:08", ":02:04:08.5"),
    "no offset": COMMON.replace(" +0000", ""),
    "offset Z": COMMON.replace("+0000", "Z"),
    "offset of 24 hours": COMMON.replace("+0000", "+2400"),
    "offset with minute 60": COMMON.replace("+0000", "+0060"),
    "offset with a colon": COMMON.replace("+0000", "+00:00"),
    "digits of another script": COMMON.replace("2025", "\uff12\uff10\uff12\uff15"),
    "status of two digits": COMMON.replace("502", "50"),
    "status as a dash": COMMON.replace("502", "-"),
    "no size": COMMON.replace(" 512", ""),
    "size below zero": COMMON.replace("512", "-512"),
    "quote inside the request": COMMON.replace("/cart", '/"cart'),
    "backslash before the closing quote": COMBINED[:-1] + '\\"',
    "referer without an agent": COMMON + ' "-"',
    "a field more": COMBINED + " 0.734",
    "user with a blank, which a prefix would pass for": COMMON.replace("user_017", "John Doe"),
    "name of the site in front": "shop.example " + COMMON,
    "bracket in the user": COMMON.replace("user_017", "user]"),
    "two blanks": COMMON.replace(" - ", "  - "),
    "syslog": "Dec 16 02:04:08 host nginx: " + COMMON,
}


@pytest.mark.parametrize("case", NO_LINE)
def test_another_form_is_no_line(case: str) -> None:
    assert parse_line(NO_LINE[case]) is None, NO_LINE[case]


def test_a_day_that_the_month_lacks_is_a_line_with_a_time_that_is_none() -> None:
    line = parsed(COMMON.replace("16/Dec", "31/Feb"))
    with pytest.raises(ValueError, match="day is out of range"):
        parse_iso8601(line.time)


def test_a_pattern_has_the_groups_that_its_users_name() -> None:
    groups = ["ip", "user", "day", "month", "year", "hour", "minute", "second", "zone", "target", "status"]
    for formats in ([NGINX_COMBINED], [APACHE_COMMON], [APACHE_COMMON, NGINX_COMBINED]):
        (part,) = pc.extract_regex(
            pa.array([COMBINED if NGINX_COMBINED in formats else COMMON]), line_pattern(formats)
        ).to_pylist()
        assert list(part) == groups
