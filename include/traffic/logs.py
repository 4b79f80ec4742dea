"""Service logs: JSON, nginx combined and Apache common lines, mixed record by record; incidents and truth.

A line tells the time to the second, JSON to the millisecond. Only JSON has a request id, which is
the record's identity, a response time, a message and an error code; each of them is absent at times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.contracts import load_contract
from include.traffic import log_records
from include.traffic.faults import Kind
from include.traffic.incidents import IncidentFacts, facts_of
from include.traffic.log_records import APACHE, FORMAT_SHARES, JSON, LEVELS, NGINX, Request
from include.traffic.schedule import Schedule
from include.traffic.services import NAMES, ROOT, draw_requests
from include.traffic.tally import Accepted, Number, Text, TruthRow, tally

I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]
NO_REQUEST_ID, NO_RESPONSE_TIME, NO_LEVEL, NO_ADDRESS = 0.1, 0.08, 0.03, 0.02
SLOWER, FAILING = 5.0, 0.4
NOWHERE, ATTACKER = -1, -2
SCANNING_USERS, ATTACKING_USERS = 12, 3
INCIDENT_ALERTS = {
    "slow_service": {"response_time_anomaly": (60, 60)},
    "error_burst": {"error_rate_spike": (60, 60)},
    "scanning_ip": {"suspicious_ip": (300, 300)},
    "ddos": {"ddos": (60, 60)},
}


@dataclass(frozen=True)
class Logs:
    """The drawn fields of a run, one entry per record.

    Format, request id and event time are those of a record's identity, the rest of its content.
    `level` indexes LEVELS, `micros` is the response time in microseconds; absent are level 0,
    user -1, address NOWHERE and what `timed` and `named` say. ATTACKER is the number of the address
    `attacker`, which takes part in nothing but an incident.
    """

    schedule: Schedule
    run_number: int
    form: I64
    named: Flags
    service: I64
    status: I64
    level: I64
    micros: I64
    timed: Flags
    user: I64
    address: I64
    attacker: str
    subject: str

    @property
    def event_us(self) -> I64:
        """Event times, epoch microseconds, as precise as the record's format."""
        precision = np.where(self.form[self.schedule.identity] == JSON, 1_000, 1_000_000)
        times: I64 = self.schedule.event_us // precision * precision
        return times

    def values(self, first: int, end: int) -> list[bytes]:
        """Return the Kafka values of records [first, end)."""
        values = [log_records.write(request) for request in self._requests(slice(first, end))]
        for i in np.flatnonzero(self.schedule.kind[first:end] >= Kind.SCHEMA_BREAKING).tolist():
            malformed = self.schedule.kind[first + i] == Kind.MALFORMED
            damage = log_records.malform if malformed else log_records.break_schema
            values[i] = damage(values[i], int(self.schedule.flavour[first + i]))
        return values

    def _requests(self, part: slice) -> Iterator[Request]:
        identity, content = self.schedule.identity[part], self.schedule.content[part]
        columns = (
            self.form[identity],
            self.event_us[part],
            self.service[content],
            self.status[content],
            self.level[content],
            np.where(self.timed[content], self.micros[content], -1),
            self.user[content],
            self.address[content],
            np.where(self.named[identity], identity, -1),
            self.schedule.flavour[content],
        )
        for form, event_us, service, status, level, micros, user, address, name, chance in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            yield Request(
                form=form,
                event_us=event_us,
                service=service,
                status=status,
                level=LEVELS[level],
                seconds=None if micros < 0 else micros / 1e6,
                user=user_of(user),
                address=self._address(address),
                request_id="" if name < 0 else f"r-{self.run_number:010d}{name:08d}",
                chance=chance,
            )

    def _address(self, number: int) -> str:
        return self.attacker if number == ATTACKER else address_of(number)

    def accepted(self) -> Accepted:
        """Return the accepted events, from which every truth follows."""
        rows = np.flatnonzero(self.schedule.accepted)
        identity, content = self.schedule.identity[rows], self.schedule.content[rows]
        json_record = self.form[identity] == JSON
        # A changed copy takes its form from the original, and with it what that form can say.
        level = np.where(json_record, self.level[content], log_records.line_level(self.status[content]))
        users, user = np.unique(self.user[content], return_inverse=True)
        addresses, address = np.unique(self.address[content], return_inverse=True)
        every = np.ones(rows.size, dtype=np.bool_)
        return Accepted(
            event_us=self.event_us[rows],
            kafka_ms=self.schedule.kafka_ms[rows],
            counts_once=(self.schedule.kind[rows] != Kind.DUPLICATE) | ~self.named[identity],
            texts={
                "service": Text(self.service[content], NAMES),
                "level": Text(level, LEVELS),
                "user_id": Text(user, [user_of(number) for number in users.tolist()]),
                "ip_address": Text(address, [self._address(number) for number in addresses.tolist()]),
            },
            numbers={
                "status_code": Number(self.status[content], every),
                "response_time": Number(self.micros[content], self.timed[content] & json_record),
            },
        )

    def truth(self) -> list[TruthRow]:
        """Return the figures of every cube, window and dimension."""
        return tally(load_contract("logs"), self.accepted())

    @property
    def incident_facts(self) -> IncidentFacts | None:
        """What goes wrong in the run and which alerts must follow; none in a calm run."""
        incident = self.schedule.incident
        if not incident:
            return None
        return facts_of("logs", incident, self.schedule.incident_us, self.subject, INCIDENT_ALERTS[incident])


def draw(schedule: Schedule, run_number: int, seed: int) -> Logs:
    """Draw the fields of every record of `schedule`; see include.traffic.Generator."""
    rng = np.random.default_rng([seed, 1])
    count = schedule.size
    seconds = max(1.0, float(schedule.slot_us[-1] - schedule.slot_us[0]) / 1e6)
    drawn = draw_requests(count, count / seconds, rng)
    form = rng.choice([JSON, NGINX, APACHE], count, p=FORMAT_SHARES)
    form[(drawn.service == ROOT) & (form == JSON)] = NGINX
    fields: dict[str, Any] = {
        "form": form,
        "service": drawn.service,
        "status": drawn.status,
        "micros": np.rint(drawn.seconds * 1e6).astype(np.int64),
        "user": drawn.user,
        "address": np.where(rng.random(count) < NO_ADDRESS, NOWHERE, drawn.address),
    }
    attacker = f"203.0.113.{rng.integers(1, 255)}"
    subject = _make_trouble(schedule, fields, attacker, rng)
    named = (form == JSON) & (rng.random(count) >= NO_REQUEST_ID)
    return Logs(
        schedule=schedule,
        run_number=run_number,
        named=named,
        level=np.where(rng.random(count) < NO_LEVEL, 0, log_records.json_level(fields["status"], rng)),
        timed=rng.random(count) >= NO_RESPONSE_TIME,
        attacker=attacker,
        subject=subject,
        **fields,
    )


def _make_trouble(schedule: Schedule, fields: dict[str, Any], attacker: str, rng: np.random.Generator) -> str:
    """Change the fields of the records of the incident, in place; return whose incident it is."""
    chosen = int(rng.integers(0, 3))
    here = schedule.in_incident & (fields["service"] == chosen)
    if schedule.incident == "slow_service":
        fields["micros"][here] = (fields["micros"][here] * SLOWER).astype(np.int64)
    elif schedule.incident == "error_burst":
        failing = here & (rng.random(schedule.size) < FAILING)
        fields["status"][failing] = rng.choice([500, 502, 503], int(failing.sum()))
    elif schedule.incident:
        added, order = schedule.added, np.arange(int(schedule.added.sum()))
        scans = schedule.incident == "scanning_ip"
        fields["form"][added], fields["address"][added] = NGINX, ATTACKER
        fields["user"][added] = order % (SCANNING_USERS if scans else ATTACKING_USERS)
        fields["service"][added] = order % ROOT if scans else chosen
        fields["status"][added] = 200
        return attacker
    return NAMES[chosen]


def user_of(number: int) -> str:
    """Return the user's id, '' for an anonymous one."""
    return "" if number < 0 else f"user_{number:05d}"


def address_of(number: int) -> str:
    """Return the address of that number, '' for none."""
    return "" if number < 0 else f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
