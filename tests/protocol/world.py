"""A configuration of the model: the raw log, who takes part, what may happen, and the rules in force."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from tests.protocol.state import Compactor, Driver, Offset, Process, Reader, Replayer, Sealer, State, Tables

LOST_DELTA, LOST_LEDGER_ROW = "delta rows lost", "ledger row lost"


class Record(NamedTuple):
    """A record of the raw log. `part` is the half of its hour's sealed rows that holds it."""

    hour: int
    part: int = 0
    identity: str | None = None
    accepted_by: frozenset[int] = frozenset({1, 2})
    kafka_hour: int | None = None

    @property
    def arrival(self) -> int:
        """The hour of its Kafka timestamp."""
        return self.hour if self.kafka_hour is None else self.kafka_hour


@dataclass(frozen=True)
class Rules:
    """The rules of the protocol; each set to False is a weaker protocol that must be seen to fail."""

    takeovers_decide: bool = True  # a batch counts when a takeover row lists it, else every ledger row does
    nothing_is_swept: bool = True  # else a takeover zeroes rows without a ledger row
    highest_takeover_decides: bool = True  # else the minimum over all takeover rows
    claim_is_read_last: bool = True  # by the sealer, after the ledger; else before
    takeovers_are_read_first: bool = True  # else the ledger, then the takeover rows
    generation_per_query_start: bool = True
    deltas_are_written_once: bool = True  # an insert without an answer ends the query, else it is repeated
    certificates_are_read_once: bool = True  # by a query of the view
    grace_before_certificate: bool = True
    grace_before_compaction: bool = True
    seal_numbers_are_unique: bool = True  # else the highest one seen and 1, which alone names a seal
    frontier_ranks_first: bool = True  # the certificate in force is the highest (frontier, seal), else seal
    compaction_drops_only_below: bool = True  # else every seal but the one in force
    came_figures_are_kept: bool = True
    verdicts_are_apart: bool = True  # else UNPROVABLE is a certificate
    ranges_by_kafka_time: bool = True  # as well as by the ledger's hours
    log_start_after_fold: bool = True
    dead_letters_need_validity: bool = True
    driver_replays: bool = True  # else a process of its own does
    frontier_is_highest_end: bool = True  # else the end of the contiguous part
    base_not_beyond_frontier: bool = True  # a certificate beyond the ledger that was read voids the run


@dataclass(frozen=True)
class World:
    """A bounded configuration. `drivers` holds each driver's contract version, `sealers` each one's hour."""

    log: tuple[tuple[Record, ...], ...]
    arrived: tuple[int, ...] | None = None
    drivers: tuple[int, ...] = (1,)
    sealers: tuple[int, ...] = ()
    readers: int = 0
    compactors: int = 0
    expiries: tuple[tuple[int, int], ...] = ()
    approvals: bool = False
    damages: tuple[str, ...] = ()
    wrongly_rejected: frozenset[Offset] = frozenset()
    small_batches: bool = False
    unanswered: bool = False  # each driver may once get no answer to an insert of deltas
    rules: Rules = field(default_factory=Rules)

    @cached_property
    def records(self) -> dict[Offset, Record]:
        """The raw log by offset."""
        return {(p, o): record for p, log in enumerate(self.log) for o, record in enumerate(log)}

    @cached_property
    def initial_processes(self) -> tuple[Process, ...]:
        """Everybody who takes part, before their first step."""
        processes: list[Process] = [Driver("claim", version) for version in self.drivers]
        processes += [Sealer("draw", hour) for hour in self.sealers]
        processes += [Reader("begin") for _ in range(self.readers)]
        processes += [Compactor("begin") for _ in range(self.compactors)]
        if not self.rules.driver_replays:
            processes.append(Replayer("begin"))
        return tuple(processes)

    @cached_property
    def hours(self) -> tuple[int, ...]:
        """Event hours of the log."""
        return tuple(sorted({record.hour for record in self.records.values()}))

    @property
    def partitions(self) -> range:
        """Kafka partitions."""
        return range(len(self.log))

    def accepts(self, version: int, offset: Offset) -> bool:
        """Whether a contract version accepts a record."""
        return version in self.records[offset].accepted_by

    def initial(self) -> State:
        """The state before anything has happened."""
        arrived = tuple(len(log) for log in self.log) if self.arrived is None else self.arrived
        return State(Tables(arrived, (0,) * len(self.log)), self.initial_processes)
