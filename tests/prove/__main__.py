"""Random faults until enough of them and of clean hours were judged: none undetected, none unrepaired, no false alarm.

Needs the running platform; makes topics and databases of its own and removes them. Prints the seed first: the
same seed and arguments do the same faults again.
"""

from __future__ import annotations

import argparse
import logging
import secrets
import sys
import time
from collections.abc import Sequence

from include.contracts.load import stream_names
from include.logs import configure_logging
from tests.prove.proof import Proof, Size, prove_streams
from tests.prove.report import table
from tests.spark import recount_spark

ALL = "all"


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments; nonsense ends the process with a message that names it."""
    parser = argparse.ArgumentParser(prog="python -m tests.prove", description=__doc__)
    parser.add_argument(
        "--stream",
        default=ALL,
        choices=[*stream_names(), ALL],
        help="whose hours to damage; all: they share faults and clean hours",
    )
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
        f"python -m tests.prove --stream {given.stream} --seed {given.seed} --faults {given.faults} "
        f"--clean-hours {given.clean_hours} --hours {given.hours}"
    )
    print(f"seed {given.seed}; to do the same again: {again}", flush=True)
    began = time.monotonic()
    streams = stream_names() if given.stream == ALL else [given.stream]
    with recount_spark("prove") as spark:
        proofs = prove_streams(spark, size_of(given), given.seed, streams)
    print(*map(_account, proofs), sep="\n\n")
    failures = [failure for proof in proofs for failure in proof.failures]
    print(f"\n{sum(proof.done for proof in proofs)} faults and ", end="")
    print(f"{sum(proof.clean_hours for proof in proofs)} clean hours, {time.monotonic() - began:.0f} s")
    if not failures:
        print(f"none undetected, none unrepaired, no false alarm; seed {given.seed}")
        return 0
    print(f"{len(failures)} lines of failure:", *failures, f"to do the same again: {again}", sep="\n")
    return 1


def _account(proof: Proof) -> str:
    return (
        f"{proof.stream}\n{table(proof.outcomes)}\n{proof.done} faults and {proof.clean_hours} clean hours judged in "
        f"{proof.rounds} rounds; {proof.refused} faults were drawn anew, since their hour did not hold what they needed"
    )


if __name__ == "__main__":
    sys.exit(main())
