"""What a driver says of itself every few seconds, idle or not, and the stop requests that it hears."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime

from clickhouse_driver import Client

from include.settings import Settings
from include.streaming.commit import passes_with_time
from include.topics.offsets import Offsets
from include.warehouse.client import connect

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5


@dataclass
class Vitals:
    """What is known of one stream's query now; written by its thread, read by the heartbeat."""

    stream: str
    topic: str
    generation: int = 0
    state: str = "starting"
    batch: int = 0
    detail: str = ""
    frontier: dict[int, int] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)


class Heartbeat(threading.Thread):
    """Writes a row for each stream and sets its `stop` when a person asks for it."""

    def __init__(self, settings: Settings, launch: str, vitals: list[Vitals]) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._settings, self._launch, self._vitals = settings, launch, vitals
        self._offsets = {v.stream: Offsets(settings, v.topic) for v in vitals}
        self._ended = threading.Event()

    def run(self) -> None:
        client = connect(self._settings)
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

    def end(self) -> None:
        """Write the last states and end the thread."""
        self._ended.set()
        self.join(timeout=30)
        client = connect(self._settings)
        self._write(client, with_lag=False)
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

    def _write(self, client: Client, with_lag: bool = True) -> None:
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
                    self._lag(v) if with_lag else 0,
                    v.detail[:1000],
                )
                for v in self._vitals
            ],
        )

    def _lag(self, vitals: Vitals) -> int:
        ends = self._offsets[vitals.stream].ends()
        return sum(max(0, end - vitals.frontier.get(partition, 0)) for partition, end in ends.items())
