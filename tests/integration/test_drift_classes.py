"""Each class of drift: the damage is seen in what is served, then found and named, then mended, then proved at once.

One topic, one hour for each class, and four runs that take all hours together. What happened is written as a
table, which docs/drift_classes.md must equal: regenerate it by copying .local/artifacts/drift_classes.md.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from pyspark.sql import SparkSession

from include.contracts import load_contract
from include.reconcile.inject.kinds import KINDS
from include.reconcile.inject.order import Injection
from include.reconcile.inject.registry import INJECTORS, inject_drift
from include.reconcile.report import HourLine
from include.reconcile.types import Difference
from include.settings import PROJECT_ROOT
from include.warehouse.client import connect
from include.warehouse.migrate import prepare_warehouse
from tests.conftest import create_topic, platform_settings
from tests.leftovers import fresh_suffix
from tests.reconciling import HOUR, Stream, event

EVENTS = 240
TABLE = PROJECT_ROOT / ".local" / "artifacts" / "drift_classes.md"
DOCUMENT = PROJECT_ROOT / "docs" / "drift_classes.md"

# Kind, whether its hour is sealed before, size, and what the judgement must call it; "" where nothing differs.
DRILLS = {
    "lost_batch": ("lost_batch", False, 1, "lost_batch"),
    "doubled_batch": ("doubled_batch", False, 1, "doubled_batch"),
    "lost_row, open": ("lost_row", False, 3, "lost_row"),
    "lost_row, sealed": ("lost_row", True, 3, "lost_row"),
    "doubled_row, open": ("doubled_row", False, 3, "doubled_row"),
    "doubled_row, sealed": ("doubled_row", True, 3, "doubled_row"),
    "altered_figure, open": ("altered_figure", False, 3, "altered_figure"),
    "altered_figure, sealed": ("altered_figure", True, 3, "altered_figure"),
    "wrong_window, open": ("wrong_window", False, 2, "wrong_window"),
    "wrong_window, sealed": ("wrong_window", True, 2, "wrong_window"),
    "ledger_gap": ("ledger_gap", False, 1, "ledger_gap"),
    "ledger_overlap": ("ledger_overlap", False, 1, "ledger_overlap"),
    "stale_driver": ("stale_driver", False, 1, ""),
    "late_event": ("late_event", True, 5, ""),
    "duplicate_events": ("duplicate_events", True, 5, ""),
}
CUBE = "ad_events"  # whose rows are damaged, and whose cells the view shows
UNSERVED = {"ledger_gap", "ledger_overlap", "stale_driver"}
View = dict[tuple[object, ...], tuple[int, int]]


@dataclass
class Drill:
    """All that happened to one hour."""

    hour: datetime
    kind: str
    truth: View
    before: View = field(default_factory=dict)
    injection: Injection | None = None
    after: View = field(default_factory=dict)
    found: HourLine | None = None
    cells: list[Difference] = field(default_factory=list)
    drifts: list[str] = field(default_factory=list)
    reason: str = ""
    mended: HourLine | None = None
    mended_view: View = field(default_factory=dict)
    again: HourLine | None = None


class Theatre:
    """The stream and its hours."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        first = HOUR - timedelta(hours=len(DRILLS) - 1)
        order = sorted(
            DRILLS, key=lambda name: DRILLS[name][1]
        )  # sealed hours side by side: one run seals them
        self.drills = {
            name: Drill(first + timedelta(hours=index), DRILLS[name][0], {})
            for index, name in enumerate(order)
        }

    def perform(self) -> None:
        stream = self.stream
        stream.start()  # an earlier generation, for the stale driver and for ids that nobody uses
        self._send_hours()
        stream.start()
        stream.batches = 0
        after = HOUR + timedelta(minutes=65)
        stream.send([(json.dumps(event(number, after)).encode(), after) for number in range(4)])
        stream.fold()
        hours = [drill.hour for name, drill in self.drills.items() if DRILLS[name][1]]
        sealed = self._reconcile("auto", min(hours), max(hours))
        assert {line.verdict for line in sealed.values()} == {"PROVED"}, sealed
        for number, (name, drill) in enumerate(self.drills.items()):
            drill.before = self._view(drill.hour)
            size = DRILLS[name][2]
            drill.injection = inject_drift(
                stream.settings, drill.kind, "ad_events", drill.hour, size, number, stream.load, CUBE
            )
        self._fold_what_was_sent()
        for drill in self.drills.values():
            drill.after = self._view(drill.hour)
        first, last = min(d.hour for d in self.drills.values()), max(d.hour for d in self.drills.values())
        for hour, line in self._reconcile("never", first, last).items():
            self._at(hour).found = line
        self._read_findings()
        for hour, line in self._reconcile("auto", first, last).items():
            self._at(hour).mended = line
        for drill in self.drills.values():
            drill.mended_view = self._view(drill.hour)
        for hour, line in self._reconcile("auto", first, last).items():
            self._at(hour).again = line

    def _send_hours(self) -> None:
        """Each hour in two batches of its own, so that a batch that goes is not all there is."""
        for index, drill in enumerate(self.drills.values()):
            rng = random.Random(index)
            for half in range(2):
                records: list[tuple[bytes | None, datetime]] = []
                for number in range(EVENTS // 2):
                    moment = drill.hour + timedelta(minutes=30 * half, seconds=rng.uniform(0, 1799))
                    identity = index * 10_000 + half * 1_000 + number
                    records.append((json.dumps(event(identity, moment)).encode(), moment))
                    key = self._key(json.loads(records[-1][0] or b"{}"), moment)
                    count, money = drill.truth.get(key, (0, 0))
                    micros = round(json.loads(records[-1][0] or b"{}")["revenue"] * 1_000_000)
                    drill.truth[key] = (count + 1, money + micros)
                self.stream.send(records)
                self.stream.fold()

    def _key(self, sent: dict[str, object], moment: datetime) -> tuple[object, ...]:
        window = moment.replace(second=0, microsecond=0)
        return (window, sent["event_type"], sent["country"], sent["ad_format"])

    def _fold_what_was_sent(self) -> None:
        self.stream.take_from_topic()
        self.stream.fold()

    def _reconcile(self, repair: str, first: datetime, last: datetime) -> dict[datetime, HourLine]:
        lines = self.stream.reconcile(repair, first, until=last)
        by_name = {f"{drill.hour:%Y-%m-%dT%H}": drill.hour for drill in self.drills.values()}
        return {by_name[line.hour]: line for line in lines}

    def _at(self, hour: datetime) -> Drill:
        return next(drill for drill in self.drills.values() if drill.hour == hour)

    def _view(self, hour: datetime) -> View:
        rows = self.stream.client.execute(
            "SELECT window_start, event_type, country, ad_format, event_count, toInt64(total_revenue * 1000000) "
            "FROM ad_events_aggregated WHERE toStartOfHour(window_start) = %(hour)s",
            {"hour": hour},
        )
        return {(row[0].replace(tzinfo=hour.tzinfo), *row[1:4]): (row[4], row[5]) for row in rows}

    def _read_findings(self) -> None:
        read = self.stream.client.execute
        for hour, drifts, reason in read(
            "SELECT hour, drifts, reason FROM verdicts WHERE verdict = 'DRIFTED' OR verdict = 'PROVED' ORDER BY seal"
        ):
            drill = self._at(hour.replace(tzinfo=HOUR.tzinfo))
            drill.drifts, drill.reason = drifts, reason
        for row in read(
            "SELECT hour, cube, window_start, dimensions, class, expected, served, drift FROM differences "
            "WHERE cube = %(cube)s ORDER BY hour, window_start, dimensions",
            {"cube": CUBE},
        ):
            self._at(row[0].replace(tzinfo=HOUR.tzinfo)).cells.append(Difference(*row[1:]))


@pytest.fixture(scope="module")
def theatre(spark: SparkSession) -> Iterator[Theatre]:
    """All drills, performed once."""
    name = fresh_suffix()
    settings = platform_settings(
        clickhouse_database=f"test_{name}",
        control_topic=f"test-control-{name}",
        allow_inject_drift=True,
        grace_seconds=0.0,
    )
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    contract = load_contract("ad_events")
    topic = contract.topic.model_copy(update={"name": f"test-{name}"})
    create_topic(admin, NewTopic(settings.control_topic, 1, 1, config={"retention.ms": "-1"}))
    create_topic(admin, NewTopic(topic.name, 4, 1, config={"message.timestamp.before.max.ms": str(2**62)}))
    prepare_warehouse(settings)
    client = connect(settings)
    try:
        stage = Theatre(Stream(settings, client, contract.model_copy(update={"topic": topic}), spark))
        stage.perform()
        yield stage
    finally:
        client.execute(f"DROP DATABASE {settings.clickhouse_database}")
        client.disconnect()
        for done in admin.delete_topics([topic.name, settings.control_topic]).values():
            done.result(30)


@pytest.fixture(params=list(DRILLS))
def drill(request: pytest.FixtureRequest, theatre: Theatre) -> Drill:
    return theatre.drills[request.param]


@pytest.fixture
def wanted(request: pytest.FixtureRequest) -> str:
    return DRILLS[request.node.callspec.params["drill"]][3]


def test_every_class_has_a_drill_and_every_kind_of_the_form_an_injector() -> None:
    assert {kind for kind, *_ in DRILLS.values()} == set(KINDS) == set(INJECTORS)


def test_the_damage_shows_in_what_is_served(drill: Drill) -> None:
    assert drill.before == drill.truth
    if drill.kind in UNSERVED:
        assert drill.after == drill.before, "the figures are untouched; only the ledger is"
    else:
        assert drill.after != drill.before


def test_the_finding_names_class_windows_dimensions_expected_and_served(drill: Drill, wanted: str) -> None:
    assert drill.found is not None
    if not wanted:
        assert (drill.found.verdict, drill.found.reason) == ("PROVED", "equal at once")
        return
    assert drill.found.verdict == "DRIFTED", drill.found
    assert drill.drifts == [wanted], drill.reason
    if drill.kind in UNSERVED:
        assert wanted.replace("_", " ") in drill.reason
        assert drill.cells == []
        return
    assert {cell.drift for cell in drill.cells} == {wanted}
    served = {
        key for key in drill.before.keys() | drill.after if drill.before.get(key) != drill.after.get(key)
    }
    named = {
        (
            cell.window_start.replace(tzinfo=HOUR.tzinfo),
            *(part.split("=")[1] for part in cell.dimensions.split()),
        )
        for cell in drill.cells
    }
    assert named == served
    for cell in drill.cells:
        key = (
            cell.window_start.replace(tzinfo=HOUR.tzinfo),
            *(p.split("=")[1] for p in cell.dimensions.split()),
        )
        assert _figures(cell.expected) == drill.truth.get(key)
        assert _figures(cell.served) == drill.after.get(key)


def test_it_is_mended_and_what_is_served_equals_the_truth(drill: Drill, wanted: str) -> None:
    assert drill.mended is not None
    assert drill.mended.verdict == ("REPAIRED" if wanted else "PROVED"), drill.mended
    if drill.kind == "late_event":
        assert sum(count for count, _ in drill.mended_view.values()) == EVENTS + 5
    else:
        assert drill.mended_view == drill.truth


def test_the_next_reconciliation_proves_it_at_once(drill: Drill) -> None:
    assert drill.again is not None
    assert (drill.again.verdict, drill.again.reason) == ("PROVED", "equal at once")


def test_the_table_of_the_document_is_what_happened(theatre: Theatre) -> None:
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(table(theatre), encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == table(theatre), (
        f"copy {TABLE} over {DOCUMENT} and look at it"
    )


def table(theatre: Theatre) -> str:
    lines = [
        "# Classes of drift",
        "",
        "Written by `tests/integration/test_drift_classes.py`, which does each damage to an hour of "
        f"{EVENTS} events, lets it be found with repair `never`, mended with `auto`, and proved again.",
        "",
        "| class | injected | served: events, dollars (before, damaged, mended) | found | mended | again |",
        "|---|---|---|---|---|---|",
    ]
    for name, drill in theatre.drills.items():
        assert drill.injection is not None
        assert drill.mended is not None
        assert drill.again is not None
        views = ", ".join(_sum(view) for view in (drill.before, drill.after, drill.mended_view))
        lines.append(
            f"| {name} | {KINDS[drill.kind]} ({drill.injection.rows}) | {views} | {_finding(drill)} | "
            f"{drill.mended.verdict} | {drill.again.verdict} |"
        )
    lines += [
        "",
        "A rejected record that became valid is no damage: `replay_dead_letters` lets it count. What a stale driver "
        "writes is void and never served; late and duplicate events are counted, and their hour is sealed again.",
    ]
    return "\n".join(lines) + "\n"


def _finding(drill: Drill) -> str:
    assert drill.found is not None
    if not drill.drifts:
        return f"{drill.found.verdict}: nothing that is served differs"
    found = drill.found
    counts = f"{found.missing} missing, {found.excess} excess, {found.mismatched} mismatched"
    text = f"{found.verdict}, {', '.join(drill.drifts)}: {counts}"
    if not drill.cells:
        return text
    cell = drill.cells[0]
    return (
        f"{text}; first at minute {cell.window_start:%M}, {cell.dimensions}: expected {cell.expected or 'nothing'}, "
        f"served {cell.served or 'nothing'}"
    )


def _sum(view: View) -> str:
    return f"{sum(count for count, _ in view.values())} {sum(money for _, money in view.values()) / 1e6:.6f}"


def _figures(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    figures = dict(part.split("=") for part in text.split())
    return int(figures["event_count"]), int(figures["revenue"])
