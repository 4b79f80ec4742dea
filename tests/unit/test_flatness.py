"""When memory counts as flat."""

from __future__ import annotations

import pytest

from benchmarks.flatness import flatness, percentile


def test_noise_around_a_level_is_flat() -> None:
    found = flatness([(float(second), 500 + (second % 3 - 1) * 20) for second in range(0, 600, 5)])
    assert found.is_flat, found
    assert abs(found.growth) < 5, found


def test_a_leak_of_a_quarter_in_the_judged_time_is_not_flat() -> None:
    found = flatness([(float(second), 400 + second / 4) for second in range(0, 600, 5)])
    assert not found.is_flat, found
    assert found.growth == pytest.approx(98.75, abs=0.1)


def test_growth_during_the_warm_up_does_not_count() -> None:
    found = flatness([(float(second), min(second, 150) * 4.0) for second in range(0, 600, 5)])
    assert found.is_flat, found
    assert found.mean == 600


def test_a_run_too_short_to_judge_is_refused() -> None:
    with pytest.raises(ValueError, match="2 samples after the warm-up"):
        flatness([(0.0, 1.0), (30.0, 1.0), (60.0, 1.0)])


@pytest.mark.parametrize(("share", "value"), [(0.5, 2), (0.99, 4), (0.25, 1), (0.0, 1)])
def test_percentile_is_a_value_that_was_seen(share: float, value: float) -> None:
    assert percentile([4, 2, 1, 3], share) == value
