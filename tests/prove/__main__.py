"""Random faults until enough of them and of clean hours were judged: none undetected, none unrepaired, no false alarm.

Needs the running platform; makes a topic and a database of its own and removes them. Prints the seed first: the
same seed and arguments do the same faults again.
"""

from __future__ import annotations

import argparse
import logging
import random
import secrets
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from include.logs import configure_logging
from tests.prove.checks import UNDONE, Judged, Outcome, judge_round
from tests.prove.report import table
from tests.prove.rounds import Prover
from tests.prove.seen import Seen
from tests.prove.stage import open_stage
from tests.spark import recount_spark

log = logging.getLogger("prove")

MOST_ROUNDS = 40


@dataclass(frozen=True)
class Size:
    """How much to do: faults and clean hours at least, hours of traffic, of them sealed first, new ones a round."""

    faults: int = 200
    clean_hours: int = 200
    hours: int = 90
    sealed: int = 50
    new_hours: int = 10
    reopened: int = 8
    faults_a_round: int = 40
    events_an_hour: int = 200


@dataclass
class Proof:
    """What came of all rounds."""

    outcomes: list[Outcome] = field(default_factory=list)
    clean_hours: int = 0
    refused: int = 0
    rounds: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Faults of which something was left to be found, or to be counted."""
        return sum(outcome.fate != UNDONE for outcome in self.outcomes)


def prove(size: Size, seed: int) -> Proof:
    """Play rounds until enough was judged, or one of them fails."""
    proof = Proof()
    with ExitStack() as undo:
        spark = undo.enter_context(recount_spark("prove"))
        stage = undo.enter_context(open_stage(spark))
        stage.send_hours(random.Random(f"{seed}/traffic"), size.hours, size.events_an_hour)
        log.info("%d hours of traffic in %d ledger rows", size.hours, len(stage.ledger()))
        prover = Prover(stage, seed)
        _add(proof, prover.seal_first(size.sealed))
        while not proof.failures and proof.rounds < MOST_ROUNDS:
            missing = size.faults - proof.done
            if missing <= 0 and proof.clean_hours >= size.clean_hours:
                return proof
            hours = min(size.hours, size.sealed + size.new_hours * (proof.rounds + 1))
            count = max(0, min(size.faults_a_round, missing))
            proof.rounds += 1
            _add(proof, prover.play(proof.rounds, hours, count, size.reopened))
    if not proof.failures:
        proof.failures.append(
            f"{MOST_ROUNDS} rounds were not enough: {proof.done} faults, {proof.clean_hours} clean hours"
        )
    return proof


def _add(proof: Proof, seen: Seen) -> None:
    judged: Judged = judge_round(seen)
    proof.outcomes += judged.outcomes
    proof.clean_hours += judged.clean_hours
    proof.refused += len(seen.refused)
    proof.failures += [f"round {seen.number}: {failure}" for failure in judged.failures]
    if judged.failures:
        proof.failures += [
            f"round {seen.number} had {fault}; {seen.accounts[fault.number]}" for fault in seen.faults
        ]
    log.info(
        "round %d: %d faults, %d clean hours, %d failures",
        *(seen.number, len(judged.outcomes), judged.clean_hours, len(judged.failures)),
    )


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments; nonsense ends the process with a message that names it."""
    parser = argparse.ArgumentParser(prog="python -m tests.prove", description=__doc__)
    parser.add_argument(
        "--seed", type=int, default=secrets.randbelow(2**31), help="of everything; else by chance"
    )
    parser.add_argument("--faults", type=int, default=Size.faults, help="faults to do")
    parser.add_argument(
        "--clean-hours", type=int, default=Size.clean_hours, help="clean hours to judge, at least"
    )
    parser.add_argument("--hours", type=int, default=Size.hours, help="hours of traffic, at most 90")
    given = parser.parse_args(arguments)
    if not 4 <= given.hours <= Size.hours:
        parser.error(
            f"--hours {given.hours}: 4 to {Size.hours}, since late events of older hours are refused"
        )
    return given


def size_of(given: argparse.Namespace) -> Size:
    """Scale a round to the hours that there are."""
    share = given.hours / Size.hours
    return Size(
        faults=given.faults,
        clean_hours=given.clean_hours,
        hours=given.hours,
        sealed=round(Size.sealed * share),
        new_hours=max(1, round(Size.new_hours * share)),
        reopened=max(1, round(Size.reopened * share)),
        faults_a_round=max(1, round(Size.faults_a_round * share)),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Prove and print; returns the exit code."""
    given = parse_arguments(arguments)
    configure_logging()
    logging.getLogger("include").setLevel(logging.ERROR)
    again = (
        f"python -m tests.prove --seed {given.seed} --faults {given.faults} --clean-hours {given.clean_hours} "
        f"--hours {given.hours}"
    )
    print(f"seed {given.seed}; to do the same again: {again}", flush=True)
    began = time.monotonic()
    proof = prove(size_of(given), given.seed)
    print(table(proof.outcomes))
    print(
        f"{proof.done} faults and {proof.clean_hours} clean hours judged in {proof.rounds} rounds, "
        f"{time.monotonic() - began:.0f} s; {proof.refused} faults were drawn anew, since their hour did not hold "
        "what they needed"
    )
    if not proof.failures:
        print(f"none undetected, none unrepaired, no false alarm; seed {given.seed}")
        return 0
    print(
        f"{len(proof.failures)} lines of failure:",
        *proof.failures,
        f"to do the same again: {again}",
        sep="\n",
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
