"""Random faults against the proof: `python -m tests.prove` damages hours by chance and checks what reconciliation says.

draw.py chooses the faults, stage.py is a stream with real services (truth.py: what it must serve), rounds.py does
one round on it (seen.py), checks.py judges it without any service, proof.py plays rounds until it is enough,
report.py says what came of all.
"""
