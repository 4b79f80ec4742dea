"""Orders in a real ClickHouse: the last one by a person says whether a stream is wanted."""

from __future__ import annotations

from clickhouse_driver import Client

from include.spark.orders import LAUNCH, STOP, WATCHER, Order, last_order, record, relaunches_since

STREAM = "ad_events"


def launch(at: int, by: str, name: str = "abc") -> Order:
    return Order(
        stream=STREAM,
        kind=LAUNCH,
        by=by,
        at=at,
        launch=name,
        streams=(STREAM, "logs"),
        trigger_seconds=0.5,
        max_offsets=4_000,
        start="earliest",
    )


def test_a_stream_that_nobody_ordered_has_no_order(clickhouse: Client) -> None:
    assert last_order(clickhouse, STREAM) is None


def test_an_order_is_read_back_as_it_was_recorded(clickhouse: Client) -> None:
    order = launch(1_000, "launch_stream")
    record(clickhouse, order)
    assert last_order(clickhouse, STREAM) == order
    assert last_order(clickhouse, "logs") is None


def test_a_relaunch_by_the_watcher_is_no_order_by_a_person(clickhouse: Client) -> None:
    stop = Order(stream=STREAM, kind=STOP, by="stop_stream", at=2_000)
    for order in (launch(1_000, "launch_stream"), launch(1_500, WATCHER), stop, launch(3_000, WATCHER)):
        record(clickhouse, order)
    assert last_order(clickhouse, STREAM) == stop
    record(clickhouse, launch(4_000, "restart_stream", "def"))
    last = last_order(clickhouse, STREAM)
    assert last is not None
    assert (last.kind, last.launch) == (LAUNCH, "def")


def test_only_launches_by_the_watcher_after_the_moment_are_relaunches(clickhouse: Client) -> None:
    for at, by in ((1_000, WATCHER), (2_000, WATCHER), (3_000, WATCHER), (3_500, "launch_stream")):
        record(clickhouse, launch(at, by))
    record(clickhouse, Order(stream=STREAM, kind=STOP, by=WATCHER, at=3_600))
    assert relaunches_since(clickhouse, STREAM, 1_000) == 2
    assert relaunches_since(clickhouse, "logs", 0) == 0
