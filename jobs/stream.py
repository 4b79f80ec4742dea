"""Entry point of the streaming job, for spark-submit; what it does is in include/streaming/job.py."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from pyspark.sql import SparkSession

from include.logs import configure_logging
from include.streaming.job import parse_arguments, run

PR_SET_PDEATHSIG = 1


def main() -> int:
    """Run the job; returns its exit code."""
    if sys.platform == "linux":  # a killed JVM leaves no Python behind
        ctypes.CDLL("libc.so.6").prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    configure_logging()
    arguments = parse_arguments(sys.argv[1:])
    spark = SparkSession.builder.getOrCreate()
    code = run(spark, arguments)
    spark.stop()
    return code


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # client threads of Kafka must not hold up the end
