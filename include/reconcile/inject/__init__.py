"""Damages what is served, on purpose: for the demo and for tests of the proof.

One class of drift is one function; kinds.py names them for the trigger form, registry.py finds them.
Only runs where PLATFORM_ALLOW_INJECT_DRIFT is true. Never touches certificates; what goes to the raw
log are records of its own. Imports nothing heavy: the trigger form is parsed often.
"""
