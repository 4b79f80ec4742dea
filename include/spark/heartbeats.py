"""What a stream's driver says of itself, read from the tables that it writes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from clickhouse_driver import Client

from include.warehouse.sql import read_sql

HEALTHY_SECONDS = 15.0
GENERATION_SHIFT = 40
ENDED_STATES = frozenset({"stopped", "fenced", "failed"})


@dataclass(frozen=True)
class Heartbeat:
    """The last heartbeat of a stream; at_ms is epoch milliseconds, lag is in offsets."""

    stream: str
    at_ms: int
    launch: str
    generation: int
    state: str
    batch: int
    lag: int
    detail: str

    def age_seconds(self) -> float:
        return time.time() - self.at_ms / 1000

    def is_healthy(self) -> bool:
        """Return whether the driver said `running` within HEALTHY_SECONDS."""
        return self.state == "running" and self.age_seconds() < HEALTHY_SECONDS


def last_heartbeat(client: Client, stream: str, launch: str = "") -> Heartbeat | None:
    """Return the last heartbeat of the newest generation within a day, of one launch when it is named."""
    since = (datetime.now(UTC) - timedelta(days=1)).date()
    rows = client.execute(
        read_sql("life_cycle/last_heartbeat.sql"), {"stream": stream, "since": since, "launch": launch}
    )
    return Heartbeat(stream, *rows[0]) if rows else None


def live_launches(client: Client, stream: str) -> dict[str, int]:
    """Return the launches that spoke of the stream within HEALTHY_SECONDS and have not ended, with their generation."""
    since = int((time.time() - HEALTHY_SECONDS) * 1000)
    day = datetime.fromtimestamp(since / 1000, UTC).date()
    values = {"stream": stream, "since": since, "day": day}
    rows = client.execute(read_sql("life_cycle/live_launches.sql"), values)
    return {launch: generation for launch, state, generation in rows if state not in ENDED_STATES}


def has_committed(client: Client, stream: str, generation: int) -> bool:
    """Return whether the ledger holds a row of this generation or a later one."""
    lowest = generation << GENERATION_SHIFT
    rows = client.execute(read_sql("life_cycle/first_commit.sql"), {"stream": stream, "lowest": lowest})
    return bool(rows[0][0])
