"""Sustained rate of user events and logs, Kafka to ClickHouse: the product beside the obvious job, one query a view.

First Spark is asked which of the obvious queries it runs at all. Then one warm JVM, every contender once unmeasured,
then rounds in random order; after each run the counts of every view that a contender serves must equal the sender's.
Makes its own topics and databases and removes them.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pyspark
from pyspark.logger import PySparkLogger
from pyspark.sql import DataFrame, SparkSession

from benchmarks import report
from benchmarks.asking import ask_all
from benchmarks.contenders import Contender
from benchmarks.rounds import measure
from benchmarks.stream_contenders import (
    STREAM_CONTENDERS,
    CountedFold,
    ObviousViews,
    StreamWorkload,
    create_tables,
)
from benchmarks.stream_report import PEERS, Outcome, answers_table, as_json, readme_line, timings_of
from benchmarks.throughput import EXPECTED, start_spark
from benchmarks.view_counts import VIEWS, UnequalCountsError, check_counts, counts_of
from benchmarks.workload import fill, own_place
from include.contracts import Contract
from include.logs import configure_logging
from include.settings import Settings, get_settings
from include.spark.submission import connector_jars
from include.streaming.source import source_options
from include.topics.offsets import Offsets
from include.traffic.logs import Logs
from include.traffic.shapes import shape_of
from include.traffic.user_events import UserEvents

log = logging.getLogger("benchmarks.streams")

RESULTS = Path(__file__).parent / "results" / "streams.json"
ASKED_RECORDS = 250  # of each partition
# Six to eight queries keep their windows in this heap; the fold needs none of it.
HEAP = "6g"


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments; nonsense ends the process with a message that names it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streams", description=__doc__)
    parser.add_argument("--stream", choices=[*VIEWS, "all"], default="all", help="whose events")
    parser.add_argument("--events", type=int, default=300_000, help="events in each topic")
    parser.add_argument("--rounds", type=int, default=3, help="measured runs of each contender")
    parser.add_argument("--master", default="local[2]", help="Spark master, in this process's JVM")
    parser.add_argument("--seed", type=int, default=1, help="of the events and of the order of rounds")
    names = list(STREAM_CONTENDERS)
    parser.add_argument("--contenders", nargs="+", choices=names, default=names)
    most = get_settings().max_offsets_per_batch
    parser.add_argument("--max-offsets", type=int, default=most, help="most offsets a batch")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file for the figures, JSON")
    given = parser.parse_args(arguments)
    if given.events < 1 or given.rounds < 1:
        parser.error(f"--events {given.events} and --rounds {given.rounds} must be at least 1")
    return given


def run_stream(settings: Settings, spark: SparkSession, stream: str, given: argparse.Namespace) -> Outcome:
    """Fill a topic, ask Spark for the views, and measure; everything made for it is removed again.

    Raises:
        BrokerUnreachableError, NetworkError: a part of the platform is missing.
        IncompleteRunError, UnequalCountsError: a contender did not do the work.
    """
    with own_place(settings, stream) as (here, contract):
        log.info("%s: sending %s events", stream, f"{given.events:,}")
        filled, traffic = fill(here, contract, given.events, given.seed, shape_of(stream).rate)
        events = cast(Logs | UserEvents, traffic).accepted()
        sent = {view.name: counts_of(view, events, contract.lateness_seconds) for view in VIEWS[stream]}
        records = _few_records(spark, here, contract)
        log.info("%s: asking Spark for %s views, and for what else people ask", stream, len(sent))
        runs, answers = ask_all(spark, contract, records, VIEWS[stream], here.scratch_dir)
        print(answers_table(stream, answers), flush=True)
        workload = StreamWorkload(here, contract, given.events, filled.value_bytes, sent, runs)
        create_tables(spark, here, workload, records)
        contenders: list[Contender] = [
            STREAM_CONTENDERS[name](spark, workload, given.max_offsets) for name in given.contenders
        ]

        def check_run(contender: Contender) -> None:
            if isinstance(contender, CountedFold | ObviousViews):
                check_counts(contender.name, contender.counts(), sent)

        try:
            seconds = measure(contenders, given.events, given.rounds, given.seed, check_run)
        finally:
            for contender in contenders:
                contender.close()
        return Outcome(filled.value_bytes, answers, seconds)


def _few_records(spark: SparkSession, settings: Settings, contract: Contract) -> DataFrame:
    """Return Spark's Kafka source over the last records of each partition."""
    offsets = Offsets(settings, contract.topic.name)
    starts, ends = offsets.starts(), offsets.ends()
    first = {p: max(starts[p], end - ASKED_RECORDS) for p, end in ends.items()}
    options = source_options(settings, contract, first, ASKED_RECORDS * len(ends))
    return spark.readStream.format("kafka").options(**options).load()


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask, measure, print and record; returns the exit code."""
    given = parse_arguments(arguments)
    configure_logging()
    logging.getLogger("include").setLevel(logging.WARNING)
    # A refusal is an answer, told in a line; PySpark would log the JVM's stack trace of it.
    PySparkLogger.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)
    settings = get_settings()
    command = (
        f"python -m benchmarks.streams --stream {given.stream} --events {given.events} --rounds {given.rounds} "
        f"--master {given.master} --seed {given.seed} --max-offsets {given.max_offsets} "
        f"--contenders {' '.join(given.contenders)}"
    )
    outcomes: dict[str, Outcome] = {}
    try:
        spark = start_spark(settings, given.master, connector_jars(settings), HEAP)
        try:
            for stream in VIEWS if given.stream == "all" else (given.stream,):
                outcomes[stream] = run_stream(settings, spark, stream, given)
                timings = timings_of(outcomes[stream], given.events)
                print(f"\n{stream}\n{report.table(timings, peers=PEERS)}\n", flush=True)
        finally:
            spark.stop()
    except (*EXPECTED, UnequalCountsError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    figures = {
        "spark": pyspark.__version__,
        "events": given.events,
        "streams": {stream: as_json(outcome, given.events) for stream, outcome in outcomes.items()},
    }
    date, where = report.record(given.results, command, figures)
    lines = [
        readme_line(date, where, command, stream, timings_of(outcome, given.events))
        for stream, outcome in outcomes.items()
    ]
    print("For benchmarks/README.md:\n" + "\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
