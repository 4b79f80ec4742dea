"""Which failures pass with time, and how a call is repeated until its service answers again."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import TypeVar

from clickhouse_driver import errors
from confluent_kafka import KafkaError, KafkaException
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential

from include.streaming.control import ControlTopicSilentError
from include.topics.admin import BrokerUnreachableError

log = logging.getLogger(__name__)
T = TypeVar("T")

# Server errors that pass with time: timeouts, too many queries or parts, memory, read-only replicas.
PASSING_CODES = {159, 160, 164, 173, 202, 203, 209, 210, 225, 236, 241, 242, 243, 252, 319, 473, 999}

# What a broken connection looks like. Other errors of the client, such as a figure that its column
# cannot hold, are the same at every attempt.
CONNECTION_ERRORS = (
    errors.NetworkError,
    errors.SocketTimeoutError,
    errors.UnexpectedPacketFromServerError,
    errors.UnknownPacketFromServerError,
    errors.ChecksumDoesntMatchError,
    errors.PartiallyConsumedQueryError,
    OSError,
    EOFError,
)

# The client's own names for a broker that is away, which it does not call retriable.
_BROKER_AWAY = {
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TIMED_OUT,
    KafkaError._MSG_TIMED_OUT,
    KafkaError._RESOLVE,
}
# How a broker that is away looks in the text of an error of Spark's Kafka source.
_SPARK_AWAY = re.compile(
    r"org\.apache\.kafka\.common\.errors\.\w*(Timeout|Disconnect|Network|NotAvailable|NotLeader|Retriable)\w*"
    r"|Timeout of \d+ms expired before the position for partition"
    r"|Cannot fetch record for offset .* in \d+ milliseconds"
)


def passes_with_time(error: BaseException) -> bool:
    """Say whether a failed ClickHouse call may succeed when it is tried again."""
    if isinstance(error, errors.ServerException):
        return error.code in PASSING_CODES
    return isinstance(error, CONNECTION_ERRORS)


def kafka_is_away(error: BaseException | None) -> bool:
    """Say whether a failure, or what caused it, is that no broker answered the client or Spark's Kafka source."""
    while error is not None:
        if isinstance(error, BrokerUnreachableError | ControlTopicSilentError):
            return True
        if isinstance(error, KafkaException) and isinstance(error.args[0], KafkaError):
            return error.args[0].retriable() or error.args[0].code() in _BROKER_AWAY
        if type(error).__module__.startswith(("pyspark.", "py4j.")) and _SPARK_AWAY.search(str(error)):
            return True
        error = error.__cause__
    return False


def insist(action: Callable[[], T], what: str, between: Callable[[str], None] | None = None) -> T:
    """Do it until it succeeds, waiting 0.2 s to 10 s between attempts; errors that cannot pass are raised.

    `between` is called with a message before each wait, and may raise to give up.
    """

    def say(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("%s: attempt %d failed, will try again: %s", what, state.attempt_number, error)
        if between is not None:
            between(f"waits for ClickHouse: {what}: {error}")

    attempts = Retrying(
        retry=retry_if_exception(passes_with_time),
        wait=wait_exponential(multiplier=0.2, max=10),
        before_sleep=say,
        reraise=True,
    )
    return attempts(action)
