"""Whether a driver may begin at all: not when a person has stopped the stream, not when its ledger is lost.

Supervision starts a driver again whatever people have ordered since, so the driver itself asks.
"""

from __future__ import annotations

from clickhouse_driver import Client

from include.spark.orders import last_order
from include.streaming.ledger import GenerationError
from include.warehouse.sql import read_sql


class LostLedgerError(GenerationError):
    """A stream was claimed before, and ClickHouse holds no trace of it."""


def is_stopped(client: Client, stream: str) -> bool:
    """Return whether the last that a person ordered of the stream is a stop."""
    order = last_order(client, stream)
    return order is not None and not order.is_launch


def refuse_lost(client: Client, stream: str, claimed: int) -> None:
    """Refuse a stream that was claimed before (`claimed`: the newest generation, 0 for never) and left no row.

    Raises:
        LostLedgerError: neither takeover, ledger nor launch order of the stream is there.
    """
    if not claimed:
        return
    traces = client.execute(read_sql("life_cycle/any_trace.sql"), {"stream": stream})[0]
    if not any(traces):
        raise LostLedgerError(
            f"{stream}: generation {claimed} is claimed in Kafka, but ClickHouse holds neither takeovers nor ledger: "
            "restore them, or trigger launch_stream with confirm_rebuild"
        )
