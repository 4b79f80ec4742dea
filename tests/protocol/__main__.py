"""Searches the large worlds and walks the mixed one: `python -m tests.protocol --walks 1000 --seed 1`."""

from __future__ import annotations

import argparse
import random
import time

from tests.protocol.checker import explore, walk
from tests.protocol.worlds import LARGE, MIXED, SMALL


def main() -> int:
    """Print one line for each world and one for the walks; return 1 when an invariant breaks."""
    parser = argparse.ArgumentParser(prog="python -m tests.protocol", description=__doc__)
    parser.add_argument("--walks", type=int, default=1000, help="random walks of the mixed world")
    parser.add_argument("--seed", type=int, default=random.randrange(2**31), help="seed of the first walk")
    parser.add_argument("--states", type=int, default=300_000, help="most states of one world")
    chosen = parser.parse_args()
    failures = []
    for name, world, rest in (*SMALL, *LARGE):
        began = time.monotonic()
        outcome = explore(world, rest=rest, most_states=chosen.states)
        extent = "all" if outcome.complete else "the first"
        print(
            f"{name:42} {extent} {outcome.states:,} states, depth {outcome.depth}, {time.monotonic() - began:.0f} s"
        )
        failures += [outcome.failure] if outcome.failure else []
    seeds = range(chosen.seed, chosen.seed + chosen.walks)
    for seed in seeds:
        failure = walk(MIXED, seed)
        if failure:
            print(f"walk with seed {seed}:")
            failures.append(failure)
    print(f"{chosen.walks} walks from seed {chosen.seed}")
    for failure in failures:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
