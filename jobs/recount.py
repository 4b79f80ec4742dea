"""Entry point of the recount for spark-submit: reads the raw log for the hours that a run has planned."""

from __future__ import annotations

import argparse

from pyspark.sql import SparkSession

from include.logs import configure_logging
from include.reconcile.recount import recount_run
from include.settings import get_settings


def main() -> None:
    """Recount one run and say what was read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", required=True, help="id of the run, as the task plan shows it")
    arguments = parser.parse_args()
    configure_logging()
    spark = (
        SparkSession.builder.appName(f"recount-{arguments.run}")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    try:
        plans = recount_run(spark, get_settings(), arguments.run)
    finally:
        spark.stop()
    offsets = sum(plan.offsets for plan in plans)
    print(f"run {arguments.run}: {len(plans)} hours recounted, {offsets:,} offsets needed")


if __name__ == "__main__":
    main()
