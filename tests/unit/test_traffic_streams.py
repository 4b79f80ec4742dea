"""User events and logs: the contract judges each record as the generator meant it, and truth is what it read."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import pytest

from include.contracts import Contract, Cube, Measure, load_contract
from include.contracts.classifier import Classifier, Event, Reject
from include.contracts.model import NO_MAXIMUM, NO_MINIMUM
from include.traffic import Keyed, Traffic, generator_for
from include.traffic.faults import Kind
from include.traffic.logs import Logs
from include.traffic.plan import TrafficPlan, parse_plan
from include.traffic.run import chunks
from include.traffic.schedule import Schedule, draw_schedule
from include.traffic.send import partition_of
from include.traffic.tally import PLACE_IN_THE_LOG, Accepted, count_copies
from include.traffic.user_events import UserEvents, part_ties
from include.traffic.view_truth.arrivals import bin_of

STREAMS = ("user_events", "logs")
SHARES = {"malformed": 0.06, "schema_breaking": 0.06, "duplicate": 0.08, "late": 0.08, "future": 0.04}
REASONS = {Kind.MALFORMED: "malformed", Kind.SCHEMA_BREAKING: "schema", Kind.FUTURE: "future"}
Drawn = UserEvents | Logs


def drawn(stream: str, run_number: int = 7, **values: object) -> tuple[TrafficPlan, Schedule, Drawn]:
    plan = parse_plan({"stream": stream, "start": "2025-12-16T02:30:00Z", "seed": 11} | values)
    assert plan.start is not None
    schedule = draw_schedule(plan, round(plan.start.timestamp() * 1e6), 2)
    traffic = generator_for(stream).draw(schedule, run_number, plan.seed)
    assert isinstance(traffic, UserEvents | Logs)
    return plan, schedule, traffic


def judged(stream: str, schedule: Schedule, traffic: Traffic) -> list[Event | Reject]:
    classifier = Classifier(load_contract(stream))
    values, times = traffic.values(0, schedule.size), schedule.kafka_ms.tolist()
    return [classifier.classify(value, kafka_ms) for value, kafka_ms in zip(values, times, strict=True)]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("stream", STREAMS)
def test_the_contract_judges_each_record_as_the_generator_meant_it(stream: str, seed: int) -> None:
    _, schedule, traffic = drawn(stream, duration=3000, rate=2, seed=seed, **SHARES)
    values = traffic.values(0, schedule.size)
    for value, kind, found in zip(
        values, schedule.kind.tolist(), judged(stream, schedule, traffic), strict=True
    ):
        reason = found.reason if isinstance(found, Reject) else None
        assert reason == REASONS.get(Kind(kind)), f"{Kind(kind).name}: {found} for {value!r}"


@pytest.mark.parametrize("stream", STREAMS)
def test_accepted_events_hold_what_the_contract_reads(stream: str) -> None:
    _, schedule, traffic = drawn(stream, duration=3000, rate=2, **SHARES)
    accepted = traffic.accepted()
    events = [found for found in judged(stream, schedule, traffic) if isinstance(found, Event)]
    assert accepted.event_us.tolist() == [event.time_us for event in events]
    for name, text in accepted.texts.items():
        mine = [text.labels[code] for code in text.code.tolist()]
        assert mine == [event.values[name] for event in events], name
    for name, number in accepted.numbers.items():
        pairs = zip(number.figure.tolist(), number.held.tolist(), strict=True)
        assert [figure if held else None for figure, held in pairs] == [e.values[name] for e in events], name


def measured(contract: Contract, measure: Measure, event: Event, kafka_ms: int) -> int | None:
    """Return what one event gives to a measure, none for nothing; written from the contract's docstrings."""
    figures: dict[str, Any] = event.values | {
        "event_us": event.time_us,
        "delay_us": kafka_ms * 1000 - event.time_us,
    }
    if measure.kind == "count":
        if measure.where is not None:
            figure, where = figures[measure.where.field], measure.where
            keeps = figure is not None and (
                figure == where.equals
                if where.equals is not None
                else figure >= where.at_least
                if where.at_least is not None
                else figure <= where.at_most
            )
            return int(keeps)
        return int(measure.field is None or figures[measure.field] not in (None, ""))
    assert measure.field is not None
    figure = figures[measure.field]
    if figure is None:
        return None
    if measure.scale is not None:
        figure = round(figure / 10 ** ((contract.fields[measure.field].scale or 0) - measure.scale))
    return int(figure**2 if measure.kind == "sumsq" else figure)


def recounted(
    contract: Contract, cube: Cube, events: Iterable[tuple[Event, int]]
) -> dict[Any, dict[str, int]]:
    cells: dict[Any, dict[str, int]] = {}
    for event, kafka_ms in events:
        delay_us = kafka_ms * 1000 - event.time_us
        if cube.only == "late" and delay_us <= contract.lateness_seconds * 1_000_000:
            continue
        derived = {"delay_ms": bin_of(delay_us), "event_us": event.time_us}
        if cube.arrival_seconds:
            derived["arrived"] = kafka_ms // 1000 // cube.arrival_seconds * cube.arrival_seconds
        names = sorted(name for name in cube.dimensions if name not in PLACE_IN_THE_LOG)
        labels = json.dumps({name: (event.values | derived)[name] for name in names}, separators=(",", ":"))
        start = event.time_us // (cube.pane_seconds * 1_000_000) * cube.pane_seconds
        cell = cells.setdefault((cube.name, start, labels), {})
        for measure in cube.measures:
            given = measured(contract, measure, event, kafka_ms)
            empty = {"min": NO_MINIMUM, "max": NO_MAXIMUM}.get(measure.kind, 0)
            had = cell.setdefault(measure.name, empty)
            if given is not None:
                merge = {"min": min, "max": max}.get(measure.kind, int.__add__)
                cell[measure.name] = merge(had, given)
    return cells


@pytest.mark.parametrize("stream", STREAMS)
def test_truth_of_every_cube_equals_a_recount_of_the_bytes(stream: str) -> None:
    contract = load_contract(stream)
    _, schedule, traffic = drawn(stream, duration=3000, rate=2, **SHARES)
    came = [
        (found, kafka_ms)
        for found, kafka_ms in zip(judged(stream, schedule, traffic), schedule.kafka_ms.tolist(), strict=True)
        if isinstance(found, Event)
    ]
    times, once, taken = contract.event_time.field, [], set()
    for event, kafka_ms in came:
        fields = event.values | {times: event.time_us}
        identity = tuple(fields[name] for name in contract.identity)
        identified = any(part not in (None, "") for part in identity)
        if not identified or (identity, event.time_us // 3_600_000_000) not in taken:
            once.append((event, kafka_ms))
        taken.add((identity, event.time_us // 3_600_000_000))
    truth = {(r.cube, int(r.window_start.timestamp()), r.dimensions): r for r in traffic.truth()}
    for cube in contract.cubes:
        mine = {key: row for key, row in truth.items() if key[0] == cube.name}
        assert {key: json.loads(row.came) for key, row in mine.items()} == recounted(contract, cube, came)
        count = next(m.name for m in cube.measures if m.kind == "count")
        served = {key: json.loads(row.once) for key, row in mine.items()}
        assert {k: f for k, f in served.items() if f[count]} == recounted(contract, cube, once), cube.name
    assert count_copies(contract, traffic.truth()) == len(came) - len(once) > 0


@pytest.mark.parametrize("stream", STREAMS)
def test_shares_are_of_all_records_and_late_is_later_than_the_stream_allows(stream: str) -> None:
    plan, schedule, traffic = drawn(stream, duration=3000, rate=4, **SHARES)
    counts = Counter(schedule.kind.tolist())
    for kind, share in {Kind.MALFORMED: 0.06, Kind.DUPLICATE: 0.08, Kind.LATE: 0.08}.items():
        assert counts[kind] == round(share * plan.events), kind.name
    late = np.flatnonzero(schedule.kind == Kind.LATE)
    delays = (schedule.kafka_ms * 1000 - traffic.event_us)[late] / 1e6
    assert delays.min() > 300
    assert delays.max() <= 901
    assert int((traffic.accepted().delay_us > 300_000_000).sum()) == int(schedule.late.sum())
    assert traffic.event_us.min() >= schedule.slot_us[0] - 1_000_000


@pytest.mark.parametrize("stream", STREAMS)
def test_the_same_seed_gives_the_same_bytes_and_the_run_keeps_identities_apart(stream: str) -> None:
    _, schedule, traffic = drawn(stream, duration=700, rate=3, **SHARES)
    _, _, same = drawn(stream, duration=700, rate=3, **SHARES)
    _, _, other_run = drawn(stream, run_number=8, duration=700, rate=3, **SHARES)
    _, _, other_seed = drawn(stream, duration=700, rate=3, seed=12, **SHARES)
    values = traffic.values(0, schedule.size)
    assert values == same.values(0, schedule.size)
    assert values != other_seed.values(0, schedule.size)
    assert traffic.truth() == other_run.truth()
    by_seven = [v for i in range(0, schedule.size, 7) for v in traffic.values(i, min(i + 7, schedule.size))]
    assert by_seven == values
    name = {"user_events": "session_id", "logs": "request_id"}[stream]
    ids = [
        {
            event.values[name]
            for event in judged(stream, schedule, run)
            if isinstance(event, Event) and event.values[name]
        }
        for run in (traffic, other_run)
    ]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_a_user_has_one_session_at_a_time_from_login_to_logout() -> None:
    _, schedule, traffic = drawn("user_events", duration=1800, rate=10)
    visits = defaultdict(list)
    for value in traffic.values(0, schedule.size):
        event = msgspec.json.decode(value)
        visits[event["user_id"], event["session_id"]].append(event["action"])
    whole = [actions for actions in visits.values() if actions[0] == "login"]
    assert len(whole) > 100
    assert all("login" not in actions[1:] and "logout" not in actions[:-1] for actions in visits.values())
    sessions = Counter(user for user, _ in visits)
    assert max(sessions.values()) > 3, "no user comes back"
    lengths = sorted(Counter(traffic.user.tolist()).values())
    assert lengths[-1] > 3 * lengths[len(lengths) // 2], "all users are equally active"


def test_two_originals_of_a_user_never_share_a_millisecond() -> None:
    user = np.array([1, 1, 1, 2, 1, 1])
    times = np.array([9_000, 9_000, 8_000, 9_000, 7_000, 9_000])
    apart = part_ties(user, times, np.array([True, True, True, True, True, False]))
    events = list(zip(user[:5].tolist(), apart[:5].tolist(), strict=True))
    assert len(set(events)) == 5, events
    assert apart[3] == apart[5] == 9_000


@pytest.mark.parametrize("stream", STREAMS)
def test_a_key_where_there_is_one_is_the_user_and_chooses_the_partition(stream: str) -> None:
    _, schedule, traffic = drawn(stream, duration=100, rate=10, duplicate=0.1)
    assert isinstance(traffic, Keyed) == (stream == "user_events")
    chunk = next(iter(chunks(schedule, traffic, partitions=2)))
    if chunk.keys is None:
        assert chunk.partitions == schedule.partition.tolist()
        return
    users = [msgspec.json.decode(value)["user_id"].encode() for value in chunk.values]
    assert chunk.keys == users
    assert chunk.partitions == [partition_of(user, 2) for user in users]
    assert set(chunk.partitions) == {0, 1}


def test_logs_come_in_every_format_with_every_field_absent_at_times() -> None:
    _, schedule, traffic = drawn("logs", duration=600, rate=20)
    values = traffic.values(0, schedule.size)
    lines = [value.decode() for value in values if not value.startswith(b"{")]
    combined = sum(line.endswith('"') for line in lines)
    assert 0.66 < 1 - len(lines) / len(values) < 0.74
    assert 0.17 < combined / len(values) < 0.27
    assert any("+0900]" in line for line in lines)
    events = [msgspec.json.decode(value) for value in values if value.startswith(b"{")]
    for name in ("level", "ip_address", "user_id", "request_id", "response_time", "error_code"):
        assert any(name not in event for event in events), name
        assert any(name in event and event[name] is None for event in events), name
    accepted = traffic.accepted()
    for name in ("ip_address", "user_id"):
        assert "" in accepted.texts[name].labels, name
    assert len(accepted.texts["service"].labels) >= 7


def test_services_differ_in_speed_and_their_times_are_skewed() -> None:
    _, _, traffic = drawn("logs", duration=1800)
    accepted: Accepted = traffic.accepted()
    times, service = accepted.numbers["response_time"], accepted.texts["service"].code
    medians = {}
    for number, name in enumerate(accepted.texts["service"].labels[:-1]):
        figures = times.figure[times.held & (service == number)]
        medians[name] = float(np.median(figures))
        assert figures.mean() > 1.05 * medians[name], name
    assert max(medians.values()) > 8 * min(medians.values()), medians


def test_the_load_follows_the_day() -> None:
    _, schedule, _ = drawn("user_events", start="2025-12-16T00:00:00", duration=86_400, rate=1)
    by_hour = Counter((schedule.slot_us // 3_600_000_000 % 24).tolist())
    assert schedule.size == 86_400
    assert by_hour[19] > 2 * by_hour[7], sorted(by_hour.items())


@pytest.mark.parametrize(("stream", "rate"), [("ad_events", 82), ("user_events", 30), ("logs", 50)])
def test_no_rate_is_the_typical_one(stream: str, rate: float) -> None:
    assert parse_plan({"stream": stream}).rate == rate
    assert parse_plan({"stream": stream, "rate": None}).rate == rate
    assert parse_plan({"stream": stream, "rate": 3}).rate == 3
