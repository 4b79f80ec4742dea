"""One incident for the hours of a stream that failed alike, over when each of them is verified."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from include.reconcile.alerting import BadHour, incidents
from include.reconcile.approval import WAITS

HOUR = datetime(2026, 1, 1, 5, tzinfo=UTC)
ONE = timedelta(hours=1)
EVIDENCE = "certificates in /c, reconcile_hour run r"


def bad(number: int = 0, verdict: str = "DRIFTED", stream: str = "s", **changes: object) -> BadHour:
    facts: dict[str, object] = {"reason": "why", "missing": 3, "excess": 0, "mismatched": 1, "run": "R"}
    facts |= {"certified": False, **changes}
    return BadHour(stream, HOUR + number * ONE, verdict, **facts)  # type: ignore[arg-type]


def test_hours_of_a_stream_that_fail_alike_are_one_incident() -> None:
    there, over = incidents([bad(1), bad(0), bad(2, "UNPROVABLE"), bad(0, stream="t")], [], EVIDENCE)
    assert over == []
    assert [item.key for item in there] == [
        "hours:DRIFTED:s:2026-01-01T05,2026-01-01T06",
        "hours:DRIFTED:t:2026-01-01T05",
        "hours:UNPROVABLE:s:2026-01-01T07",
    ]


def test_it_says_what_broke_how_much_whether_it_is_mended_and_where_the_evidence_is() -> None:
    ((found,), _) = incidents([bad()], [], EVIDENCE)
    assert found.title == "s 2026-01-01T05 is DRIFTED"
    for part in ("missing 3, excess 0, mismatched 1", "run R", "why", "not mended", "differences", EVIDENCE):
        assert part in found.message, part
    assert found.severity == "critical"


def test_a_further_hour_is_told_alone_and_known_ones_keep_their_incident() -> None:
    known = "hours:DRIFTED:s:2026-01-01T05,2026-01-01T06"
    there, over = incidents([bad(0), bad(2)], [known, "stream:s", "task:a.b"], EVIDENCE)
    assert [item.key for item in there] == [known, "hours:DRIFTED:s:2026-01-01T07"]
    assert over == []


def test_an_incident_is_over_when_all_its_hours_are_verified() -> None:
    known = "hours:DRIFTED:s:2026-01-01T05,2026-01-01T06"
    assert incidents([], [known, "stream:s"], EVIDENCE) == ([], [known])
    assert incidents([bad(1)], [known], EVIDENCE)[1] == []


def test_what_is_less_than_critical() -> None:
    waiting = bad(reason=f"{WAITS}: why")
    sealed = bad(verdict="UNPROVABLE", certified=True)
    late = bad(verdict="OPEN")
    for item in (waiting, sealed, late):
        ((found,), _) = incidents([item], [], EVIDENCE)
        assert found.severity == "warning", found
    assert incidents([late], [], EVIDENCE)[0][0].title.endswith("does not close")
    assert incidents([waiting], [], EVIDENCE)[0][0].title.endswith("waits for an approval of its repair")


def test_many_hours_are_counted_and_the_first_named() -> None:
    ((found,), _) = incidents([bad(number) for number in range(9)], [], EVIDENCE)
    assert found.title == (
        "s 2026-01-01T05, 2026-01-01T06, 2026-01-01T07, 2026-01-01T08, 2026-01-01T09 and 4 more hours is DRIFTED"
    )
