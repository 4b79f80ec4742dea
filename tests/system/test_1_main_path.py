"""The demo's path on less data: stream, prove, damage, repair, prove again, check quality, all through Airflow."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from include.demo.steps import DemoSize
from include.demo.streams import VERIFIED, hour_lines
from include.reconcile.publication import unpublished
from tests.system.conftest import STREAM, Platform, data_docs

SIZE = DemoSize(hours=1, live_seconds=15)


@pytest.mark.usefixtures("platform")
class TestMainPath:
    """One story in order; each test is a chapter and needs those before it."""

    def test_preparing_again_changes_nothing(self, platform: Platform) -> None:
        run = platform.api.run("prepare_platform")
        for task in ("topics", "warehouse"):
            log = platform.api.log("prepare_platform", run.run_id, task, 1)
            assert "nothing changed" in log.lower(), log

    def test_what_is_sent_is_served_exactly(self, platform: Platform) -> None:
        demo = platform.demo(SIZE)
        demo.stream_past_hours()
        latency = demo.stream_live()
        assert 0 < latency.p50 <= latency.p99, latency
        platform.assert_nothing_differs()

    def test_a_second_launch_submits_nothing(self, platform: Platform) -> None:
        generation = platform.generation()
        run = platform.api.run("launch_stream", {"streams": [STREAM]})
        assert run.returned["launch"]["submitted"] is False, run.returned
        assert len(platform.driver_processes()) == 1
        assert platform.generation() == generation

    def test_every_closed_hour_is_proved_and_equals_the_truth(self, platform: Platform) -> None:
        demo = platform.demo(SIZE)
        demo.reconcile()
        client = platform.client()
        lines = hour_lines(client, platform.contract, demo.reconciled_at)
        client.disconnect()
        assert any(line.verdict in VERIFIED for line in lines), lines
        assert {line.verdict for line in lines} <= {*VERIFIED, "OPEN"}, lines
        platform.assert_nothing_differs()
        assert platform.balance().duplicates > 0, "the generator's duplicates were not seen"

    def test_damage_is_caught_repaired_and_proved_again(self, platform: Platform) -> None:
        drift = platform.demo(SIZE).damage_and_repair()
        assert (drift.caught, drift.verdict, drift.proved_again) == (True, "REPAIRED", True), drift
        platform.assert_nothing_differs()

    def test_quality_follows_the_verified_hours(self, platform: Platform) -> None:
        """Of the newest run: one that began by itself may have seen the damage before its repair."""
        platform.demo(SIZE).check_quality()
        client = platform.client()
        found = client.execute(
            "SELECT suite, count(), sum(success = 0 AND severity = 'critical') FROM quality_checks "
            "WHERE stream = %(stream)s AND run = (SELECT max(run) FROM quality_checks WHERE stream = %(stream)s) "
            "GROUP BY suite",
            {"stream": STREAM},
        )
        client.disconnect()
        assert len(found) >= 2, found
        assert all(failed == 0 for *_, failed in found), found
        assert data_docs(platform.settings).is_file()

    def test_verified_hours_start_the_quality_check_by_themselves(self, platform: Platform) -> None:
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).isoformat()
        runs = platform.api.runs("check_quality", today)
        assert any(run.startswith("asset_triggered") for run in runs), runs

    def test_each_verified_hour_is_a_partition_of_its_streams_asset(self, platform: Platform) -> None:
        client = platform.client()
        hours = client.execute(
            "SELECT DISTINCT hour FROM certificates WHERE stream = %(stream)s ORDER BY hour DESC LIMIT 20",
            {"stream": STREAM},
        )
        client.disconnect()
        assert {f"{hour:%Y-%m-%dT%H}" for (hour,) in hours} <= platform.api.partitions(f"proved_{STREAM}")
        assert unpublished(platform.settings) == []
