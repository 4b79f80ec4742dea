"""Moves the model and the platform together, step by step, and compares what both serve after each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from include.reconcile import plan, seal
from include.streaming import replays
from tests.protocol import actions, state
from tests.protocol.invariants import snapshot
from tests.protocol.reading import once, valid_rows
from tests.protocol.replay import compactor, driver, letters, sealer
from tests.protocol.replay.gate import Actor
from tests.protocol.replay.platform import Platform
from tests.protocol.replay.query import Query
from tests.protocol.replay.weaker import weaken
from tests.protocol.state import Offset, State, Step
from tests.protocol.world import World


class Lockstep:
    """A model's state and the platform beside it; `trace` is what both did."""

    def __init__(self, platform: Platform) -> None:
        self._platform, self.world = platform, platform.world
        self.state = State(self.world.initial().tables, self.world.initial_processes)
        self.queries: dict[int, Query] = {}
        self.trace: list[Step] = []
        self._actors = [self._actor(index, process) for index, process in enumerate(self.state.processes)]
        for partition, arrived in enumerate(self.state.tables.arrived):
            for offset in range(arrived):
                platform.send((partition, offset))

    def _actor(self, index: int, process: state.Process) -> Actor:
        platform = self._platform
        if isinstance(process, state.Driver):
            version = process.version
            return Actor(lambda actor: driver.drive(platform, actor, version))
        if isinstance(process, state.Sealer):
            hour = process.hour
            return Actor(lambda actor: sealer.reconcile(platform, actor, hour))
        if isinstance(process, state.Compactor):
            return Actor(lambda actor: compactor.compact_once(platform, actor))
        if isinstance(process, state.Replayer):
            return Actor(lambda actor: letters.replay_beside(platform, actor))
        assert isinstance(process, state.Reader), process
        self.queries[index] = Query(platform)
        return Actor(self.queries[index].run)

    def follow(self, schedule: Sequence[Step]) -> None:
        """Let everybody move in the order of a trace; who cannot move, because a rule forbids it, is passed over.

        A driver that has nothing to do by the model looks all the same, and must find nothing.
        """
        for wanted in schedule:
            offers = [
                offer for offer in actions.every(self.world, self.state) if offer[0].actor == wanted.actor
            ]
            exact = [offer for offer in offers if offer[0].what == wanted.what]
            if offers:
                self._take(*(exact or offers)[0])
            elif wanted.actor.startswith("driver "):
                self._look(int(wanted.actor.removeprefix("driver ")))

    def come_to_rest(self) -> None:
        """Let everybody finish what they began, then a new driver catch up, and seal each hour again."""
        self.catch_up()
        for hour in self.world.hours:
            self._join(state.Sealer("draw", hour))

    def catch_up(self) -> None:
        """Let everybody finish what they began, then a new driver fold what is left."""
        for index, process in enumerate(self.state.processes):
            if process.step not in ("claim", "draw", "begin"):
                self._finish(index)
        for p in self.world.partitions:
            while self.state.tables.arrived[p] < len(self.world.log[p]):
                self.follow([Step(f"producer {p}", "")])
        self.follow([Step("person", "")])
        self._join(state.Driver("claim", max(self.world.drivers)))

    def _join(self, process: state.Process) -> None:
        index = len(self.state.processes)
        self.state = State(self.state.tables, (*self.state.processes, process))
        self._actors.append(self._actor(index, process))
        self._finish(index)

    def _finish(self, index: int) -> None:
        """Let one process go on to its end; one that has ended in the model must do no harm on the platform."""
        while offers := list(actions.of_process(self.world, self.state, index)):
            self._take(*offers[0])
        actor = self._actors[index]
        while actor.step not in (None, "plan"):
            actor.advance(str(actor.step))
        self._look(index)
        self.compare()

    def _look(self, index: int) -> None:
        """Let a driver between two batches look for work, of which the model says that there is none."""
        actor = self._actors[index]
        actor.advance("plan")
        assert actor.step != "write", (
            f"driver {index} found work, the model says there is none, after\n{self.told()}"
        )

    def _take(self, step: Step, after: State) -> None:
        who, number = step.actor.split(" ") if " " in step.actor else (step.actor, "0")
        if who == "producer":
            self._platform.send((int(number), self.state.tables.arrived[int(number)]))
        elif who == "retention":
            self._platform.expire(int(number), after.tables.log_start[int(number)])
        elif who == "fault":
            self._lose(step)
        elif who == "person":
            approved = after.tables.approved - self.state.tables.approved
            letters.approve_letters(self._platform, approved)
        else:
            self._actors[int(number)].advance(self.state.processes[int(number)].step, step.what)
        changed = after.tables._replace(claims=0, seals=0) != self.state.tables._replace(claims=0, seals=0)
        self.state = after
        self.trace.append(step)
        if changed:
            self.compare()

    def _lose(self, step: Step) -> None:
        found = re.fullmatch(r"loses ledger rows of batch \((\d+), (\d+)\)", step.what)
        assert found, f"the platform does not know how to do: {step}"
        batch = self._platform.generations[int(found[1]) - 1] << 40 | int(found[2])
        client = self._platform.client
        client.execute("ALTER TABLE ledger DELETE WHERE batch = %(batch)s", {"batch": batch})
        self._platform.wait_for_mutations("ledger")

    def compare(self) -> None:
        """Check that the platform serves what the model serves, and has replayed the same dead letters."""
        model = self.served_by_model()
        assert self._platform.served() == model, (
            f"served {dict(self._platform.served())}, the model says {dict(model)}, after\n{self.told()}"
        )
        tables = self.state.tables
        rows = valid_rows(self.world, tables.takeovers, tables.ledger) if self.world.approvals else ()
        replayed = Counter(offset for row in rows for offset in row.replayed)
        assert self._platform.replayed() == replayed or not self.world.approvals, self.told()

    def served_by_model(self) -> Counter[Offset]:
        """Return how often each record counts in the model."""
        found: Counter[Offset] = Counter()
        for hour in self.world.hours:
            found.update(snapshot(self.world, self.state.tables, hour))
        return found

    def told(self) -> str:
        """Return the steps so far, one a line."""
        return "\n".join(f"  {number:2} {step}" for number, step in enumerate(self.trace, 1))

    def close(self) -> None:
        """End everybody who has not ended."""
        for actor in self._actors:
            actor.close()


def truth(world: World) -> Counter[Offset]:
    """Return what must be served at rest: each identity of an hour once."""
    found: Counter[Offset] = Counter()
    for hour in world.hours:
        accepted = [o for o in world.records if world.accepts(max(world.drivers), o)]
        found.update(once(world, [offset for offset in accepted if world.records[offset].hour == hour]))
    return found


@contextmanager
def replay(platform: Platform) -> Iterator[Lockstep]:
    """Yield a platform and its model at their beginning; the product's planner and sealer stop at their steps."""
    stepped = sealer.SteppedPlan(platform)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "connect", stepped.connect)
        patch.setattr(plan, "draw_seal", stepped.draw_seal)
        patch.setattr(plan, "newest_claim", stepped.newest_claim)
        patch.setattr(replays, "POLL_SECONDS", 0.0)
        patch.setattr(seal, "connect", lambda _: sealer.stepped_certifying(platform))
        weaken(patch, platform.world.rules)
        found = Lockstep(platform)
        try:
            yield found
        finally:
            found.close()
