"""The classes of drift by name, each with what it does; rejected_became_valid belongs to replay_dead_letters."""

from __future__ import annotations

KINDS = {
    "lost_batch": "all deltas of a committed batch go, in every cube; of an open hour",
    "doubled_batch": "the deltas of a committed batch again under another valid id; of an open hour",
    "lost_row": "served rows go: exact rows of a sealed hour, deltas of an open one",
    "doubled_row": "served rows count twice: in place in a sealed hour, as further deltas in an open one",
    "altered_figure": "a figure of served rows is changed, in a sealed or an open hour",
    "wrong_window": "served rows move to another window of a sealed or an open hour",
    "ledger_gap": "ledger rows that list the hour go",
    "ledger_overlap": "a further valid ledger row repeats offsets of the hour",
    "stale_driver": "a driver of an earlier generation writes deltas and commits after its takeover; must stay unseen",
    "late_event": "real records of the hour arrive now",
    "duplicate_events": "records of the hour are produced a second time",
}
