"""The Spark session of the job, and the first work of its executor, which would otherwise wait for the first batch."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable

from pyspark.sql import SparkSession

from include.contracts import Contract
from include.streaming.fold import Fold
from include.streaming.partials import OUTPUT_DDL

log = logging.getLogger(__name__)


def warm_up(spark: SparkSession, contracts: Iterable[Contract]) -> None:
    """Have the executor start Python, import the fold and fold one worthless record; returns at once.

    Meanwhile the driver plans its first batch. What is folded here goes nowhere.
    """
    thread = threading.Thread(target=_fold_nothing, args=(spark, contracts), name="warm-up", daemon=True)
    thread.start()


def _fold_nothing(spark: SparkSession, contracts: Iterable[Contract]) -> None:
    try:
        for contract in contracts:
            spark.range(0, 1, 1, 1).selectExpr(
                "cast('{}' as binary) AS value",
                "0 AS partition",
                "id AS offset",
                "timestamp_seconds(id) AS timestamp",
            ).mapInArrow(Fold(contract), OUTPUT_DDL).collect()
    except Exception as error:
        log.warning("warm-up: %s", error)  # the queries meet the same trouble, and say so
