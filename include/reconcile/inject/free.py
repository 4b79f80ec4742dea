"""Batch ids that count and that nobody uses: what a damage writes under so that readers see it."""

from __future__ import annotations

from include.reconcile.inject.order import NoFreeBatchError, Order
from include.streaming.ledger import GENERATION_BITS, CommitState, is_valid


def free_batch(order: Order, state: CommitState, above: int = 0) -> int:
    """Return a valid id above `above` and below the highest committed one that no ledger row has.

    Ids from there on are the running driver's.

    Raises:
        NoFreeBatchError
    """
    taken = {row.batch for row in state.rows}
    zeros = [generation << GENERATION_BITS for generation in sorted(state.keep)]
    following = [batch + 1 for batch in sorted(taken) if is_valid(batch + 1, state.keep)]
    free = [
        batch for batch in zeros + following if batch not in taken and above < batch < state.highest_batch
    ]
    if not free:
        raise NoFreeBatchError(
            f"{order.contract.stream}: every valid batch id between {above} and {state.highest_batch} is used; "
            "choose an hour that is not sealed yet"
        )
    return free[0]
