"""A streaming driver without Spark: the product's claim, takeover, fold, fence and write."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
from clickhouse_driver.errors import NetworkError

from include.contracts import Contract
from include.streaming import ledger
from include.streaming.commit import UnansweredInsertError, ledger_rows, write_batch
from include.streaming.control import ControlLog, claim
from include.streaming.ledger import GenerationError, LedgerRow, batch_id
from include.streaming.replays import Replay, Replays
from include.topics.offsets import Offsets
from tests.helpers import Record, folded
from tests.protocol.driver import IN_VAIN, UNANSWERED
from tests.protocol.replay.gate import Actor, SteppedClient, current
from tests.protocol.replay.platform import STREAM, Platform
from tests.protocol.state import Offset
from tests.protocol.world import Rules

WRITES = [("write", r"INSERT INTO (\w+_delta|dead_letters|ledger) ")] * 3
RESTARTS, OFFSETS = "starts its query again", " over ["


def read_steps(rules: Rules) -> list[tuple[str, str]]:
    """Return the two reads of driver and sealer, in the order of the rules."""
    first, second = "FROM takeovers", "FROM ledger"
    return list(
        zip(
            ("read", "read on"),
            (first, second) if rules.takeovers_are_read_first else (second, first),
            strict=True,
        )
    )


def takeover_steps(rules: Rules) -> list[tuple[str, str]]:
    """Return the statements of a takeover that are steps of the model."""
    return read_steps(rules) + [("take over", "INSERT INTO takeovers")] * rules.takeovers_decide


def drive(platform: Platform, actor: Actor, version: int) -> None:
    """Do what a driver does under a contract version, from its claim until it is fenced."""
    contract = platform.contracts[version]
    control = ControlLog(platform.settings)
    replays = Replays(platform.settings, contract)
    try:
        _Driver(platform, actor, contract, control, replays).run()
    finally:
        control.close()
        replays.close()


class _Driver:
    """One driver, whose batches are written as include/streaming/query.py writes them."""

    def __init__(
        self, platform: Platform, actor: Actor, contract: Contract, control: ControlLog, replays: Replays
    ) -> None:
        self._platform, self._actor, self._contract = platform, actor, contract
        self._control, self._replays = control, replays
        self._offsets = Offsets(platform.settings, contract.topic.name)
        self._generation = self._number = 0
        self._at: dict[int, int] = {}

    def run(self) -> None:
        """Claim, take over, and fold batch after batch; do so again when an insert is not answered."""
        while True:
            try:
                self._query()
            except UnansweredInsertError:
                continue
            return

    def _query(self) -> None:
        self._actor.before("claim")
        self._number = 0
        self._generation = claim(self._platform.settings, STREAM)
        self._platform.generations.append(self._generation)
        try:
            client = SteppedClient(self._platform.connect(), takeover_steps(self._platform.world.rules))
            self._at = dict(ledger.take_over(client, STREAM, self._generation).frontier)
        except GenerationError:
            return
        while True:
            self._actor.before("plan")
            if self._is_fenced():
                return
            if RESTARTS in self._actor.what:
                self._at = ledger.read_position(self._platform.connect(), STREAM).frontier
                self._number = 0
            elif not self._next_batch():
                return

    def _next_batch(self) -> bool:
        """Commit what there is to commit; return False when fenced."""
        replay = self._replays.next() if OFFSETS not in self._actor.what else None
        if replay is not None and self._platform.world.rules.driver_replays:
            return self._replay(replay)
        ends = self._offsets.ends().items()
        ranges = {p: (self._at.get(p, 0), end) for p, end in ends if end > self._at.get(p, 0)}
        return not ranges or self._fold(ranges)

    def _replay(self, replay: Replay) -> bool:
        batch, lowest = batch_id(self._generation, self._number), min(self._at)
        row = replay.ledger_row(self._contract, batch, lowest, self._at[lowest])
        if self._is_fenced():
            return False
        self._write(batch, replay.cubes, [row])
        self._replays.committed()
        return True

    def _fold(self, ranges: dict[int, tuple[int, int]]) -> bool:
        world = self._platform.world
        planned = self._offsets.starts()
        if world.expiries or world.wrongly_rejected:
            self._actor.before("fold")
        starts = self._offsets.starts()
        read = [
            _as_folded(self._platform, (partition, offset))
            for partition, (start, end) in ranges.items()
            for offset in range(max(start, starts[partition]), end)
        ]
        results = folded(self._contract, [[read]]) if read else {}
        stated = starts if world.rules.log_start_after_fold else planned
        batch = batch_id(self._generation, self._number)
        rows = ledger_rows(self._contract, batch, ranges, stated, results)
        if self._is_fenced():
            return False
        self._write(batch, results, rows)
        self._at |= {partition: end for partition, (_, end) in ranges.items()}
        return True

    def _write(self, batch: int, results: dict[str, pa.Table], rows: list[LedgerRow]) -> None:
        client = WritingClient(self._platform.connect(), WRITES)
        write_batch(client, self._contract, batch, results, rows)
        self._number += 1

    def _is_fenced(self) -> bool:
        return self._control.newest_claim(STREAM) != self._generation


class WritingClient(SteppedClient):
    """One whose inserts are not answered where the replay says so, be they done or in vain."""

    def execute(self, query: str, *args: Any, **kwargs: Any) -> Any:
        """As Client.execute."""
        self._stop(query)
        what = current().what
        if UNANSWERED not in what:
            return self._client.execute(query, *args, **kwargs)
        if IN_VAIN not in what:
            self._client.execute(query, *args, **kwargs)
        raise NetworkError(what)


def _as_folded(platform: Platform, offset: Offset) -> Record:
    """Return a record; one that this world's fold wrongly rejects is made one that it must reject."""
    record = platform.record(offset)
    return replace(record, value=b"{") if offset in platform.world.wrongly_rejected else record
