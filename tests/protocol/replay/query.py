"""A query of the served view whose reads can be held apart, over the real tables; the view itself is one statement."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.protocol.replay.gate import Actor
from tests.protocol.replay.platform import STREAM, Platform
from tests.protocol.state import Offset

CERTIFICATES, CERTIFICATES_AGAIN = "reads certificates", "reads certificates for the deltas"
READS = {
    CERTIFICATES: "SELECT toStartOfHour(hour), frontier, seal FROM certificates "
    "ORDER BY hour, frontier DESC, seal DESC LIMIT 1 BY hour",
    "reads sealed rows": "SELECT toStartOfHour(window_start), window_start, frontier, seal, event_count "
    "FROM ad_events_sealed FINAL",
    "reads deltas": "SELECT toStartOfHour(window_start), window_start, batch, event_count FROM ad_events_delta",
    "reads takeover rows": f"SELECT keep_gen, keep_upto FROM takeovers WHERE stream = '{STREAM}' "
    "ORDER BY generation DESC LIMIT 1",
}


class Query:
    """Reads table by table as the replay says; `result` is what it counted, once it is complete."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._found: dict[str, Any] = {}
        self.result: Counter[Offset] | None = None

    def run(self, actor: Actor) -> None:
        """Begin, read, end."""
        actor.before("begin")
        client = self._platform.connect()
        reads = len(READS) + (not self._platform.world.rules.certificates_are_read_once)
        while len(self._found) < reads:
            actor.before("read")
            self._found[actor.what] = client.execute(READS[actor.what.removesuffix(" for the deltas")])
        self.result = self._counted()
        actor.before("finished")

    def _counted(self) -> Counter[Offset]:
        seals = {hour: (frontier, seal) for hour, frontier, seal in self._found[CERTIFICATES]}
        again = self._found.get(CERTIFICATES_AGAIN, self._found[CERTIFICATES])
        frontiers = {hour: frontier for hour, frontier, _ in again}
        keep = {
            g: upto
            for gens, uptos in self._found["reads takeover rows"]
            for g, upto in zip(gens, uptos, strict=True)
        }
        rows = [
            (window, events)
            for hour, window, frontier, seal, events in self._found["reads sealed rows"]
            if seals.get(hour) == (frontier, seal)
        ]
        rows += [
            (window, events)
            for hour, window, batch, events in self._found["reads deltas"]
            if batch > frontiers.get(hour, 0) and batch <= keep.get(batch >> 40, -1)
        ]
        found: Counter[Offset] = Counter()
        for row in rows:
            found.update(self._platform.by_record([row]))
        return found
