"""Which offsets of an hour are sampled: bounded, spread, within the ranges, and the same each time."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from include.quality.sample import MOST_RECORDS, RUN_OFFSETS, plan_sample
from include.reconcile.types import OffsetRange

SEED = "ad_events/2026-01-01T05"


@st.composite
def ranges(draw: st.DrawFn) -> list[OffsetRange]:
    """Ranges of some partitions in any order; they may overlap."""
    found = draw(
        st.lists(
            st.tuples(st.integers(0, 4), st.integers(0, 10_000), st.integers(1, 5_000)),
            min_size=1,
            max_size=12,
        )
    )
    return [OffsetRange(partition, start, start + length) for partition, start, length in found]


def offsets(items: list[OffsetRange]) -> list[tuple[int, int]]:
    return [(item.partition, offset) for item in items for offset in range(item.start, item.end)]


@given(ranges())
@example([OffsetRange(0, 0, 1)])
@example([OffsetRange(p, 0, 10_000) for p in range(3)])
def test_runs_lie_in_the_ranges_once_each_and_are_bounded(given_ranges: list[OffsetRange]) -> None:
    runs = plan_sample(given_ranges, SEED)
    taken, there = offsets(runs), set(offsets(given_ranges))
    assert len(taken) == len(set(taken)) <= MOST_RECORDS
    assert set(taken) <= there
    assert all(0 < run.offsets <= RUN_OFFSETS for run in runs)
    assert {p for p, _ in taken} == {p for p, _ in there}
    assert runs == plan_sample(list(reversed(given_ranges)), SEED)


@given(ranges())
def test_what_is_no_more_than_the_limit_is_taken_whole(given_ranges: list[OffsetRange]) -> None:
    there = set(offsets(given_ranges))
    partitions = {p for p, _ in there}
    small = {p for p in partitions if sum(q == p for q, _ in there) <= MOST_RECORDS // len(partitions)}
    taken = set(offsets(plan_sample(given_ranges, SEED)))
    assert {place for place in there if place[0] in small} <= taken


def test_a_large_hour_is_sampled_all_over_and_by_partition_in_turn() -> None:
    runs = plan_sample([OffsetRange(p, 1_000, 101_000) for p in range(4)], SEED)
    assert len(offsets(runs)) == MOST_RECORDS
    assert [run.partition for run in runs[:5]] == [0, 1, 2, 3, 0]
    tenths = {(run.partition, (run.start - 1_000) // 10_000) for run in runs}
    assert tenths == {(p, tenth) for p in range(4) for tenth in range(10)}


def test_another_hour_is_another_sample_and_many_partitions_stay_within_the_limit() -> None:
    wide = [OffsetRange(0, 0, 100_000)]
    assert plan_sample(wide, SEED) != plan_sample(wide, "ad_events/2026-01-01T06")
    assert len(offsets(plan_sample([OffsetRange(p, 0, 10) for p in range(3_000)], SEED))) == MOST_RECORDS


def test_ranges_with_a_hole_between_them_leave_it_out() -> None:
    runs = plan_sample([OffsetRange(0, 0, 1_500), OffsetRange(0, 90_000, 91_500)], SEED)
    assert len(offsets(runs)) == MOST_RECORDS
    assert {offset // 45_000 for _, offset in offsets(runs)} == {0, 2}
