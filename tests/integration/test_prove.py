"""A short form of `make prove`: random faults in hours of real traffic, by chance of the day; the seed is printed."""

from __future__ import annotations

import secrets

import pytest

from tests.prove.__main__ import Size, prove

SHORT = Size(
    faults=12,
    clean_hours=12,
    hours=20,
    sealed=12,
    new_hours=8,
    reopened=2,
    faults_a_round=12,
    events_an_hour=120,
)


@pytest.mark.long
def test_random_faults_are_found_and_mended_and_clean_hours_stay_proved() -> None:
    seed = secrets.randbelow(2**31)
    proof = prove(SHORT, seed)
    assert proof.failures == [], f"seed {seed}: " + "\n".join(proof.failures)
    assert proof.done >= SHORT.faults, f"seed {seed}"
    assert proof.clean_hours >= SHORT.clean_hours, f"seed {seed}"
