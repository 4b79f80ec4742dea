"""All streams in one driver: half an hour of mixed traffic across a full hour, served, sealed, damaged, mended.

Every view is compared with the generators' truth: before the seal copies count and every row says provisional; after it
each identity counts once and every row says sealed; damage of each kind of measure shows, and is gone once mended.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from pyspark.sql import SparkSession

from include.contracts import load_contracts, stream_names
from include.quality.run import check_hours
from include.reconcile.inject.registry import inject_drift
from include.traffic.plan import TrafficPlan
from include.traffic.view_truth import VIEWS, Row, SeenEvent, counted_once, seen, view_rows
from include.traffic.view_truth.compare import differences
from include.warehouse.views import view_names
from tests.together import Together, streams_together

HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
NEXT, OPEN = HOUR + timedelta(hours=1), HOUR - timedelta(hours=2)  # OPEN: with the first seal still to come
START = HOUR + timedelta(minutes=45)
STREAM = "ad_events"  # is not damaged
FAULTS = {"malformed": 0.01, "schema_breaking": 0.01, "duplicate": 0.02, "late": 0.05, "future": 0.01}
VIEWS_OF = {
    "ad_events": {"ad_events_aggregated"},
    "user_events": {"user_activity", "action_metrics", "user_totals", "busy_users", "late_events"},
    "logs": {
        *("response_times", "error_rates", "ip_patterns", "sla"),
        *("log_user_activity", "service_popularity", "system_health"),
    },
}
SUITES_OF = {"logs": {"log_access_served"}, "user_events": {"user_actions_served"}}
# What is damaged at once, one kind in an hour of a stream: hour, kind, stream, cube, rows, and a view that shows it.
DAMAGE = [
    (OPEN, "lost_row", "logs", "log_access", 3, "ip_patterns"),
    (OPEN, "altered_figure", "user_events", "user_minutes", 1, "action_metrics"),
    (HOUR, "altered_figure", "user_events", "user_late", 1, "late_events"),
    (NEXT, "lost_row", "user_events", "user_actions", 2, "user_activity"),
    (NEXT, "altered_figure", "logs", "log_arrival", 1, "arrival_delay"),
]
Events = dict[str, list[SeenEvent]]


class Performance:
    """What was sent, the rows of each view at three moments, and what the two recounts said."""

    def __init__(self, stage: Together) -> None:
        self.stage = stage
        self.sent: Events = {}
        self.earlier: Events = {}
        for seed, stream in enumerate(stage.contracts):
            plan = TrafficPlan(
                stream=stream, rate=1, duration=300, start=OPEN + timedelta(minutes=10), seed=seed
            )
            self.earlier[stream] = seen(stream, stage.send(plan).accepted())
            plan = TrafficPlan(stream=stream, rate=6, duration=1800, start=START, seed=seed, **FAULTS)
            self.sent[stream] = seen(stream, stage.send(plan).accepted())
        with stage.streaming():
            stage.await_commits()
        self.before = self._views()
        self.sealed = stage.reconcile(HOUR, NEXT)
        self.after = self._views()
        for seed, (hour, kind, stream, cube, size, _) in enumerate(DAMAGE):
            inject_drift(stage.settings, kind, stream, hour, size, seed, stage.load, cube)
        self.damaged = self._views()
        self.mended = stage.reconcile(OPEN, NEXT)
        self.again = self._views()

    def expected(self, view: str, sealed: bool, events: Events | None = None) -> list[Row]:
        """Return the rows that a view must serve."""
        rows: list[Row] = []
        for stream, of_stream in (self.sent if events is None else events).items():
            if view == "arrival_delay" or view in VIEWS_OF[stream]:
                rows += view_rows(view, counted_once(of_stream) if sealed else of_stream)
        return rows

    def _views(self) -> dict[str, list[Row]]:
        return {view: self._rows(view) for view in VIEWS}

    def _rows(self, view: str) -> list[Row]:
        rows, columns = self.stage.client.execute(f"SELECT * FROM {view}", with_column_types=True)
        return [dict(zip([name for name, _ in columns], row, strict=True)) for row in rows]


@pytest.fixture(scope="module")
def performance(local_spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Performance]:
    with streams_together(local_spark, load_contracts(), tmp_path_factory.mktemp("three")) as stage:
        yield Performance(stage)


def since(hour: datetime, rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["window_start"] >= hour]


def until(hour: datetime, rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["window_start"] < hour]


def test_every_view_has_its_truth() -> None:
    served = {view for view in view_names() if not view.startswith("alerts")}
    assert served == set(VIEWS) == {"arrival_delay"}.union(*VIEWS_OF.values())
    assert set(VIEWS_OF) == set(stream_names())


def test_the_traffic_is_mixed(performance: Performance) -> None:
    for stream, events in performance.sent.items():
        assert len(events) + len(performance.earlier[stream]) < performance.stage.sent[stream], (
            "none is rejected"
        )
        assert any(event.late for event in events), f"{stream}: nothing is late"
        assert not all(event.once for event in events), f"{stream}: nothing comes twice"


@pytest.mark.parametrize("view", list(VIEWS))
def test_before_the_seal_a_view_serves_what_came(performance: Performance, view: str) -> None:
    served = performance.before[view]
    assert differences(performance.expected(view, sealed=False), since(HOUR, served)) == []
    assert {row["status"] for row in served} <= {"provisional"}


@pytest.mark.parametrize("view", list(VIEWS))
def test_after_the_seal_a_view_serves_each_identity_once(performance: Performance, view: str) -> None:
    served = since(HOUR, performance.after[view])
    assert differences(performance.expected(view, sealed=True), served) == []
    assert {row["status"] for row in served} <= {"sealed"}


def test_one_run_proves_all_hours_of_all_streams(performance: Performance) -> None:
    found = {(line.stream, line.hour): (line.verdict, line.reason) for line in performance.sealed}
    hours = [f"{hour:%Y-%m-%dT%H}" for hour in (HOUR, NEXT)]
    proved = ("PROVED", "equal at once")
    assert found == {(stream, hour): proved for stream in performance.stage.contracts for hour in hours}


@pytest.mark.parametrize(("hour", "kind", "stream", "cube", "size", "view"), DAMAGE)
def test_damage_to_a_cube_shows_is_named_and_is_mended(
    performance: Performance, hour: datetime, kind: str, stream: str, cube: str, size: int, view: str
) -> None:
    assert performance.damaged[view] != performance.after[view], "the damage does not show"
    (line,) = [
        found for found in performance.mended if (found.stream, found.hour) == (stream, f"{hour:%Y-%m-%dT%H}")
    ]
    assert line.verdict == "REPAIRED", line
    assert {(cell.cube, cell.drift) for cell in line.cells} == {(cube, kind)}, line
    assert len(line.cells) == size


@pytest.mark.parametrize("view", list(VIEWS))
def test_once_mended_all_is_as_sealed_and_as_sent(performance: Performance, view: str) -> None:
    served = performance.again[view]
    assert differences(performance.expected(view, sealed=True), since(HOUR, served)) == []
    expected = performance.expected(view, sealed=True, events=performance.earlier)
    assert differences(expected, until(HOUR, served)) == []
    assert {row["status"] for row in served} <= {"sealed"}


@pytest.mark.parametrize("stream", stream_names())
def test_the_suites_hold_on_what_is_served(performance: Performance, stream: str) -> None:
    report = check_hours(performance.stage.settings, stream, [NEXT], performance.stage.load)
    of_all = {f"{stream}_served", "cubes", "arrival_served", "ledger_balance", "raw_log"}
    assert {result.suite for result in report.results} == of_all | SUITES_OF.get(stream, set())
    assert not report.failed("critical")


def test_what_is_neither_open_nor_damaged_is_not_judged_again(performance: Performance) -> None:
    found = {(line.stream, line.hour): line.verdict for line in performance.mended}
    assert found[STREAM, f"{OPEN:%Y-%m-%dT%H}"] == "PROVED"
    assert not {(STREAM, f"{hour:%Y-%m-%dT%H}") for hour in (HOUR, NEXT)} & found.keys(), found
