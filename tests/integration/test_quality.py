"""check_hours on a real ClickHouse: a good hour, damaged hours, the history, and pages that open offline."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from clickhouse_driver import Client

from include.contracts import Contract, load_contract
from include.quality import run as quality
from include.quality.docs import EXTERNAL_ADDRESS
from include.quality.hours import NothingToCheckError
from include.quality.raw_log import RawSample, read_sample
from include.quality.report import QualityFailedError, QualityReport
from include.settings import Settings
from tests.raw_log import event_of, lasting_topic, send, with_topic

HOUR = datetime(2026, 1, 1, 5, tzinfo=UTC)
NOW = datetime(2026, 1, 1, 7, tzinfo=UTC)
BATCH = (1 << 40) | 1
EVENTS = 3980  # of the certified hour
STREAM = "ad_events"

__all__ = ["lasting_topic"]  # a fixture


@dataclass(frozen=True)
class Stage:
    """Settings of a database of its own, and the contract with a topic of its own."""

    settings: Settings
    contract: Contract

    def check(self, hours: Sequence[datetime]) -> QualityReport:
        return quality.check_hours(self.settings, STREAM, hours, lambda _: self.contract)


@pytest.fixture
def platform(warehouse: Settings, clickhouse: Client, lasting_topic: str, tmp_path: Path) -> Stage:
    """One certified hour: two ledger rows for each of two partitions, the raw records, sealed rows, a balance."""
    write_hour(clickhouse)
    for partition in (0, 1):
        send(warehouse, lasting_topic, partition, [event_of(HOUR, n) for n in range(2_000)], HOUR)
    settings = warehouse.model_copy(update={"artifacts_dir": tmp_path})
    return Stage(settings, with_topic(load_contract(STREAM), lasting_topic))


def write_hour(client: Client) -> None:
    client.execute("INSERT INTO takeovers VALUES", [(STREAM, 1, [1], [(2 << 40) - 1], NOW)])
    for partition in (0, 1):
        write_ledger(client, partition, BATCH, 0, 1000)
        write_ledger(client, partition, BATCH + 1, 1000, 2000)
        client.execute(
            "INSERT INTO balances VALUES",
            [(STREAM, HOUR, 7, partition, "[]", 2000, 1990, 0, 8, "{}", 2, 2, 0, 0)],
        )
    contract = load_contract(STREAM)
    rows = []
    for minute in range(60):
        for country in contract.fields["country"].allowed or ():
            shown = 8 if rows else EVENTS - 9 * 420 + 8
            for event_type, count, micros in (("impression", shown, 0), ("click", 1, 40_000)):
                rows.append((HOUR + timedelta(minutes=minute), event_type, country, "banner", BATCH + 1, 7, count,
                             count, Decimal(micros), Decimal(micros)))  # fmt: skip
    client.execute(
        "INSERT INTO ad_events_sealed (window_start, event_type, country, ad_format, frontier, seal, event_count, "
        "came_event_count, revenue, came_revenue) VALUES",
        rows,
    )
    client.execute(
        "INSERT INTO ad_arrival_sealed (window_start, arrived, delay_ms, frontier, seal, event_count, came_event_count, "
        "delay_max_us, came_delay_max_us) VALUES",
        [(HOUR, HOUR, 250, BATCH + 1, 7, EVENTS, EVENTS, 250_400, 250_400)],
    )
    client.execute(
        "INSERT INTO certificates VALUES",
        [(STREAM, HOUR, BATCH + 1, 7, "PROVED", 60, 840, EVENTS, EVENTS, 0, 4000, "", "{}", NOW)],
    )


def write_ledger(
    client: Client, partition: int, batch: int, start: int, end: int, *, lost: int = 0, unaccounted: int = 0
) -> None:
    offsets = end - start - lost
    accepted = offsets - 5 - unaccounted
    client.execute(
        "INSERT INTO ledger VALUES",
        [(STREAM, batch, partition, start, start + lost, end, accepted, 4, 0, 1, [HOUR], [accepted], [start], [end - 1],
          0, 0, 1, [], [], [], NOW)],
    )  # fmt: skip
    if batch > BATCH + 1:
        write_deltas(client, batch, accepted)


def write_deltas(client: Client, batch: int, events: int) -> None:
    """Write what a batch after the certificate brought, so that every cube agrees with the ledger."""
    client.execute(
        "INSERT INTO ad_events_delta (window_start, event_type, country, ad_format, batch, event_count, revenue) VALUES",
        [(HOUR, "impression", "US", "banner", batch, events, Decimal(0))],
    )
    client.execute(
        "INSERT INTO ad_arrival_delta (window_start, arrived, delay_ms, batch, event_count, delay_max_us) VALUES",
        [(HOUR, HOUR, 250, batch, events, 250_400)],
    )


def failures(stage: Stage) -> dict[tuple[str, str], str]:
    with pytest.raises(QualityFailedError) as failed:
        stage.check([HOUR])
    return {(r.suite, r.column): str(r) for r in failed.value.report.failed("critical")}


def test_a_good_hour_passes_and_is_kept(platform: Stage, clickhouse: Client) -> None:
    report = platform.check([])
    assert [str(r) for r in report.results if not r.success] == []
    assert [(s.suite, s.hour) for s in report.summaries] == [
        ("ad_events_served", HOUR),
        ("arrival_served", HOUR),
        ("cubes", HOUR),
        ("ledger_balance", HOUR),
        ("raw_log", HOUR),
    ]
    kept = clickhouse.execute(
        "SELECT suite, count(), sum(success), min(hour) FROM quality_checks WHERE run = %(run)s GROUP BY suite ORDER BY suite",
        {"run": report.run},
    )
    assert [(suite, n, passed) for suite, n, passed, _ in kept] == [
        (s.suite, s.passed, s.passed) for s in report.summaries
    ]
    assert kept[0][3].replace(tzinfo=UTC) == HOUR


def test_the_pages_open_without_internet_access(platform: Stage) -> None:
    report = platform.check([HOUR])
    root = platform.settings.artifacts_dir / "data_docs"
    pages = sorted(root.rglob("*.html"))
    assert len(pages) >= 6, pages
    for page in [*pages, *root.rglob("*.css")]:
        text = page.read_text(encoding="utf-8")
        assert EXTERNAL_ADDRESS.findall(text) == [], f"{page} asks for an external address"
        for address in addresses_of(text) if page.suffix == ".html" else []:
            assert (page.parent / address).resolve().exists(), (
                f"{page} asks for {address}, which is not there"
            )
        assert "datepicker" not in text, (
            f"{page} needs the date picker, which is left out: its list would be empty"
        )
    assert all(Path(result.evidence).is_file() for result in report.results)
    assert report.run in (root / "index.html").read_text(encoding="utf-8")


def addresses_of(page: str) -> list[str]:
    found = re.findall(r'<(?:script|link|img|a)\b[^>]*?\s(?:src|href)="([^"#{$]+)"', page)
    return [address for address in found if not address.startswith(("data:", "javascript:"))]


def test_a_damaged_figure_fails_with_expectation_hour_and_figures(
    platform: Stage, clickhouse: Client
) -> None:
    insert = "INSERT INTO ad_events_delta (window_start, event_type, country, ad_format, batch, event_count, revenue) VALUES"
    clickhouse.execute(insert, [(HOUR, "impression", "XX", "banner", BATCH + 2, 1, Decimal(5))])
    found = failures(platform)
    assert set(found) == {("ad_events_served", "country"), ("ad_events_served", "impression_revenue")}
    message = found["ad_events_served", "country"]
    for part in ("2026-01-01T05Z", "expect_column_values_to_be_in_set", '"XX"', '"KR"', "data_docs"):
        assert part in message, f"{part!r} is not in: {message}"
    rows = clickhouse.execute("SELECT column_name FROM quality_checks WHERE success = 0 ORDER BY column_name")
    assert rows == [("country",), ("impression_revenue",)]


@pytest.mark.parametrize(
    ("start", "end", "extra", "column"),
    [
        (2003, 2100, {}, "offset_gap"),
        (1990, 2100, {}, "offset_gap"),
        (2000, 2100, {"lost": 10}, "lost_to, start_offset"),
        (2000, 2100, {"unaccounted": 1}, "accounted, offsets"),
    ],
    ids=["hole", "overlap", "expired", "unaccounted"],
)
def test_a_damaged_ledger_fails(
    platform: Stage, clickhouse: Client, start: int, end: int, extra: dict[str, int], column: str
) -> None:
    write_ledger(clickhouse, 1, BATCH + 2, start, end, **extra)
    assert set(failures(platform)) == {("ledger_balance", column)}


def test_a_hole_just_before_the_hour_is_seen(platform: Stage, clickhouse: Client) -> None:
    clickhouse.execute("TRUNCATE TABLE ledger")
    earlier = HOUR - timedelta(hours=1)
    write_ledger(clickhouse, 0, BATCH + 1, 1000, 2000)
    clickhouse.execute(
        "INSERT INTO ledger VALUES",
        [(STREAM, BATCH, 0, 0, 0, 990, 990, 0, 0, 0, [earlier], [990], [0], [989], 0, 0, 1, [], [], [], NOW)],
    )
    message = failures(platform)["ledger_balance", "offset_gap"]
    assert "1000" in message


def test_rows_of_a_batch_that_does_not_count_are_no_overlap(platform: Stage, clickhouse: Client) -> None:
    clickhouse.execute("INSERT INTO takeovers VALUES", [(STREAM, 2, [1, 2], [BATCH + 1, (3 << 40) - 1], NOW)])
    write_ledger(clickhouse, 1, BATCH + 5, 1500, 2500)
    assert platform.check([HOUR]).failed("critical") == []


def test_a_balance_that_does_not_add_up_fails(platform: Stage, clickhouse: Client) -> None:
    clickhouse.execute("TRUNCATE TABLE balances")
    row = (STREAM, HOUR, 7, 0, "[]", 2000, 1980, 0, 8, "{}", 2, 3, 0, 0)
    clickhouse.execute("INSERT INTO balances VALUES", [row])
    assert set(failures(platform)) == {
        ("ledger_balance", "accounted, offsets"),
        ("ledger_balance", "ledger_non_records, non_records"),
    }


def test_nothing_certified_and_no_hour_named_says_so(warehouse: Settings, tmp_path: Path) -> None:
    empty = warehouse.model_copy(update={"artifacts_dir": tmp_path})
    with pytest.raises(NothingToCheckError, match="reconcile_hour"):
        quality.check_hours(empty, STREAM, [])


@pytest.fixture
def without_kafka(platform: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """The stage with Kafka's address at a port where nobody listens."""
    monkeypatch.setattr("include.topics.offsets.REQUEST_SECONDS", 2.0)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        servers = f"127.0.0.1:{bound.getsockname()[1]}"
        settings = platform.settings.model_copy(update={"kafka_bootstrap_servers": servers})
        yield replace(platform, settings=settings)


def test_without_kafka_all_else_is_kept_and_shown_and_the_run_names_kafka(
    without_kafka: Stage, clickhouse: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = "SELECT suite, uniqExact(hour) FROM quality_checks GROUP BY suite ORDER BY suite"
    others = [(suite, 2) for suite in ("ad_events_served", "arrival_served", "cubes", "ledger_balance")]
    kept_when_asked: list[list[tuple[str, int]]] = []

    def asked(*args: Any) -> RawSample:
        kept_when_asked.append(clickhouse.execute(kept))
        return read_sample(*args)

    monkeypatch.setattr(quality, "read_sample", asked)
    servers = without_kafka.settings.kafka_bootstrap_servers
    with pytest.raises(QualityFailedError, match=f"no Kafka broker answered at {servers}") as failed:
        without_kafka.check([HOUR, HOUR + timedelta(hours=1)])
    assert "2026-01-01T05Z, 2026-01-01T06Z, suite raw_log: not checked" in str(failed.value)
    assert kept_when_asked == [others], "Kafka is asked first, or for each hour"
    assert clickhouse.execute(kept) == others
    report = failed.value.report
    assert all(Path(result.evidence).is_file() for result in report.results)
    listed = without_kafka.settings.artifacts_dir / "data_docs" / "index.html"
    assert "<td>raw_log</td>" in listed.read_text(encoding="utf-8")


def test_without_kafka_a_critical_failure_is_named_too(without_kafka: Stage, clickhouse: Client) -> None:
    write_ledger(clickhouse, 1, BATCH + 2, 2003, 2100)
    with pytest.raises(QualityFailedError, match=r"(?s)1 critical .*offset_gap.*raw_log: not checked"):
        without_kafka.check([HOUR])


def test_only_the_newest_runs_are_kept(platform: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.quality.docs.KEPT_RUNS", 1)
    older = platform.check([HOUR])
    newer = platform.check([HOUR])
    kept = {
        path.name for path in (platform.settings.artifacts_dir / "data_docs").iterdir() if path.is_dir()
    } - {"assets"}
    assert kept == {max(older.run, newer.run)}
