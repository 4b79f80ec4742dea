"""Advertising events of real-time bidding: their mix, prices, JSON lines and truth.

Per minute at 82 events/s: some 290 impressions per format in US, KR and JP, 160 to 190 in UK, CA,
FR and DE. Click-through rates and prices together let rewarded_video earn about five times a banner.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.contracts import load_contract
from include.traffic.faults import Kind, malform
from include.traffic.schedule import Schedule
from include.traffic.tally import Accepted, Number, Text, TruthRow, tally

I64 = NDArray[np.int64]
COUNTRIES = ("US", "KR", "JP", "UK", "CA", "FR", "DE")
FORMATS = ("banner", "interstitial", "rewarded_video")
EVENT_TYPES = ("impression", "click")
DEVICES = ("iOS", "Android")
LABELS = tuple(
    {"event_type": event_type, "country": country, "ad_format": ad_format}
    for country in COUNTRIES
    for ad_format in FORMATS
    for event_type in EVENT_TYPES
)
LARGE_MARKETS = 3
SMALL_IMPRESSIONS, LARGE_IMPRESSIONS, JITTER = 175, 289, 15
CLICK_THROUGH = np.array([0.022, 0.042, 0.076])
# Micro-dollars per click and format, [low, high): the usual price and, for one click in five, the unusual one.
USUAL = np.array([[30_000, 40_000], [35_000, 45_000], [40_000, 50_000]])
UNUSUAL = np.array([[10_000, 50_000], [20_000, 60_000], [30_000, 100_000]])
MINUTE_US = 60_000_000


@dataclass(frozen=True)
class AdEvents:
    """The drawn fields of a run, one entry per record; `group` indexes LABELS, revenue is micro-dollars."""

    schedule: Schedule
    run_number: int
    group: I64
    revenue: I64
    user: I64
    campaign: I64
    device: I64

    def values(self, first: int, end: int) -> list[bytes]:
        """Return the Kafka values of records [first, end)."""
        part, content = slice(first, end), self.schedule.content[first:end]
        stamps = np.datetime_as_string(self.schedule.event_us[part].astype("M8[us]"), unit="us")
        head = f'{{"event_id":"E{self.run_number:010d}'
        lines = [
            f'{head}{identity:08d}","timestamp":"{stamp}","user_id":"U{user:05d}","campaign_id":"C{campaign:03d}",'
            f"{_TAILS[tail]}{f'0.{revenue:06d}' if revenue else '0.0'}}}".encode()
            for identity, stamp, user, campaign, tail, revenue in zip(
                self.schedule.identity[part].tolist(),
                stamps.tolist(),
                self.user[content].tolist(),
                self.campaign[content].tolist(),
                (self.group[content] * 2 + self.device[content]).tolist(),
                self.revenue[content].tolist(),
                strict=True,
            )
        ]
        for i in np.flatnonzero(self.schedule.kind[part] >= Kind.SCHEMA_BREAKING).tolist():
            damage = malform if self.schedule.kind[first + i] == Kind.MALFORMED else break_schema
            lines[i] = damage(lines[i], int(self.schedule.flavour[first + i]))
        return lines

    def accepted(self) -> Accepted:
        """Return the accepted events, from which every truth follows."""
        rows = np.flatnonzero(self.schedule.accepted)
        content = self.schedule.content[rows]
        group, revenue = self.group[content], self.revenue[content]
        return Accepted(
            event_us=self.schedule.event_us[rows],
            kafka_ms=self.schedule.kafka_ms[rows],
            counts_once=self.schedule.kind[rows] != Kind.DUPLICATE,
            texts={
                "event_type": Text(group % 2, EVENT_TYPES),
                "ad_format": Text(group // 2 % len(FORMATS), FORMATS),
                "country": Text(group // 2 // len(FORMATS), COUNTRIES),
            },
            numbers={"revenue": Number(revenue, np.ones(rows.size, dtype=np.bool_))},
        )

    def truth(self) -> list[TruthRow]:
        """Return the figures of every cube, window and dimension."""
        return tally(load_contract("ad_events"), self.accepted())


def draw(schedule: Schedule, run_number: int, seed: int) -> AdEvents:
    """Draw the fields of every record of `schedule`; see include.traffic.Generator."""
    rng = np.random.default_rng([seed, 1])
    count = schedule.slot_us.size
    group = draw_mix(schedule.slot_us, rng)
    ad_format = group // 2 % len(FORMATS)
    bounds = np.where((rng.random(count) < 0.8)[:, None], USUAL[ad_format], UNUSUAL[ad_format])
    price = rng.integers(bounds[:, 0], bounds[:, 1])
    return AdEvents(
        schedule=schedule,
        run_number=run_number,
        group=group,
        revenue=price * (group % 2),
        user=rng.integers(1, 100_000, count),
        campaign=rng.integers(1, 21, count),
        device=rng.integers(0, len(DEVICES), count),
    )


def draw_mix(slot_us: I64, rng: np.random.Generator) -> I64:
    """Return a group for each slot, such that every clock minute has the mix that the module promises."""
    starts = np.flatnonzero(np.diff(slot_us // MINUTE_US, prepend=-1))
    group = np.empty(slot_us.size, dtype=np.int64)
    for first, end in zip(starts, [*starts[1:], slot_us.size], strict=True):
        share = _mix(rng) * (end - first)
        counts = share.astype(np.int64)
        left = share - counts
        if missing := int(end - first - counts.sum()):
            counts += rng.multinomial(missing, left / left.sum())
        group[first:end] = rng.permutation(np.repeat(np.arange(len(LABELS)), counts))
    return group


def _mix(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return one minute's share of each group."""
    impressions = np.full((len(COUNTRIES), len(FORMATS)), float(SMALL_IMPRESSIONS))
    impressions[:LARGE_MARKETS] = LARGE_IMPRESSIONS
    impressions += rng.uniform(-JITTER, JITTER, impressions.shape)
    share: NDArray[np.float64] = np.stack([impressions, impressions * CLICK_THROUGH], axis=-1).ravel()
    share /= share.sum()
    return share


def break_schema(value: bytes, flavour: int) -> bytes:
    """Return a whole JSON object that the contract of ad_events refuses; `flavour` chooses why."""
    way, rest = flavour % 5, flavour // 5
    event: dict[str, Any] = json.loads(value)
    if way == 0:
        del event[sorted(event)[rest % len(event)]]
    elif way == 1:
        event["revenue"] = str(event["revenue"])
    elif way == 2:
        event["country"] = "ZZ"
    else:
        event |= {"event_type": "click", "revenue": 0 if way == 3 else 5000}
    return json.dumps(event, separators=(",", ":")).encode()


_TAILS = tuple(
    f'"ad_format":"{label["ad_format"]}","country":"{label["country"]}","device":"{device}",'
    f'"event_type":"{label["event_type"]}","revenue":'
    for label in LABELS
    for device in DEVICES
)
