"""Detector files, the windows that a pane touches, what a seal makes of alerts, and which incidents they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from include.detect.judge import Fired
from include.detect.load import DETECTORS_DIR, Detector, Header, load_detectors
from include.detect.pending import MOST_WAITING, Pending
from include.detect.seal import Sealed, settle
from include.detect.store import CONFIRMED, PROVISIONAL, RAISED, RETRACTED, Alert, new_alert
from include.detect.telling import MOST_TOLD, alert_incidents
from include.detect.windows import hours_of, is_closed, joined, starts, text, touched
from include.settings import PROJECT_ROOT

NINE = 1_767_258_000  # 2026-01-01 09:00:00
NEVER, LATER = 0, 2**62

HEADER = """-- Too many requests of a service.
-- stream: logs
-- cube: log_services
-- severity: warning
-- when: growing
-- window_seconds: 60
-- slide_seconds: 60
-- subject: service
-- rule: more than 50 % of something
"""
BODY = """SELECT window_start, service AS subject, toUInt8(request_count > 5) AS fires
FROM (
{% include "queries/response_times.sql.j2" %}
) AS minutes
"""


def detector(name: str) -> Detector:
    return load_detectors().detectors[name]


def header(**changes: object) -> Header:
    return replace_header(detector("busy_user").header, **changes)


def replace_header(found: Header, **changes: object) -> Header:
    return Header.model_validate(found.model_dump() | changes)


def test_the_shipped_detectors_load() -> None:
    loaded = load_detectors()
    assert loaded.faults == {}
    assert {name: found.header.severity for name, found in loaded.detectors.items()} == {
        "response_time_anomaly": "warning",
        "error_rate_spike": "critical",
        "suspicious_ip": "critical",
        "ddos": "critical",
        "busy_user": "warning",
        "late_user": "warning",
    }
    assert {found.name for found in loaded.of("user_events")} == {"busy_user", "late_user"}


def test_a_new_detector_is_a_new_file(tmp_path: Path) -> None:
    (tmp_path / "chatty_service.sql.j2").write_text(HEADER + BODY)
    loaded = load_detectors(tmp_path)
    assert loaded.faults == {}
    found = loaded.detectors["chatty_service"]
    assert found.header.rule == "more than 50 % of something"
    assert "FROM log_services_delta" in found.sql
    assert "50 %" not in found.sql, "a percent sign in a comment would be taken for a parameter"
    assert "position > certified_frontier" in found.sql
    assert "position > certified_frontier" not in found.sealed_sql, "the last judgement reads no deltas"


@pytest.mark.parametrize(
    ("text_of_file", "said"),
    [
        (HEADER.replace("severity: warning", "severity: terrible") + BODY, "severity: Input should be"),
        (HEADER.replace("-- rule: more than 50 % of something\n", "") + BODY, "rule: Field required"),
        (HEADER.replace("stream: logs", "stream: none") + BODY, "there is no contract 'none'"),
        (HEADER.replace("cube: log_services", "cube: user_late") + BODY, "logs has no cube 'user_late'"),
        (HEADER.replace("window_seconds: 60", "window_seconds: 30") + BODY, "leave gaps"),
        (HEADER + "-- colour: red\n" + BODY, "colour: Extra inputs are not permitted"),
        (HEADER + BODY.replace("response_times", "response_moods"), "queries/response_moods.sql.j2"),
        (HEADER + "SELECT {{ what }}", "'what' is undefined"),
        (HEADER + "SELECT {{ what", "unexpected"),
    ],
)
def test_a_broken_file_is_named_and_stops_no_other(tmp_path: Path, text_of_file: str, said: str) -> None:
    for path in DETECTORS_DIR.glob("*.sql.j2"):
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "broken.sql.j2").write_text(text_of_file)
    loaded = load_detectors(tmp_path)
    assert list(loaded.faults) == ["broken"]
    assert said in loaded.faults["broken"]
    assert loaded.faults["broken"].startswith("broken.sql.j2: ")
    assert len(loaded.detectors) == 6


def test_a_pane_touches_the_windows_that_hold_it() -> None:
    assert list(touched(header(), NINE, 60)) == [NINE - 240, NINE - 120, NINE]
    assert list(touched(header(), NINE + 60, 60)) == [NINE - 120, NINE]
    assert list(touched(header(window_seconds=60, slide_seconds=60), NINE, 60)) == [NINE]
    assert list(touched(header(window_seconds=300, slide_seconds=300), NINE + 299, 1)) == [NINE]


def test_a_pane_touches_the_windows_that_look_back_at_it() -> None:
    back = header(window_seconds=60, slide_seconds=60, reads_back_seconds=120)
    assert list(touched(back, NINE, 60)) == [NINE, NINE + 60, NINE + 120]


def test_a_window_is_closed_ten_seconds_after_its_end() -> None:
    window = header(window_seconds=60, slide_seconds=60)
    assert not is_closed(window, NINE, (NINE + 70) * 1_000_000 - 1)
    assert is_closed(window, NINE, (NINE + 70) * 1_000_000)


def test_windows_are_joined_into_ranges() -> None:
    window = header(window_seconds=60, slide_seconds=60)
    assert joined(window, [180, 0, 60]) == [(0, 120), (180, 240)]
    assert joined(window, [180, 0, 60], gap_seconds=60) == [(0, 240)]
    assert joined(window, []) == []
    assert list(starts(window, 61, 240)) == [120, 180]


def test_the_hours_of_a_judgement_are_those_of_its_window_and_of_what_it_looks_back_at() -> None:
    assert list(hours_of(header(), NINE + 3600 - 300)) == [NINE]
    assert list(hours_of(header(), NINE + 3600 - 240)) == [NINE, NINE + 3600]
    back = header(window_seconds=60, slide_seconds=60, reads_back_seconds=600)
    assert list(hours_of(back, NINE + 540)) == [NINE - 3600, NINE]
    assert list(hours_of(back, NINE + 600)) == [NINE]
    assert text(NINE) == "2026-01-01 09:00:00"


def test_growing_windows_are_judged_at_once_and_closed_ones_when_they_have_ended() -> None:
    growing, closed = Pending(detector("busy_user")), Pending(detector("error_rate_spike"))
    for pending in (growing, closed):
        pending.touch([NINE], NEVER)
    assert growing.take(NEVER) == [(NINE - 240, NINE + 120)]
    assert growing.take(NEVER) == [], "what was judged waits for its next event"
    assert closed.take((NINE + 69) * 1_000_000) == []
    assert closed.take((NINE + 70) * 1_000_000) == [(NINE, NINE + 60)]
    assert closed.take(LATER) == []


def test_a_late_event_has_the_windows_after_it_judged_again_that_look_back_at_it() -> None:
    pending = Pending(detector("error_rate_spike"))
    pending.touch([NINE], (NINE + 130) * 1_000_000)
    assert pending.take((NINE + 130) * 1_000_000) == [(NINE, NINE + 120)]
    pending.touch([NINE], (NINE + 129) * 1_000_000)
    assert pending.take(LATER) == [(NINE, NINE + 60)], "the minute after it has not ended"


def test_a_round_is_bounded_and_what_is_left_waits() -> None:
    pending = Pending(detector("error_rate_spike"))
    pending.add_hours(NINE, NINE + 40 * 3600, NINE + 40 * 3600)
    first = pending.take(LATER)
    assert len(first) == 4
    assert all(end - begin <= 180 * 60 for begin, end in first)
    assert first[-1][1] == NINE + 40 * 3600, "the newest are judged first"
    rest = []
    while found := pending.take(LATER):
        rest += found
    covered = sorted(first + rest)
    assert joined(pending.detector.header, [s for b, e in covered for s in range(b, e, 60)]) == [
        (NINE, NINE + 40 * 3600)
    ]
    pending.touch(range(0, 60 * 2 * MOST_WAITING, 60), NEVER)
    assert len(pending.waiting) == MOST_WAITING
    assert max(pending.waiting) == 60 * (2 * MOST_WAITING - 1)


def alert(state: str, start: int = NINE, subject: str = "shop", **changes: object) -> Alert:
    fired = Fired(start, subject, '{"n": 1}')
    return replace(new_alert(detector("error_rate_spike"), fired, state, 1_000), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "fires", "after"),
    [
        (None, True, RAISED),
        (PROVISIONAL, True, CONFIRMED),
        (PROVISIONAL, False, RETRACTED),
        (CONFIRMED, True, None),
        (CONFIRMED, False, RETRACTED),
        (RAISED, True, None),
        (RAISED, False, RETRACTED),
        (RETRACTED, True, RAISED),
        (RETRACTED, False, None),
        (None, False, None),
    ],
)
def test_a_seal_confirms_retracts_or_raises_and_repeats_nothing(
    before: str | None, fires: bool, after: str | None
) -> None:
    there = [] if before is None else [alert(before, judged_ms=0 if before == PROVISIONAL else 9_000)]
    fired = [Fired(NINE, "shop", '{"n": 1}')] if fires else []
    changed = settle(detector("error_rate_spike"), there, fired, 5_000)
    assert [found.state for found in changed] == ([] if after is None else [after])
    for found in changed:
        assert found.judged_ms > (there[0].judged_ms if there else 0), "the newer row counts"
        assert found.fired_ms == (1_000 if there else 5_000)
        assert settle(detector("error_rate_spike"), [found], fired, 6_000) == []


def test_a_seal_with_other_figures_renews_the_evidence() -> None:
    (found,) = settle(
        detector("error_rate_spike"), [alert(CONFIRMED, judged_ms=9)], [Fired(NINE, "shop", '{"n": 2}')], 10
    )
    assert (found.state, found.evidence) == (CONFIRMED, '{"n": 2}')


def test_hours_before_the_first_of_a_stream_need_no_certificate() -> None:
    sealed = Sealed({NINE: (1, 1)}, {NINE}, NINE)
    assert sealed.covers([NINE - 3600, NINE])
    assert not sealed.covers([NINE, NINE + 3600])


def test_alerts_that_follow_each_other_are_one_incident_told_once() -> None:
    first = [alert(PROVISIONAL), alert(PROVISIONAL, NINE + 60), alert(PROVISIONAL, NINE + 60, "cart")]
    there, over = alert_incidents(first, {}, NINE + 130)
    assert [found.key for found in there] == [
        f"alert:error_rate_spike:logs:{NINE + 60}:cart",
        f"alert:error_rate_spike:logs:{NINE}:shop",
    ]
    assert there[1].severity == "critical"
    assert "2 windows fired" in there[1].message
    assert "Found: n 1. 2 windows fired" in there[1].message
    known = {found.key: 0 for found in there}
    again, over = alert_incidents([*first, alert(PROVISIONAL, NINE + 180)], known, NINE + 235)
    assert ({found.key for found in again}, over) == (set(known), [])


def test_an_incident_is_over_when_no_window_follows_and_is_not_told_again() -> None:
    key = f"alert:error_rate_spike:logs:{NINE}:shop"
    assert alert_incidents([alert(PROVISIONAL)], {key: 0}, NINE + 180)[1] == []
    assert alert_incidents([alert(PROVISIONAL)], {key: 0}, NINE + 181) == ([], [key])
    assert alert_incidents([alert(CONFIRMED)], {key: 1}, NINE + 181) == ([], [])


def test_an_incident_is_over_when_its_alerts_are_retracted() -> None:
    key = f"alert:error_rate_spike:logs:{NINE}:shop"
    assert alert_incidents([alert(RETRACTED)], {key: 0}, NINE + 100) == ([], [key])
    assert alert_incidents([alert(RETRACTED)], {}, NINE + 100) == ([], [])


def test_a_pause_begins_a_new_incident() -> None:
    known = {f"alert:error_rate_spike:logs:{NINE}:shop": 1}
    there, _ = alert_incidents([alert(CONFIRMED), alert(PROVISIONAL, NINE + 600)], known, NINE + 670)
    assert [found.key for found in there] == [f"alert:error_rate_spike:logs:{NINE + 600}:shop"]


def test_what_a_seal_raises_before_a_known_alert_is_no_new_incident() -> None:
    known = {f"alert:error_rate_spike:logs:{NINE + 60}:shop": 1}
    both = [alert(RAISED), alert(CONFIRMED, NINE + 60)]
    assert alert_incidents(both, known, NINE + 9_000) == ([], [])
    both = [alert(RETRACTED), alert(CONFIRMED, NINE + 60)]
    assert alert_incidents(both, {f"alert:error_rate_spike:logs:{NINE}:shop": 1}, NINE + 9_000) == ([], [])


def test_what_a_seal_raises_long_after_is_told_once_and_is_over() -> None:
    there, over = alert_incidents([alert(RAISED)], {}, NINE + 9_000)
    assert ([found.key for found in there], over) == ([f"alert:error_rate_spike:logs:{NINE}:shop"], [])
    assert alert_incidents([alert(RAISED)], {there[0].key: 0}, NINE + 9_060) == ([], [there[0].key])


def test_an_incident_longer_than_what_is_read_stays_one() -> None:
    key = f"alert:error_rate_spike:logs:{NINE - 90_000}:shop"
    there, over = alert_incidents([alert(PROVISIONAL)], {key: 0}, NINE + 100)
    assert ([found.key for found in there], over) == ([key], [])


def test_a_flood_of_alerts_is_told_bit_by_bit() -> None:
    many = [alert(PROVISIONAL, subject=f"10.0.{n // 250}.{n % 250}:x") for n in range(MOST_TOLD + 5)]
    there, _ = alert_incidents(many, {}, NINE + 70)
    assert len(there) == MOST_TOLD
    rest, _ = alert_incidents(many, {found.key: 0 for found in there}, NINE + 70)
    assert len(rest) == MOST_TOLD + 5


def test_the_example_of_the_page_is_a_detector(tmp_path: Path) -> None:
    page = (PROJECT_ROOT / "docs" / "detectors.md").read_text(encoding="utf-8")
    example = next(block for block in page.split("```sql\n") if block.startswith("-- A service that"))
    lines = [line.split("  <-")[0].rstrip() for line in example.split("```")[0].splitlines()]
    (tmp_path / "dead_service.sql.j2").write_text("\n".join(lines))
    loaded = load_detectors(tmp_path)
    assert loaded.faults == {}
    assert loaded.detectors["dead_service"].header.when == "closed"
