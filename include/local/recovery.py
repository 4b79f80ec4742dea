"""How long a stream takes until it is back to normal after damage, while traffic flows.

Caught up means: what was in the topic when the watch began is committed, and so is all that was in
it `normal_seconds` ago: NORMAL_SECONDS is what a healthy stream keeps up with on a quiet machine.
"""

from __future__ import annotations

import threading
import time
from collections import deque

from clickhouse_driver import Client
from clickhouse_driver.errors import Error
from confluent_kafka import KafkaException

from include.contracts import Contract
from include.settings import Settings
from include.streaming.ledger import read_position
from include.topics.offsets import Offsets, TopicMissingError
from include.warehouse.client import connect

NORMAL_SECONDS = 2.5
POLL_SECONDS = 0.25


class NotCaughtUpError(RuntimeError):
    """The stream was not back to normal within the limit."""


class Recovery:
    """Watches the ledger against the topic's end; create it before the damage and `wait` right after it."""

    def __init__(self, settings: Settings, contract: Contract) -> None:
        self._settings, self._stream = settings, contract.stream
        self._offsets = Offsets(settings, contract.topic.name)
        self._ends: deque[tuple[float, dict[int, int]]] = deque()

    def wait(self, limit_seconds: float, normal_seconds: float = NORMAL_SECONDS) -> float:
        """Return the seconds from now until the stream has caught up.

        Kafka or ClickHouse may be away meanwhile.

        Raises:
            NotCaughtUpError: the limit passed; says how many offsets are missing.
        """
        since = time.monotonic()
        client, pause = connect(self._settings), threading.Event()
        missing = "neither Kafka nor ClickHouse answered"
        self._ends.clear()
        try:
            while time.monotonic() - since < limit_seconds:
                try:
                    lag, seconds_ago = self._look(client, normal_seconds)
                    if not lag:
                        return time.monotonic() - since
                    missing = (
                        f"{lag:,} offsets that were in the topic {seconds_ago:.1f} s ago are not committed"
                    )
                except (Error, OSError, EOFError, KafkaException, TopicMissingError) as error:
                    client.disconnect()
                    missing = f"{type(error).__name__}: {error}"
                pause.wait(POLL_SECONDS)
        finally:
            client.disconnect()
        raise NotCaughtUpError(f"{self._stream} is not caught up after {limit_seconds:.0f} s: {missing}")

    def _look(self, client: Client, normal_seconds: float) -> tuple[int, float]:
        """Return how many offsets are missing of those that were in the topic some seconds ago."""
        now = time.monotonic()
        self._ends.append((now, self._offsets.ends()))
        frontier = read_position(client, self._stream).frontier
        while len(self._ends) > 1 and self._ends[1][0] <= now - normal_seconds:
            self._ends.popleft()
        at, wanted = self._ends[0]
        return sum(max(0, end - frontier.get(p, 0)) for p, end in wanted.items()), now - at
