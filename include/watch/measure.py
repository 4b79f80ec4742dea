"""Reads everything that the judge needs of a stream: the cluster, heartbeats, orders, ledger, Kafka, past checks.

What does not answer is written into the observation, except ClickHouse, without which nothing is
known: its error is raised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clickhouse_driver import Client
from confluent_kafka import KafkaException

from include.clock import now_ms
from include.contracts import load_contract
from include.settings import Settings
from include.spark.cluster import ClusterState, Driver, MasterUnreachableError, read_cluster
from include.spark.heartbeats import HEALTHY_SECONDS, last_heartbeat
from include.spark.orders import last_order, relaunches_since
from include.spark.submission import streams_of
from include.streaming.ledger import Position, read_position
from include.topics.admin import BrokerUnreachableError
from include.topics.offsets import Offsets, TopicMissingError
from include.warehouse.sql import read_sql
from include.watch.deltas import mismatches
from include.watch.repair import WINDOW_SECONDS
from include.watch.store import Past, day_of, gave_up_at, history
from include.watch.types import SLOW, Carrier, Observation

# Heartbeats older than this say nothing of now.
HEARTBEATS_SECONDS = 900.0
HISTORY_SECONDS = 3600.0


@dataclass(frozen=True)
class Generations:
    """What recent heartbeats say, in epoch milliseconds, 0 where never.

    When the newest generation began and first ran; when nothing waited last; when a driver that has not
    claimed a generation yet spoke last; and when each generation began within that time.
    """

    began: int
    running: int
    idle: int
    unclaimed: int
    starts: tuple[int, ...]


def observe(settings: Settings, client: Client, streams: Sequence[str]) -> list[Observation]:
    """Return what is seen of each stream now.

    Raises:
        clickhouse_driver.errors.Error: ClickHouse does not answer, or refuses.
    """
    cluster, master_error = ClusterState((), ()), ""
    try:
        cluster = read_cluster(settings)
    except MasterUnreachableError as error:
        master_error = str(error)
    return [_observe(settings, client, stream, cluster, master_error) for stream in streams]


def _observe(
    settings: Settings, client: Client, stream: str, cluster: ClusterState, master_error: str
) -> Observation:
    contract = load_contract(stream)
    ends, kafka_error = _ends(settings, contract.topic.name)
    # Read after the end offsets: a batch that commits in between only makes the lag smaller.
    position = read_position(client, stream)
    commit = _last_commit(client, position)
    wrong = mismatches(client, contract)
    now = now_ms()
    order, beat = last_order(client, stream), last_heartbeat(client, stream)
    past = history(client, stream, now - int(HISTORY_SECONDS * 1000))
    generations = _generations(client, stream, now - int(HEARTBEATS_SECONDS * 1000))
    ordered, unseen = client.execute(read_sql("watch/last_launch.sql"), {"stream": stream})[0]
    since = max(now - int(WINDOW_SECONDS * 1000), order.at if order else 0)
    frontiers = {partition: position.frontier.get(partition, 0) for partition in ends}
    lag = sum(max(0, end - frontiers[partition]) for partition, end in ends.items())
    waiting = _seconds(now, max(commit, generations.idle, generations.running)) if lag else None
    return Observation(
        stream=stream,
        at=now,
        order=order,
        launched_at=unseen,
        beat=beat,
        carriers=tuple(_carrier(client, driver, stream) for driver in cluster.drivers_of(stream)),
        applications=sum(stream in streams_of(name) for name in cluster.applications),
        unnamed_drivers=sum(not driver.name for driver in cluster.drivers),
        batch=max(position.keep.values(), default=0),
        frontiers=frontiers,
        ends=ends,
        commit_seconds=_seconds(now, commit),
        waiting_seconds=waiting,
        freshness_seconds=None if kafka_error else freshness(now, frontiers, lag, waiting, past),
        generation_seconds=_seconds(now, generations.began),
        running_seconds=_seconds(now, generations.running),
        starting_seconds=_seconds(now, generations.unclaimed),
        restarts=sum(at > max(commit, ordered) for at in generations.starts),
        grace_seconds=_grace(client, now, past),
        slow_seconds=slow_seconds(now, past),
        relaunches=max(
            relaunches_since(client, stream, since),
            sum(check.action == "relaunch" and check.at > since for check in past),
        ),
        gave_up_at=gave_up_at(client, stream, order.at) if order else 0,
        mismatches=wrong,
        master_error=master_error,
        kafka_error=kafka_error,
    )


def freshness(
    now: int, frontiers: dict[int, int], lag: int, waiting: float | None, past: Sequence[Past]
) -> float:
    """Return for how many seconds, at least, a record has been in Kafka that is not served yet.

    0 when nothing waits. Known from earlier checks, whose end offsets are not passed yet, and from
    the time without a commit; never from record timestamps, which producers choose.
    """
    if not lag:
        return 0.0
    unserved = [check.at for check in past if any(end > frontiers.get(p, 0) for p, end in check.ends.items())]
    return max(waiting or 0.0, (now - min(unserved)) / 1000 if unserved else 0.0)


def slow_seconds(now: int, past: Sequence[Past]) -> float:
    """Return since when every check has said slow."""
    since = now
    for check in reversed(past):
        if check.verdict != SLOW:
            break
        since = check.at
    return (now - since) / 1000


def _ends(settings: Settings, topic: str) -> tuple[dict[int, int], str]:
    try:
        return Offsets(settings, topic).ends(), ""
    except (BrokerUnreachableError, TopicMissingError) as error:
        return {}, str(error)
    except KafkaException as error:
        return {}, f"Kafka does not tell the end of {topic}: {error.args[0].str()}"


def _last_commit(client: Client, position: Position) -> int:
    lowest = max(position.keep.values(), default=0)
    rows = client.execute(
        read_sql("watch/last_commit.sql"), {"stream": position.stream, "lowest": lowest or 2**63}
    )
    return int(rows[0][0]) * 1000


def _generations(client: Client, stream: str, since: int) -> Generations:
    values = {"stream": stream, "since": since, "day": day_of(since)}
    rows = client.execute(read_sql("watch/heartbeats.sql"), values)
    if not rows:
        return Generations(0, 0, 0, 0, ())
    claimed = [row for row in rows if row[0]]
    _, began, running, _, _ = claimed[-1] if claimed else (0, 0, 0, 0, 0)
    idle = max(row[3] for row in rows)
    unclaimed = max((row[4] for row in rows if not row[0]), default=0)
    # What spoke when the time looked at began has begun before it.
    starts = tuple(row[1] for row in claimed if row[1] > since + HEALTHY_SECONDS * 1000)
    return Generations(began, running, idle, unclaimed, starts)


def _carrier(client: Client, driver: Driver, stream: str) -> Carrier:
    beats = {name: last_heartbeat(client, name, driver.launch) for name in driver.streams if driver.launch}
    newest = {name: last_heartbeat(client, name) for name in beats}
    mine = beats.get(stream)
    superseded = bool(beats) and all(
        beat is not None
        and (newer := newest[name]) is not None
        and newer.generation > beat.generation
        and newer.state == "running"
        for name, beat in beats.items()
    )
    return Carrier(
        driver=driver.id,
        state=driver.state,
        launch=driver.launch,
        streams=driver.streams,
        generation=mine.generation if mine else 0,
        said=mine.state if mine else "",
        superseded=superseded,
    )


def _grace(client: Client, now: int, past: Sequence[Past]) -> float:
    """Seconds since ClickHouse started, or since a check at which Kafka or the master did not answer."""
    uptime = float(client.execute(read_sql("watch/uptime.sql"))[0][0])
    broken = max((check.at for check in past if check.broken), default=0)
    return min(uptime, (now - broken) / 1000)


def _seconds(now: int, then: int) -> float | None:
    return (now - then) / 1000 if then else None
