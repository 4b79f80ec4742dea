"""Event to queryable on the running platform: from the producer's send to first seen in the view.

Needs `launch_stream` to have run: the stream that Airflow launched is what is measured. Sends live
traffic to the stream's own topic, with its account, as generate_traffic does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from clickhouse_driver.errors import NetworkError

from benchmarks import report
from include.logs import configure_logging
from include.settings import Settings, get_settings
from include.spark.heartbeats import last_heartbeat
from include.traffic.latency import Latency, LatencyProbe, match
from include.traffic.plan import TrafficPlan
from include.traffic.run import generate
from include.warehouse.client import connect

STREAM = "ad_events"
RESULTS = Path(__file__).parent / "results" / "latency.json"
CATCH_UP_SECONDS = 60.0
SENDS = "SELECT sent_at FROM traffic_sends WHERE stream = %(stream)s AND run = %(run)s"


class StreamNotRunningError(RuntimeError):
    """There is no healthy driver whose latency could be measured."""


class NotCaughtUpError(RuntimeError):
    """Events were still not in the view a minute after the last one was sent."""


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments; nonsense ends the process with a message that names it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the live traffic")
    parser.add_argument("--rate", type=float, default=82.0, help="events a second")
    parser.add_argument(
        "--warm-up", type=float, default=10.0, help="seconds of traffic before, not measured; 0 for none"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS, help="file for the figures, JSON")
    return parser.parse_args(arguments)


def require_running(settings: Settings) -> None:
    """Refuse to measure a stream whose driver gives no heartbeat.

    Raises:
        StreamNotRunningError: says what the last heartbeat was.
    """
    client = connect(settings)
    beat = last_heartbeat(client, STREAM)
    client.disconnect()
    if beat is None or not beat.is_healthy():
        last = (
            "there is none" if beat is None else f"the last said {beat.state} {beat.age_seconds():.0f} s ago"
        )
        raise StreamNotRunningError(
            f"{STREAM} gives no healthy heartbeat ({last}): trigger launch_stream first"
        )


def measure(settings: Settings, plan: TrafficPlan) -> Latency:
    """Send live traffic and return the latency of its acceptable events.

    Raises:
        NotCaughtUpError: events were missing from the view CATCH_UP_SECONDS after the last send.
    """
    probe = LatencyProbe(settings)
    probe.start()
    report = generate(plan, settings=settings)
    complete = probe.wait_for(report.accepted, CATCH_UP_SECONDS)
    seen = probe.stop()
    if not complete:
        raise NotCaughtUpError(
            f"run {report.run}: {seen[-1][1]:,} of {report.accepted:,} events in the view "
            f"{CATCH_UP_SECONDS:g} s after the last send"
        )
    client = connect(settings)
    sent = [row[0] for row in client.execute(SENDS, {"stream": STREAM, "run": report.run})]
    client.disconnect()
    return match(sent, seen)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and record; returns the exit code."""
    given = parse_arguments(arguments)
    configure_logging()
    settings = get_settings()
    try:
        require_running(settings)
        plan = TrafficPlan(rate=given.rate, duration=given.seconds, seed=given.seed)
        if given.warm_up:
            measure(settings, plan.model_copy(update={"duration": given.warm_up}))
        latency = measure(settings, plan)
    except (NetworkError, StreamNotRunningError, NotCaughtUpError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    command = (
        f"python -m benchmarks.latency --seconds {given.seconds:g} --rate {given.rate:g} --seed {given.seed}"
    )
    date, where = report.record(given.results, command, asdict(latency))
    print(f"events {latency.count:,}   p50 {latency.p50:.2f} s   p99 {latency.p99:.2f} s")
    print("\nFor benchmarks/README.md:")
    print(
        f"| {date} | {where} | `{command}` | {latency.count:,} | {latency.p50:.2f} s | {latency.p99:.2f} s |"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
