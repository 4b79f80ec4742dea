"""The table `orders`: what people, and DAGs in their name, asked of the streams.

A stream is wanted when its last order by a person is a launch. What runs is another question: see
heartbeats.py and cluster.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from clickhouse_driver import Client

from include.clock import now_ms
from include.settings import Settings
from include.warehouse.client import connect
from include.warehouse.sql import read_sql

LAUNCH, STOP = "launch", "stop"
WATCHER = "watch_stream"


@dataclass(frozen=True, kw_only=True)
class Order:
    """One order for one stream.

    kind is `launch` or `stop`; streams is the set launched together; start is `earliest`, an ISO timestamp,
    or empty for where the ledger ends; by is the id of the DAG that ordered; at is epoch milliseconds. A
    stop leaves launch and the parameters empty.
    """

    stream: str
    kind: str
    by: str
    at: int = field(default_factory=now_ms)
    launch: str = ""
    streams: tuple[str, ...] = ()
    trigger_seconds: float = 0.0
    max_offsets: int = 0
    start: str = ""

    @property
    def is_launch(self) -> bool:
        return self.kind == LAUNCH


def record(client: Client, order: Order) -> None:
    """Append an order. Recording one twice is harmless: only the last counts."""
    row = (order.stream, order.at, order.kind, order.launch, list(order.streams))
    client.execute(
        "INSERT INTO orders (stream, at, kind, launch, streams, trigger_seconds, max_offsets, start, by) VALUES",
        [(*row, order.trigger_seconds, order.max_offsets, order.start, order.by)],
    )


def record_all(settings: Settings, orders: Sequence[Order]) -> None:
    """Append orders over a connection of their own."""
    client = connect(settings)
    try:
        for order in orders:
            record(client, order)
    finally:
        client.disconnect()


def last_order(client: Client, stream: str) -> Order | None:
    """Return the last order by a person, of either kind; None when there never was one."""
    values = {"stream": stream, "watcher": WATCHER}
    return _read(client, "life_cycle/last_order.sql", values)


def last_launches(settings: Settings, streams: Sequence[str]) -> dict[str, Order | None]:
    """Return the last launch that a person ordered of each stream, None where there never was one."""
    client = connect(settings)
    try:
        return {
            stream: _read(client, "life_cycle/last_launch_order.sql", {"stream": stream, "watcher": WATCHER})
            for stream in streams
        }
    finally:
        client.disconnect()


def relaunches_since(client: Client, stream: str, at_ms: int) -> int:
    """Return how many launches watch_stream ordered after a moment, epoch milliseconds."""
    values = {"stream": stream, "since": at_ms, "kind": LAUNCH, "watcher": WATCHER}
    return int(client.execute(read_sql("life_cycle/relaunches_since.sql"), values)[0][0])


def _read(client: Client, path: str, values: dict[str, str]) -> Order | None:
    rows = client.execute(read_sql(path), values)
    if not rows:
        return None
    at, kind, launch, streams, trigger_seconds, max_offsets, start, by = rows[0]
    return Order(
        stream=values["stream"],
        kind=kind,
        by=by,
        at=at,
        launch=launch,
        streams=tuple(streams),
        trigger_seconds=trigger_seconds,
        max_offsets=max_offsets,
        start=start,
    )
