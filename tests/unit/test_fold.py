"""The fold against a plain recount, record by record, on crafted and on arbitrary bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.contracts import Contract, Cube, Measure
from include.streaming.fold import Fold
from include.streaming.partials import CUBE_PREFIX, HOURS, PARTITIONS, REJECTS
from tests.helpers import (
    INPUT_SCHEMA,
    KAFKA_MS,
    MOMENT,
    Figures,
    Record,
    ad_event,
    ad_events,
    encoded,
    figures,
    folded,
    record_batch,
    recounted,
)

MANY = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FEWER = settings(MANY, max_examples=80)


def two_cubes() -> Contract:
    """The shipped contract with a second cube of another pane and other dimensions."""
    contract = ad_events()
    devices = Cube(
        name="devices",
        pane_seconds=900,
        dimensions=("device",),
        measures=(
            Measure(name="revenue", kind="sum", field="revenue"),
            Measure(name="events", kind="count", field=None),
        ),
    )
    return contract.model_copy(update={"cubes": (*contract.cubes, devices)})


CONTRACT = two_cubes()


def assert_folds_as_recounted(
    tasks: Sequence[Sequence[Sequence[Record]]], contract: Contract = CONTRACT
) -> Figures:
    found = figures(contract, folded(contract, tasks))
    expected = recounted(contract, [record for task in tasks for batch in task for record in batch])
    for part in ("rejects", "partitions", "hours", "cubes"):
        assert getattr(found, part) == getattr(expected, part), (
            f"{part}\n  folded    {getattr(found, part)}\n  recounted {getattr(expected, part)}"
        )
    return found


def records_of(*values: bytes | None, kafka_ms: int = KAFKA_MS) -> list[Record]:
    return [Record(value, i % 3, 100 + i, kafka_ms) for i, value in enumerate(values)]


NASTY: list[bytes | None] = [
    None,
    b"",
    b"null",
    b"{}",
    b"[" * 50_000,
    b'{"x":' + b"[" * 300 + b"]" * 300 + b"}",
    encoded()[:-1] + b',"x":' + b"[" * 199 + b"]" * 199 + b"}",
    encoded()[:-1] + b',"x":' + b"[" * 200 + b"]" * 200 + b"}",
    encoded()[:-1] + b',"x":' + b'{"y":' * 450 + b"1" + b"}" * 450 + b"}",
    b"\xef\xbb\xbf" + encoded(),
    b"\xff\xfe\x00",
    encoded().replace(b"U95480", b"U\xff"),
    encoded()[:-1] + b',"ignored":"\xff"}',
    encoded()[:-1] + b',"ignored":"\xed\xa0\x80"}',
    encoded()[:-1] + rb',"ignored":"\ud800"}',
    encoded()[:-1] + rb',"user_id":"\ud83d\ude00"}',
    encoded()[:-1] + rb',"user_id":"\ud83d"}',
    encoded()[:-1] + b',"revenue":1e400}',
    encoded()[:-1] + b',"revenue":-1e400}',
    encoded()[:-1] + b',"revenue":1e-400}',
    encoded()[:-1] + b',"revenue":NaN}',
    encoded()[:-1] + b',"revenue":1e2}',
    encoded()[:-1] + b',"revenue":' + b"9" * 400 + b"}",
    encoded()[:-1] + b',"revenue":0.' + b"3" * 400 + b"}",
    encoded()[:-1] + b",}",
    encoded() + b",",
    encoded() + b"\n" + encoded(),
    encoded() + encoded(),
    b"\n" + encoded() + b"\r\n",
    encoded(revenue=-0.0, event_type="impression"),
    encoded(revenue=0.0000005),
    encoded(revenue=1000),
    encoded(country="XX"),
    encoded(country="XX")[:-1],
    encoded(user_id=""),
    encoded(user_id="a\nb"),
    encoded(event_type="impression"),
    *(
        encoded(timestamp=text)
        for text in (
            "2025-02-30T00:00:00",
            "0000-01-01T00:00:00",
            "0000-12-31T23:59:59-23:59",
            "9999-12-31T23:59:59-23:59",
            "1969-12-31T23:59:59",
            "1970-01-01T00:00:00+00:01",
            "2025-12-16T24:00:00",
            "2025-12-16T02:04:60",
            "2025-12-17T02:03:08+23:59",
            "2025-12-15T02:05:08-23:59",
            "2025-12-16 02:04:08",
            "2025-12-16T02:04:08Z\n",
            "2025-12-16T02:04:08.1\n",
            "2025-12-16T02:04:08.8911567",
            "2025-12-16T02:04:08+24:00",
            "2025-12-16T02:04:08+0000",
            "2025-12-16T02:04:08\u0000",
            "",
        )
    ),
]


@pytest.mark.parametrize("value", NASTY, ids=lambda value: repr(value)[-60:])
def test_an_odd_value_is_folded_as_judged_and_never_costs_its_neighbours(value: bytes | None) -> None:
    neighbours = [encoded(), encoded(event_type="impression", revenue=0), encoded(country="US")]
    found = assert_folds_as_recounted([[records_of(neighbours[0], value, *neighbours[1:])]])
    events = sum(figures[0] for figures in found.hours.values())
    assert events + len(found.rejects) == 4
    assert events >= 3, f"neighbours of {value!r} were lost: {found}"


def test_all_odd_values_in_one_batch_fold_as_one_by_one() -> None:
    found = assert_folds_as_recounted([[records_of(*NASTY)]])
    assert {reason for _, _, reason, _ in found.rejects} == {"malformed", "schema"}, found.rejects


def test_a_known_batch_gives_the_known_figures() -> None:
    minute = MOMENT.replace(second=0, microsecond=0)
    pane = int(minute.timestamp())
    hour = pane // 3600 * 3600
    records = [
        Record(encoded(revenue=0.1), 0, 10),
        Record(encoded(revenue=0.2), 1, 4),
        Record(encoded(event_type="impression", revenue=0), 0, 11),
        Record(encoded(timestamp=(MOMENT - timedelta(seconds=61)).isoformat()), 0, 12, KAFKA_MS - 1_000),
        Record(encoded(timestamp=(MOMENT + timedelta(hours=2)).isoformat()), 1, 5),
        Record(b"{", 1, 6),
    ]
    found = figures(ad_events(), folded(ad_events(), [[records]]))
    assert found.cubes == {
        ("ad_events", pane, "click", "UK", "rewarded_video"): (2, 300_000),
        ("ad_events", pane, "impression", "UK", "rewarded_video"): (1, 0),
        ("ad_events", pane - 60, "click", "UK", "rewarded_video"): (1, 16_500),
        ("ad_arrival", hour, hour, 999): (3, 999_844),
        ("ad_arrival", hour, hour, 60_800): (1, 60_999_844),
    }
    assert found.hours == {(0, hour): (3, 1, 10, 12), (1, hour): (1, 0, 4, 4)}
    assert found.partitions == {0: (3, 10, KAFKA_MS - 1_000, KAFKA_MS), 1: (3, 4, KAFKA_MS, KAFKA_MS)}
    assert found.rejects == [(1, 5, "future", KAFKA_MS), (1, 6, "malformed", KAFKA_MS)]


def test_late_begins_above_the_lateness_and_counts_all_the_same() -> None:
    moment = datetime(2025, 12, 16, 2, 0, tzinfo=UTC)
    kafka_ms = int(moment.timestamp() * 1000) + 60_000
    at_the_limit = Record(encoded(timestamp="2025-12-16T02:00:00.000000"), 0, 1, kafka_ms)
    beyond = Record(encoded(timestamp="2025-12-16T01:59:59.999999"), 0, 2, kafka_ms)
    found = assert_folds_as_recounted([[[at_the_limit, beyond]]])
    hour = int(moment.timestamp())
    labels = {start: (events, late) for (_, start), (events, late, _, _) in found.hours.items()}
    assert labels == {hour: (1, 0), hour - 3600: (1, 1)}


def test_a_task_without_records_emits_nothing() -> None:
    assert list(Fold(CONTRACT)([])) == []
    assert list(Fold(CONTRACT)([record_batch([])])) == []


def test_a_batch_of_rejects_alone_has_no_hours_and_no_cubes() -> None:
    results = folded(CONTRACT, [[records_of(b"{", None)]])
    assert sorted(results) == [PARTITIONS, REJECTS]


def test_the_zone_of_the_spark_session_does_not_move_the_kafka_timestamp() -> None:
    plain = record_batch(records_of(encoded()))
    zone = pa.timestamp("us", "Asia/Kathmandu")
    moved = plain.set_column(3, pa.field("timestamp", zone), plain.column(3).view(pa.int64()).view(zone))
    found = [
        [row.as_py() for out in Fold(CONTRACT)([batch]) for row in out.column("payload")]
        for batch in (plain, moved)
    ]
    assert found[0] == found[1]


def test_rejected_payloads_are_cut_and_keep_their_length_and_digest() -> None:
    value = b"\xff" * 10_000
    (row,) = folded(CONTRACT, [[records_of(value)]])[REJECTS].to_pylist()
    assert (row["payload"], row["payload_bytes"]) == (value[:4096], 10_000)
    assert row["payload_sha256"] == hashlib.sha256(value).hexdigest()


def test_a_flood_of_rejects_keeps_a_bounded_part_of_their_payloads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.streaming.fold.TASK_PAYLOAD_BYTES", 5_000)
    flood = [Record(b"x" * 2_000, offset=offset) for offset in range(4)]
    rows = folded(CONTRACT, [[flood]])["rejects"].to_pylist()
    assert [len(row["payload"]) for row in rows] == [2_000, 2_000, 1_000, 0]
    assert [row["payload_bytes"] for row in rows] == [2_000] * 4
    assert {row["payload_sha256"] for row in rows} == {hashlib.sha256(b"x" * 2_000).hexdigest()}


def test_sums_stay_exact_at_the_highest_revenue() -> None:
    records = [Record(encoded(revenue=1000), 0, i) for i in range(3_000)]
    results = folded(ad_events(), [[records] * 10])
    (row,) = results[CUBE_PREFIX + "ad_events"].to_pylist()
    assert (row["event_count"], row["revenue"]) == (30_000, 30_000 * 1_000_000_000)


def test_hours_and_cubes_hold_the_same_number_of_events() -> None:
    results = folded(CONTRACT, [[records_of(*NASTY, encoded(), encoded(country="DE"))]])
    events = sum(row["events"] for row in results[HOURS].to_pylist())
    for cube, count in (("ad_events", "event_count"), ("devices", "events")):
        assert sum(row[count] for row in results[CUBE_PREFIX + cube].to_pylist()) == events


# Arbitrary records: few keys, so that they share windows, and times around every bound.

MOMENTS = st.one_of(
    st.integers(-96 * 3_600_000_000 - 5, -96 * 3_600_000_000 + 5),
    st.integers(-60_000_005, -59_999_995),
    st.integers(59_999_995, 60_000_005),
    st.integers(-7_200_000_000, 70_000_000),
)
KAFKA_TIMES = st.one_of(
    st.integers(KAFKA_MS - 3_600_000, KAFKA_MS + 3_600_000),
    st.sampled_from([KAFKA_MS, -1, 0, 1, 4_291_747_200_000, 2**42, 253_402_300_799_999]),
    st.integers(-1, 2**48),
)
STAMPS = st.sampled_from(
    ["%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S.%fZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f+00:00"]
)
ZONES = st.sampled_from(
    ["", "Z", "+00:00", "-00:00", "+05:45", "-23:59", "+23:59", "+24:00", "z", "\n", " Z"]
)
JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=5),
        st.sampled_from(["UK", "click"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


@st.composite
def timestamps(draw: st.DrawFn, kafka_ms: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC)
    try:
        moment += timedelta(microseconds=kafka_ms * 1000 + draw(MOMENTS))
    except OverflowError:
        moment = datetime(9999, 12, 31, tzinfo=UTC)
    return moment.strftime(draw(STAMPS)).zfill(19) + draw(st.one_of(st.just(""), ZONES))


@st.composite
def events(draw: st.DrawFn, kafka_ms: int) -> dict[str, object]:
    clicked = draw(st.booleans())
    micros = draw(st.one_of(st.integers(1, 100_000), st.sampled_from([1, 1_000_000_000, 0])))
    return ad_event(
        timestamp=draw(timestamps(kafka_ms)),
        country=draw(st.sampled_from(["US", "KR", "UK"])),
        ad_format=draw(st.sampled_from(["banner", "interstitial"])),
        device=draw(st.sampled_from(["iOS", "Android"])),
        event_type="click" if clicked else "impression",
        revenue=micros / 1e6 if clicked else 0,
    )


@st.composite
def values(draw: st.DrawFn, kafka_ms: int) -> bytes | None:
    kind = draw(st.sampled_from(["valid"] * 5 + ["field", "bytes", "repeat", "nasty", "binary", "none"]))
    if kind == "none":
        return None
    if kind == "binary":
        return draw(st.binary(max_size=60))
    if kind == "nasty":
        return draw(st.sampled_from(NASTY))
    event = draw(events(kafka_ms))
    if kind == "field":
        name = draw(st.sampled_from([*event, "unknown"]))
        event[name] = draw(st.one_of(JSON_VALUES, st.just(...)))
        event = {key: value for key, value in event.items() if value is not ...}
    text = json.dumps(event, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    if kind == "repeat":
        name = draw(st.sampled_from(list(event)))
        other = json.dumps({name: draw(st.one_of(st.just(event[name]), JSON_VALUES))}).encode()
        text = text[:-1] + b"," + other[1:]
    if kind == "bytes":
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.binary(max_size=2)) + text[at + draw(st.integers(0, 2)) :]
    return text


@st.composite
def records(draw: st.DrawFn) -> list[Record]:
    found = []
    for offset in draw(st.lists(st.integers(0, 2**62), unique=True, max_size=25)):
        kafka_ms = draw(KAFKA_TIMES)
        found.append(Record(draw(values(kafka_ms)), draw(st.integers(0, 3)), offset, kafka_ms))
    return found


def split(records: list[Record], cuts: list[int]) -> list[list[Record]]:
    edges = [0, *sorted(cut % (len(records) + 1) for cut in cuts), len(records)]
    return [records[a:b] for a, b in pairwise(edges)]


@MANY
@given(records())
def test_the_fold_equals_a_recount_on_arbitrary_records(drawn: list[Record]) -> None:
    assert_folds_as_recounted([[drawn]])


@FEWER
@given(
    records(),
    st.lists(st.integers(0, 100), max_size=4),
    st.lists(st.integers(0, 100), max_size=4),
    st.randoms(),
)
def test_order_batches_and_tasks_do_not_change_what_is_folded(
    drawn: list[Record], task_cuts: list[int], batch_cuts: list[int], random: Any
) -> None:
    whole = figures(CONTRACT, folded(CONTRACT, [[drawn]]))
    shuffled = list(drawn)
    random.shuffle(shuffled)
    tasks = [split(task, batch_cuts) for task in split(shuffled, task_cuts)]
    assert figures(CONTRACT, folded(CONTRACT, tasks)) == whole


@FEWER
@given(records())
def test_replaying_a_batch_gives_the_same_bytes(drawn: list[Record]) -> None:
    runs = [
        [row.as_py() for out in Fold(CONTRACT)([record_batch(drawn)]) for row in out.column("payload")]
        for _ in range(2)
    ]
    assert runs[0] == runs[1]


def test_the_input_is_what_spark_hands_over() -> None:
    assert record_batch(records_of(encoded(), None)).schema == INPUT_SCHEMA
