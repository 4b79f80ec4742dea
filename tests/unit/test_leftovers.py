"""Which databases and topics the tests take for leftovers of an interrupted run."""

from __future__ import annotations

import time

import pytest

from tests.leftovers import STALE_SECONDS, fresh_suffix, is_stale

KINDS = ["test_{}", "test-{}", "test-control-{}", "test-{}-ad-events"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_test_made_is_stale_once_no_run_can_be_using_it(kind: str) -> None:
    name, now = kind.format(fresh_suffix()), time.time()
    assert not is_stale(name, now)
    assert not is_stale(name, now + STALE_SECONDS - 60)
    assert is_stale(name, now + STALE_SECONDS + 60)


@pytest.mark.parametrize(
    "name", ["platform", "ad-events", "test_", "test_today", "test_0123456789ab", "mytest_0"]
)
def test_what_is_not_known_to_be_a_test_s_stays(name: str) -> None:
    assert not is_stale(name, time.time() + 10 * STALE_SECONDS)
