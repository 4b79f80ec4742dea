"""Whether streams run: heartbeats, claims, ledger and the cluster's own view, read together."""

from __future__ import annotations

import time
from collections.abc import Sequence

from clickhouse_driver import Client

from include.contracts import load_contract
from include.settings import Settings
from include.spark.cluster import read_cluster
from include.spark.heartbeats import Heartbeat, last_heartbeat
from include.streaming.control import newest_claim
from include.streaming.ledger import read_position
from include.topics.offsets import EARLIEST, Offsets
from include.warehouse.client import connect

POLL_SECONDS = 0.5
# A heartbeat older than this many intervals is in doubt: the next one is waited for.
DOUBTFUL_INTERVALS = 3


def running_launches(settings: Settings, streams: Sequence[str]) -> dict[str, Heartbeat]:
    """Return the heartbeat of each stream that runs.

    It said `running` within 15 s, holds the newest claim, and the master knows its driver. A heartbeat that is
    overdue is waited for, so that a driver which hangs is not taken for a healthy one.
    """
    client = connect(settings)
    try:
        healthy = _healthy(client, streams)
        while any(beat.age_seconds() > _doubtful(settings) for beat in healthy.values()):
            time.sleep(POLL_SECONDS)
            healthy = _healthy(client, streams)
    finally:
        client.disconnect()
    healthy = {
        stream: beat for stream, beat in healthy.items() if newest_claim(settings, stream) == beat.generation
    }
    if not healthy:
        return {}
    cluster = read_cluster(settings)
    return {stream: beat for stream, beat in healthy.items() if cluster.carries(stream)}


def waiting_offsets(settings: Settings, stream: str, start: str = EARLIEST, skip_to: str = "") -> int:
    """Return how many offsets of the stream's topic a launch has to read.

    They begin at the end of its ledger, past skip_to (ISO, where not empty), or at start where it has no ledger.

    Raises:
        TopicMissingError: the topic does not exist.
    """
    client = connect(settings)
    try:
        frontier = read_position(client, stream).frontier
    finally:
        client.disconnect()
    offsets = Offsets(settings, load_contract(stream).topic.name)
    begin = offsets.begin_at(skip_to or (EARLIEST if frontier else start))
    return sum(max(0, end - max(begin[p], frontier.get(p, 0))) for p, end in offsets.ends().items())


def _healthy(client: Client, streams: Sequence[str]) -> dict[str, Heartbeat]:
    beats = {stream: last_heartbeat(client, stream) for stream in streams}
    return {stream: beat for stream, beat in beats.items() if beat is not None and beat.is_healthy()}


def _doubtful(settings: Settings) -> float:
    return DOUBTFUL_INTERVALS * settings.heartbeat_seconds
