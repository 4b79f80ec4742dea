"""Alerts from a commit to the seal: found provisionally by what was touched, judged for good under certificates."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from airflow.sdk import BaseNotifier
from clickhouse_driver import Client

from include.alerts.incidents import close_incident, open_among, open_incident, open_keys
from include.clock import now_ms
from include.contracts import load_contract
from include.contracts.load import ContractError
from include.detect.detection import Detection
from include.detect.judge import Fired, count_verdicts
from include.detect.load import DETECTORS_DIR, load_detectors
from include.detect.seal import judge_sealed
from include.detect.store import (
    PROVISIONAL,
    RETRACTED,
    critical_alerts,
    new_alert,
    read_errors,
    write_alerts,
)
from include.detect.telling import read_incidents
from include.settings import Settings, get_settings
from include.streaming.control import NOBODY
from include.streaming.ledger import batch_id
from include.streaming.partials import CUBE_PREFIX, HOURS
from include.streaming.vitals import Vitals
from include.watch.steps import tell_alerts
from tests.helpers import eventually
from tests.views import Desk, at, server_desk, text

COLUMNS = "detector, toString(window_start), subject, state"


class Writing(Desk):
    """A desk whose rows are there at once."""

    def add(self, table: str, values: dict[str, str]) -> None:
        super().add(table, values)
        self.ask("SELECT 1")


@pytest.fixture
def desk(clickhouse: Client) -> Desk:
    server = server_desk(clickhouse)
    found = Writing(server.run, server.fetch)
    found.takes_over()
    return found


def alerts(client: Client, detector: str = "%") -> list[tuple[str, ...]]:
    return [
        tuple(row)
        for row in client.execute(
            f"SELECT {COLUMNS} FROM alerts_current WHERE detector LIKE %(detector)s ORDER BY detector, window_start, subject",
            {"detector": detector},
        )
    ]


def certify(client: Client, stream: str, *hours: str, batch: int = 0, seal: int = 9) -> None:
    """Insert certificates that were issued now."""
    rows = [(stream, at(hour), batch_id(1, batch), seal, "PROVED", datetime.now(UTC)) for hour in hours]
    client.execute(
        "INSERT INTO certificates (stream, hour, frontier, seal, verdict, certified_at) VALUES", rows
    )


def begins(client: Client, stream: str, hour: str) -> None:
    """Note the first hour of a stream that was judged, as a run does."""
    client.execute("INSERT INTO verdicts (stream, hour, verdict) VALUES", [(stream, at(hour), "OPEN")])


def minute(clock: str) -> int:
    return int(at(clock).timestamp())


class Committed:
    """A stream's detectors and a stand-in for its query: what a batch touched, and up to which event time."""

    def __init__(self, settings: Settings, stream: str, folder: Path = DETECTORS_DIR) -> None:
        self.contract = load_contract(stream)
        self.vitals = Vitals(stream, self.contract.topic.name, claim=NOBODY, frontier={0: 1}, ends={0: 5})
        self.detection = Detection(settings, self.contract, self.vitals, load_detectors(folder))

    def touch(self, cube: str, *clocks: str, latest: str = "10:00:00") -> None:
        column = "arrived" if cube == "user_late" else "window_start"
        results = {
            CUBE_PREFIX + cube: pa.table({column: [minute(clock) for clock in clocks]}),
            HOURS: pa.table({"latest_us": [minute(latest) * 1_000_000]}),
        }
        self.vitals.touched.add(self.contract, results)


def spike(desk: Desk, clock: str = "10:00:00", errors: int = 60, batch: int = 0) -> None:
    """Insert a calm minute and one of errors after it."""
    start = minute(clock)
    for moment, failed in ((start, 0), (start + 60, errors)):
        desk.came(
            "log_services",
            datetime.fromtimestamp(moment, UTC).strftime("%H:%M:%S"),
            batch,
            service="shop",
            request_count=100,
            error_count=failed,
        )


def test_a_growing_rule_fires_at_once_and_is_written_once(
    warehouse: Settings, clickhouse: Client, desk: Desk
) -> None:
    stream = Committed(warehouse, "user_events")
    desk.came("user_minutes", "10:05:00", user_id="u1", action="click", event_count=51)
    stream.touch("user_minutes", "10:05:00")
    before = int(time.time() * 1000)
    stream.detection.prepare()
    stream.detection.round()
    found = [("busy_user", f"2026-01-01 10:0{m}:00", "u1", "provisional") for m in (2, 4)]
    assert alerts(clickhouse) == found
    ((fired, evidence, severity),) = clickhouse.execute(
        "SELECT fired_ms, evidence, severity FROM alerts WHERE window_start = '2026-01-01 10:04:00'"
    )
    assert before <= fired <= time.time() * 1000
    assert (json.loads(evidence)["event_count"], json.loads(evidence)["threshold"], severity) == (
        51,
        50,
        "warning",
    )
    desk.came("user_minutes", "10:05:00", 1, user_id="u1", action="click", event_count=5)
    stream.touch("user_minutes", "10:05:00")
    stream.detection.round()
    again = Committed(warehouse, "user_events")
    again.touch("user_minutes", "10:05:00")
    again.detection.prepare()
    again.detection.round()
    assert alerts(clickhouse) == found
    assert clickhouse.execute("SELECT count() FROM alerts") == [(2,)]


def test_a_closed_rule_waits_for_the_end_of_its_window(
    warehouse: Settings, clickhouse: Client, desk: Desk
) -> None:
    stream = Committed(warehouse, "logs")
    spike(desk)
    stream.detection.prepare()
    stream.touch("log_services", "10:00:00", "10:01:00", latest="10:02:09")
    stream.detection.round()
    assert alerts(clickhouse) == []
    stream.touch("log_services", latest="10:02:10")
    stream.detection.round()
    assert alerts(clickhouse) == [("error_rate_spike", "2026-01-01 10:01:00", "shop", "provisional")]


def test_of_an_idle_stream_the_clock_closes_windows(
    warehouse: Settings, clickhouse: Client, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Committed(warehouse, "logs")
    spike(desk)
    stream.detection.prepare()
    stream.touch("log_services", "10:00:00", "10:01:00", latest="10:01:30")
    monkeypatch.setattr("include.detect.detection.IDLE_SECONDS", 0.0)
    stream.detection.round()
    assert alerts(clickhouse) == [], "it has offsets to read yet"
    stream.vitals.frontier = {0: 5}
    stream.detection.round()
    assert alerts(clickhouse) == [("error_rate_spike", "2026-01-01 10:01:00", "shop", "provisional")]


def test_events_dated_ahead_close_no_window_before_its_time(
    warehouse: Settings, clickhouse: Client, desk: Desk
) -> None:
    minute_ago = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=1)
    minutes = [minute_ago + timedelta(minutes=n) for n in range(2)]
    rows = [
        (
            {
                "window_start": moment,
                "service": "shop",
                "batch": batch_id(1, 0),
                "request_count": 100,
                "error_count": bad,
            }
        )
        for moment, bad in zip(minutes, (0, 60), strict=True)
    ]
    clickhouse.execute(f"INSERT INTO log_services_delta ({', '.join(rows[0])}) VALUES", rows)
    desk.ask("SELECT 1")
    stream = Committed(warehouse, "logs")
    starts = [int(moment.timestamp()) for moment in minutes]
    results = {
        f"{CUBE_PREFIX}log_services": pa.table({"window_start": starts}),
        HOURS: pa.table({"latest_us": [(starts[1] + 3600) * 1_000_000]}),
    }
    stream.vitals.touched.add(stream.contract, results)
    stream.detection.prepare()
    stream.detection.round()
    assert alerts(clickhouse) == []


def test_late_events_are_looked_at_by_their_arrival(
    warehouse: Settings, clickhouse: Client, desk: Desk
) -> None:
    stream = Committed(warehouse, "user_events")
    desk.came("user_late", "09:00:00", arrived=at("10:07:00"), user_id="u1", event_count=6, earliest_us=1)
    stream.touch("user_late", "10:07:00")
    stream.detection.prepare()
    stream.detection.round()
    assert alerts(clickhouse) == [("late_user", "2026-01-01 10:07:00", "u1", "provisional")]


def test_a_detector_whose_statement_fails_is_named_and_stops_no_other(
    warehouse: Settings, clickhouse: Client, desk: Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    busy = (DETECTORS_DIR / "busy_user.sql.j2").read_text()
    (tmp_path / "busy_user.sql.j2").write_text(busy)
    (tmp_path / "a_broken.sql.j2").write_text(busy.replace("event_count > 50", "event_mood > 50"))
    (tmp_path / "b_without.sql.j2").write_text(busy.replace("user_id AS subject", "user_id AS object"))
    (tmp_path / "c_header.sql.j2").write_text(busy.replace("severity: warning", "severity: terrible"))
    stream = Committed(warehouse, "user_events", tmp_path)
    desk.came("user_minutes", "10:05:00", user_id="u1", action="click", event_count=51)
    stream.touch("user_minutes", "10:05:00")
    with caplog.at_level(logging.ERROR):
        stream.detection.prepare()
        stream.detection.round()
        stream.detection.write_checks()
    assert {row[0] for row in alerts(clickhouse)} == {"busy_user"}
    errors = {
        r.getMessage().split(" ")[1]: r.getMessage() for r in caplog.records if r.levelno == logging.ERROR
    }
    assert set(errors) == {"a_broken", "b_without", "c_header"}
    assert "event_mood" in errors["a_broken"]
    assert "Stack trace" not in errors["a_broken"]
    assert "severity" in errors["c_header"]
    there, _ = read_incidents(clickhouse, load_detectors(tmp_path))
    assert [found.key for found in there] == ["detector:a_broken", "detector:b_without", "detector:c_header"]
    assert "event_mood" in there[0].message
    assert "severity" in there[2].message
    for found in there:
        open_incident(clickhouse, found.key, found.stream, found.severity, found.title, found.message)
    clickhouse.execute("TRUNCATE TABLE detector_checks")  # as after minutes without an event
    stream.detection.write_checks()
    again, over = read_incidents(clickhouse, load_detectors(tmp_path))
    assert ([found.key for found in again], over) == ([found.key for found in there], []), "it is not over"
    clickhouse.execute("TRUNCATE TABLE detector_checks")
    assert read_incidents(clickhouse, load_detectors()) == ([], [found.key for found in there]), (
        "all are mended"
    )


def test_detectors_that_cannot_be_read_are_an_incident_until_they_can(
    warehouse: Settings, clickhouse: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unread() -> None:
        raise ContractError("logs.yaml:7: topic: Field required")

    contract = load_contract("logs")
    detection = Detection(warehouse, contract, Vitals("logs", contract.topic.name))
    monkeypatch.setattr("include.detect.detection.REST_SECONDS", 0.1)
    with monkeypatch.context() as patch:
        patch.setattr("include.detect.detection.load_detectors", unread)
        detection.start()
        eventually(lambda: bool(read_errors(clickhouse, 0)), "it is told that none runs", 30)
        (found,), over = read_incidents(clickhouse, load_detectors())
        assert (found.key, found.title, over) == ("detector:*:logs", "no detector of logs runs", [])
        assert "logs.yaml:7: topic: Field required" in found.message
        open_incident(clickhouse, found.key, found.stream, found.severity, found.title, found.message)
    eventually(lambda: detection.prepared, "the detectors are read", 30)
    detection.end()
    detection.join(30)
    clickhouse.execute("TRUNCATE TABLE detector_checks")  # as after five minutes
    assert read_incidents(clickhouse, load_detectors()) == ([], [found.key])


def test_what_an_earlier_driver_left_is_judged_by_the_next(warehouse: Settings, clickhouse: Client) -> None:
    server = server_desk(clickhouse)
    server.takes_over()
    server.ask("SELECT 1")
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    hour = now.replace(minute=0)
    clickhouse.execute(
        "INSERT INTO user_minutes_delta (window_start, user_id, action, batch, event_count) VALUES",
        [(now, "u1", "click", batch_id(1, 0), 51)],
    )
    clickhouse.execute(
        "INSERT INTO ledger (stream, batch, hours, kafka_time_min, kafka_time_max, committed_at) VALUES",
        [("user_events", batch_id(1, 0), [hour], 0, int(now.timestamp() * 1000), datetime.now(UTC))],
    )
    stream = Committed(warehouse, "user_events")
    stream.detection.prepare()
    stream.detection.round()
    assert {row[0] for row in alerts(clickhouse)} == {"busy_user"}


def test_the_thread_finds_it_within_five_seconds_and_ends(
    warehouse: Settings, clickhouse: Client, desk: Desk
) -> None:
    stream = Committed(warehouse, "user_events")
    stream.detection.start()
    eventually(lambda: stream.detection.prepared, "the detectors are loaded", 30)
    desk.came("user_minutes", "10:05:00", user_id="u1", action="click", event_count=51)
    queryable = time.time() * 1000
    stream.touch("user_minutes", "10:05:00")
    eventually(lambda: bool(alerts(clickhouse)), "an alert is there", 30)
    stream.detection.end()
    stream.detection.join(30)
    assert not stream.detection.is_alive()
    ((fired,),) = clickhouse.execute("SELECT min(fired_ms) FROM alerts")
    assert fired - queryable < 5_000, f"{fired - queryable:.0f} ms"


def test_a_seal_confirms_retracts_and_raises_once(
    warehouse: Settings, clickhouse: Client, desk: Desk
) -> None:
    stream = Committed(warehouse, "logs")
    for clock in ("10:00:00", "10:10:00"):
        spike(desk, clock)
    stream.touch("log_services", *(f"10:{m:02}:00" for m in (0, 1, 10, 11)), latest="10:20:00")
    stream.detection.prepare()
    stream.detection.round()
    assert [row[3] for row in alerts(clickhouse)] == ["provisional"] * 2
    exact = {0: 0, 1: 60, 10: 0, 11: 10, 20: 0, 21: 50}
    for number, errors in exact.items():
        desk.sealed(
            "log_services", f"10:{number:02}:00", service="shop", request_count=100, error_count=errors
        )
    assert judge_sealed(warehouse) == [], "no certificate is there yet"
    certify(clickhouse, "logs", "10:00:00")
    expected = [
        ("error_rate_spike", f"2026-01-01 10:{number:02}:00", "shop", state)
        for number, state in ((1, "confirmed"), (11, "retracted"), (21, "raised"))
    ]
    assert len(judge_sealed(warehouse)) == 3
    assert alerts(clickhouse, "error_rate_spike") == expected
    rows = clickhouse.execute("SELECT count() FROM alerts")
    assert judge_sealed(warehouse) == []
    clickhouse.execute("TRUNCATE TABLE alert_judgements")
    assert judge_sealed(warehouse) == [], "as after a failure between the alerts and the note of it"
    assert clickhouse.execute("SELECT count() FROM alerts") == rows
    # A provisional row that is written late, by a driver that was paused, covers no judgement.
    again = Committed(warehouse, "logs")
    again.touch("log_services", "10:11:00", "10:21:00", latest="10:40:00")
    again.detection.prepare()
    again.detection.round()
    assert alerts(clickhouse, "error_rate_spike") == expected


def test_a_second_seal_judges_again(warehouse: Settings, clickhouse: Client, desk: Desk) -> None:
    for seal, errors in ((9, 60), (12, 10), (15, 70)):
        for number, failed in ((0, 0), (1, errors)):
            desk.sealed(
                "log_services",
                f"10:0{number}:00",
                seal=seal,
                service="shop",
                request_count=100,
                error_count=failed,
            )
        certify(clickhouse, "logs", "10:00:00", seal=seal)
        judge_sealed(warehouse)
        wanted = {9: "raised", 12: "retracted", 15: "raised"}[seal]
        assert [row[3] for row in alerts(clickhouse, "error_rate_spike")] == [wanted], seal


def test_a_window_that_looks_back_into_another_hour_waits_for_its_seal(
    warehouse: Settings, clickhouse: Client, desk: Desk
) -> None:
    begins(clickhouse, "logs", "10:00:00")
    desk.sealed("log_services", "10:59:00", service="shop", request_count=100)
    desk.sealed("log_services", "11:00:00", service="shop", request_count=100, error_count=50)
    spike_found = Fired(minute("11:00:00"), "shop", "{}")
    detector = load_detectors().detectors["error_rate_spike"]
    write_alerts(clickhouse, [new_alert(detector, spike_found, PROVISIONAL, now_ms())])
    certify(clickhouse, "logs", "11:00:00")
    assert judge_sealed(warehouse) == []
    certify(clickhouse, "logs", "10:00:00")
    assert [
        (a.detector, text(datetime.fromtimestamp(a.start, UTC)), a.state) for a in judge_sealed(warehouse)
    ] == [("error_rate_spike", "2026-01-01 11:00:00", "confirmed")]


def test_windows_over_two_hours_are_judged_when_the_second_is_sealed(
    warehouse: Settings, clickhouse: Client, desk: Desk
) -> None:
    for pane in ("10:59:00", "11:00:00"):
        desk.sealed("user_minutes", pane, user_id="u1", action="click", event_count=30)
    certify(clickhouse, "user_events", "10:00:00")
    assert judge_sealed(warehouse) == []
    certify(clickhouse, "user_events", "11:00:00")
    judge_sealed(warehouse)
    # 11:00 is no multiple of two minutes after 10:56, whose window is the first that holds both panes.
    assert [row[1][11:] for row in alerts(clickhouse, "busy_user")] == ["10:56:00", "10:58:00"]


def test_late_events_are_judged_when_every_hour_that_they_belong_to_is_sealed(
    warehouse: Settings, clickhouse: Client, desk: Desk
) -> None:
    figures = {"arrived": at("10:07:00"), "user_id": "u1", "earliest_us": 1}
    desk.came("user_late", "08:00:00", event_count=3, **figures)
    desk.came("user_late", "09:00:00", event_count=4, **figures)
    stream = Committed(warehouse, "user_events")
    stream.touch("user_late", "10:07:00")
    stream.detection.prepare()
    stream.detection.round()
    desk.sealed("user_late", "08:00:00", event_count=3, **figures)
    certify(clickhouse, "user_events", "08:00:00")
    assert judge_sealed(warehouse) == []
    desk.sealed("user_late", "09:00:00", event_count=2, came_event_count=4, **figures)
    certify(clickhouse, "user_events", "09:00:00")
    judge_sealed(warehouse)
    assert alerts(clickhouse) == [("late_user", "2026-01-01 10:07:00", "u1", "retracted")], "two were copies"


def test_an_old_certificate_is_not_taken_up(warehouse: Settings, desk: Desk) -> None:
    for number, failed in ((0, 0), (1, 60)):
        desk.sealed("log_services", f"10:0{number}:00", service="shop", request_count=100, error_count=failed)
    desk.certified("logs", "10:00:00")
    assert judge_sealed(warehouse) == []


def test_verdicts_can_be_counted(clickhouse: Client, desk: Desk) -> None:
    for number, micros in enumerate([100_000, 110_000, 90_000, 100_000, 900_000]):
        desk.came(
            "log_services",
            f"10:0{number}:00",
            service="shop",
            request_count=1,
            timed_count=1,
            response_time=micros,
        )
    found = load_detectors().detectors["response_time_anomaly"]
    assert count_verdicts(clickhouse, found, minute("10:00:00"), minute("11:00:00")) == (2, 1)
    assert count_verdicts(clickhouse, found, minute("10:04:00"), minute("11:00:00")) == (1, 1)


def test_critical_alerts_are_read_from_months_that_were_written_to_and_none_is_lost(
    clickhouse: Client,
) -> None:
    ddos, now = load_detectors().detectors["ddos"], now_ms()
    old = now // 1000 - 300 * 86_400
    of_old = [
        new_alert(ddos, Fired(old + number, f"10.0.0.{number}", "{}"), PROVISIONAL, now - 86_400_000 * 290)
        for number in range(3)
    ]
    write_alerts(clickhouse, of_old)
    write_alerts(clickhouse, [replace(of_old[0], state=RETRACTED, judged_ms=now)])
    write_alerts(clickhouse, [new_alert(ddos, Fired(now // 1000, "10.0.0.9", "{}"), PROVISIONAL, now)])
    found = {(alert.subject, alert.state) for alert in critical_alerts(clickhouse, now - 1_000)}
    assert found == {("10.0.0.0", "retracted"), ("10.0.0.9", "provisional")}, (
        "the age of a window is no matter"
    )
    assert critical_alerts(clickhouse, now + 3_600_000) == []
    assert clickhouse.last_query.progress.rows == 0, "no month was written to since: none is read"


def test_open_incidents_of_a_kind_are_found_without_reading_the_others(clickhouse: Client) -> None:
    clickhouse.execute(
        "INSERT INTO incidents (key, opened_at, at, event) "
        "SELECT concat('task:', toString(number)), 1, 1, 'opened' FROM numbers(100000)"
    )
    for key in ("alert:ddos:logs:1:a", "alert:ddos:logs:1:b", "alerts"):
        open_incident(clickhouse, key, "logs", "critical", "t", "m")
    close_incident(clickhouse, "alert:ddos:logs:1:b")
    assert open_keys(clickhouse, "alert") == {"alert:ddos:logs:1:a"}
    assert clickhouse.last_query.progress.rows < 20_000
    asked = ["alerts", "alert:ddos:logs:1:b", "task:7", "task:none"]
    assert open_among(clickhouse, asked) == {"alerts", "task:7"}
    assert clickhouse.last_query.progress.rows < 50_000
    assert open_among(clickhouse, []) == set()


def test_a_critical_alert_is_an_incident_until_it_is_over(
    warehouse: Settings, clickhouse: Client, desk: Desk
) -> None:
    stream = Committed(warehouse, "logs")
    spike(desk)
    stream.touch("log_services", "10:01:00", latest="10:20:00")
    stream.detection.prepare()
    stream.detection.round()
    loaded = load_detectors()
    (found,), over = read_incidents(clickhouse, loaded)
    assert (found.severity, found.stream, over) == ("critical", "logs", [])
    assert found.key == f"alert:error_rate_spike:logs:{minute('10:01:00')}:shop"
    assert "error rate 60" in found.message
    open_incident(clickhouse, found.key, found.stream, found.severity, found.title, found.message)
    assert read_incidents(clickhouse, loaded) == ([], [found.key]), "its windows are long past"
    close_incident(clickhouse, found.key)
    assert read_incidents(clickhouse, loaded) == ([], []), "it is told once"


class FileNotifier(BaseNotifier):
    """A notifier as a person would configure it: writes the title of an incident to a file."""

    template_fields = ("text",)

    def __init__(self, path: str, text: str = "{{ incident.title }}") -> None:
        super().__init__()
        self.path, self.text = path, text

    def notify(self, context: Any) -> None:  # noqa: ARG002
        with Path(self.path).open("a") as sent:
            sent.write(self.text + "\n")


def test_people_are_told_once_of_a_critical_alert_and_once_that_it_was_retracted(
    warehouse: Settings, clickhouse: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = tmp_path / "sent"
    listed = json.dumps([{"class": f"{__name__}.FileNotifier", "arguments": {"path": str(sent)}}])
    monkeypatch.setenv("AIRFLOW_VAR_INCIDENTS_TOLD_WITHOUT_WAREHOUSE", "{}")
    monkeypatch.setenv("PLATFORM_NOTIFIERS", listed)
    monkeypatch.setenv("PLATFORM_CLICKHOUSE_DATABASE", warehouse.clickhouse_database)
    monkeypatch.setattr("airflow.sdk.get_current_context", dict)
    get_settings.cache_clear()
    start = int(time.time()) // 60 * 60 - 60
    loaded = load_detectors().detectors
    critical = new_alert(loaded["ddos"], Fired(start, "10.0.0.9", "{}"), PROVISIONAL, now_ms())
    warning = new_alert(loaded["busy_user"], Fired(start, "u1", "{}"), PROVISIONAL, now_ms())
    write_alerts(clickhouse, [critical, warning])
    for _ in range(2):
        tell_alerts()
    title = f"ddos: 10.0.0.9 in logs since {datetime.fromtimestamp(start, UTC):%Y-%m-%d %H:%M:%S} UTC"
    assert sent.read_text().splitlines() == [title]
    write_alerts(clickhouse, [replace(critical, state=RETRACTED, judged_ms=now_ms())])
    for _ in range(2):
        tell_alerts()
    assert sent.read_text().splitlines() == [title, f"over: {title}"]

    def fails() -> None:
        raise RuntimeError("no detectors today")

    with monkeypatch.context() as patch:
        patch.setattr("include.detect.load.load_detectors", fails)
        for _ in range(2):
            tell_alerts()
    tell_alerts()
    assert sent.read_text().splitlines()[2:] == ["alerts are not told", "over: alerts are not told"]


def test_what_a_slow_detector_may_cost_is_bounded(
    warehouse: Settings, clickhouse: Client, desk: Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    busy = (DETECTORS_DIR / "busy_user.sql.j2").read_text()
    (tmp_path / "busy_user.sql.j2").write_text(busy)
    (tmp_path / "a_slow.sql.j2").write_text(
        busy.replace("toUInt8(", "toUInt8(sleep(3) = 0 AND sleepEachRow(3) = 0 AND ")
    )
    stream = Committed(warehouse, "user_events", tmp_path)
    for user in range(3):
        desk.came("user_minutes", "10:05:00", user_id=f"u{user}", action="click", event_count=51)
    stream.touch("user_minutes", "10:05:00")
    stream.detection.prepare()
    began = time.monotonic()
    stream.detection.round()
    assert time.monotonic() - began < 30
    assert "busy_user" in {row[0] for row in alerts(clickhouse)}
    assert "detector a_slow failed" in caplog.text
