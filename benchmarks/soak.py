"""A long run at a steady rate on the running platform: memory, parts, freshness, batch sizes.

Needs `launch_stream` to have run. Fails when a process's memory is not flat (benchmarks/flatness.py), when a
partition of a ClickHouse table has more than MOST_PARTS active parts, when the driver or the
executor was started again, or when what is served differs from what was sent.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
from clickhouse_driver import Client

from benchmarks import report
from benchmarks.flatness import Flatness, flatness, percentile
from benchmarks.latency import StreamNotRunningError, require_running
from include.contracts import load_contract
from include.demo.truth import compare_with_truth
from include.local.damage import Damage, last
from include.local.layout import Layout
from include.local.recovery import NotCaughtUpError, Recovery
from include.logs import configure_logging
from include.settings import Settings, get_settings
from include.traffic.steady import SteadyTraffic
from include.warehouse.client import connect

STREAM = "ad_events"
RESULTS = Path(__file__).parent / "results" / "soak.json"
MOST_PARTS = 100
SAMPLE_SECONDS = 1.0
MEMORY_EVERY = 5
CATCH_UP_SECONDS = 120.0
PARTS = (
    "SELECT table, partition, count() AS parts FROM system.parts WHERE active AND database = currentDatabase() "
    "GROUP BY table, partition ORDER BY parts DESC LIMIT 1"
)
NEWEST = "SELECT max(kafka_time_max) FROM ledger WHERE stream = %(stream)s AND committed_at >= %(since)s"
BATCHES = (
    "SELECT sum(end_offset - start_offset) AS size FROM ledger FINAL "
    "WHERE stream = %(stream)s AND committed_at >= %(since)s GROUP BY batch ORDER BY size"
)


class ProcessEndedError(RuntimeError):
    """A process that was measured ended before the run did."""


@dataclass
class Samples:
    """What was seen: resident MiB by process with its second, age in seconds of the newest committed record."""

    memory: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    freshness: list[float] = field(default_factory=list)
    most_parts: int = 0
    in_table: str = ""


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments; nonsense ends the process with a message that names it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="length of the run, warm-up included")
    parser.add_argument("--rate", type=float, default=5_000.0, help="events a second")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file for the figures, JSON")
    return parser.parse_args(arguments)


def processes(damage: Damage) -> dict[str, list[psutil.Process]]:
    """Return the processes whose memory is measured, by name."""
    (driver,), (executor,) = damage.drivers(), damage.executors(STREAM)
    return {
        "driver JVM": [driver.jvm],
        "driver Python": driver.everyone()[1:],
        "executor JVM": [executor.jvm],
        "executor Python": executor.everyone()[1:],
    }


def resident_mib(found: list[psutil.Process]) -> float:
    """Return the resident memory of some processes together.

    Raises:
        ProcessEndedError: one has ended.
    """
    try:
        return float(sum(process.memory_info().rss for process in found)) / 2**20
    except psutil.NoSuchProcess as error:
        raise ProcessEndedError(f"process {error.pid} ended during the run") from error


def watch(client: Client, damage: Damage, seconds: float) -> Samples:
    """Sample for some seconds."""
    samples, watched = Samples(), processes(damage)
    since, began = time.monotonic(), datetime.now(UTC)
    while (now := time.monotonic() - since) < seconds:
        newest = client.execute(NEWEST, {"stream": STREAM, "since": began})[0][0]
        if newest:
            samples.freshness.append(time.time() - newest / 1000)
        if len(samples.freshness) % MEMORY_EVERY == 0:
            for name, found in watched.items():
                samples.memory.setdefault(name, []).append((now, resident_mib(found)))
            table, partition, parts = client.execute(PARTS)[0]
            if parts > samples.most_parts:
                samples.most_parts, samples.in_table = parts, f"{table} {partition}"
        last(SAMPLE_SECONDS)
    return samples


def measure(settings: Settings, given: argparse.Namespace) -> tuple[Samples, list[int], int]:
    """Send and watch; return the samples, the sizes of all batches in offsets, and how many records were sent.

    Raises:
        ProcessEndedError, NotCaughtUpError
    """
    client, recovery = connect(settings), Recovery(settings, load_contract(STREAM))
    traffic = SteadyTraffic(settings, STREAM, given.rate, late=0.01, malformed=0.001)
    began = datetime.now(UTC)
    traffic.start()
    try:
        last(5)
        samples = watch(client, Damage(Layout()), given.seconds)
    finally:
        sent = traffic.stop()
    recovery.wait(CATCH_UP_SECONDS)
    sizes = [row[0] for row in client.execute(BATCHES, {"stream": STREAM, "since": began})]
    client.disconnect()
    return samples, sizes, sent


def faults(samples: Samples, memory: dict[str, Flatness], settings: Settings, sizes: list[int]) -> list[str]:
    """Return what is not as it must be, a sentence each."""
    found = [f"{name} is not flat: {flat}" for name, flat in memory.items() if not flat.is_flat]
    if samples.most_parts > MOST_PARTS:
        found.append(f"{samples.in_table} has {samples.most_parts} parts, more than {MOST_PARTS}")
    if max(sizes) > settings.max_offsets_per_batch:
        found.append(f"a batch of {max(sizes):,} offsets, more than {settings.max_offsets_per_batch:,}")
    client = connect(settings)
    compared = compare_with_truth(client, load_contract(STREAM))
    client.disconnect()
    if compared.unequal:
        found.append(f"{compared.unequal} of {compared.compared} figures differ from what was sent")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and record; returns the exit code."""
    given = parse_arguments(arguments)
    configure_logging()
    settings = get_settings()
    try:
        require_running(settings)
        samples, sizes, sent = measure(settings, given)
    except (StreamNotRunningError, NotCaughtUpError, ProcessEndedError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    memory = {name: flatness(points) for name, points in samples.memory.items()}
    p50, p99 = percentile(samples.freshness, 0.5), percentile(samples.freshness, 0.99)
    command = f"python -m benchmarks.soak --seconds {given.seconds:g} --rate {given.rate:g}"
    found = {
        "sent": sent,
        "memory_mib": {name: asdict(flat) for name, flat in memory.items()},
        "freshness_seconds": {"p50": round(p50, 2), "p99": round(p99, 2)},
        "batch_offsets": {"p50": percentile(sizes, 0.5), "most": max(sizes)},
        "most_parts": samples.most_parts,
    }
    date, where = report.record(given.results, command, found)
    print(
        f"{sent:,} records sent, {len(sizes):,} batches of {percentile(sizes, 0.5):,} offsets, at most {max(sizes):,}"
    )
    print(
        f"freshness p50 {p50:.2f} s, p99 {p99:.2f} s; at most {samples.most_parts} parts ({samples.in_table})"
    )
    print("\n".join(f"{name:<16} {flat}" for name, flat in memory.items()))
    rss = [f"{flat.mean:.0f} ({flat.growth:+.0f})" for flat in memory.values()]
    print("\nFor benchmarks/README.md:")
    cells = [date, str(where), f"`{command}`", *rss, f"{p50:.2f} s, {p99:.2f} s", f"{max(sizes):,}"]
    print("| " + " | ".join([*cells, str(samples.most_parts)]) + " |")
    wrong = faults(samples, memory, settings, sizes)
    print("\n".join(f"FAULT: {fault}" for fault in wrong), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
