"""The streaming job: one driver process that runs the queries of several streams.

It ends by itself, with exit code 0, when no query is left: stopped or fenced. A query that keeps
failing ends the job with exit code 1, so that it is started again.
"""

from __future__ import annotations

import argparse
import logging

from pyspark.sql import SparkSession

from include.contracts import load_contract
from include.contracts.model import MAX_BATCH_OFFSETS
from include.settings import get_settings
from include.streaming.driver import StreamDriver
from include.streaming.heartbeat import Heartbeat, Vitals

log = logging.getLogger(__name__)


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
    chosen = parser.parse_args(arguments)
    if not 1 <= chosen.max_offsets <= MAX_BATCH_OFFSETS:
        parser.error(
            f"--max-offsets {chosen.max_offsets}: 1 to {MAX_BATCH_OFFSETS}, so that a batch's sums stay exact"
        )
    return chosen


def run(spark: SparkSession, arguments: argparse.Namespace) -> int:
    """Run the streams until each has ended; return the exit code."""
    settings = get_settings()
    contracts = [load_contract(stream) for stream in arguments.streams.split(",")]
    drivers = [
        StreamDriver(
            spark,
            settings,
            contract,
            Vitals(contract.stream, contract.topic.name),
            start=arguments.start,
            trigger_seconds=arguments.trigger_seconds,
            max_offsets=arguments.max_offsets,
        )
        for contract in contracts
    ]
    heartbeat = Heartbeat(settings, arguments.launch, [driver.vitals for driver in drivers])
    heartbeat.start()
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    heartbeat.end()
    for driver in drivers:
        vitals = driver.vitals
        log.info(
            "%-16s generation %-6d %-8s last batch %d",
            vitals.stream,
            vitals.generation,
            vitals.state,
            vitals.batch,
        )
    return 1 if any(driver.vitals.state == "failed" for driver in drivers) else 0
