"""The recount on real Spark says of any bytes what the contract's classifier says of them, record by record."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import BinaryType, IntegerType, LongType, StructField, StructType

from include.contracts import Contract, load_contract
from include.contracts.classifier import Classifier, Event
from include.contracts.model import NO_MAXIMUM, NO_MINIMUM
from include.reconcile import by_version
from include.reconcile.balance import balances, by_segment
from include.reconcile.classify import classified
from include.reconcile.measure import measure
from include.reconcile.types import OffsetRange, Replayed, Segment
from include.reconcile.winners import with_winners
from tests.helpers import ad_event

CONTRACT = load_contract("ad_events")
KAFKA_MS = 1_765_850_648_891
NOW = datetime.fromtimestamp(KAFKA_MS / 1000, UTC)
SCHEMA = StructType(
    [
        StructField("partition", IntegerType()),
        StructField("offset", LongType()),
        StructField("value", BinaryType()),
        StructField("kafka_us", LongType()),
    ]
)
GOOD = ad_event()


def text(**changes: object) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in GOOD.items() if key != name}).encode()


def before(member: str) -> bytes:
    return b"{" + member.encode() + b"," + text()[1:]


CLEAN = [
    text(),
    text(extra="unknown", other=5, third=None, fourth=True),
    b" \n" + text() + b"\r\n ",
    json.dumps(dict(reversed(GOOD.items())), indent=2).encode(),
    json.dumps(GOOD, separators=(",", ":")).encode(),
    text(user_id="ü\u2013"),
    json.dumps({**GOOD, "user_id": "ünï\U0001f600"}, ensure_ascii=False).encode(),
    text(event_type="impression", revenue=0),
    text(event_type="impression", revenue=-0.0),
    text(revenue=1000),
    text(revenue=1000.0),
    text(revenue=0.0000015),
    text(revenue=0.1 + 0.2),
    text(timestamp="2025-12-16 02:04:08"),
    text(timestamp="2025-12-16T02:04:08Z"),
    text(timestamp="2025-12-16T03:34:08.1+01:30"),
    text(timestamp="2025-12-15T22:04:08.12-04:00"),
]
DIRTY = [
    None,
    b"",
    b"null",
    b"[]",
    b"{}",
    b'"text"',
    b"\xff\xfe",
    b"\xef\xbb\xbf" + text(),
    text() + text(),
    text() + b" x",
    text()[:-1],
    text()[1:],
    text() + b"}",
    b"{" + text() + b"}",
    b"[" + text() + b"]",
    b"{,}",
    *(without(name) for name in GOOD),
    *(text(**{name: None}) for name in GOOD),
    *(text(**{name: 5}) for name in GOOD),
    *(text(**{name: True}) for name in GOOD),
    *(text(**{name: ""}) for name in GOOD),
    *(text(**{name: [1]}) for name in GOOD),
    *(text(**{name: {"a": 1}}) for name in GOOD),
    text(revenue=-0.0000001),
    text(revenue=1000.0000001),
    text(revenue=1e-9),
    text(revenue=1e300),
    text(revenue=0),
    text(event_type="impression"),
    text(event_type="impression", revenue=0.0000001),
    text().replace(b"0.0165", b"NaN"),
    text().replace(b"0.0165", b"1e999"),
    text().replace(b"0.0165", b"0.01650000000000000000000000000000001"),
    text().replace(b"0.0165", b"00.0165"),
    text().replace(b"0.0165", b".0165"),
    text().replace(b"0.0165", b"1."),
    text().replace(b"0.0165", b"+1"),
    text().replace(b"0.0165", b"1.65E-2"),
    text().replace(b"0.0165", b'"0.0165"'),
    text(country="uk"),
    text(country="UK "),
    text(extra={"country": "US"}),
    text(extra='"country": "US"'),
    text(extra="brace } in text"),
    text(user_id='quo"te'),
    text(user_id="back\\slash"),
    text(user_id="new\nline"),
    before('"x":"raw\nnewline"'),
    before('"x":"tab\t"'),
    before('"x":nul'),
    before('"x":01'),
    before('"x":1e999'),
    before('"x":12345678901234567890123456789'),
    before("'x':1"),
    before("x:1"),
    before('/* c */"x":1'),
    before('"country":"US"'),
    before('"country":"XX"'),
    before('"revenue":-4'),
    before('"revenue":5'),
    before('"\\u0063ountry":"US"'),
    text(user_id="\ud800"),
    b'{"x":"\xed\xa0\x80",' + text()[1:],
    b'{"x":"\xc0\x80",' + text()[1:],
    text(timestamp="2025-12-16"),
    text(timestamp="2025-12-16T02:04"),
    text(timestamp="2025-12-16T02:04:08.1234567"),
    text(timestamp="2025-12-16T02:04:60"),
    text(timestamp="2025-12-16T24:00:00"),
    text(timestamp="2025-02-30T02:04:08"),
    text(timestamp="2025-12-16T02:04:08+23:59"),
    text(timestamp="2025-12-16T02:04:08+18:01"),
    text(timestamp="2025-12-16T02:04:08+24:00"),
    text(timestamp="2025-12-16T02:04:08 Z"),
    text(timestamp="2025-12-16t02:04:08z"),
    text(timestamp="\uff12025-12-16T02:04:08"),
    text(timestamp="0000-01-01T00:00:00"),
    text(timestamp="9999-12-31T23:59:59.999999"),
    *(
        text(timestamp=(NOW + delta).strftime("%Y-%m-%dT%H:%M:%S.%f"))
        for edge in (timedelta(seconds=60), -timedelta(hours=96))
        for delta in (edge - timedelta(microseconds=1), edge, edge + timedelta(microseconds=1))
    ),
    b'{"x":' + b"[" * 3000 + b"]" * 3000 + b"," + text()[1:],
    b'{"x":"' + b"a" * 70_000 + b'",' + text()[1:],
]


def outcomes(spark: SparkSession, values: list[bytes | None], contract: Contract = CONTRACT) -> list[Row]:
    rows = [
        (0, offset, None if value is None else bytearray(value), KAFKA_MS * 1000)
        for offset, value in enumerate(values)
    ]
    records = spark.createDataFrame(rows, SCHEMA)
    return classified(records, contract).orderBy("offset").collect()


def compare(spark: SparkSession, values: list[bytes | None], contract: Contract = CONTRACT) -> list[Row]:
    """Hold Spark against the classifier, record by record; every difference is listed with its value."""
    classifier = Classifier(contract)
    found = outcomes(spark, values, contract)
    wrong = []
    for value, row in zip(values, found, strict=True):
        expected = classifier.classify(value, KAFKA_MS)
        if isinstance(expected, Event):
            wanted = (None, expected.time_us, expected.values)
        else:
            wanted = (expected.reason, None, dict.fromkeys(contract.fields))
        actual = (row["reason"], row["time_us"], {name: row[f"field_{name}"] for name in contract.fields})
        if actual != wanted:
            wrong.append(f"{value!r:.300}\n  expected {wanted}\n  actual   {actual}")
    assert not wrong, "\n".join(wrong)
    return found


def test_crafted_records_are_judged_alike_and_the_plain_ones_without_the_classifier(
    spark: SparkSession,
) -> None:
    found = compare(spark, [*CLEAN, *DIRTY])
    slow = [value for value, row in zip(CLEAN, found, strict=False) if not row["clean"] or row["reason"]]
    assert slow == [CLEAN[5]], "escapes only"


USER_EVENT = {
    **{"timestamp": KAFKA_MS - 500, "user_id": "user_001", "action": "view", "value": 42.5},
    **{"session_id": "session_17", "ip_address": "192.168.1.20"},
}
LOG_RECORD = {
    **{
        "timestamp": "2025-12-16T02:04:08.891Z",
        "level": "ERROR",
        "service": "checkout",
        "message": "timed out",
    },
    **{"ip_address": "10.0.3.7", "user_id": "user_017", "request_id": "r-91", "response_time": 0.734},
    **{"status_code": 502, "error_code": "E_TIMEOUT"},
}
SPELLINGS = [
    *(
        b"null",
        b"true",
        b"false",
        b"5",
        b"5.0",
        b"5e2",
        b"-0",
        b"502",
        b"502.0",
        b"5.02e2",
        b"00502",
        b"-1",
        b"1e999",
    ),
    *(
        b"99999999999999999999",
        b'""',
        b'" "',
        b'"5"',
        b'"null"',
        b'"n"',
        b'"-"',
        b"[]",
        b"[1]",
        b"{}",
        b'{"a":1}',
    ),
    *(
        b'"a \\"level\\": b"',
        b'"\\"level\\":5"',
        b'"\\\\"',
        b'"\\n"',
        b'"\\u0041"',
        b'"\\x"',
        b'"::1"',
        b'"1.2.3.04"',
    ),
    *(b'"[x]"', b"nul", b"n", b"", b'"level"', b'"user_id":"x"', b'"a","level":5'),
]


@pytest.mark.parametrize("good", [USER_EVENT, LOG_RECORD], ids=["user_events", "logs"])
def test_every_spelling_of_every_field_is_judged_alike(spark: SparkSession, good: dict[str, object]) -> None:
    contract = load_contract("user_events" if good is USER_EVENT else "logs")
    values: list[bytes | None] = [json.dumps(good).encode()]
    for name in good:
        others = {key: item for key, item in good.items() if key != name}
        rest = json.dumps(others).encode()[1:]
        values.append(b"{" + rest)
        for key in (f'"{name}":', f'"{name}" : ', f'"\\u{ord(name[0]):04x}{name[1:]}":', f'"\\"{name}":'):
            values += [b"{" + key.encode() + spelling + b"," + rest for spelling in SPELLINGS]
    found = compare(spark, values, contract)
    assert found[0]["clean"]


JSON_TEXT = st.text(max_size=6)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=True),
    JSON_TEXT,
    st.sampled_from(list(GOOD.values())),
)
FIELDS = st.sampled_from([*GOOD, "extra", "Country"])
OBJECTS = st.dictionaries(FIELDS, st.one_of(SCALARS, st.lists(SCALARS, max_size=2)), max_size=3).map(
    lambda changes: json.dumps({**GOOD, **changes}).encode()
)
REVENUES = st.floats(0, 1001).map(lambda revenue: text(revenue=revenue))
TIMES = st.datetimes(
    NOW.replace(tzinfo=None) - timedelta(hours=97), NOW.replace(tzinfo=None) + timedelta(minutes=2)
).map(lambda moment: text(timestamp=moment.isoformat()))


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A good record with a few bytes changed, removed or added."""
    value = bytearray(text())
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(value) - 1))
        piece = draw(
            st.one_of(
                st.binary(max_size=2), st.sampled_from([b'"', b"{", b"}", b",", b":", b"\\", b" ", b"e"])
            )
        )
        value[at : at + draw(st.integers(0, 2))] = piece
    return bytes(value)


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    values=st.lists(
        st.one_of(broken(), OBJECTS, REVENUES, TIMES, st.binary(max_size=40)), min_size=100, max_size=400
    )
)
def test_any_bytes_are_judged_alike(spark: SparkSession, values: list[bytes | None]) -> None:
    compare(spark, values)


def test_figures_as_they_came_and_once_have_the_earliest_copy_win(spark: SparkSession) -> None:
    same = {"timestamp": "2025-12-16T02:04:08.891156"}
    values = [
        (0, 0, text(**same, revenue=0.5), KAFKA_MS * 1000),
        (1, 0, text(**same, revenue=0.25), KAFKA_MS * 1000 - 1000),
        (1, 1, text(**same, revenue=0.125), KAFKA_MS * 1000 - 1000),
        (0, 1, text(event_id="E2", timestamp="2025-12-16T02:05:00"), KAFKA_MS * 1000),
        (0, 2, text(timestamp="2025-12-16T01:59:59"), KAFKA_MS * 1000),
        (0, 3, b"{", KAFKA_MS * 1000),
        (1, 9, text(event_id="outside"), KAFKA_MS * 1000),
    ]
    records = spark.createDataFrame([(p, o, bytearray(v), k) for p, o, v, k in values], SCHEMA)
    segments = [Segment(OffsetRange(p, 0, 5), 0, 0, 0, 0, {}) for p in (0, 1)]
    asked = int(datetime(2025, 12, 16, 2, tzinfo=UTC).timestamp())
    measured = measure(records, CONTRACT, segments, [asked])
    cells = {
        (cell.cube, cell.window - asked, cell.dimensions): (cell.once, cell.came) for cell in measured.cells
    }
    key = ("click", "UK", "rewarded_video")
    assert cells == {
        ("ad_events", 240, key): ((1, 250_000), (3, 875_000)),
        ("ad_events", 300, key): ((1, 16_500), (1, 16_500)),
        ("ad_arrival", 0, (asked, 0)): ((2, -1_156), (4, -156)),
    }
    counts = {(c.segment, c.reason, c.hour): (c.records, c.once, c.late) for c in measured.counts}
    assert counts == {
        (0, None, asked): (2, 1, 0),
        (1, None, asked): (2, 1, 0),
        (0, None, asked - 3600): (1, 1, 1),
        (0, "malformed", None): (1, 1, 0),
    }


def test_a_window_at_the_last_microsecond_of_an_hour_stays_in_it(spark: SparkSession) -> None:
    value = text(timestamp="2025-12-16T01:59:59.999999")
    records = spark.createDataFrame([(0, 0, bytearray(value), KAFKA_MS * 1000)], SCHEMA)
    asked = int(datetime(2025, 12, 16, 1, tzinfo=UTC).timestamp())
    measured = measure(records, CONTRACT, [Segment(OffsetRange(0, 0, 1), 0, 0, 0, 0, {})], [asked])
    found = {(cell.cube, cell.hour, cell.window, cell.dimensions) for cell in measured.cells}
    assert found == {
        ("ad_events", asked, asked + 59 * 60, ("click", "UK", "rewarded_video")),
        ("ad_arrival", asked, asked, (asked + 3600, 248_320)),
    }


def test_clean_rows_cost_no_classifier_call(spark: SparkSession) -> None:
    found = outcomes(spark, [text(event_id=f"E{n}") for n in range(50)])
    assert all(row["clean"] and row["reason"] is None for row in found)


def test_records_are_judged_under_their_segments_version_and_replayed_ones_under_their_own(
    spark: SparkSession,
) -> None:
    country = CONTRACT.fields["country"]
    fields = {**CONTRACT.fields, "country": country.model_copy(update={"allowed": ("UK", "ES")})}
    second = CONTRACT.model_copy(update={"version": 2, "fields": fields})
    values = [(p, offset, text(event_id=f"E{p}{offset}", country="ES")) for p in (0, 1) for offset in (0, 1)]
    records = spark.createDataFrame([(p, o, bytearray(v), KAFKA_MS * 1000) for p, o, v in values], SCHEMA)
    asked = int(datetime(2025, 12, 16, 2, tzinfo=UTC).timestamp())
    replayed = (Replayed(1, asked, 9, 2),)
    segments = [
        Segment(OffsetRange(0, 0, 2), 0, 2, 0, 0, {}, 1, replayed),
        Segment(OffsetRange(1, 0, 2), 2, 0, 0, 0, {asked: 2}, 2),
    ]
    measured = measure(records, second, segments, [asked], {1: CONTRACT})
    counts = {(c.segment, c.reason, c.hour, c.replayed): c.records for c in measured.counts}
    assert counts == {
        (0, "schema", None, False): 1,
        (0, None, asked, True): 1,
        (1, None, asked, False): 2,
    }
    assert [cell.came[0] for cell in measured.cells] == [3, 3]
    alone = measure(records, second, [replace(s, replayed=()) for s in segments], [asked], {1: CONTRACT})
    assert [cell.came[0] for cell in alone.cells] == [2, 2]
    none = measure(records, second, [replace(s, replayed=()) for s in segments], [asked])
    assert [cell.came[0] for cell in none.cells] == [4, 4], "what it would be under today's contract alone"


def test_an_identity_of_two_hours_is_told_in_each_that_is_asked_for_and_counts_in_each(
    spark: SparkSession,
) -> None:
    hour = int(datetime(2025, 12, 16, 2, tzinfo=UTC).timestamp())
    in_hour = {"twice": ["02:00:00", "02:04:08"], "here": ["02:00:01"], "both": ["02:00:02", "01:59:59"]}
    in_hour["thrice"] = ["02:00:03", "01:00:00", "01:00:00", "00:59:00"]
    values = [
        text(event_id=name, timestamp=f"2025-12-16T{at}") for name, seen in in_hour.items() for at in seen
    ]
    values += [b"{", b"{"]
    rows = [(at % 2, at, bytearray(value), KAFKA_MS * 1000) for at, value in enumerate(values)]
    segments = [Segment(OffsetRange(p, 0, len(values)), 0, 0, 0, 0, {}) for p in (0, 1)]
    figures = []
    for asked in ([hour], [hour, hour - 3600], [hour - 7200]):
        measured = measure(spark.createDataFrame(rows, SCHEMA), CONTRACT, segments, asked)
        found: dict[int | None, Counter[str]] = {h: Counter() for h in (hour, hour - 3600, hour - 7200, None)}
        for count in measured.counts:
            found[count.hour].update(records=count.records, once=count.once, id_reused=count.id_reused)
        assert found[hour] == {"records": 5, "once": 4, "id_reused": 2}
        assert found[hour - 3600] == {"records": 3, "once": 2, "id_reused": 2}
        assert found[hour - 7200] == {"records": 1, "once": 1, "id_reused": 1}
        assert found[None]["id_reused"] == 0
        figures.append(sorted((c.window, c.once, c.came) for c in measured.cells if c.hour == hour))
    assert figures[0] == figures[1]


def test_records_without_an_identity_are_none_that_recurs(spark: SparkSession) -> None:
    logs = load_contract("logs")
    line = b'10.0.3.7 - - [16/Dec/2025:%s +0000] "GET /checkout/cart HTTP/1.1" 502 512'
    rows = [
        (0, at, bytearray(line % seen), KAFKA_MS * 1000) for at, seen in enumerate((b"02:04:08", b"01:04:08"))
    ]
    hour = int(datetime(2025, 12, 16, 2, tzinfo=UTC).timestamp())
    segments = [Segment(OffsetRange(0, 0, 2), 0, 0, 0, 0, {})]
    nameless = logs.model_copy(update={"identity": ()})
    for contract in (logs, nameless):
        measured = measure(spark.createDataFrame(rows, SCHEMA), contract, segments, [hour, hour - 3600])
        assert [(c.records, c.once, c.id_reused) for c in measured.counts] == [(1, 1, 0), (1, 1, 0)]


def test_identities_are_told_apart_by_one_shuffle_and_one_sort(spark: SparkSession) -> None:
    rows = [(0, 0, bytearray(text()), KAFKA_MS * 1000)]
    records = spark.createDataFrame(rows, SCHEMA).withColumn("segment", F.lit(0))
    judged = by_version.judged(records, CONTRACT, [], {})
    plan = with_winners(judged, CONTRACT, [0])._jdf.queryExecution().sparkPlan().toString()
    prepared = with_winners(judged, CONTRACT, [0])._jdf.queryExecution().executedPlan().toString()
    assert plan.count("Window ") == 2, plan
    assert (prepared.count("Exchange "), prepared.count("Sort ")) == (1, 1), prepared


def test_a_judgement_that_loses_a_record_and_doubles_another_breaks_the_balance(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [(p, offset, text(event_id=f"E{p}{offset}")) for p in (0, 1) for offset in range(4)]
    records = spark.createDataFrame([(p, o, bytearray(v), KAFKA_MS * 1000) for p, o, v in values], SCHEMA)
    asked = int(datetime(2025, 12, 16, 2, tzinfo=UTC).timestamp())
    segments = [Segment(OffsetRange(p, 0, 5), 4, 0, 0, 1, {asked: 4}) for p in (0, 1)]

    def balanced() -> list[tuple[int, int, bool]]:
        measured = measure(records, CONTRACT, segments, [asked])
        reads = by_segment(segments, measured.delivered, measured.counts)
        return [(b.this_hour, b.non_records, b.holds) for b in balances(asked, list(reads.values()))]

    assert balanced() == [(4, 1, True), (4, 1, True)]
    own = by_version.judged

    def torn(*given: Any) -> DataFrame:
        found = own(*given)
        return found.where("partition = 1 OR offset != 1").unionAll(
            found.where("partition = 0 AND offset = 2")
        )

    monkeypatch.setattr("include.reconcile.measure.judged", torn)
    assert balanced() == [(4, 1, False), (4, 1, True)]


def test_copies_without_an_identity_all_count_and_are_counted(spark: SparkSession) -> None:
    logs = load_contract("logs")
    line = b'10.0.3.7 - - [16/Dec/2025:02:04:08 +0000] "GET /checkout/cart HTTP/1.1" 502 512'
    timed = b'{"timestamp":"2025-12-16T02:04:08Z","service":"checkout","status_code":200,"request_id":"r1","response_time":0.0025}'
    plain = b'{"timestamp":"2025-12-16T02:04:09Z","service":"search","status_code":200,"request_id":"r2"}'
    values = [line, line, timed, timed, plain]
    rows = [(0, at, bytearray(value), KAFKA_MS * 1000) for at, value in enumerate(values)]
    asked = int(datetime(2025, 12, 16, 2, tzinfo=UTC).timestamp())
    measured = measure(
        spark.createDataFrame(rows, SCHEMA), logs, [Segment(OffsetRange(0, 0, 5), 0, 0, 0, 0, {})], [asked]
    )
    counted = [(c.records, c.once, c.without_identity, c.id_reused) for c in measured.counts]
    assert counted == [(5, 4, 2, 0)]
    names = [item.name for item in logs.cubes[0].measures]
    once = {
        c.dimensions: dict(zip(names, c.once, strict=True))
        for c in measured.cells
        if c.cube == "log_services"
    }
    assert once["checkout",] == {
        **{"request_count": 3, "timed_count": 1, "response_time": 2_500},
        **{
            "response_time_min": 2_500,
            "response_time_max": 2_500,
            "response_ms": 2,
            "response_ms_squared": 4,
        },
        **{"error_count": 2, "success_count": 1, "fast_count": 1},
    }
    assert once["search",] == {
        **dict.fromkeys(names, 0),
        **{"request_count": 1, "success_count": 1},
        **{"response_time_min": NO_MINIMUM, "response_time_max": NO_MAXIMUM},
    }
