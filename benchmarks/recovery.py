"""From kill -9 to caught up, for each part of the stream, on the running platform.

Needs `launch_stream` to have run. Sends steady live traffic to the stream's own topic, with its
account, and damages the platform's own processes; worker and master are started again after 2 s, as
a container engine would. Caught up is defined in include/local/recovery.py. Ends with a comparison
of all that is served with all that was sent: a figure of a stream that differs is no figure.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from benchmarks import report
from benchmarks.latency import StreamNotRunningError, require_running
from include.contracts import load_contract
from include.demo.truth import compare_with_truth
from include.local.damage import RESTART_SECONDS, Damage, last
from include.local.layout import Layout
from include.local.recovery import NotCaughtUpError, Recovery
from include.logs import configure_logging
from include.settings import Settings, get_settings
from include.traffic.steady import SteadyTraffic
from include.warehouse.client import connect

STREAM = "ad_events"
RESULTS = Path(__file__).parent / "results" / "recovery.json"
PARTS = ("executor", "driver", "worker", "master")
LIMIT_SECONDS = 300.0
# Between two rounds, so that the second compiler and the caches are as before.
PAUSE_SECONDS = 10.0


class UnequalError(RuntimeError):
    """What is served differs from what was sent."""


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments; nonsense ends the process with a message that names it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="kills of each part")
    parser.add_argument("--rate", type=float, default=2_000.0, help="events a second")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seed", type=int, default=1, help="of the order and the moments")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file for the figures, JSON")
    return parser.parse_args(arguments)


def kill(damage: Damage, part: str) -> Callable[[], None]:
    """Kill one part now; return what starts it again, which blocks."""
    if part in ("worker", "master"):
        service = f"spark-{part}"
        damage.kill_service(service)

        def restart() -> None:
            last(RESTART_SECONDS)
            damage.start(service)

        return restart
    (process,) = damage.drivers() if part == "driver" else damage.executors(STREAM)
    process.jvm.kill()
    return lambda: None


def measure(settings: Settings, given: argparse.Namespace) -> dict[str, list[float]]:
    """Return the seconds of every round by part.

    Raises:
        NotCaughtUpError: the stream was not back to normal 300 s after a kill.
        UnequalError: something was lost or doubled.
    """
    contract = load_contract(STREAM)
    damage, recovery = Damage(Layout()), Recovery(settings, contract)
    chance = random.Random(given.seed)
    order = [part for part in given.parts for _ in range(given.rounds)]
    chance.shuffle(order)
    seconds: dict[str, list[float]] = {part: [] for part in given.parts}
    traffic = SteadyTraffic(settings, STREAM, given.rate, late=0.01, malformed=0.001)
    traffic.start()
    try:
        for part in order:
            last(PAUSE_SECONDS)
            recovery.wait(LIMIT_SECONDS)
            last(chance.uniform(0, 2))
            since = time.monotonic()
            kill(damage, part)()
            recovery.wait(LIMIT_SECONDS)
            seconds[part].append(time.monotonic() - since)
            print(f"{part:<10} {seconds[part][-1]:6.1f} s", flush=True)
    finally:
        traffic.stop()
    recovery.wait(LIMIT_SECONDS)
    client = connect(settings)
    compared = compare_with_truth(client, contract)
    client.disconnect()
    if compared.unequal:
        raise UnequalError(f"{compared.unequal} of {compared.compared} figures differ: {compared.examples}")
    return seconds


def figures(seconds: dict[str, list[float]]) -> dict[str, str]:
    """Return `median (min to max)` of each part."""
    return {part: f"{median(s):.1f} ({min(s):.1f} to {max(s):.1f})" for part, s in seconds.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and record; returns the exit code."""
    given = parse_arguments(arguments)
    configure_logging()
    settings = get_settings()
    try:
        require_running(settings)
        seconds = measure(settings, given)
    except (StreamNotRunningError, NotCaughtUpError, UnequalError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    command = (
        f"python -m benchmarks.recovery --rounds {given.rounds} --rate {given.rate:g} --seed {given.seed}"
    )
    date, where = report.record(given.results, command, {"seconds": seconds})
    table = figures(seconds)
    print("\n".join(f"{part:<10} {text}" for part, text in table.items()))
    print("\nFor benchmarks/README.md:")
    print("| " + " | ".join([date, str(where), f"`{command}`", *(table.get(p, "-") for p in PARTS)]) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
