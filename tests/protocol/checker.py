"""Searches the states of a world: breadth first, so that a failing trace is a shortest one, and by random walks."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from tests.protocol.actions import every
from tests.protocol.invariants import STRAGGLERS, Violation, at_rest, of_driver, of_query, of_tables
from tests.protocol.state import Driver, Reader, State, Step, Tables
from tests.protocol.world import World


@dataclass(frozen=True)
class Failure:
    """A trace from the initial state to one that breaks an invariant."""

    violation: Violation
    trace: tuple[Step, ...]

    @property
    def schedule(self) -> tuple[str, ...]:
        """Who moved, step by step."""
        return tuple(step.actor for step in self.trace)

    def __str__(self) -> str:
        steps = "\n".join(f"  {number:2} {step}" for number, step in enumerate(self.trace, 1))
        return f"{self.violation.kind} after {len(self.trace)} steps: {self.violation.detail}\n{steps}"


@dataclass(frozen=True)
class Outcome:
    """What a search saw; `complete` when no state is left."""

    states: int
    depth: int
    complete: bool
    failure: Failure | None = None


class Judge:
    """Judges states; a state of the tables that was judged before is not judged again."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._sound: set[Tables] = set()
        self._sound_at_rest: set[tuple[State, str]] = set()

    def now(self, state: State) -> Iterator[Violation]:
        """Yield what is wrong with the tables, with queries that just finished and with the newest driver."""
        if state.tables not in self._sound:
            faults = list(of_tables(self._world, state.tables))
            if not faults:
                self._sound.add(state.tables)
            yield from faults
        for process in state.processes:
            if isinstance(process, Reader):
                yield from of_query(self._world, state.tables, process)
            elif isinstance(process, Driver):
                yield from of_driver(self._world, state.tables, process)

    def at_rest(self, state: State, stragglers: str) -> Iterator[Violation]:
        """Yield what would be wrong if everything stopped now; without stragglers only the tables matter."""
        key = State(state.tables, ()) if stragglers == STRAGGLERS[0] else state
        if (key, stragglers) not in self._sound_at_rest:
            faults = list(at_rest(self._world, state, stragglers))
            if not faults:
                self._sound_at_rest.add((key, stragglers))
            yield from faults


def explore(
    world: World, kind: str | None = None, rest: tuple[str, ...] = (), most_states: int = 1_000_000
) -> Outcome:
    """Search breadth first until an invariant breaks, of the given kind if one is given, or no state is left.

    `rest` names the ways of coming to rest that are tried from every state.
    """
    judge = Judge(world)
    first = world.initial()
    came_from: dict[State, tuple[State, Step] | None] = {first: None}
    queue = deque([(first, 0)])
    depth = 0
    while queue and len(came_from) < most_states:
        state, depth = queue.popleft()
        faults = [*judge.now(state), *(fault for how in rest for fault in judge.at_rest(state, how))]
        for fault in faults:
            if kind is None or fault.kind == kind:
                return Outcome(len(came_from), depth, False, Failure(fault, _trace(came_from, state)))
        for step, after in every(world, state):
            if after not in came_from:
                came_from[after] = (state, step)
                queue.append((after, depth + 1))
    return Outcome(len(came_from), depth, not queue)


def _trace(came_from: dict[State, tuple[State, Step] | None], state: State) -> tuple[Step, ...]:
    steps = []
    while (before := came_from[state]) is not None:
        state, step = before
        steps.append(step)
    return tuple(reversed(steps))


def walk(world: World, seed: int, rest_share: float = 0.05, most_steps: int = 140) -> Failure | None:
    """Take one random walk, whose processes run at speeds that change; return how it fails, if it does."""
    rng = random.Random(seed)
    judge = Judge(world)
    state = world.initial()
    trace: list[Step] = []
    speeds: dict[str, float] = {}
    for _ in range(most_steps):
        offers = list(every(world, state))
        if not offers:
            break
        weights = [speeds.setdefault(step.actor, rng.choice((1, 1, 4, 12))) for step, _ in offers]
        if rng.random() < 0.12:
            speeds[rng.choice(list(speeds))] = rng.choice((0.02, 1, 12))
        step, state = rng.choices(offers, weights)[0]
        trace.append(step)
        faults = list(judge.now(state))
        if rng.random() < rest_share:
            faults += [fault for how in STRAGGLERS for fault in judge.at_rest(state, how)]
        if faults:
            return Failure(faults[0], tuple(trace))
    for how in STRAGGLERS:
        for fault in judge.at_rest(state, how):
            return Failure(fault, tuple(trace))
    return None
