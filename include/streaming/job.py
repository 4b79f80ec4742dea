"""The streaming job: one driver process that runs the queries of several streams.

It ends by itself, with exit code 0, when no query is left: stopped, fenced, or in need of a person. A
query that keeps failing ends the job with exit code 1, so that it is started again.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from concurrent.futures import Future

from pyspark.sql import SparkSession

from include.contracts import load_contract
from include.contracts.model import MAX_BATCH_OFFSETS
from include.detect.detection import Detection
from include.settings import get_settings
from include.streaming.begin import Skip, parse_skip
from include.streaming.driver import StreamDriver
from include.streaming.heartbeat import Heartbeat
from include.streaming.query import StreamOptions
from include.streaming.session import warm_up
from include.streaming.vitals import Vitals
from include.streaming.watch import KafkaWatch

log = logging.getLogger(__name__)

GOOD_ENDS = {"stopped", "fenced"}


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Return the job's arguments; nonsense ends the process with a message that names it."""
    parser = argparse.ArgumentParser(prog="stream.py", description=__doc__)
    parser.add_argument("--streams", required=True, help="streams, comma separated")
    parser.add_argument("--launch", required=True, help="id of this launch, written in heartbeats")
    parser.add_argument("--trigger-seconds", type=float, default=1.0)
    parser.add_argument("--max-offsets", type=int, default=get_settings().max_offsets_per_batch)
    parser.add_argument(
        "--start", default="earliest", help="for a stream without a ledger: earliest or ISO 8601"
    )
    parser.add_argument(
        "--skip-to",
        action="append",
        default=[],
        metavar="STREAM=ISO",
        help="leave what a stream's ledger has not reached before this Kafka time unread, as a person approved",
    )
    chosen = parser.parse_args(arguments)
    if not 1 <= chosen.max_offsets <= MAX_BATCH_OFFSETS:
        parser.error(
            f"--max-offsets {chosen.max_offsets}: 1 to {MAX_BATCH_OFFSETS}, so that a batch's sums stay exact"
        )
    chosen.streams = chosen.streams.split(",")
    try:
        chosen.skip_to = dict(parse_skip(text, chosen.streams) for text in chosen.skip_to)
    except ValueError as error:
        parser.error(str(error))
    return chosen


def run(arguments: argparse.Namespace, session: Callable[[], SparkSession]) -> int:
    """Run the streams until each has ended; return the exit code.

    The streams are claimed while `session` brings Spark up.
    """
    settings = get_settings()
    contracts = [load_contract(stream) for stream in arguments.streams]
    options = StreamOptions(arguments.trigger_seconds, arguments.max_offsets, arguments.start)
    spark: Future[SparkSession] = Future()
    drivers = [
        StreamDriver(
            spark,
            settings,
            contract,
            Vitals(contract.stream, contract.topic.name),
            options,
            Skip(contract.stream, arguments.launch, arguments.skip_to.get(contract.stream, "")),
        )
        for contract in contracts
    ]
    vitals = [driver.vitals for driver in drivers]
    watch, heartbeat = KafkaWatch(settings, vitals), Heartbeat(settings, arguments.launch, vitals)
    detections = [Detection(settings, contract, v) for contract, v in zip(contracts, vitals, strict=True)]
    for thread in (heartbeat, watch, *drivers, *detections):
        thread.start()
    spark.set_result(session())
    warm_up(spark.result(), contracts)
    for driver in drivers:
        driver.join()
    for detection in detections:
        detection.end()
    watch.end()
    heartbeat.end()
    for v in vitals:
        log.info(
            "%-16s generation %-6d %-8s last batch %d %s", v.stream, v.generation, v.state, v.batch, v.detail
        )
    return 0 if all(v.state in GOOD_ENDS or v.needs_person for v in vitals) else 1
