"""One record at a time: every reason to reject, exact money, the forms of time, repeated keys."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.contracts.classifier import DEEPEST_NESTING, Classifier, Event, Reject, to_scale, too_deep
from include.contracts.times import parse_iso8601
from tests.helpers import KAFKA_MS, MOMENT, ad_events, encoded

MOMENT_US = int(MOMENT.timestamp()) * 1_000_000 + MOMENT.microsecond
CLASSIFIER = Classifier(ad_events())


def judged(value: bytes | None, kafka_ms: int = KAFKA_MS) -> Event | Reject:
    return CLASSIFIER.classify(value, kafka_ms)


def accepted(value: bytes, kafka_ms: int = KAFKA_MS) -> Event:
    verdict = judged(value, kafka_ms)
    assert isinstance(verdict, Event), f"{value!r} was refused: {verdict}"
    return verdict


def reason(value: bytes | None, kafka_ms: int = KAFKA_MS) -> str:
    verdict = judged(value, kafka_ms)
    return verdict.reason if isinstance(verdict, Reject) else "accepted"


def with_text(text: str) -> bytes:
    """An acceptable event with raw JSON text put at its end."""
    return encoded()[:-1] + text.encode() + b"}"


def test_an_acceptable_event_keeps_its_texts_and_its_revenue_in_micro_dollars() -> None:
    event = accepted(encoded())
    assert event.time_us == MOMENT_US
    assert event.values["revenue"] == 16_500
    assert event.values["country"] == "UK"


MALFORMED: dict[str, bytes | None] = {
    "no value": None,
    "empty": b"",
    "blank": b"  ",
    "array": b"[1]",
    "text": b'"x"',
    "null": b"null",
    "number": b"17",
    "cut": encoded()[:-2],
    "trailing comma": with_text(","),
    "trailing comma in an ignored array": with_text(',"x":[1,]'),
    "trailing text": encoded() + b"x",
    "two objects": encoded() + encoded(),
    "two objects on two lines": encoded() + b"\n" + encoded(),
    "null byte behind": encoded() + b"\0",
    "byte order mark": b"\xef\xbb\xbf" + encoded(),
    "not UTF-8 in a kept text": encoded().replace(b"U95480", b"U\xff"),
    "not UTF-8 in an ignored text": with_text(',"x":"?"').replace(b"?", b"\xc3"),
    "surrogate in UTF-8": with_text(',"x":"?"').replace(b"?", b"\xed\xa0\x80"),
    "lone surrogate in a kept text": encoded().replace(b"U95480", rb"\ud800"),
    "lone surrogate in an ignored text": with_text(r',"x":"\udc00"'),
    "NaN": encoded(revenue=float("nan")),
    "Infinity in an ignored field": with_text(',"x":Infinity'),
    "number beyond a double": with_text(',"revenue":1e400'),
    "single quotes": encoded().replace(b'"', b"'"),
    "control character in a text": encoded(user_id="a").replace(b'"a"', b'"a\x01"'),
    "leading zero in an ignored number": with_text(',"x":01'),
    "broken behind a field that breaks the schema": encoded(country="XX")[:-1],
    "UTF-16": encoded().decode().encode("utf-16"),
    "nested beyond the limit": with_text(',"x":' + "[" * 300 + "]" * 300),
    "nested without an end": b'{"x":' + b"[" * 100_000,
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_not_one_whole_json_object_in_utf8_is_malformed(case: str) -> None:
    assert reason(MALFORMED[case]) == "malformed", judged(MALFORMED[case])


SCHEMA = {
    **{f"{name} missing": encoded(**{name: ...}) for name in ad_events().fields},
    **{f"{name} null": encoded(**{name: None}) for name in ad_events().fields},
    **{f"{name} of another type": encoded(**{name: [1]}) for name in ad_events().fields},
    **{f"{name} empty": encoded(**{name: ""}) for name in ad_events().fields},
    "empty object": b"{}",
    "revenue as text": encoded(revenue="0.01"),
    "revenue as truth": encoded(revenue=True),
    "revenue below the bounds": encoded(revenue=-0.01),
    "revenue above the bounds": encoded(revenue=1000.0000001),
    "unknown country": encoded(country="UA"),
    "country in small letters": encoded(country="uk"),
    "unknown format": encoded(ad_format="popup"),
    "unknown device": encoded(device="ios"),
    "unknown event type": encoded(event_type="view"),
    "impression that earns": encoded(event_type="impression"),
    "click that earns nothing": encoded(revenue=0),
    "click that earns less than half a micro-dollar": encoded(revenue=0.0000005),
    "user_id as a number": encoded(user_id=7),
}


@pytest.mark.parametrize("case", SCHEMA)
def test_what_breaks_a_field_or_a_rule_is_refused_as_schema(case: str) -> None:
    assert reason(SCHEMA[case]) == "schema", judged(SCHEMA[case])


def test_unknown_fields_key_order_and_white_space_do_not_matter() -> None:
    plain = accepted(encoded())
    assert accepted(with_text(',"x":{"y":[1,{"event_id":7}]},"z":1e400')) == plain
    assert accepted(b" \n\t" + encoded().replace(b", ", b" ,\r\n ") + b"\n ") == plain


def test_an_escaped_key_is_the_key() -> None:
    value = encoded(revenue=...)[:-1] + rb',"r\u0065venue":0.02}'
    assert accepted(value).values["revenue"] == 20_000


def test_of_a_repeated_key_the_last_counts_when_every_occurrence_is_valid() -> None:
    assert accepted(with_text(',"revenue":0.5')).values["revenue"] == 500_000
    assert accepted(with_text(',"event_type":"impression","revenue":0')).values["event_type"] == "impression"


def test_a_repeated_key_with_one_invalid_occurrence_is_refused_wherever_it_stands() -> None:
    assert reason(b'{"country":"XX",' + encoded()[1:]) == "schema"
    assert reason(with_text(',"country":"XX"')) == "schema"
    assert reason(b'{"revenue":"1",' + encoded()[1:]) == "schema"


@pytest.mark.parametrize(
    ("offset_us", "kafka_delta", "expected"),
    [
        (60_000_000, 0, "accepted"),
        (60_000_001, 0, "future"),
        (-96 * 3_600_000_000, 0, "accepted"),
        (-96 * 3_600_000_000 - 1, 0, "stale"),
        (0, 96 * 3_600_000, "accepted"),
        (0, 96 * 3_600_000 + 1, "stale"),
        (0, -60_001, "future"),
    ],
)
def test_the_bounds_of_event_time_against_the_kafka_timestamp_are_exact(
    offset_us: int, kafka_delta: int, expected: str
) -> None:
    kafka_ms = 1_765_850_650_000
    moment = parse_iso8601("2025-12-16T02:04:10")
    assert moment == kafka_ms * 1000
    text = iso(moment + offset_us)
    assert reason(encoded(timestamp=text), kafka_ms + kafka_delta) == expected


def iso(time_us: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)).isoformat()


def test_schema_weighs_more_than_future() -> None:
    assert reason(encoded(timestamp="2030-01-01T00:00:00", revenue=0)) == "schema"


TIMES = {
    "2025-12-16T02:04:08": 1_765_850_648_000_000,
    "2025-12-16 02:04:08": 1_765_850_648_000_000,
    "2025-12-16T02:04:08Z": 1_765_850_648_000_000,
    "2025-12-16T02:04:08.8": 1_765_850_648_800_000,
    "2025-12-16T02:04:08.89115": 1_765_850_648_891_150,
    "2025-12-16T02:04:08.891156Z": 1_765_850_648_891_156,
    "2025-12-16T02:04:08.891156+00:00": 1_765_850_648_891_156,
    "2025-12-16T02:04:08.891156-00:00": 1_765_850_648_891_156,
    "2025-12-16T04:04:08+02:00": 1_765_850_648_000_000,
    "2025-12-17T02:03:08+23:59": 1_765_850_648_000_000,
    "2025-12-15T02:05:08-23:59": 1_765_850_648_000_000,
    "1970-01-01T00:00:00": 0,
    "2024-02-29T00:00:00": 1_709_164_800_000_000,
}


@pytest.mark.parametrize("text", TIMES)
def test_a_time_is_read_with_or_without_fraction_and_zone(text: str) -> None:
    assert parse_iso8601(text) == TIMES[text], f"{text}: {parse_iso8601(text)}, expected {TIMES[text]}"


@pytest.mark.parametrize(
    "text",
    [
        "2025-02-30T00:00:00",
        "2023-02-29T00:00:00",
        "2025-13-01T00:00:00",
        "2025-12-16T24:00:00",
        "2025-12-16T23:59:60",
        "0000-01-01T00:00:00",
        "1969-12-31T23:59:59.999999",
        "1970-01-01T00:00:00+00:01",
        "2106-01-01T00:00:00",
        "9999-12-31T23:59:59-23:59",
        "2025-12-16",
        "2025-12-16T02:04",
        "2025-12-16T02:04:08.",
        "2025-12-16T02:04:08.8911561",
        "2025-12-16T02:04:08,891",
        "2025-12-16t02:04:08",
        "2025-12-16T02:04:08z",
        "2025-12-16T02:04:08+0200",
        "2025-12-16T02:04:08+02",
        "2025-12-16T02:04:08+24:00",
        "2025-12-16T02:04:08+02:60",
        "2025-12-16T02:04:08 Z",
        " 2025-12-16T02:04:08",
        "2025-12-16T02:04:08Z\n",
        "2025-12-16T02:04:08\n",
        "20251216T020408",
        "2025-W51-2T02:04:08",
        "\uff12\uff10\uff12\uff15-12-16T02:04:08",
        "-025-12-16T02:04:08",
        "1765850648",
        "",
    ],
)
def test_another_form_or_an_instant_that_does_not_exist_is_schema(text: str) -> None:
    assert reason(encoded(timestamp=text)) == "schema", judged(encoded(timestamp=text))


@pytest.mark.parametrize(
    ("dollars", "micros"),
    [
        ("0.0165", 16_500),
        ("0.1", 100_000),
        ("0.29", 290_000),
        ("1.005", 1_005_000),
        ("999.999999", 999_999_999),
        ("1000", 1_000_000_000),
        ("0.0000005", 0),
        ("0.0000015", 2),
        ("0.0000025", 2),
        ("1e-6", 1),
        ("1.65E-2", 16_500),
    ],
)
def test_money_is_rounded_half_to_even_from_the_nearest_double(dollars: str, micros: int) -> None:
    assert to_scale(float(dollars), 6) == micros


@given(st.integers(0, 1_000_000_000))
def test_money_with_up_to_six_decimals_is_exact(micros: int) -> None:
    assert to_scale(float(Decimal(micros).scaleb(-6)), 6) == micros


def nested(depth: int) -> bytes:
    """An event whose deepest array is `depth` deep, the event's own object included."""
    return with_text(',"x":' + "[" * (depth - 1) + "]" * (depth - 1))


def from_deep_in_the_stack(frames: int, action: Callable[[], str]) -> str:
    return action() if not frames else from_deep_in_the_stack(frames - 1, action)


def test_nesting_is_judged_alike_however_deep_the_callers_stack_is() -> None:
    room = sys.getrecursionlimit() - DEEPEST_NESTING - 150
    used = len(inspect.stack())
    for depth, expected in (
        (DEEPEST_NESTING, "accepted"),
        (DEEPEST_NESTING + 1, "malformed"),
        (900, "malformed"),
    ):
        value = nested(depth)
        found = [from_deep_in_the_stack(frames, lambda v=value: reason(v)) for frames in (0, room - used)]
        assert found == [expected] * 2, f"{depth} deep: {found}, expected {expected}"


def test_brackets_inside_texts_are_not_nesting() -> None:
    assert reason(with_text(',"x":"' + r"[{\"" * 500 + '"')) == "accepted"
    assert not too_deep(b'{"a":"' + rb"\\" * 10 + b'"}' + b"[]" * 1000)
    assert too_deep(b"[" * (DEEPEST_NESTING + 1))
