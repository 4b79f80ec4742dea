"""Asks Kafka every two seconds, in a thread and with connections of its own, who owns each stream and where it ends.

So that a driver which is idle, paused or stuck in a batch learns that it was fenced, and so that a
Kafka that is away holds up neither the heartbeat nor a query.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from confluent_kafka import KafkaException

from include.settings import Settings
from include.streaming.control import ControlLog, ControlTopicError
from include.streaming.vitals import Vitals
from include.topics.admin import BrokerUnreachableError
from include.topics.offsets import Offsets, TopicMissingError

log = logging.getLogger(__name__)

WATCH_SECONDS = 2.0


class KafkaWatch(threading.Thread):
    """Keeps `claim`, `ends` and `kafka` of each stream's vitals; decides nothing."""

    def __init__(self, settings: Settings, vitals: Sequence[Vitals]) -> None:
        super().__init__(name="kafka-watch", daemon=True)
        self._vitals = vitals
        self._control = ControlLog(settings)
        self._offsets = {v.stream: Offsets(settings, v.topic) for v in vitals}
        self._ended = threading.Event()

    def run(self) -> None:
        while True:
            try:
                for vitals in self._vitals:
                    vitals.claim = self._control.newest(vitals.stream)
                    vitals.ends = self._offsets[vitals.stream].ends()
                self._note("")
            except (ControlTopicError, BrokerUnreachableError, TopicMissingError, KafkaException) as error:
                self._note(f"waits for Kafka: {error}")
            if self._ended.wait(WATCH_SECONDS):
                break
        self._control.close()

    def end(self) -> None:
        """Ask the thread to end; one that waits for Kafka ends with the process."""
        self._ended.set()

    def _note(self, what: str) -> None:
        if what and not any(v.kafka for v in self._vitals):
            log.warning("%s", what)
        elif not what and any(v.kafka for v in self._vitals):
            log.info("Kafka answers again")
        for vitals in self._vitals:
            vitals.kafka = what
