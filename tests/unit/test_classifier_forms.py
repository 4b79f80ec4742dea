"""One record at a time, beyond flat required JSON: optional fields, integers, addresses, milliseconds, log lines."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.contracts import Contract, load_contract
from include.contracts.classifier import REASONS, Classifier, Event, Reject
from include.contracts.records import is_ip

KAFKA_MS = 1_765_850_650_000
LOGS, USERS = load_contract("logs"), load_contract("user_events")
BY_STREAM = {"logs": Classifier(LOGS), "user_events": Classifier(USERS)}
TIME_MS = 1_765_850_648_891
COMMON = '10.0.3.7 - user_017 [16/Dec/2025:02:04:08 +0000] "GET /checkout/cart HTTP/1.1" 502 512'
COMBINED = COMMON + ' "-" "curl/8.5"'


def log_json(**changes: object) -> bytes:
    entry = {"timestamp": "2025-12-16T02:04:08.891Z", "service": "checkout", "status_code": 502, **changes}
    return json.dumps({name: value for name, value in entry.items() if value is not ...}).encode()


def user_json(**changes: object) -> bytes:
    entry = {
        "timestamp": TIME_MS,
        "user_id": "u",
        "action": "view",
        "value": 42.5,
        "session_id": "s",
        **changes,
    }
    return json.dumps({name: value for name, value in entry.items() if value is not ...}).encode()


def with_raw(value: bytes, **texts: str) -> bytes:
    """Put raw JSON texts at the end of an object, where they are the last and so the ones that count."""
    return value[:-1] + "".join(f',"{name}":{text}' for name, text in texts.items()).encode() + b"}"


def accepted(stream: str, value: bytes) -> Event:
    verdict = BY_STREAM[stream].classify(value, KAFKA_MS)
    assert isinstance(verdict, Event), f"{value!r} was refused: {verdict}"
    return verdict


def refused(stream: str, value: bytes) -> Reject:
    verdict = BY_STREAM[stream].classify(value, KAFKA_MS)
    assert isinstance(verdict, Reject), f"{value!r} was accepted: {verdict}"
    return verdict


OPTIONAL_TEXTS = [n for n, rule in LOGS.fields.items() if not rule.required and not rule.is_number]


@pytest.mark.parametrize("name", OPTIONAL_TEXTS)
def test_a_missing_a_null_and_an_empty_optional_text_are_all_absent(name: str) -> None:
    found = [accepted("logs", log_json(**{name: value})) for value in (..., None, "")]
    assert [event.values[name] for event in found] == ["", "", ""]
    assert found[0] == found[1] == found[2]


def test_a_missing_and_a_null_optional_number_are_absent_and_0_is_a_number() -> None:
    found = [accepted("logs", log_json(response_time=value)) for value in (..., None, 0, 0.734)]
    assert [event.values["response_time"] for event in found] == [None, None, 0, 734_000]


@pytest.mark.parametrize(
    "changes",
    [
        {"response_time": ""},
        {"response_time": "0.7"},
        {"response_time": -0.001},
        {"response_time": 3600.1},
        {"response_time": True},
        {"level": "info"},
        {"level": " "},
        {"message": 7},
        {"message": ["x"]},
        {"service": None},
        {"service": ""},
        {"service": ...},
        {"status_code": None},
        {"status_code": ...},
        {"status_code": 99},
        {"status_code": 600},
        {"status_code": "502"},
    ],
    ids=str,
)
def test_an_optional_field_that_is_there_must_be_valid_and_a_required_one_must_be_there(
    changes: dict[str, object],
) -> None:
    verdict = refused("logs", log_json(**changes))
    assert verdict.reason == "schema", verdict
    assert next(iter(changes)) in verdict.detail, verdict


def test_a_repeated_optional_field_counts_as_its_last_occurrence_says() -> None:
    assert (
        accepted("logs", with_raw(log_json(response_time=1), response_time="null")).values["response_time"]
        is None
    )
    assert (
        accepted("logs", with_raw(log_json(response_time=None), response_time="1")).values["response_time"]
        == 10**6
    )
    assert refused("logs", with_raw(log_json(level="x"), level='"INFO"')).reason == "schema"


INTEGERS = {
    "502": 502,
    "100": 100,
    "599": 599,
    "502.0": "schema",
    "5e2": "schema",
    "5E2": "schema",
    "5.02e2": "schema",
    "502.5": "schema",
    "99": "schema",
    "600": "schema",
    "-502": "schema",
    "9223372036854775808": "schema",
    "9" * 4_300: "schema",
    "true": "schema",
    '"502"': "schema",
    "9" * 4_301: "malformed",
    "1e400": "malformed",
    "0502": "malformed",
    "+502": "malformed",
    "502.": "malformed",
    "0x1f6": "malformed",
}


@pytest.mark.parametrize("text", INTEGERS, ids=lambda text: text[:20])
def test_an_integer_is_written_without_a_point_and_an_exponent(text: str) -> None:
    verdict = BY_STREAM["logs"].classify(with_raw(log_json(), status_code=text), KAFKA_MS)
    found = verdict.values["status_code"] if isinstance(verdict, Event) else verdict.reason
    assert found == INTEGERS[text], f"{text[:40]}: {verdict}"


def with_fields(**fields: dict[str, object]) -> Classifier:
    contract = LOGS.model_dump() | {"formats": ["json"]}
    return Classifier(Contract.model_validate(contract | {"fields": contract["fields"] | fields}))


def test_minus_0_is_the_integer_0() -> None:
    classifier = with_fields(offset={"type": "integer", "minimum": -5, "maximum": 5})
    for text, expected in (("-0", 0), ("0", 0), ("-5", -5)):
        verdict = classifier.classify(with_raw(log_json(), offset=text), KAFKA_MS)
        assert isinstance(verdict, Event), verdict
        assert verdict.values["offset"] == expected
    for text in ("-0.0", "0e0", "-6", "null"):
        verdict = classifier.classify(with_raw(log_json(), offset=text), KAFKA_MS)
        assert isinstance(verdict, Reject), text
        assert verdict.reason == "schema", verdict


def test_an_optional_text_may_be_empty_or_as_long_as_the_contract_wants_in_code_points() -> None:
    classifier = with_fields(tag={"type": "string", "required": False, "min_length": 3})
    found = {
        text: classifier.classify(log_json(tag=text), KAFKA_MS)
        for text in ("", "abc", "ü\n\n", "\U0001f600" * 3)
    }
    assert {text: v.values["tag"] for text, v in found.items() if isinstance(v, Event)} == {
        t: t for t in found
    }
    for text in ("a", "ab", "\U0001f600\U0001f600", "\n\n"):
        assert isinstance(classifier.classify(log_json(tag=text), KAFKA_MS), Reject), repr(text)


def test_an_event_time_in_milliseconds_is_kept_in_microseconds_and_as_it_is() -> None:
    event = accepted("user_events", user_json())
    assert (event.time_us, event.values["timestamp"]) == (TIME_MS * 1_000, TIME_MS)
    assert event.values["value"] == 42_500_000


@pytest.mark.parametrize(
    "value", [1765850648891.0, "1765850648891", "2025-12-16T02:04:08", -1, 4291747200000, None, ...]
)
def test_another_event_time_than_milliseconds_of_1970_to_2105_is_schema(value: object) -> None:
    verdict = refused("user_events", user_json(timestamp=value))
    assert (verdict.reason, "timestamp" in verdict.detail) == ("schema", True), verdict


def test_bounds_of_the_field_do_not_widen_those_of_an_event_time() -> None:
    contract = USERS.model_dump()
    contract["fields"]["timestamp"] |= {"minimum": -5, "maximum": 5_000_000_000_000}
    classifier = Classifier(Contract.model_validate(contract))
    for milliseconds in (-1, 4_291_747_200_000):
        verdict = classifier.classify(user_json(timestamp=milliseconds), KAFKA_MS)
        assert verdict == Reject("schema", f"timestamp: {milliseconds} is not within 1970 to 2105")


ADDRESSES = [
    "192.168.1.20",
    "0.0.0.0",
    "255.255.255.255",
    "::",
    "::1",
    "2001:DB8::7",
    "::ffff:1.2.3.4",
    "1:2:3:4:5:6:7:8",
]
NO_ADDRESSES = [
    "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4/24", "1.2.3.4:80", " 1.2.3.4", "1.2.3.4 ", "1.2.3.4\n", " ", "-",
    "fe80::1%eth0", "1::2::3", ":::", "[::1]", "12345::", "\uff11.2.3.4", "1.2.3.٤", "localhost", "0x1.2.3.4", "1234567890",
]  # fmt: skip


@pytest.mark.parametrize("text", ADDRESSES)
def test_an_address_is_kept_as_it_is_written(text: str) -> None:
    assert accepted("user_events", user_json(ip_address=text)).values["ip_address"] == text


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_what_is_no_address_is_schema_and_said_so(text: str) -> None:
    verdict = refused("user_events", user_json(ip_address=text))
    assert verdict == Reject("schema", f"ip_address is {text!r}: must be an IPv4 or IPv6 address")


def test_an_address_may_be_absent_where_it_is_optional_only() -> None:
    for value in (None, "", ...):
        assert accepted("user_events", user_json(ip_address=value)).values["ip_address"] == ""
    contract = USERS.model_dump()
    contract["fields"]["ip_address"]["required"] = True
    classifier = Classifier(Contract.model_validate(contract))
    for value in (None, "", ...):
        assert isinstance(classifier.classify(user_json(ip_address=value), KAFKA_MS), Reject), value


@given(st.ip_addresses())
def test_every_address_is_one(address: object) -> None:
    assert is_ip(str(address))


@pytest.mark.parametrize("line", [COMMON, COMBINED, COMBINED + "\n"])
def test_a_line_yields_the_fields_that_the_contract_has(line: str) -> None:
    event = accepted("logs", line.encode())
    assert event.time_us == 1_765_850_648_000_000
    assert event.values == {
        "timestamp": "2025-12-16T02:04:08+00:00",
        "level": "ERROR",
        "service": "checkout",
        "message": "",
        "ip_address": "10.0.3.7",
        "user_id": "user_017",
        "request_id": "",
        "response_time": None,
        "status_code": 502,
        "error_code": "",
    }


def test_the_offset_of_a_line_counts() -> None:
    moved = COMMON.replace("02:04:08 +0000", "03:34:08 +0130")
    assert accepted("logs", moved.encode()).time_us == accepted("logs", COMMON.encode()).time_us


@pytest.mark.parametrize(
    ("before", "after", "detail"),
    [
        ("GET /checkout/cart HTTP/1.1", "-", "service"),
        ("GET /checkout/cart HTTP/1.1", r"\x16\x03\x01", "service"),
        (" 502 ", " 999 ", "status_code"),
        (" 502 ", " 000 ", "status_code"),
        ("16/Dec", "31/Feb", "timestamp: "),
        ("2025", "0000", "timestamp: "),
        ("2025", "1969", "timestamp: "),
        ("2025", "2106", "timestamp: "),
    ],
)
def test_a_line_whose_values_break_the_contract_is_schema(before: str, after: str, detail: str) -> None:
    verdict = refused("logs", COMMON.replace(before, after).encode())
    assert (verdict.reason, detail in verdict.detail) == ("schema", True), verdict


@pytest.mark.parametrize(("year", "reason"), [("2024", "stale"), ("2026", "future")])
def test_the_time_of_a_line_is_held_against_the_kafka_timestamp(year: str, reason: str) -> None:
    assert refused("logs", COMMON.replace("2025", year).encode()).reason == reason


NO_EVENT = {
    "empty": b"",
    "blank": b" \n",
    "array": b"[]",
    "text": b'"x"',
    "prose": b"upstream timed out",
    "not UTF-8": COMMON.encode().replace(b"cart", b"c\xff"),
    "two lines": f"{COMMON}\n{COMMON}".encode(),
    "line behind an object": log_json() + b"\n" + COMMON.encode(),
    "blank before a line": b" " + COMMON.encode(),
    "byte order mark before an object": b"\xef\xbb\xbf" + log_json(),
    "half an object": log_json()[:-1],
    "line in braces": b"{" + COMMON.encode() + b"}",
}


@pytest.mark.parametrize("case", NO_EVENT)
def test_what_is_neither_an_object_nor_a_line_is_malformed(case: str) -> None:
    verdict = refused("logs", NO_EVENT[case])
    assert verdict.reason == "malformed", verdict


def test_a_text_that_fits_no_format_says_which_ones_it_could_have_been() -> None:
    expected = "neither a JSON object nor an access-log line of nginx_combined or apache_common"
    assert refused("logs", b"upstream timed out") == Reject("malformed", expected)


def test_blanks_before_an_object_are_jsons_own() -> None:
    assert accepted("logs", b" \t\r\n" + log_json()) == accepted("logs", log_json())
    assert "access-log line" in refused("logs", b"\x0b" + log_json()).detail


def test_brackets_in_a_line_are_no_nesting() -> None:
    assert accepted("logs", COMBINED.replace("curl/8.5", "[{" * 500).encode()).values["service"] == "checkout"


def test_a_line_has_no_longest_length() -> None:
    assert accepted("logs", COMBINED.replace("curl/8.5", "x" * 200_000).encode()).values["status_code"] == 502


def of_formats(*formats: str) -> Classifier:
    return Classifier(Contract.model_validate(LOGS.model_dump() | {"formats": formats}))


def test_a_stream_takes_the_formats_of_its_contract_alone() -> None:
    values = {"json": log_json(), "nginx_combined": COMBINED.encode(), "apache_common": COMMON.encode()}
    for taken in (["json"], ["nginx_combined"], ["apache_common"], ["json", "apache_common"], list(values)):
        classifier = of_formats(*taken)
        found = {name: classifier.classify(value, KAFKA_MS) for name, value in values.items()}
        assert [name for name, verdict in found.items() if isinstance(verdict, Event)] == taken, found
        assert {v.reason for v in found.values() if isinstance(v, Reject)} <= {"malformed"}


def test_a_line_of_a_stream_in_milliseconds_has_its_time_in_milliseconds() -> None:
    contract = LOGS.model_dump()
    contract["event_time"]["encoding"] = "epoch_ms"
    contract["fields"]["timestamp"] = USERS.fields["timestamp"].model_dump()
    classifier = Classifier(Contract.model_validate(contract))
    event = classifier.classify(COMMON.encode(), KAFKA_MS)
    assert isinstance(event, Event), event
    assert (event.time_us, event.values["timestamp"]) == (1_765_850_648_000_000, 1_765_850_648_000)
    assert isinstance(classifier.classify(COMMON.replace("16/Dec", "31/Feb").encode(), KAFKA_MS), Reject)


PIECES = st.sampled_from(
    [COMMON.encode(), COMBINED.encode(), log_json(), user_json(), b"{", b'"', b"\\", b"\n", b" ", b"\xff"]
)
TORN = st.lists(PIECES | st.binary(max_size=4), max_size=4).map(b"".join)


@given(
    TORN | st.tuples(TORN, st.integers(0, 200)).map(lambda torn: torn[0][: torn[1]]),
    st.sampled_from(list(BY_STREAM)),
)
def test_any_bytes_are_judged(value: bytes, stream: str) -> None:
    verdict = BY_STREAM[stream].classify(value, KAFKA_MS)
    contract = {"logs": LOGS, "user_events": USERS}[stream]
    if isinstance(verdict, Event):
        assert list(verdict.values) == list(contract.fields)
    else:
        assert verdict.reason in REASONS
        assert verdict.detail
