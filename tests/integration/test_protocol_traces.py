"""The traces that break the weaker protocols, step by step on the real tables: the product's rules withstand them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from include.settings import Settings
from tests.helpers import ad_events
from tests.protocol.checker import explore
from tests.protocol.replay.lockstep import replay, truth
from tests.protocol.replay.platform import Platform
from tests.protocol.state import Step
from tests.protocol.weakenings import WEAKENINGS, Weakening
from tests.protocol.world import Rules, World
from tests.protocol.worlds import REJECTED

Build = Callable[[World], Platform]


@pytest.fixture
def build(control_topic: Settings, kafka_topic: str) -> Iterator[Build]:
    """Return a function that makes the platform of a world, on topics and a database of its own."""
    made: list[Platform] = []

    def platform(world: World) -> Platform:
        contract = ad_events()
        contract = contract.model_copy(
            update={
                "topic": contract.topic.model_copy(update={"name": kafka_topic}),
                "cubes": contract.cubes[:1],
            }
        )
        made.append(Platform(control_topic.model_copy(update={"grace_seconds": 0.0}), contract, world))
        return made[-1]

    yield platform
    for found in made:
        found.close()


@pytest.mark.parametrize("weakening", WEAKENINGS, ids=lambda weakening: f"without {weakening.without}")
def test_what_breaks_a_weaker_protocol_does_not_break_the_product(weakening: Weakening, build: Build) -> None:
    failure = explore(weakening.world, weakening.breaks, weakening.rest).failure
    assert failure is not None
    world = replace(weakening.world, rules=Rules())
    platform = build(world)
    with replay(platform) as steps:
        steps.follow(failure.trace)
        steps.come_to_rest()
        if world.expiries == ():
            assert platform.served() == truth(world), f"at rest, after\n{steps.told()}"
        if not world.damages:
            verdicts = [certificate.verdict for certificate in steps.state.tables.certificates]
            assert sorted(platform.verdicts().elements()) == sorted(verdicts), steps.told()
        for query in steps.queries.values():
            assert query.result is None or max(query.result.values(), default=0) <= 1


SHOWN = {
    "a rule for which of two overlapping ledger rows counts",
    "reading the newest claim after the ledger",
    "reading takeover rows before the ledger",
    "a new generation after an insert without an answer",
    "one read of the certificates in the view",
    "grace before the certificate",
    "asking for the log start after the fold",
    "the frontier as the highest end",
    "validity for dead letters",
    "replay by the driver itself",
}


@pytest.mark.parametrize(
    "weakening",
    [weakening for weakening in WEAKENINGS if weakening.without in SHOWN],
    ids=lambda weakening: f"without {weakening.without}",
)
def test_what_breaks_a_weaker_protocol_breaks_it_on_the_real_tables(
    weakening: Weakening, build: Build
) -> None:
    failure = explore(weakening.world, weakening.breaks, weakening.rest).failure
    assert failure is not None
    platform = build(weakening.world)
    with replay(platform) as steps:
        steps.follow(failure.trace)
        if weakening.rest:
            steps.catch_up()
        counted = [query.result for query in steps.queries.values()] or [platform.served()]
        assert counted != [platform.committed()], f"right all the same, after\n{steps.told()}"


def test_a_replay_that_is_overtaken_before_its_commit_is_made_again_once(build: Build) -> None:
    platform = build(World(REJECTED, drivers=(1, 2, 2), approvals=True))
    reads_and_rejects, until_deltas, until_commit = ["driver 0"] * 8, ["driver 1"] * 6, ["driver 2"] * 7
    moves = [*reads_and_rejects, "person", *until_deltas, *until_commit, "driver 1"]
    with replay(platform) as steps:
        steps.follow([Step(who, "") for who in moves])
        written = [str(step) for step in steps.trace if "[(0, 1)] of batch" in step.what]
        assert len(written) == 2, f"one of two attempts wrote no deltas, in\n{steps.told()}"
        assert platform.replayed() == {(0, 1): 1}, steps.told()
        steps.come_to_rest()
        assert platform.served() == truth(platform.world), steps.told()
        assert dict(platform.verdicts()) == {"PROVED": 1}, steps.told()
