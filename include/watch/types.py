"""What the parts of the watch hand to each other: what was seen of a stream, and what was made of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from include.spark.heartbeats import Heartbeat
from include.spark.orders import Order

HEALTHY, SLOW, STALLED, GONE = "healthy", "slow", "stalled", "gone"
DOUBLED, STOPPED = "doubled", "stopped"
NONE, RELAUNCH, END_OLDER, GAVE_UP = "none", "relaunch", "end_older", "gave_up"
# Heartbeat states of a query that works or will; the others are its last words.
LIVE_STATES = frozenset({"starting", "running", "stopping"})


@dataclass(frozen=True, kw_only=True)
class Carrier:
    """A driver that the master lists for the stream. generation and said come from its launch's last heartbeat.

    superseded: every stream of the driver runs under a newer generation, so that it is fenced from all of them.
    """

    driver: str
    state: str
    launch: str
    streams: frozenset[str]
    generation: int = 0
    said: str = ""
    superseded: bool = False


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """Served deltas of one cube and event hour that differ from the ledger; events over `batches`."""

    cube: str
    hour: str
    batches: tuple[int, ...]
    ledger: int
    served: int

    def __str__(self) -> str:
        first, more = self.batches[0], len(self.batches) - 1
        where = f"batch {first >> 40}/{(first & (1 << 40) - 1) - 1}" + (f" and {more} more" if more else "")
        return f"{self.cube} {self.hour}: served {self.served} events, the ledger {self.ledger}, in {where}"


@dataclass(frozen=True, kw_only=True)
class Observation:
    """Everything that is seen of one stream at one moment; times are epoch milliseconds, durations seconds.

    launched_at: the last launch ordered whose driver has not spoken yet, 0 if none. unnamed_drivers: active
    drivers whose command line cannot be read, for instance because their worker is gone. waiting_seconds: since when records wait without a
    commit, None when nothing waits or lag is unknown. freshness_seconds: for how long, at least, a record has been in
    Kafka that the views do not show yet; 0 when nothing waits. generation_seconds and running_seconds: since the
    newest generation began and first said running. starting_seconds: since a driver that has no generation yet spoke
    last. restarts: generations begun since the last commit or order.
    grace_seconds: since something that everything else is measured with was away. master_error and kafka_error are
    empty where they answer.
    """

    stream: str
    at: int
    order: Order | None = None
    launched_at: int = 0
    beat: Heartbeat | None = None
    carriers: tuple[Carrier, ...] = ()
    applications: int = 0
    unnamed_drivers: int = 0
    batch: int = 0
    frontiers: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    commit_seconds: float | None = None
    waiting_seconds: float | None = None
    freshness_seconds: float | None = None
    generation_seconds: float | None = None
    running_seconds: float | None = None
    starting_seconds: float | None = None
    restarts: int = 0
    grace_seconds: float = float("inf")
    slow_seconds: float = 0.0
    relaunches: int = 0
    gave_up_at: int = 0
    mismatches: tuple[Mismatch, ...] = ()
    master_error: str = ""
    kafka_error: str = ""

    @property
    def wanted(self) -> bool:
        return self.order is not None and self.order.is_launch

    @property
    def beat_seconds(self) -> float | None:
        return None if self.beat is None else (self.at - self.beat.at_ms) / 1000

    @property
    def lag(self) -> int | None:
        if self.kafka_error or not self.ends:
            return None
        return sum(max(0, end - self.frontiers.get(partition, 0)) for partition, end in self.ends.items())

    @property
    def carried(self) -> bool:
        return bool(self.carriers) or self.applications > 0


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A verdict with its reason. ends: older drivers to be ended. tell: a person must know, whatever the repair does."""

    verdict: str
    reason: str
    ends: tuple[str, ...] = ()
    relaunch_helps: bool = False
    tell: bool = False


@dataclass(frozen=True, kw_only=True)
class Check:
    """One stream's observation, judgement, and what is done about it."""

    seen: Observation
    judged: Judgement
    action: str = NONE
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether nobody needs to be told."""
        return self.judged.verdict in (HEALTHY, SLOW, STOPPED) and not self.judged.tell


@dataclass(frozen=True, kw_only=True)
class Relaunch:
    """One driver to launch, with the parameters of the last launch that a person ordered.

    force: although a driver may say that it runs.
    """

    streams: tuple[str, ...]
    trigger_seconds: float
    max_offsets: int
    start: str
    force: bool = False
