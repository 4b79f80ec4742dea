"""The proof: measure (recount), judge, repair by sealing, report. One run may take several hours and streams.

Owns: which hours are judged, their verdicts, sealed rows and certificates (design: proof; the
order of steps is a checked protocol). Leaves to others: what makes a batch valid
(include/streaming/ledger.py), claims and seal numbers (include/streaming/control.py).
"""
