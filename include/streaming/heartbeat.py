"""What a driver says of itself every few seconds, idle or not, and the stop requests that it hears."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from datetime import UTC, datetime

from clickhouse_driver import Client
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from include.settings import Settings
from include.streaming.vitals import Vitals
from include.streaming.waiting import passes_with_time
from include.warehouse.client import connect

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
ANSWER_SECONDS = 10
LAST_WORDS_SECONDS = 10.0


class Heartbeat(threading.Thread):
    """Writes a row for each stream and sets its `stop` when a person asks for it."""

    def __init__(self, settings: Settings, launch: str, vitals: Sequence[Vitals]) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._settings, self._launch, self._vitals = settings, launch, vitals
        self._ended = threading.Event()

    def run(self) -> None:
        client = connect(self._settings, answer_seconds=ANSWER_SECONDS)
        due = 0.0
        while not self._ended.wait(POLL_SECONDS):
            try:
                self._hear(client)
                due -= POLL_SECONDS
                if due <= 0:
                    due = self._settings.heartbeat_seconds
                    self._write(client)
            except Exception as error:
                # A heartbeat that cannot be written is seen as missing; the stream itself goes on.
                log.warning("heartbeat: %s", error, exc_info=not passes_with_time(error))
                client.disconnect()
        client.disconnect()

    def end(self) -> None:
        """End the thread and write the last states, or say after 10 s that they could not be written.

        A driver that was stopped or fenced ends well without ClickHouse too: an error here would have
        it started again.
        """
        self._ended.set()
        self.join(timeout=ANSWER_SECONDS)
        client = connect(self._settings, answer_seconds=ANSWER_SECONDS)
        attempts = Retrying(
            retry=retry_if_exception(passes_with_time),
            stop=stop_after_delay(LAST_WORDS_SECONDS),
            wait=wait_fixed(0.5),
            reraise=True,
        )
        try:
            attempts(self._write, client)
        except Exception as error:
            log.warning("the last heartbeat could not be written: %s", error)
        client.disconnect()

    def _hear(self, client: Client) -> None:
        for vitals in self._vitals:
            if vitals.generation and not vitals.stop.is_set():
                asked = client.execute(
                    "SELECT max(generation) FROM stop_requests WHERE stream = %(stream)s",
                    {"stream": vitals.stream},
                )[0][0]
                if asked >= vitals.generation:
                    log.info("%s: stop requested for generation %d", vitals.stream, asked)
                    vitals.stop.set()

    def _write(self, client: Client) -> None:
        now = datetime.now(UTC)
        client.execute(
            "INSERT INTO heartbeats (stream, at, day, launch, generation, state, batch, lag, detail) VALUES",
            [
                (
                    v.stream,
                    int(now.timestamp() * 1000),
                    now.date(),
                    self._launch,
                    v.generation,
                    v.state,
                    v.batch,
                    v.lag,
                    v.says[:1000],
                )
                for v in self._vitals
            ],
        )
