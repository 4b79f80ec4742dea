"""Entry point of the streaming job, for spark-submit; what it does is in include/streaming/job.py."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from pyspark.sql import SparkSession

PR_SET_PDEATHSIG = 1


def main(session: Future[SparkSession]) -> int:
    """Run the job; returns its exit code."""
    # Imported while Spark comes up, which takes longer.
    from include.logs import configure_logging
    from include.streaming.job import parse_arguments, run

    configure_logging()
    arguments = parse_arguments(sys.argv[1:])
    code = run(arguments, session.result)
    with suppress(Exception):  # what does not stop well ends with the process, and is no failure of it
        session.result().stop()
    return code


if __name__ == "__main__":
    if sys.platform == "linux":  # a killed JVM leaves no Python behind
        ctypes.CDLL("libc.so.6").prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        with ThreadPoolExecutor(1, "session") as pool:
            code = main(pool.submit(SparkSession.builder.getOrCreate))
    except Exception:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # client threads of Kafka must not hold up the end
