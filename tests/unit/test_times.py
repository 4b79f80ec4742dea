"""Bins of delays, and event times in epoch milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.contracts.times import delay_bin, parse_epoch_ms

LONGEST_US = 24 * 365 * 3_600 * 1_000_000  # no contract's maximum age is above it
DELAYS_MS = st.integers(0, LONGEST_US // 1_000) | st.integers(0, 45).map(lambda k: 1_000 << k)


@given(st.integers(-LONGEST_US, 999_999))
def test_bins_are_a_millisecond_wide_below_a_second_and_begin_at_0(delay_us: int) -> None:
    assert delay_bin(delay_us) == max(0, delay_us // 1_000)


@given(DELAYS_MS, st.integers(0, 999))
def test_a_bin_holds_its_delay_and_is_at_most_a_hundredth_of_it_wide(delay_ms: int, rest_us: int) -> None:
    edge = delay_bin(delay_ms * 1_000 + rest_us)
    assert edge <= delay_ms, f"the bin of {delay_ms} ms begins at {edge} ms"
    assert (delay_ms - edge) * 100 <= edge, f"{delay_ms} ms is more than 1 % above {edge} ms"
    assert delay_bin(edge * 1_000) == edge, "the edge of a bin is of that bin"


@given(st.integers(1_000, LONGEST_US // 1_000))
def test_a_bin_ends_where_the_next_one_begins(delay_ms: int) -> None:
    edge = delay_bin(delay_ms * 1_000)
    width = 10 * 2 ** ((edge // 1_000).bit_length() - 1)
    assert width * 100 <= edge, f"the bin at {edge} ms is {width} ms wide"
    assert delay_bin((edge + width) * 1_000 - 1) == edge
    assert delay_bin((edge + width) * 1_000) == edge + width


@given(DELAYS_MS, DELAYS_MS)
def test_a_longer_delay_is_never_in_an_earlier_bin(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert delay_bin(low * 1_000) <= delay_bin(high * 1_000)


@pytest.mark.parametrize(
    ("delay_ms", "edge"),
    [
        (999, 999),
        (1_000, 1_000),
        (1_009, 1_000),
        (1_010, 1_010),
        (1_999, 1_990),
        (2_000, 2_000),
        (2_019, 2_000),
    ],
)
def test_bins_around_the_places_where_their_width_changes(delay_ms: int, edge: int) -> None:
    assert delay_bin(delay_ms * 1_000) == edge


@given(st.integers(0, 4_291_747_199_999))
def test_milliseconds_from_1970_to_2105_are_times(milliseconds: int) -> None:
    assert parse_epoch_ms(milliseconds) == milliseconds * 1_000


def test_the_last_millisecond_is_that_of_2105() -> None:
    end = int(datetime(2106, 1, 1, tzinfo=UTC).timestamp()) * 1_000
    assert parse_epoch_ms(end - 1) == (end - 1) * 1_000
    for milliseconds in (-1, end, 10**18):
        with pytest.raises(ValueError, match=rf"{milliseconds} is not within 1970 to 2105"):
            parse_epoch_ms(milliseconds)
