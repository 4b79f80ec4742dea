"""The one place that configures logging; only entry points call it."""

from __future__ import annotations

import logging
import sys
import time


def configure_logging(level: int = logging.INFO) -> None:
    """Log to standard error, one line a message, times in UTC; libraries only from warnings up."""
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        level=level, stream=sys.stderr, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", force=True
    )
    # Whoever connects says what failed, in one line and not in a traceback for each attempt.
    logging.getLogger("clickhouse_driver.connection").setLevel(logging.CRITICAL)
    for noisy in ("py4j", "urllib3", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
