"""Compaction and retention: what a certificate includes is dropped, and what is old and certified expires.

Owns: which rows may go, in which order, and that they are gone. Leaves to others: certificates and
sealed rows themselves (include/reconcile), what makes a batch valid (include/streaming/ledger.py).
"""
