"""Who does what: visits of users, one after the other, over the records of a run.

Records go round a hall of seats, in an order drawn anew for each round; in a seat one visit follows the
other, from login to logout. So no user is in two places, and none comes near the rate of one gone wild:
at most some 30 events in 5 minutes. Owns: seats, users, sessions, actions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]
ACTIONS = ("login", "logout", "purchase", "view", "click")
LOGIN, LOGOUT, PURCHASE, VIEW, CLICK = range(len(ACTIONS))
ROUND_SECONDS = 30
USERS_OF_A_SEAT = np.array([0.4, 0.25, 0.2, 0.1, 0.05])
EVENTS_OF_A_VISIT = 25
QUICK = 5  # one seat of five is served twice a round


@dataclass(frozen=True)
class Visits:
    """One entry per record: the user's number, the session's number within the run, and the action."""

    user: I64
    session: I64
    action: I64
    users: int


def draw_visits(count: int, rate: float, rng: np.random.Generator) -> Visits:
    """Draw the visits of `count` records at `rate` a second."""
    seats = max(20, round(rate * ROUND_SECONDS * QUICK / (QUICK + 1)))
    hall = np.concatenate([np.arange(seats), np.arange(0, seats, QUICK)])
    rounds = [rng.permutation(hall) for _ in range(-(-count // hall.size))]
    seat = np.concatenate(rounds)[:count]

    order = np.argsort(seat, kind="stable")
    newcomer = np.diff(seat[order], prepend=-1) != 0
    leaves = rng.random(count) < 1 / EVENTS_OF_A_VISIT
    leaves[1:] &= ~leaves[:-1]
    arrives = np.concatenate([[False], leaves[:-1]]) & ~newcomer
    action = rng.choice([VIEW, CLICK, PURCHASE], count, p=[0.55, 0.37, 0.08])
    action[leaves], action[arrives] = LOGOUT, LOGIN
    # Whoever sits there when the run begins is in the middle of a visit.
    session = np.cumsum(newcomer | arrives) - 1
    regular = rng.choice(USERS_OF_A_SEAT.size, session.max() + 1, p=USERS_OF_A_SEAT)

    back = np.argsort(order)
    return Visits(
        user=seat * USERS_OF_A_SEAT.size + regular[session[back]],
        session=session[back],
        action=action[back],
        users=seats * USERS_OF_A_SEAT.size,
    )
