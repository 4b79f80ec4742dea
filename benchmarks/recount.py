"""The recount of one hour against the obvious batch job over the same hour, and the share of the topic that it reads.

One topic of several hours, folded once as the streaming job does, so that there is a ledger. One warm JVM, every
contender once unmeasured, then rounds in random order; after each run the figures in ClickHouse must equal the
sender's tally of the hour.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyspark
from pyspark.sql import SparkSession

from benchmarks import report
from benchmarks.contenders import FoldContender
from benchmarks.recounting import HOUR, HOUR_CONTENDERS, Recount
from benchmarks.rounds import measure
from benchmarks.throughput import EXPECTED, check
from benchmarks.workload import Workload, filled_topic
from include.logs import configure_logging
from include.settings import Settings, get_settings
from include.spark.submission import LONG_METHODS, connector_jars, recount_conf

log = logging.getLogger("benchmarks.recount")

RESULTS = Path(__file__).parent / "results" / "recount.json"
PEERS = ("obvious", "bounded", "deduplicated")
BATCH_OFFSETS = 100_000


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments; nonsense ends the process with a message that names it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recount", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="events of each hour")
    parser.add_argument(
        "--hours", type=int, default=5, help="hours in the topic; the middle one is recounted"
    )
    parser.add_argument("--rounds", type=int, default=5, help="measured runs of each contender")
    parser.add_argument("--seed", type=int, default=1, help="of the events and of the order of rounds")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file for the figures, JSON")
    return parser.parse_args(arguments)


def start_spark(settings: Settings) -> SparkSession:
    """Start Spark in this process with the recount's configuration; all contenders run under it."""
    builder = SparkSession.builder.master("local[2]").appName("benchmark-recount")
    conf = recount_conf(settings) | {
        "spark.driver.extraJavaOptions": LONG_METHODS,
        "spark.driver.memory": "2g",
        "spark.jars": connector_jars(settings),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.streaming.numRecentProgressUpdates": "100000",
        "spark.ui.showConsoleProgress": "false",
    }
    for name, value in conf.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def run(settings: Settings, given: argparse.Namespace) -> tuple[Workload, dict[str, list[float]], int]:
    """Fill a topic, fold it, and measure; also return how many offsets the recount read.

    Raises:
        BrokerUnreachableError, MissingJarsError, NetworkError: a part of the platform is missing.
        IncompleteRunError, UnequalTotalsError: a contender did not do the work.
    """
    this_hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    start = this_hour - HOUR * given.hours
    hour = start + HOUR * (given.hours // 2)
    if hour + HOUR + timedelta(minutes=5) > datetime.now(UTC):
        hour -= HOUR
    log.info("sending %s events", f"{given.events * given.hours:,}")
    with filled_topic(
        settings, given.events * given.hours, given.seed, given.events / 3600, start
    ) as workload:
        spark = start_spark(settings)
        contenders = [make(spark, workload, hour) for make in HOUR_CONTENDERS.values()]
        try:
            fold = FoldContender(spark, workload, BATCH_OFFSETS)
            log.info("folded in %.1f s", fold.run())
            fold.close()
            begin, end = hour.timestamp(), (hour + HOUR).timestamp()
            truth = {key: found for key, found in workload.truth.items() if begin <= key[0] < end}
            seconds = measure(
                contenders,
                given.events,
                given.rounds,
                given.seed,
                lambda contender: check(contender.name, contender.served(), truth),
            )
            recount = next(found for found in contenders if isinstance(found, Recount))
            recount.require_proved()
            return workload, seconds, recount.offsets_read()
        finally:
            for contender in contenders:
                contender.close()
            spark.stop()


def readme_line(
    date: str, command: str, timings: dict[str, report.Timing], share: float, where: report.Machine
) -> str:
    """Return the row for the recount's table in README.md."""
    figures = [str(timings.get(name, "-")) for name in HOUR_CONTENDERS]
    ratios = [str(report.ratio(timings, Recount.name, peer) or "-") for peer in PEERS]
    return "| " + " | ".join([date, str(where), f"`{command}`", *figures, *ratios, f"{share:.1%}"]) + " |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and record; returns the exit code."""
    given = parse_arguments(arguments)
    configure_logging()
    logging.getLogger("include").setLevel(logging.WARNING)
    command = (
        f"python -m benchmarks.recount --events {given.events} --hours {given.hours} --rounds {given.rounds} "
        f"--seed {given.seed}"
    )
    try:
        workload, seconds, offsets = run(get_settings(), given)
    except EXPECTED as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    timings = {name: report.timing(taken, given.events) for name, taken in seconds.items()}
    share = offsets / workload.events
    figures: dict[str, Any] = {
        "spark": pyspark.__version__,
        "events_of_the_hour": given.events,
        "offsets_of_the_topic": workload.events,
        "offsets_read": offsets,
        "share_read": round(share, 4),
        "contenders": {name: asdict(t) for name, t in timings.items()},
    }
    for peer in PEERS:
        found = report.ratio(timings, Recount.name, peer)
        figures[f"recount_against_{peer}"] = None if found is None else asdict(found)
    date, where = report.record(given.results, command, figures)
    print(report.table(timings, Recount.name, PEERS))
    print(f"the recount read {offsets:,} of {workload.events:,} offsets: {share:.1%}")
    print("\nFor benchmarks/README.md:\n" + readme_line(date, command, timings, share, where))
    return 0


if __name__ == "__main__":
    sys.exit(main())
