"""A short form of `make prove`: random faults in hours of real traffic of every stream, by chance; the seed is printed."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from include.contracts.load import stream_names
from tests.helpers import RUN_SEED
from tests.prove.proof import Size, prove

SHORT = Size(
    faults=6,
    clean_hours=5,
    hours=10,
    sealed=5,
    new_hours=5,
    reopened=1,
    faults_a_round=6,
    events_an_hour=80,
)


@pytest.mark.parametrize("stream", stream_names())
def test_random_faults_are_found_and_mended_and_clean_hours_stay_proved(
    spark: SparkSession, stream: str
) -> None:
    print(f"TEST_RUN_SEED={RUN_SEED}")
    proof = prove(spark, SHORT, RUN_SEED, stream)
    assert proof.failures == [], f"TEST_RUN_SEED={RUN_SEED}: " + "\n".join(proof.failures)
    assert proof.done >= SHORT.faults, f"TEST_RUN_SEED={RUN_SEED}"
    assert proof.clean_hours >= SHORT.clean_hours, f"TEST_RUN_SEED={RUN_SEED}"
