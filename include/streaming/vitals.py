"""What is known of one stream's query now: shared by its thread, the watch on Kafka and the heartbeat."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from include.streaming.control import NOBODY, Claim
from include.streaming.touched import Touched


@dataclass
class Vitals:
    """One stream; each attribute has one writer.

    The query's thread writes generation, state, batch, detail, needs_person and frontier; the watch on Kafka writes
    claim (the newest), ends (offsets) and kafka (empty, or why it does not answer); the heartbeat sets stop. touched
    goes from the query to the detectors.
    States: starting, running, stopping, stopped, fenced, failed. needs_person: starting again would not help.
    """

    stream: str
    topic: str
    generation: int = 0
    state: str = "starting"
    batch: int = 0
    detail: str = ""
    needs_person: bool = False
    frontier: dict[int, int] = field(default_factory=dict)
    claim: Claim = NOBODY
    ends: dict[int, int] = field(default_factory=dict)
    kafka: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    touched: Touched = field(default_factory=Touched, repr=False)

    @property
    def lag(self) -> int:
        """Offsets beyond the frontier, as of the last answer of Kafka; 0 while the frontier is not known."""
        if not self.frontier:
            return 0
        return sum(max(0, end - self.frontier.get(partition, 0)) for partition, end in self.ends.items())

    @property
    def says(self) -> str:
        """What a person should know: the detail, and what is waited for."""
        return "; ".join(text for text in (self.detail, self.kafka) if text)
