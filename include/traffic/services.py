"""The services that write logs: their share of the requests, speed, paths, and how often they fail.

Failures are spread evenly over the requests of a service, so that a calm minute's error rate never
jumps by chance; what does jump is an incident. Owns: the figures of a calm service, and who asks it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]
USERS_PER_RATE, FEWEST_USERS = 60, 500
ANONYMOUS = 0.15
SUCCESSES, SUCCESS_SHARES = (200, 201, 204, 304), (0.93, 0.03, 0.02, 0.02)
FAILURES, FAILURE_SHARES = (400, 401, 404, 429, 500, 502, 503), (0.1, 0.1, 0.4, 0.05, 0.15, 0.1, 0.1)


@dataclass(frozen=True)
class Service:
    """A service: share of all requests, median and spread of its lognormal response time, one failure in `fails`."""

    name: str
    share: float
    median_seconds: float
    sigma: float
    fails: int
    paths: tuple[str, ...]


SERVICES = (
    Service("checkout", 0.14, 0.180, 0.55, 42, ("cart", "pay", "confirm?step=2")),
    Service("catalog", 0.22, 0.060, 0.50, 56, ("items", "items/17", "list?page=3&sort=price")),
    Service("search", 0.16, 0.110, 0.70, 48, ("find?q=shoes", "suggest?q=sh")),
    Service("auth", 0.12, 0.040, 0.40, 40, ("token", "login?next=%2Fcart")),
    Service("payments", 0.08, 0.320, 0.60, 44, ("charge", "refund")),
    Service("profile", 0.10, 0.075, 0.45, 60, ("me", "settings")),
    Service("media", 0.09, 0.240, 0.80, 52, ("img/9f2c.jpg", "video/11")),
    Service("notify", 0.05, 0.025, 0.50, 58, ("push", "mail")),
    Service("root", 0.04, 0.015, 0.40, 50, ("",)),
)
NAMES = tuple(service.name for service in SERVICES)
ROOT = NAMES.index("root")  # asked for by path alone, so that only access-log lines have it


@dataclass(frozen=True)
class Requests:
    """One entry per record: the service's index, the status, response seconds, and the numbers of user and address.

    User -1 is anonymous. Two users share an address; addresses below `users` are those of users.
    """

    service: I64
    status: I64
    seconds: F64
    user: I64
    address: I64


def draw_requests(count: int, rate: float, rng: np.random.Generator) -> Requests:
    """Draw `count` requests, at `rate` a second: the more there are, the more users share them."""
    service = rng.choice(len(SERVICES), count, p=[s.share for s in SERVICES])
    users = max(FEWEST_USERS, round(USERS_PER_RATE * rate))
    weight = 1 / (np.arange(users) + users / 60)
    user = rng.choice(users, count, p=weight / weight.sum())
    anonymous = rng.random(count) < ANONYMOUS
    medians, sigmas = (np.array([getattr(s, name) for s in SERVICES]) for name in ("median_seconds", "sigma"))
    status = rng.choice(SUCCESSES, count, p=SUCCESS_SHARES)
    failed = _draw_failures(service, rng)
    status[failed] = rng.choice(FAILURES, int(failed.sum()), p=FAILURE_SHARES)
    return Requests(
        service=service,
        status=status,
        seconds=np.minimum(medians[service] * np.exp(sigmas[service] * rng.standard_normal(count)), 3600.0),
        user=np.where(anonymous, -1, user),
        address=np.where(anonymous, users + rng.integers(0, users, count), user // 2),
    )


def _draw_failures(service: I64, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Choose one request of every `fails` of each service, within the middle half of that stretch."""
    failed = np.zeros(service.size, dtype=np.bool_)
    for number, what in enumerate(SERVICES):
        rows = np.flatnonzero(service == number)
        stretches = np.arange(-(-rows.size // what.fails)) * what.fails
        chosen = stretches + rng.integers(what.fails // 4, 3 * what.fails // 4, stretches.size)
        failed[rows[chosen[chosen < rows.size]]] = True
    return failed
