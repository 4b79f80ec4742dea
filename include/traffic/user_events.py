"""What users do: visits from login to logout, their values, JSON values, incidents and truth.

A purchase has a price in cents, a view the seconds spent on it, which producers send as long floats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from include.contracts import load_contract
from include.traffic.faults import Kind, malform
from include.traffic.incidents import IncidentFacts, facts_of
from include.traffic.schedule import Schedule
from include.traffic.sessions import ACTIONS, CLICK, PURCHASE, VIEW, draw_visits
from include.traffic.tally import Accepted, Number, Text, TruthRow, tally

I64 = NDArray[np.int64]
KEY_FIELD = "user_id"  # the field that is Kafka's key
WRITTEN, MISSING, NULL = range(3)
ADDRESS_SHARES = (0.9, 0.08, 0.02)
SPENT = (1.2, 0.8)  # lognormal seconds of a view
PRICE = (3.4, 0.7)  # lognormal price of a purchase
INCIDENT_ALERTS = {"wild_user": {"busy_user": (300, 120)}, "offline_phone": {"late_user": (60, 60)}}


@dataclass(frozen=True)
class UserEvents:
    """The drawn fields of a run, one entry per record; `event_us` has whole milliseconds.

    User, session and action are those of the record's identity; value and address of its content.
    """

    schedule: Schedule
    run_number: int
    event_us: I64
    user: I64
    session: I64
    action: I64
    value: NDArray[np.float64]
    address: I64
    users: int

    def values(self, first: int, end: int) -> list[bytes]:
        """Return the Kafka values of records [first, end)."""
        values = [msgspec.json.encode(self._event(i)) for i in range(first, end)]
        for i in np.flatnonzero(self.schedule.kind[first:end] >= Kind.SCHEMA_BREAKING).tolist():
            damage = malform if self.schedule.kind[first + i] == Kind.MALFORMED else break_schema
            values[i] = damage(values[i], int(self.schedule.flavour[first + i]))
        return values

    def keys(self, first: int, end: int) -> list[bytes]:
        """Return the Kafka keys of records [first, end): the user."""
        owners = self.user[self.schedule.identity[first:end]]
        return [name_of(user).encode() for user in owners.tolist()]

    def _event(self, i: int) -> dict[str, Any]:
        identity, content = self.schedule.identity[i], self.schedule.content[i]
        user = int(self.user[identity])
        event: dict[str, Any] = {
            "timestamp": int(self.event_us[i]) // 1000,
            "user_id": name_of(user),
            "action": ACTIONS[self.action[identity]],
            "value": float(self.value[content]),
            "session_id": f"s{self.run_number:010d}{self.session[identity]:08d}",
        }
        if self.address[content] != MISSING:
            event["ip_address"] = None if self.address[content] == NULL else address_of(user)
        return event

    def accepted(self) -> Accepted:
        """Return the accepted events, from which every truth follows."""
        rows = np.flatnonzero(self.schedule.accepted)
        identity, content = self.schedule.identity[rows], self.schedule.content[rows]
        users, user = np.unique(self.user[identity], return_inverse=True)
        return Accepted(
            event_us=self.event_us[rows],
            kafka_ms=self.schedule.kafka_ms[rows],
            counts_once=self.schedule.kind[rows] != Kind.DUPLICATE,
            texts={
                "user_id": Text(user, [name_of(number) for number in users.tolist()]),
                "action": Text(self.action[identity], ACTIONS),
            },
            numbers={
                "value": Number(
                    np.rint(self.value[content] * 1e6).astype(np.int64), np.ones(rows.size, dtype=np.bool_)
                )
            },
        )

    def truth(self) -> list[TruthRow]:
        """Return the figures of every cube, window and dimension."""
        return tally(load_contract("user_events"), self.accepted())

    @property
    def incident_facts(self) -> IncidentFacts | None:
        """What goes wrong in the run and which alerts must follow; none in a calm run."""
        if not self.schedule.incident:
            return None
        incident = self.schedule.incident
        subject, minute = name_of(self.users), self.schedule.incident_us
        return facts_of("user_events", incident, minute, subject, INCIDENT_ALERTS[incident])


def draw(schedule: Schedule, run_number: int, seed: int) -> UserEvents:
    """Draw the fields of every record of `schedule`; see include.traffic.Generator."""
    rng = np.random.default_rng([seed, 1])
    count, calm = schedule.size, ~schedule.added
    seconds = max(1.0, float(schedule.slot_us[-1] - schedule.slot_us[0]) / 1e6)
    visits = draw_visits(int(calm.sum()), count / seconds, rng)
    # The one whose incident it is takes no part in what goes on around.
    user = np.full(count, visits.users)
    session = np.full(count, visits.session.max() + 1)
    action = rng.choice([VIEW, CLICK], count)
    user[calm], session[calm], action[calm] = visits.user, visits.session, visits.action
    value = np.zeros(count)
    value[action == VIEW] = rng.lognormal(*SPENT, int((action == VIEW).sum()))
    value[action == PURCHASE] = rng.lognormal(*PRICE, int((action == PURCHASE).sum())).round(2)
    original = np.where(schedule.kind == Kind.DUPLICATE, schedule.identity, np.arange(count))
    event_us = part_ties(user, schedule.event_us, schedule.kind <= Kind.LATE)[original]
    return UserEvents(
        schedule=schedule,
        run_number=run_number,
        event_us=event_us,
        user=user,
        session=session,
        action=action,
        value=value,
        address=rng.choice(len(ADDRESS_SHARES), count, p=ADDRESS_SHARES),
        users=visits.users,
    )


def part_ties(user: I64, event_us: I64, original: NDArray[np.bool_]) -> I64:
    """Return the times with no two originals of one user in the same millisecond: one of them is 1 ms earlier."""
    times = event_us.copy()
    rows = np.flatnonzero(original)
    while True:
        order = rows[np.lexsort((-rows, times[rows], user[rows]))]
        ties = order[1:][(np.diff(user[order]) == 0) & (np.diff(times[order]) == 0)]
        if not ties.size:
            return times
        times[ties] -= 1000


def name_of(user: int) -> str:
    """Return the user's id."""
    return f"user_{user:06d}"


def address_of(user: int) -> str:
    """Return the address of a user; one in ten has IPv6."""
    scattered = user * 2_654_435_761 % 2**32
    if scattered % 10 == 0:
        return f"2001:db8:{user >> 16:x}:{user & 0xFFFF:x}::{scattered & 0xFFFF:x}"
    return f"10.{scattered >> 24}.{scattered >> 16 & 255}.{scattered >> 8 & 255}"


def break_schema(value: bytes, flavour: int) -> bytes:
    """Return a whole JSON object that the contract of user_events refuses; `flavour` chooses why."""
    event: dict[str, Any] = msgspec.json.decode(value)
    required = ("timestamp", "user_id", "action", "value", "session_id")
    way, rest = flavour % 8, flavour // 8
    if way == 0:
        del event[required[rest % len(required)]]
    else:
        event |= (
            {"value": str(event["value"])},
            {"value": -1},
            {"value": 1_000_000.5},
            {"action": "jump"},
            {"user_id": ""},
            {"timestamp": str(event["timestamp"])},
            {"ip_address": "10.0.0.999"},
        )[way - 1]
    return msgspec.json.encode(event)
