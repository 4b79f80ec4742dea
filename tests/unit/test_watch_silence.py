"""A launch says when the watch that should keep it running has stopped looking."""

from __future__ import annotations

from include.watch.silence import SILENT_MS, silence

NOW = 1_795_000_000_000


def test_a_watch_that_stopped_looking_is_named_with_the_minutes() -> None:
    assert silence(NOW - 12 * 60_000, NOW).startswith(
        "watch_stream last looked 12 min ago: while it is paused"
    )


def test_a_watch_that_looks_and_one_that_never_looked_are_not_worth_a_word() -> None:
    assert silence(NOW - SILENT_MS, NOW) == ""
    assert silence(0, NOW) == ""
