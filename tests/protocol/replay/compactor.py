"""The compaction: the product's plan, and its two deletions as two steps."""

from __future__ import annotations

from datetime import UTC, datetime

from include.compact.seals import compact, plan_compaction
from tests.protocol.replay.gate import Actor, SteppedClient
from tests.protocol.replay.platform import Platform

DELETIONS = [("seals", "ALTER TABLE .*_sealed"), ("deltas", "ALTER TABLE .*_delta")]


def compact_once(platform: Platform, actor: Actor) -> None:
    """Compact the stream once."""
    client = platform.connect()
    actor.before("begin")
    planned = plan_compaction(client, platform.contract, datetime.now(UTC))
    if not any(drop.table.endswith("_sealed") for drop in planned.drops):
        actor.before("seals")
    compact(SteppedClient(client, DELETIONS), planned)
