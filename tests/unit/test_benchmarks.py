"""The pure parts of the benchmarks: matching sends with polls, figures, and the check of totals."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from benchmarks.asking import APPROXIMATE, EXACT, LINE, Answer, Refusal, other_questions, view_text
from benchmarks.recount import readme_line as recount_line
from benchmarks.recounting import HOUR_CONTENDERS
from benchmarks.report import Machine, machine, ratio, readme_line, record, table, timing
from benchmarks.rounds import measure
from benchmarks.stream_contenders import ALONE
from benchmarks.stream_report import Outcome, answers_table, as_json, timings_of
from benchmarks.stream_report import readme_line as stream_line
from benchmarks.throughput import UnequalTotalsError, check
from benchmarks.view_counts import VIEWS, Counts, UnequalCountsError, check_counts, counts_of
from benchmarks.views import questions, save
from benchmarks.workload import Totals, truth_of
from include.contracts import load_contract
from include.traffic import generator_for
from include.traffic.latency import Latency, NothingSeenError, match
from include.traffic.logs import Logs
from include.traffic.plan import TrafficPlan
from include.traffic.schedule import draw_schedule
from include.traffic.user_events import UserEvents
from include.traffic.view_truth import seen, view_rows
from include.warehouse.views import view_names

TRUTH: Totals = {(60, "click", "US", "banner"): (3, 90_000), (120, "click", "US", "banner"): (1, 40_000)}


def test_an_event_is_queryable_at_the_first_poll_that_counts_it() -> None:
    sent = [1_000, 2_000, 3_000, 4_000]
    seen = [(1_500, 0), (2_500, 2), (2_600, 2), (5_000, 4)]
    # waits: 1.5 s, 0.5 s, 2.0 s, 1.0 s
    assert match(sent, seen) == Latency(p50=1.0, p99=2.0, count=4)


def test_the_order_of_sends_does_not_matter_and_unseen_events_are_left_out() -> None:
    assert match([3_000, 1_000, 2_000], [(4_000, 2)]) == Latency(p50=2.0, p99=3.0, count=2)


def test_counts_beyond_what_was_sent_and_falling_counts_add_nothing() -> None:
    assert match([1_000], [(1_100, 1), (1_200, 0), (1_300, 9)]) == Latency(p50=0.1, p99=0.1, count=1)


def test_p99_of_a_hundred_is_the_ninety_ninth() -> None:
    latency = match([0] * 100, [(moment * 10, moment) for moment in range(1, 101)])
    assert latency == Latency(p50=0.5, p99=0.99, count=100)


def test_nothing_seen_is_an_error_and_no_figure() -> None:
    with pytest.raises(NothingSeenError, match="none of 2 events sent was seen in 1 polls"):
        match([1, 2], [(5, 0)])


def test_ratio_is_peer_over_product_by_median_and_by_fastest() -> None:
    timings = {"fold": timing([2.0, 1.0, 4.0], 1_000), "obvious": timing([3.0, 5.0, 4.0], 1_000)}
    found = ratio(timings)
    assert found is not None
    assert (found.of_medians, found.of_fastest) == (2.0, 3.0)
    assert (timings["fold"].rate, timings["fold"].fastest_rate) == (500.0, 1_000.0)
    assert "2.00x by median" in table(timings)
    line = readme_line("2026-01-01", Machine(2, "a processor", 8), "a command", timings)
    assert line == (
        "| 2026-01-01 | 2 cores, a processor, 8 GiB | `a command` | 2.00 (1.00 to 4.00) | 4.00 (3.00 to 5.00) "
        "| - | 2.00x | 3.00x |"
    )


def test_there_is_no_ratio_without_the_peer() -> None:
    assert ratio({"fold": timing([1.0], 10)}) is None


class Runs:
    """Takes as many seconds as it has run."""

    def __init__(self, name: str) -> None:
        self.name, self.seconds = name, 0.0

    def run(self) -> float:
        self.seconds += 1.0
        return self.seconds


def test_each_round_runs_and_checks_every_contender_and_the_first_is_not_counted() -> None:
    checked: list[tuple[str, float]] = []
    seconds = measure(
        [Runs("fold"), Runs("obvious")], 10, 3, 1, lambda runs: checked.append((runs.name, runs.seconds))
    )
    assert seconds == {"fold": [2.0, 3.0, 4.0], "obvious": [2.0, 3.0, 4.0]}
    assert sorted(checked) == [
        (name, taken) for name in ("fold", "obvious") for taken in (1.0, 2.0, 3.0, 4.0)
    ]


def test_a_run_that_fails_its_check_ends_the_rounds() -> None:
    runs = Runs("fold")

    def refuse(_: Runs) -> None:
        raise UnequalTotalsError("fold differs")

    with pytest.raises(UnequalTotalsError, match="fold differs"):
        measure([runs], 10, 3, 1, refuse)
    assert runs.seconds == 1.0


def test_results_are_kept_with_command_date_and_machine(tmp_path: Path) -> None:
    results = tmp_path / "new" / "some.json"
    date, where = record(results, "python -m benchmarks.some", {"figure": 7})
    assert json.loads(results.read_text()) == {
        "command": "python -m benchmarks.some",
        "date": date,
        "machine": {"cores": where.cores, "cpu": where.cpu, "memory_gib": where.memory_gib},
        "figure": 7,
    }


def test_a_machine_that_does_not_describe_itself_is_unknown(tmp_path: Path) -> None:
    assert machine(tmp_path).cpu == "unknown"


def test_a_missing_window_fails_the_run_by_name() -> None:
    check("fold", dict(TRUTH), TRUTH)
    with pytest.raises(UnequalTotalsError, match=r"fold: 1 of 2 .*\(120, .*sent \(1, 40000\), served None"):
        check("fold", {key: TRUTH[key] for key in TRUTH if key[0] == 60}, TRUTH)


def test_a_figure_that_is_off_by_one_micro_dollar_fails_the_run() -> None:
    with pytest.raises(UnequalTotalsError, match=r"served \(3, 90001\)"):
        check("obvious", TRUTH | {(60, "click", "US", "banner"): (3, 90_001)}, TRUTH)


def test_the_truth_holds_every_event_that_was_sent() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    plan = TrafficPlan(rate=82, duration=180, start=start)
    schedule = draw_schedule(plan, int(start.timestamp() * 1e6), 4)
    totals = truth_of(generator_for("ad_events").draw(schedule, 0, 1))
    assert sum(events for events, _ in totals.values()) == plan.events
    assert {window for window, *_ in totals} == {int(start.timestamp()) + 60 * n for n in range(3)}


def test_the_recount_is_held_against_each_of_its_peers() -> None:
    taken = {"recount": 2.0, "obvious": 5.0, "bounded": 3.0, "deduplicated": 6.0}
    assert list(taken) == list(HOUR_CONTENDERS)
    timings = {name: timing([seconds], 10) for name, seconds in taken.items()}
    where = Machine(2, "a processor", 8)
    assert recount_line("2026-01-01", "a command", timings, 0.204, where) == (
        "| 2026-01-01 | 2 cores, a processor, 8 GiB | `a command` | 2.00 (2.00 to 2.00) | 5.00 (5.00 to 5.00) "
        "| 3.00 (3.00 to 3.00) | 6.00 (6.00 to 6.00) | 2.50x, 2.50x | 1.50x, 1.50x | 3.00x, 3.00x | 20.4% |"
    )
    assert table(timings, "recount", ["obvious", "bounded"]).splitlines()[-1] == (
        "recount against bounded: 1.50x by median, 1.50x fastest against fastest"
    )


@pytest.mark.parametrize(
    ("stream", "incident"), [("user_events", "wild_user"), ("user_events", "offline_phone"), ("logs", "ddos")]
)
def test_counts_of_every_view_equal_the_truth_of_its_rows(stream: str, incident: str) -> None:
    start = datetime(2026, 1, 1, 0, 0, 7, tzinfo=UTC)
    plan = TrafficPlan(stream=stream, rate=5, duration=1300, start=start, incident=incident)
    traffic = generator_for(stream).draw(draw_schedule(plan, int(start.timestamp() * 1e6), 4), 0, 1)
    events = cast(Logs | UserEvents, traffic).accepted()
    lateness = load_contract(stream).lateness_seconds
    for view in VIEWS[stream]:
        expected: Counts = {}
        for row in view_rows(view.name, seen(stream, events)):
            window = int(row["window_start"].timestamp())
            rows, total = expected.get(window, (0, 0))
            expected[window] = rows + 1, total + row[view.count]
        assert counts_of(view, events, lateness) == expected, view.name
    filled = {view.name for view in VIEWS[stream] if counts_of(view, events, lateness)}
    empty = {view.name for view in VIEWS[stream]} - filled
    assert empty == {"wild_user": {"late_events"}, "offline_phone": {"busy_users"}, "ddos": set()}[incident]


def test_a_view_that_lacks_one_event_fails_the_run_by_name() -> None:
    sent: dict[str, Counts] = {"sla": {60: (9, 100), 120: (9, 90)}, "error_rates": {60: (9, 120)}}
    check_counts("obvious", {"sla": dict(sent["sla"])}, sent)
    with pytest.raises(
        UnequalCountsError, match=r"obvious: sla: 1 of 2 .* 120: .*sent \(9, 90\), served \(9, 89\)"
    ):
        check_counts("obvious", {"sla": {60: (9, 100), 120: (9, 89)}}, sent)


@pytest.mark.parametrize("stream", list(VIEWS))
def test_every_view_has_its_obvious_query(stream: str) -> None:
    for view in VIEWS[stream]:
        exact, approximate = view_text(view, EXACT), view_text(view, APPROXIMATE)
        assert f" AS {view.count}" in exact
        assert ("approx_count_distinct(" in approximate) == ("count(DISTINCT " in exact)
    assert ALONE[stream] in {view.name for view in VIEWS[stream]}
    assert other_questions(stream)


def test_the_obvious_pattern_takes_both_kinds_of_line() -> None:
    common = '10.0.3.7 - user_017 [16/Dec/2025:02:04:08 +0000] "GET /checkout/cart HTTP/1.1" 502 512'
    for line in (common, common + ' "-" "curl/8.5"'):
        found = re.match(LINE, line)
        assert found is not None
        assert found.groups() == ("10.0.3.7", "user_017", "16/Dec/2025:02:04:08 +0000", "checkout", "502")
    assert re.match(LINE, common.replace("/checkout/cart", "/")).group(4) == ""  # type: ignore[union-attr]


def test_what_spark_refuses_is_named_with_its_error_class() -> None:
    answers = [Answer("sla", "", None), Answer("a view", "", Refusal("SOME_CLASS", "[SOME_CLASS] not so"))]
    said = answers_table("logs", answers).splitlines()
    assert said[1].split() == ["sla", "runs"]
    assert said[2].split() == ["a", "view", "refused", "SOME_CLASS"]
    assert said[3].strip() == "[SOME_CLASS] not so"


def test_a_stream_is_told_with_answers_and_ratios_and_without_a_contender_that_did_not_run() -> None:
    refusal = Refusal("SOME_CLASS", "not so")
    outcome = Outcome(
        200.04, [Answer("sla", "SELECT 1", refusal)], {"fold": [2.0, 1.0], "obvious": [6.0, 5.0]}
    )
    told = json.loads(json.dumps(as_json(outcome, 10)))
    assert told["asked"] == [{"question": "sla", "refused": {"condition": "SOME_CLASS", "message": "not so"}}]
    assert told["fold_against_obvious"] == {"of_medians": pytest.approx(5.5 / 1.5), "of_fastest": 5.0}
    assert (told["fold_against_one_view"], told["value_bytes"]) == (None, 200.0)
    line = stream_line(
        "2026-01-01", Machine(2, "a processor", 8), "a command", "logs", timings_of(outcome, 10)
    )
    assert line == (
        "| 2026-01-01 | 2 cores, a processor, 8 GiB | `a command` | logs | 1.50 (1.00 to 2.00) "
        "| 5.50 (5.00 to 6.00) | - | - | - | 3.67x, 5.00x | - |"
    )


@pytest.mark.parametrize("inside", [True, False])
def test_another_versions_questions_are_asked_beside_todays(tmp_path: Path, inside: bool) -> None:
    save(tmp_path)
    (tmp_path / "queries" / "sla.sql").write_text("SELECT 'before', %(from)s", encoding="utf-8")
    asked = questions(datetime(2026, 1, 1, 5, tzinfo=UTC), inside, tmp_path)
    assert set(asked) == {f"{view}{of}" for view in view_names() for of in ("", " (saved)")}
    old = "SELECT 'before', '2026-01-01 05:00:00'" if inside else "SELECT * FROM saved_sla WHERE"
    assert asked["sla (saved)"].startswith(old)
    assert asked["late_events (saved)"].replace("saved_", "") == asked["late_events"]
