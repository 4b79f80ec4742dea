"""Where a query begins, and what the job's arguments may ask for."""

from __future__ import annotations

import pytest

from include.streaming.begin import parse_skip, unread
from include.streaming.job import parse_arguments


@pytest.mark.parametrize(
    ("frontier", "log_starts", "skip_to", "expected"),
    [
        ({0: 10}, {0: 0}, {}, {}),
        ({0: 10}, {0: 10}, {0: 10}, {}),
        ({0: 10}, {0: 12}, {}, {0: (10, 12)}),
        ({0: 10}, {0: 12}, {0: 40}, {0: (10, 40)}),
        ({0: 10}, {0: 40}, {0: 12}, {0: (10, 40)}),
        ({0: 10}, {0: 0}, {0: 9}, {}),
        ({0: 10, 1: 0}, {0: 3}, {1: 5}, {1: (0, 5)}),
        ({}, {0: 7}, {0: 9}, {}),
    ],
)
def test_what_is_never_read_lies_between_the_frontier_and_the_log_start_or_the_offset_to_skip_to(
    frontier: dict[int, int],
    log_starts: dict[int, int],
    skip_to: dict[int, int],
    expected: dict[int, tuple[int, int]],
) -> None:
    assert unread(frontier, log_starts, skip_to) == expected


def test_a_skip_without_an_offset_is_utc() -> None:
    assert parse_skip("logs=2025-12-16T02:00", ["logs"]) == ("logs", "2025-12-16T02:00:00+00:00")
    assert parse_skip("logs=2025-12-16T02:00+09:00", ["logs"]) == ("logs", "2025-12-16T02:00:00+09:00")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("logs", "2025|ISO"),
        ("logs=", "'' is no ISO 8601 time"),
        ("logs=tomorrow", "'tomorrow' is no ISO 8601 time"),
        ("user_events=2025-12-16", "STREAM one of logs, ad_events"),
        ("logs=2999-01-01", "still to come"),
    ],
)
def test_a_skip_that_makes_no_sense_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_skip(text, ["logs", "ad_events"])


def test_the_job_takes_a_skip_for_each_stream(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--streams", "logs,ad_events", "--launch", "x"]
    assert parse_arguments(given).skip_to == {}
    skips = ["--skip-to", "logs=2025-12-16T02:00Z", "--skip-to", "ad_events=2025-12-17"]
    assert parse_arguments([*given, *skips]).skip_to == {
        "logs": "2025-12-16T02:00:00+00:00",
        "ad_events": "2025-12-17T00:00:00+00:00",
    }
    with pytest.raises(SystemExit):
        parse_arguments([*given, "--skip-to", "user_events=2025-12-17"])
    assert "user_events=2025-12-17" in capsys.readouterr().err
