"""Dead letters: a person's approval, and a replay beside the driver, which takes part in a weaker protocol only."""

from __future__ import annotations

from collections.abc import Iterable

from include.replay.letters import Choice, Letter, approve
from include.replay.run import judge_letters
from include.streaming.commit import write_batch
from include.streaming.ledger import read_commit_state
from include.streaming.replays import Replays
from tests.protocol.replay.gate import Actor, SteppedClient
from tests.protocol.replay.platform import STREAM, Platform
from tests.protocol.state import Offset

RUN = "a person's run"
WRITES = [("write", r"INSERT INTO \w+_delta "), ("commit", "INSERT INTO ledger ")]


def approve_letters(platform: Platform, offsets: Iterable[Offset]) -> None:
    """Approve by the product's judgement; then those that it leaves out because their batch no longer counts.

    Somebody who judged these while it did has approved them all the same: the driver has to refuse them by itself.
    """
    judge_letters(platform.settings, platform.contract, Choice(), RUN)
    letters = [Letter(partition, offset, 0, "", 0, "") for partition, offset in sorted(offsets)]
    approve(platform.client, STREAM, platform.contract.version, RUN, letters)


def replay_beside(platform: Platform, actor: Actor) -> None:
    """Fold approved letters under the batch number that follows the ledger's highest, as a second writer."""
    replays = Replays(platform.settings, platform.contract)
    try:
        actor.before("begin")
        client = platform.connect()
        state = read_commit_state(client, STREAM)
        replay = replays.next()
        assert replay is not None, "there is nothing to replay"
        batch = state.highest_batch + 1
        lowest = min(state.frontier)
        row = replay.ledger_row(platform.contract, batch, lowest, state.frontier[lowest])
        write_batch(SteppedClient(client, WRITES), platform.contract, batch, replay.cubes, [row])
    finally:
        replays.close()
