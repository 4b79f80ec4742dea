"""What is written where valid ledger rows do not chain: gaps, overlaps, and beginnings that are missing."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from include.reconcile.beginning import missing_beginnings, suspects
from include.reconcile.chain import ChainFault, chain_faults, free_batches
from include.reconcile.ranges import by_partition
from include.reconcile.types import OffsetRange
from include.streaming.ledger import GENERATION_BITS, LedgerRow, batch_id

G = 1 << GENERATION_BITS
KEEP = {1: G + 3, 2: 3 * G - 1}


def row(batch: int, start: int, end: int, partition: int = 0) -> LedgerRow:
    return LedgerRow(
        "ad_events", batch, partition, start, start, end, end - start, 0, 0, 0, [], [], [], [], 0, 0, 1
    )


CHAIN = [row(G + 1, 0, 10), row(G + 2, 10, 20), row(G + 3, 20, 30), row(2 * G + 1, 30, 40)]


def faults(rows: list[LedgerRow], begins: dict[int, int] | None = None) -> list[ChainFault]:
    return chain_faults(by_partition(rows), KEEP, begins)


def written(rows: list[LedgerRow]) -> list[LedgerRow]:
    """Return the rows after their faults were mended."""
    table = {(found.batch, found.partition): found for found in rows}
    for fault in faults(rows):
        assert fault.batch is not None, fault
        key = (fault.batch, fault.span.partition)
        assert (key in table) == (fault.row is not None), f"{fault} takes an id that is used"
        table[key] = row(fault.batch, fault.span.start, fault.span.end, fault.span.partition)
    return list(table.values())


def covered(rows: list[LedgerRow]) -> list[tuple[int, int]]:
    return sorted((r.start_offset, r.end_offset) for r in rows if r.end_offset > r.start_offset)


def test_a_chain_has_no_fault() -> None:
    assert faults(CHAIN) == []


def test_a_gap_takes_the_id_of_the_missing_batch() -> None:
    (fault,) = faults([CHAIN[0], *CHAIN[2:]])
    assert (fault.kind, fault.span, fault.batch, fault.row) == ("gap", OffsetRange(0, 10, 20), G + 2, None)
    assert "ledger gap in partition 0, offsets 10 to 20" in fault.finding


def test_a_gap_takes_the_batch_that_other_partitions_have() -> None:
    others = [replace(found, partition=1) for found in CHAIN]
    (fault,) = faults([CHAIN[0], CHAIN[3], *others])
    assert (fault.span, fault.batch) == (OffsetRange(0, 10, 30), G + 2)


def test_a_gap_between_consecutive_batches_takes_number_0_of_a_generation() -> None:
    apart = [row(G + 1, 0, 10), row(G + 2, 15, 20)]
    assert faults(apart)[0].batch == G
    assert free_batches({G, 2 * G}, KEEP, G + 1, G + 2) == []


def test_ids_beyond_what_a_takeover_kept_are_not_free() -> None:
    assert free_batches(set(), {1: G + 3, 2: 3 * G - 1}, G + 3, 2 * G + 1)[0] == 2 * G


def test_the_row_that_continues_the_chain_counts_and_the_other_is_emptied() -> None:
    for intruder in (row(G, 10, 15), row(G, 12, 18), row(G, 5, 25), row(G, 0, 3)):
        (fault,) = faults([*CHAIN, intruder])
        assert (fault.kind, fault.row, fault.span.offsets) == ("overlap", intruder, 0), intruder


def test_beside_a_gap_nothing_tells_a_row_from_its_copy_and_both_are_counted_again() -> None:
    damaged = [CHAIN[0], row(G, 10, 15), CHAIN[1], CHAIN[3]]
    assert [(f.kind, f.batch, f.span) for f in faults(damaged)] == [
        ("overlap", G, OffsetRange(0, 10, 15)),
        ("overlap", G + 2, OffsetRange(0, 15, 20)),
        ("gap", G + 3, OffsetRange(0, 20, 30)),
    ]
    assert faults(written(damaged)) == []


def test_of_two_equal_rows_the_lower_batch_counts() -> None:
    (fault,) = faults([*CHAIN[:3], row(2 * G + 2, 20, 30), CHAIN[3]])
    assert fault.batch == 2 * G + 2


def test_what_only_the_overlapping_row_covers_stays_with_it() -> None:
    (fault,) = faults([*CHAIN[:2], row(G + 3, 15, 30)])
    assert (fault.batch, fault.span) == (G + 3, OffsetRange(0, 20, 30))


@given(
    st.lists(st.integers(1, 9), min_size=3, max_size=8),
    st.sets(st.integers(1, 6), max_size=2),
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=1),
)
def test_mended_rows_cover_each_offset_once(
    sizes: list[int], lost: set[int], more: list[tuple[int, int]]
) -> None:
    ends = [0, *(sum(sizes[: at + 1]) for at in range(len(sizes)))]
    rows = [row(2 * G + 1 + at, low, high) for at, (low, high) in enumerate(pairwise(ends))]
    kept = [found for at, found in enumerate(rows) if at not in lost]
    kept += [row(G, start, min(start + size, ends[-1])) for start, size in more if start < ends[-1]]
    spans = covered(written(kept))
    assert spans[0][0] == 0
    assert all(before[1] == after[0] for before, after in pairwise(spans)), spans
    assert spans[-1][1] == max(found.end_offset for found in kept)


def test_a_partition_whose_first_row_is_missing_is_noticed() -> None:
    first = batch_id(1, 0)
    rows = [row(first, 0, 10, 0), row(first, 0, 10, 1), row(first + 1, 10, 20, 2)]
    assert suspects(rows) == [2]
    assert missing_beginnings(rows, {0: 0, 1: 0, 2: 0}) == ({2: 0}, [])
    (fault,) = faults(rows, {2: 0})
    assert (fault.span, fault.batch) == (OffsetRange(2, 0, 10), first)
    assert missing_beginnings(rows, {0: 0, 1: 0, 2: 10}) == ({}, []), "a partition that was added later"


def test_where_a_stream_began_is_not_guessed() -> None:
    rows = [row(batch_id(1, 1), 10, 20)]
    begins, unknown = missing_beginnings(rows, {0: 0})
    assert begins == {}
    assert "before offset 10" in unknown[0]
    later = [row(batch_id(1, 0), 500, 510, 0), row(batch_id(1, 1), 510, 520, 1)]
    assert missing_beginnings(later, {0: 0, 1: 0})[1], "it may have been launched at a timestamp"


def test_a_gap_does_not_take_the_id_of_a_batch_that_only_replays() -> None:
    rows = [CHAIN[0], replace(row(G + 2, 10, 10), replayed_partitions=[0], replayed_offsets=[3]), CHAIN[2]]
    (fault,) = chain_faults(by_partition(rows), KEEP, None, {0: {G + 2}})
    assert (fault.span, fault.batch) == (OffsetRange(0, 10, 20), G), "number 0, which no driver uses"
