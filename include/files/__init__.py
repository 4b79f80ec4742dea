"""Publishes JSON-lines files from a folder to a stream's topic, each file once and in one transaction.

Reading order: inbox.py (which files), content.py (bytes, lines, identity), survey.py (what the contract will say of
them), refusals.py (what is not sent, and why), transaction.py and markers.py (sent once), ledger.py (the rows that
readers see), run.py (all of it).
"""
