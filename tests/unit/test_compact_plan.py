"""What compaction and retention decide, on crafted hours: pure, no service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from include.compact.plan import MOST_HOURS, Held, damaged, drops, hour_parameters
from include.compact.retention import OldHours, certified_hours, expired_before
from include.reconcile.types import HOUR, Certificate

FIRST = datetime(2026, 1, 1, 5, tzinfo=UTC)
GENERATION = 1 << 40


def hours(count: int) -> list[datetime]:
    return [FIRST + HOUR * n for n in range(count)]


def certificate(batch: int = 5, seal: int = 7, digest: str = "d") -> Certificate:
    return Certificate(GENERATION + batch, seal, digest)


def test_one_statement_a_table_takes_all_hours_that_hold_something() -> None:
    certificates = {hour: certificate(seal=n) for n, hour in enumerate(hours(4))}
    held = [Held("a_delta", hours(4)[3], 2), Held("a_delta", FIRST, 3), Held("a_sealed", FIRST, 1)]
    found = drops(held, certificates, [])
    assert [(drop.table, drop.rows, [hour for hour, _ in drop.hours]) for drop in found] == [
        ("a_delta", 5, [FIRST, hours(4)[3]]),
        ("a_sealed", 1, [FIRST]),
    ]


def test_a_statement_takes_no_more_hours_than_its_text_can_hold() -> None:
    all_hours = hours(2 * MOST_HOURS + 1)
    certificates = {hour: Certificate((1 << 63) - 1, (1 << 63) - 1, "") for hour in all_hours}
    found = drops([Held("a_delta", hour, 1) for hour in all_hours], certificates, [])
    assert [len(drop.hours) for drop in found] == [MOST_HOURS, MOST_HOURS, 1]
    parameters = hour_parameters(found[0].hours)
    lists = sum(len(str(value)) for value in parameters.values())
    assert 3 * lists < 256 * 1024, "a statement names each list up to three times"


def test_an_hour_without_certificate_or_with_a_damaged_seal_is_left_alone() -> None:
    certificates = {hour: certificate() for hour in hours(2)}
    digests = {(FIRST, GENERATION + 5, 7): "other", (hours(2)[1], GENERATION + 5, 7): "d"}
    kept = damaged("logs", hours(2), certificates, digests)
    assert [(item.stream, item.hour) for item in kept] == [("logs", FIRST)]
    held = [Held("a_delta", hour, 1) for hour in hours(3)]
    assert [[hour for hour, _ in drop.hours] for drop in drops(held, certificates, kept)] == [[hours(2)[1]]]


def test_an_hour_of_no_events_is_not_damaged() -> None:
    assert damaged("logs", [FIRST], {FIRST: certificate(digest="")}, {}) == []


def test_parameters_name_each_hour_beside_its_certificate() -> None:
    portion = ((FIRST, certificate(seal=7)), (FIRST + 3 * HOUR, certificate(6, 9)))
    assert hour_parameters(portion) == {
        "from": "2026-01-01 05:00:00",
        "to": "2026-01-01 09:00:00",
        "hours": [1767243600, 1767254400],
        "frontiers": [GENERATION + 5, GENERATION + 6],
        "seals": [7, 9],
    }


CUTOFF = FIRST + 10 * HOUR
ALL = {hour: certificate() for hour in hours(24)}


def old(**changes: object) -> OldHours:
    return OldHours(**{"cutoff": CUTOFF, "certificates": ALL, "later": {}, **changes})  # type: ignore[arg-type]


def test_all_certified_hours_before_the_cutoff_expire() -> None:
    assert expired_before(old()) == (CUTOFF, "")


def test_nothing_expires_where_nothing_is_old() -> None:
    assert expired_before(old(cutoff=FIRST)) == (None, "")
    assert expired_before(old(certificates={})) == (None, "")


STOP = hours(5)[4]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"certificates": {h: c for h, c in ALL.items() if h != STOP}}, "was never certified"),
        ({"damaged": [STOP]}, "not those that were certified"),
        ({"later": {STOP: GENERATION + 6}}, "events that came after its certificate"),
        ({"mended": {STOP: 8}}, "mended after its certificate"),
        ({"pinned": STOP}, "last ledger rows of a partition list"),
    ],
    ids=["uncertified", "damaged", "later", "mended", "pinned"],
)
def test_an_hour_that_must_stay_stops_those_after_it(changes: dict[str, object], reason: str) -> None:
    before, why = expired_before(old(**changes))
    assert before == STOP
    assert reason in why
    assert "2026-01-01T09" in why


def test_what_a_certificate_includes_stops_nothing() -> None:
    included = {"later": {STOP: GENERATION + 5}, "mended": {STOP: 7}, "pinned": CUTOFF}
    assert expired_before(old(**included)) == (CUTOFF, "")


def test_a_first_hour_that_only_the_ledger_knows_is_not_skipped() -> None:
    earlier = FIRST - timedelta(days=3)
    assert expired_before(old(later={earlier: 1})) == (None, "2025-12-29T05 was never certified")


def test_dead_letters_go_by_the_hour_of_their_arrival() -> None:
    held = {hours(3)[2]: 4, FIRST: 1, FIRST - HOUR: 9}
    assert certified_hours(held, {FIRST: certificate(), hours(3)[2]: certificate()}) == [FIRST, hours(3)[2]]
