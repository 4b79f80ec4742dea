"""The fold of every contract, shipped and odd, against a plain recount through the classifier."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.contracts import Contract, load_contract, load_contracts
from include.contracts.classifier import Classifier, Event, Reject
from include.contracts.model import NO_MAXIMUM, NO_MINIMUM
from include.streaming import fold, partials
from tests.contracts import odd_contracts
from tests.helpers import MOMENT, Figures, Record, figures, folded, recounted
from tests.surprises import Surprises

SOME = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FEWER = settings(SOME, max_examples=12)
CONTRACTS = [*load_contracts(), *odd_contracts()]
WIDE = CONTRACTS[-1]
BY_CONTRACT = pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.stream)
NOW_MS = int(MOMENT.timestamp() * 1000)


def drawn(contract: Contract, seed: int, count: int) -> list[Record]:
    """Return good, odd and broken records at random places of the log, each place once."""
    rng = random.Random(seed)
    records = Surprises(contract, seed, MOMENT).records(count)
    return [
        Record(record.value, rng.randrange(3), offset, record.kafka_ms)
        for record, offset in zip(records, rng.sample(range(2**40), count), strict=True)
    ]


def assert_same(found: Figures, expected: Figures) -> None:
    for part in ("rejects", "partitions", "hours", "cubes"):
        a, b = getattr(found, part), getattr(expected, part)
        if isinstance(a, dict):
            differing = {
                key: (a.get(key), b.get(key)) for key in a.keys() | b.keys() if a.get(key) != b.get(key)
            }
            assert not differing, f"{part}: (folded, recounted) {differing}"
        assert a == b, f"{part}\n  folded    {a}\n  recounted {b}"


@BY_CONTRACT
@SOME
@given(seed=st.integers(0, 2**32), count=st.integers(1, 120))
def test_the_fold_equals_a_recount_on_surprising_records(contract: Contract, seed: int, count: int) -> None:
    records = drawn(contract, seed, count)
    assert_same(figures(contract, folded(contract, [[records]])), recounted(contract, records))


@BY_CONTRACT
@FEWER
@given(seed=st.integers(0, 2**32), cuts=st.lists(st.integers(0, 80), max_size=6), wide=st.booleans())
def test_neither_order_nor_a_split_into_tasks_or_batches_changes_what_is_folded(
    contract: Contract, seed: int, cuts: list[int], wide: bool
) -> None:
    records = drawn(contract, seed, 80)
    whole = figures(contract, folded(contract, [[records]]))
    random.Random(seed).shuffle(records)
    parts = [records[a:b] for a, b in pairwise([0, *sorted(cuts), len(records)])]
    tasks = [[part] for part in parts] if wide else [parts]
    assert_same(figures(contract, folded(contract, tasks)), whole)


@BY_CONTRACT
def test_a_draw_reaches_every_cube_and_every_verdict(contract: Contract) -> None:
    records = drawn(contract, 3, 3_000)
    found = recounted(contract, records)
    assert_same(figures(contract, folded(contract, [[records]])), found)
    reasons = Counter(reason for _, _, reason, _ in found.rejects)
    assert set(reasons) == {"malformed", "schema", "future", "stale"}, reasons
    assert {key[0] for key in found.cubes} == {cube.name for cube in contract.cubes}
    assert sum(figures[0] for figures in found.hours.values()) > 500


def wide_event(**changes: object) -> bytes:
    event: dict[str, object] = {
        "at": NOW_MS,
        "status_code": 200,
        "service": "checkout",
        "ip_address": "10.0.3.7",
        **changes,
    }
    return json.dumps(event).encode()


def cells_of(
    contract: Contract, cube: str, *values: bytes, delay_ms: int = 0
) -> dict[tuple[object, ...], tuple[int, ...]]:
    records = [Record(value, 0, i, NOW_MS + delay_ms) for i, value in enumerate(values)]
    found = figures(contract, folded(contract, [[records]]))
    assert found.rejects == []
    return {key[1:]: figures for key, figures in found.cubes.items() if key[0] == cube}


def test_every_kind_of_measure_of_known_events_is_known() -> None:
    pane = NOW_MS // 30_000 * 30
    events = [
        wide_event(user_id="abc", signed=2.5, steps=-3),
        wide_event(user_id="abc", signed=-3.5, steps=4, status_code=404),
        wide_event(user_id="abc"),
        wide_event(user_id=""),
    ]
    found = cells_of(WIDE, "wide_figures", *events, delay_ms=7)
    times = (NOW_MS * 1000, 7_000)
    assert found == {
        # 2.5 is rounded to 2 and -3.5 to -4: halves to even
        (pane, "checkout", "abc"): (
            *(3, 3, 2, 2, 1, 1),
            *(-1_000_000, -2, 4 + 16, 9 + 16, -3_500_000, 2_500_000),
            *times,
        ),
        (pane, "checkout", ""): (*(1, 0, 0, 1, 0, 0), *(0, 0, 0, 0, NO_MINIMUM, NO_MAXIMUM), *times),
    }


def test_a_cube_of_late_events_takes_no_other() -> None:
    on_time = cells_of(WIDE, "wide_late", wide_event(), delay_ms=30_000)
    late = cells_of(WIDE, "wide_late", wide_event(), delay_ms=30_001)
    arrived = (NOW_MS + 30_001) // 60_000 * 60
    assert on_time == {}
    assert late == {(NOW_MS // 3_600_000 * 3600, arrived, 29_920, ""): (1, NOW_MS * 1000, 0)}


@pytest.mark.parametrize(
    ("delay_ms", "edge"),
    [
        (-5_000, 0),
        (0, 0),
        (999, 999),
        (1_000, 1_000),
        (1_999, 1_990),
        (2_019, 2_000),
        (3_999, 3_980),
        (4_000, 4_000),
    ],
)
def test_delays_fall_into_bins_of_one_per_cent(delay_ms: int, edge: int) -> None:
    found = cells_of(load_contract("user_events"), "user_arrival", user_event(), delay_ms=delay_ms)
    ((_, _, bin_ms), (count, most_us)), *others = found.items()
    assert (bin_ms, count, most_us, others) == (edge, 1, delay_ms * 1000, [])


def user_event() -> bytes:
    event = {
        "timestamp": NOW_MS,
        "user_id": "user_001",
        "action": "view",
        "value": 1,
        "session_id": "session_1",
    }
    return json.dumps(event).encode()


def test_an_arrival_before_1970_is_counted_in_the_first_window() -> None:
    contract = load_contract("user_events")
    value = user_event().replace(str(NOW_MS).encode(), b"0")
    found = figures(contract, folded(contract, [[[Record(value, 0, 0, -1)]]]))
    assert [key for key in found.cubes if key[0] == "user_arrival"] == [("user_arrival", 0, 0, 0)]


def test_each_event_has_a_cell_of_its_own_under_its_place_in_the_log() -> None:
    contract = load_contract("user_events")
    records = [Record(user_event(), i % 2, 40 + i, NOW_MS) for i in range(4)]
    found = figures(contract, folded(contract, [[records[:2]], [records[2:]]]))
    at = (NOW_MS // 30_000 * 30, "user_001", "view", NOW_MS * 1000)
    assert {key[1:]: value for key, value in found.cubes.items() if key[0] == "user_actions"} == {
        (*at, i % 2, 40 + i): (1, 1_000_000) for i in range(4)
    }


class Unasked:
    """A classifier that must not be needed."""

    def __init__(self, contract: Contract) -> None:
        self._real = Classifier(contract)

    def classify(self, value: bytes | None, kafka_ms: int) -> Event | Reject:
        raise AssertionError(f"judged record by record: {value!r}: {self._real.classify(value, kafka_ms)}")


@pytest.mark.parametrize("stream", ["user_events", "logs", "wide"])
def test_good_records_of_every_form_need_no_classifier(stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    contract = next(contract for contract in CONTRACTS if contract.stream == stream)
    at = datetime.fromtimestamp(NOW_MS // 1000, UTC)
    values = {
        "user_events": [
            user_event(),
            user_event()[:-1] + b',"ip_address":"10.0.3.7"}',
            user_event()[:-1] + b',"ip_address":null}',
        ],
        "wide": [wide_event(), wide_event(level="", signed=None), b" \n" + wide_event(steps=5)],
        "logs": [
            json.dumps({"timestamp": at.isoformat(), "service": "checkout", "status_code": 200}).encode(),
            json.dumps(
                {
                    "timestamp": at.isoformat(),
                    "service": "a",
                    "status_code": 502,
                    "level": None,
                    "response_time": 0.7,
                }
            ).encode(),
        ],
    }[stream]
    if contract.line_formats:
        zone = timedelta(hours=5, minutes=45)
        local = (at + zone).strftime("%d/%b/%Y:%H:%M:%S +0545")
        values += [
            f'10.0.3.7 - user_017 [{local}] "GET /checkout/cart?x=1 HTTP/1.1" 502 512 "-" "curl/8.5"'.encode(),
            f'10.0.3.7 - - [{local}] "GET / HTTP/1.1" 200 -'.encode(),
        ]
    records = [Record(value, 0, i, NOW_MS) for i, value in enumerate(values)]
    expected = recounted(contract, records)
    monkeypatch.setattr(fold, "Classifier", Unasked)
    monkeypatch.setattr(fold, "_decoder", fold._decoder.__wrapped__)
    assert_same(figures(contract, folded(contract, [[records]])), expected)
    with pytest.raises(AssertionError, match="record by record"):
        folded(contract, [[[Record(b"x", 0, 0, NOW_MS)]]])


@pytest.mark.parametrize(
    ("kind", "wrong"), [("sumsq", "max"), ("min", "max"), ("max", "sum"), ("count", "min")]
)
def test_a_wrong_merge_would_be_found(kind: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = [wide_event(user_id="abc", signed=figure) for figure in (1, 2, None)]
    records = [Record(value, 0, i, NOW_MS) for i, value in enumerate(values)]
    expected = recounted(WIDE, records)
    assert_same(figures(WIDE, folded(WIDE, [[records]])), expected)
    monkeypatch.setitem(partials.MERGES, kind, wrong)
    with pytest.raises(AssertionError, match="cubes"):
        assert_same(figures(WIDE, folded(WIDE, [[records]])), expected)
