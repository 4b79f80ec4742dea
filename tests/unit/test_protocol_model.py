"""The protocol as a model: the full one holds, and without any of its rules a trace breaks it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest

from tests.protocol.checker import Outcome, explore, walk
from tests.protocol.weakenings import WEAKENINGS, Weakening
from tests.protocol.world import World
from tests.protocol.worlds import MIXED, SMALL

WALKS = 30


def report(outcome: Outcome) -> str:
    return f"{outcome.states} states, depth {outcome.depth}: {outcome.failure or 'no invariant breaks'}"


@pytest.mark.parametrize(("world", "rest"), [found[1:] for found in SMALL], ids=[found[0] for found in SMALL])
def test_no_state_of_a_small_world_breaks_an_invariant(world: World, rest: tuple[str, ...]) -> None:
    outcome = explore(world, rest=rest)
    assert outcome.complete, report(outcome)
    assert outcome.states > 50, f"the world is too small to say anything: {report(outcome)}"


def test_no_random_walk_of_everything_at_once_breaks_an_invariant() -> None:
    first = random.randrange(2**31)
    for seed in range(first, first + WALKS):
        failure = walk(MIXED, seed)
        assert failure is None, f"walk(MIXED, {seed}): {failure}"


@pytest.mark.parametrize("weakening", WEAKENINGS, ids=lambda weakening: f"without {weakening.without}")
def test_the_protocol_breaks(weakening: Weakening, record_property: Callable[[str, object], None]) -> None:
    outcome = explore(weakening.world, weakening.breaks, weakening.rest)
    assert outcome.failure is not None, f"without {weakening.without} nothing breaks: {report(outcome)}"
    assert outcome.failure.violation.kind == weakening.breaks
    record_property("shortest trace", len(outcome.failure.trace))
    print(f"without {weakening.without}: {outcome.failure}")


def test_a_walk_is_repeated_by_its_seed() -> None:
    weaker = next(found for found in WEAKENINGS if not found.world.rules.takeovers_decide)
    failures = [(seed, walk(weaker.world, seed)) for seed in range(40)]
    found = [(seed, failure) for seed, failure in failures if failure is not None]
    assert found, "none of 40 walks of a weaker protocol failed"
    seed, failure = found[0]
    assert walk(weaker.world, seed) == failure
    assert re.search(r"after \d+ steps", str(failure)), failure
