"""Sustained rate from Kafka to ClickHouse: the product against the obvious job, side by side.

One warm JVM, every contender once unmeasured, then rounds in random order; after each run the
figures in ClickHouse must equal the sender's tally. Makes its own topics and database and removes them.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import pyspark
from clickhouse_driver.errors import NetworkError
from pyspark.sql import SparkSession

from benchmarks import report
from benchmarks.contenders import CONTENDERS, IncompleteRunError
from benchmarks.rounds import measure
from benchmarks.workload import Totals, Workload, filled_topic
from include.logs import configure_logging
from include.settings import Settings, get_settings
from include.spark.submission import MissingJarsError, connector_jars, stream_conf
from include.topics.admin import BrokerUnreachableError

log = logging.getLogger("benchmarks.throughput")

RESULTS = Path(__file__).parent / "results" / "throughput.json"


class UnequalTotalsError(AssertionError):
    """A contender's figures in ClickHouse are not what was sent: its time means nothing."""


EXPECTED = (
    BrokerUnreachableError,
    IncompleteRunError,
    MissingJarsError,
    NetworkError,
    UnequalTotalsError,
)


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments; nonsense ends the process with a message that names it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="events in the topic")
    parser.add_argument("--rounds", type=int, default=5, help="measured runs of each contender")
    parser.add_argument("--master", default="local[2]", help="Spark master, in this process's JVM")
    parser.add_argument("--seed", type=int, default=1, help="of the events and of the order of rounds")
    parser.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument(
        "--max-offsets",
        type=int,
        default=get_settings().max_offsets_per_batch,
        help="most offsets a batch",
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="file for the figures, JSON")
    return parser.parse_args(arguments)


def start_spark(settings: Settings, master: str, jars: str, memory: str = "2g") -> SparkSession:
    """Start Spark with the streaming job's configuration; what only the obvious job heeds is tuned for it.

    Two shuffle partitions fit two cores, and without the closing empty batch it does no idle work.
    """
    builder = SparkSession.builder.master(master).appName("benchmark-throughput")
    for name, value in stream_conf(settings).items():
        builder = builder.config(name, value)
    builder = builder.config("spark.jars", jars).config("spark.driver.memory", memory)
    builder = builder.config("spark.sql.shuffle.partitions", "2").config(
        "spark.ui.showConsoleProgress", "false"
    )
    builder = builder.config("spark.sql.streaming.noDataMicroBatches.enabled", "false")
    builder = builder.config("spark.sql.streaming.numRecentProgressUpdates", "100000")
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def check(name: str, served: Totals | None, truth: Totals) -> None:
    """Compare every window and dimension with the sender's tally.

    Raises:
        UnequalTotalsError: names the first that differs.
    """
    if served is None or served == truth:
        return
    wrong = sorted(key for key in served.keys() | truth.keys() if served.get(key) != truth.get(key))
    raise UnequalTotalsError(
        f"{name}: {len(wrong):,} of {len(truth):,} windows and dimensions differ, first {wrong[0]}: "
        f"(events, micro-dollars) sent {truth.get(wrong[0])}, served {served.get(wrong[0])}"
    )


def run(settings: Settings, given: argparse.Namespace) -> tuple[Workload, dict[str, list[float]]]:
    """Fill a topic and measure; everything made for it is removed again.

    Raises:
        BrokerUnreachableError, MissingJarsError, NetworkError: a part of the platform is missing.
        IncompleteRunError, UnequalTotalsError: a contender did not do the work.
    """
    jars = connector_jars(settings)
    log.info("sending %s events", f"{given.events:,}")
    with filled_topic(settings, given.events, given.seed) as workload:
        spark = start_spark(settings, given.master, jars)
        contenders = [CONTENDERS[name](spark, workload, given.max_offsets) for name in given.contenders]
        try:
            seconds = measure(
                contenders,
                workload.events,
                given.rounds,
                given.seed,
                lambda contender: check(contender.name, contender.served(), workload.truth),
            )
            return workload, seconds
        finally:
            for contender in contenders:
                contender.close()
            spark.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and record; returns the exit code."""
    given = parse_arguments(arguments)
    configure_logging()
    logging.getLogger("include").setLevel(logging.WARNING)
    settings = get_settings()
    command = (
        f"python -m benchmarks.throughput --events {given.events} --rounds {given.rounds} "
        f"--master {given.master} --seed {given.seed} --max-offsets {given.max_offsets} "
        f"--contenders {' '.join(given.contenders)}"
    )
    try:
        workload, seconds = run(settings, given)
    except EXPECTED as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    timings = {name: report.timing(taken, given.events) for name, taken in seconds.items()}
    figures = {
        "spark": pyspark.__version__,
        "events": given.events,
        "value_bytes": round(workload.value_bytes, 1),
        "windows_and_dimensions": len(workload.truth),
        **report.as_json(timings),
    }
    date, where = report.record(given.results, command, figures)
    print(report.table(timings))
    print("\nFor benchmarks/README.md:\n" + report.readme_line(date, where, command, timings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
