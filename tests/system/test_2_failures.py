"""Rubbish while the stream runs, ending with zero difference to what the generator sent."""

from __future__ import annotations

from tests.system.conftest import STREAM, Platform

FLOOD = {"malformed": 0.45, "schema_breaking": 0.45}


def test_a_flood_of_malformed_records_costs_no_good_one(streaming: Platform) -> None:
    before = streaming.balance()
    form = {"stream": STREAM, "rate": 2_000, "duration": 20, "seed": 7, **FLOOD}
    report = streaming.api.run("generate_traffic", form).returned["generate"]
    streaming.catch_up()
    after = streaming.balance()
    assert after.rejected - before.rejected == report["rejected"], (before, after, report)
    assert after.aggregated - before.aggregated == report["accepted"], (before, after, report)
    streaming.assert_nothing_differs()
