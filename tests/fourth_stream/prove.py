"""Runs the added stream end to end in a copy of the project: sends, folds, recounts, certifies; prints what it saw.

Everything is the project's own code, found by the stream's name alone. Run by tests/integration/test_fourth_stream.py
with the copy as its folder and its settings in the environment.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from pyspark.sql import SparkSession

from include.contracts import load_contract, stream_names
from include.demo.streams import stream_balance
from include.demo.truth import compare_with_truth
from include.reconcile.judging import judge_run
from include.reconcile.plan import make_plans
from include.reconcile.recount import recount_run
from include.reconcile.seal import seal_run
from include.settings import get_settings
from include.spark.submission import connector_jars
from include.streaming import job
from include.streaming.ledger import read_position
from include.topics.ensure import ensure_topics
from include.traffic.plan import TrafficPlan
from include.traffic.run import generate
from include.warehouse.client import connect
from include.warehouse.migrate import prepare_warehouse

STREAM = "sensor_readings"
VIEW = (
    "SELECT status, sum(reading_count), min(sensors), max(max_celsius) FROM site_temperatures GROUP BY status"
)
LIMIT_SECONDS = 240


def main() -> None:
    """Print one line of JSON: what was sent, served and certified."""
    settings, contract = get_settings(), load_contract(STREAM)
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
    ensure_topics(settings, [contract])
    prepare_warehouse(settings)
    faults = {"malformed": 0.01, "schema_breaking": 0.01, "duplicate": 0.02, "late": 0.05, "future": 0.01}
    sent = generate(
        TrafficPlan(stream=STREAM, rate=5, duration=1200, start=hour + timedelta(minutes=20), **faults)
    )
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.jars", connector_jars(settings))
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )
    client = connect(settings)
    arguments = job.parse_arguments(["--streams", STREAM, "--launch", "launch-1", "--trigger-seconds", "0.2"])
    with ThreadPoolExecutor(1, "job") as pool:
        running = pool.submit(job.run, arguments, spark.newSession)
        deadline = time.monotonic() + LIMIT_SECONDS
        while sum(read_position(client, STREAM).frontier.values()) < sent.sent:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{sent.sent} records were not committed within {LIMIT_SECONDS} s")
            time.sleep(0.2)
        generation = read_position(client, STREAM).generation
        client.execute("INSERT INTO stop_requests VALUES", [(STREAM, generation, datetime.now(UTC))])
        code = running.result(LIMIT_SECONDS)
    before, view_before = compare_with_truth(client, contract), client.execute(VIEW)
    run, _ = make_plans(settings, [STREAM], hour, hour, "auto")
    recount_run(spark, settings, run)
    judge_run(settings, run)
    (line,) = seal_run(settings, run)
    after, view_after = compare_with_truth(client, contract), client.execute(VIEW)
    balance, _ = stream_balance(client, contract)
    found = {
        "streams": stream_names(),
        "job": code,
        "sent": sent.as_dict(),
        "served": {"before": [before.compared, before.unequal], "after": [after.compared, after.unequal]},
        "examples": [*before.examples, *after.examples],
        "view": {"before": view_before, "after": view_after},
        "verdict": line.verdict,
        "reason": line.reason,
        "unexplained": balance.unexplained,
        "certificate": client.execute(
            "SELECT document FROM certificates WHERE stream = %(s)s", {"s": STREAM}
        )[0][0],
    }
    print("FOUND " + json.dumps(found, default=str))
    sys.stdout.flush()
    spark.stop()


if __name__ == "__main__":
    main()
