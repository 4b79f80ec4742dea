"""compact_warehouse on a real ClickHouse: what goes, what stays, and that readers see nothing of it."""

from __future__ import annotations

import threading
from dataclasses import astuple
from datetime import UTC, datetime, timedelta

import pytest
from clickhouse_driver import Client

from include.compact import expire as expiring
from include.compact.carried import Carried, carried_totals
from include.compact.run import Outcome, compact_warehouse, log_outcome
from include.compact.seals import compact, plan_compaction
from include.contracts import load_contract
from include.reconcile.chain import chain_faults
from include.reconcile.compare import digest_of
from include.reconcile.long_ledger import PIECE_BITS, read_long_ledger
from include.reconcile.ranges import by_partition
from include.settings import Settings
from include.streaming.ledger import (
    COLUMNS,
    LedgerRow,
    batch_id,
    read_commit_state,
    read_limits,
    read_position,
    take_over,
)
from include.streaming.stretch import NOTHING, Stretch, read_stretch
from include.warehouse.client import connect
from tests.databases import count_rows
from tests.helpers import eventually

STREAM = "ad_events"
CONTRACT = load_contract(STREAM)
NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
HOUR = datetime(2026, 2, 28, 5, tzinfo=UTC)
LATER = timedelta(hours=2)  # from an hour's start to its certificate
WINDOWS = 6
SERVED = (
    "SELECT window_start, country, sum(event_count), sum(total_revenue), min(status) FROM ad_events_aggregated "
    "GROUP BY window_start, country ORDER BY window_start, country"
)


def delta(client: Client, hour: datetime, batch: int, events: int = 2, country: str = "US") -> None:
    deltas(client, {hour: batch}, events, country)


def deltas(client: Client, batches: dict[datetime, int], events: int = 2, country: str = "US") -> None:
    rows = [
        (hour + timedelta(minutes=n), "click", country, "banner", batch, events, 100 + n)
        for hour, batch in batches.items()
        for n in range(WINDOWS)
    ]
    client.execute("INSERT INTO ad_events_delta VALUES", rows)


def sealed(client: Client, hour: datetime, frontier: int, seal: int, events: int) -> None:
    seal_rows(client, {hour: seal}, frontier, events)


def seal_rows(client: Client, seals: dict[datetime, int], frontier: int, events: int) -> None:
    rows = [
        (hour + timedelta(minutes=n), "click", "US", "banner", frontier, seal, events, events, 500, 500)
        for hour, seal in seals.items()
        for n in range(WINDOWS)
    ]
    client.execute("INSERT INTO ad_events_sealed VALUES", rows)


def certified(client: Client, hour: datetime, frontier: int, seal: int, events: int = 4) -> None:
    certify(client, {hour: seal}, frontier, events)


def certify(client: Client, seals: dict[datetime, int], frontier: int, events: int = 4) -> None:
    """Seal hours, each under its number, and certify what was written."""
    seal_rows(client, seals, frontier, events)
    rows = [
        (
            STREAM,
            hour,
            frontier,
            seal,
            "PROVED",
            digest_of(client, CONTRACT, hour, frontier, seal),
            hour + LATER,
        )
        for hour, seal in seals.items()
    ]
    client.execute(
        "INSERT INTO certificates (stream, hour, frontier, seal, verdict, digest, certified_at) VALUES", rows
    )


def row(batch: int, start: int, end: int, hours: list[datetime], partition: int = 0) -> LedgerRow:
    """Return a batch of end - start events, in equal shares of the hours."""
    share = (end - start) // len(hours)
    ms = int(max(hours).timestamp() * 1000) + 1_800_000
    return LedgerRow(STREAM, batch, partition, start, start, end, end - start, 0, 0, 0, hours, [share] * len(hours),
                     [start] * len(hours), [end - 1] * len(hours), ms, ms, 1)  # fmt: skip


def commit(client: Client, rows: list[LedgerRow]) -> None:
    """Commit batches, each half an hour into the last of its hours."""
    found = [(*astuple(row), datetime.fromtimestamp(row.kafka_time_max / 1000, UTC)) for row in rows]
    client.execute(f"INSERT INTO ledger ({COLUMNS}, committed_at) VALUES", found)


def ledger(client: Client, batch: int, start: int, end: int, hours: list[datetime]) -> None:
    commit(client, [row(batch, start, end, hours)])


def run(settings: Settings, now: datetime = NOW, dry_run: bool = False) -> Outcome:
    return compact_warehouse(settings, [STREAM], dry_run=dry_run, now=now)


@pytest.fixture
def platform(warehouse: Settings, clickhouse: Client) -> Settings:
    """Generation 1 with three batches; HOUR is sealed twice at batch 1, and batch 2 came after; HOUR + 1 is open."""
    take_over(clickhouse, STREAM, 1)
    for number in range(3):
        ledger(clickhouse, batch_id(1, number), number * 100, number * 100 + 100, [HOUR])
        delta(clickhouse, HOUR, batch_id(1, number))
    delta(clickhouse, HOUR + timedelta(hours=1), batch_id(1, 0))
    certified(clickhouse, HOUR, batch_id(1, 0), 11, events=2)
    certified(clickhouse, HOUR, batch_id(1, 1), 12, events=4)
    return warehouse.model_copy(update={"grace_seconds": 0.0})


def test_what_the_seal_in_force_includes_goes_and_what_is_served_stays(
    platform: Settings, clickhouse: Client
) -> None:
    before = clickhouse.execute(SERVED)
    outcome = run(platform)
    assert outcome.compacted == {"ad_events_sealed": WINDOWS, "ad_events_delta": 2 * WINDOWS}
    assert clickhouse.execute(SERVED) == before
    assert count_rows(clickhouse, "ad_events_sealed", "seal = 11") == 0
    assert count_rows(clickhouse, "ad_events_sealed", "seal = 12") == WINDOWS
    in_hour = "toStartOfHour(window_start) = %(hour)s"
    assert clickhouse.execute(
        f"SELECT DISTINCT batch FROM ad_events_delta WHERE {in_hour}", {"hour": HOUR}
    ) == [(batch_id(1, 2),)]


def test_what_is_not_certified_stays(platform: Settings, clickhouse: Client) -> None:
    run(platform, now=NOW + timedelta(days=1000))
    values = {"hour": HOUR + timedelta(hours=1)}
    assert count_rows(clickhouse, "ad_events_delta", "window_start >= %(hour)s", values) == WINDOWS
    assert count_rows(clickhouse, "ledger") == 3


def test_a_second_run_and_a_dry_run_drop_nothing(platform: Settings, clickhouse: Client) -> None:
    said = run(platform, dry_run=True)
    assert count_rows(clickhouse, "ad_events_delta") == 4 * WINDOWS
    done = run(platform)
    assert (said.compacted, said.expired) == (done.compacted, done.expired)
    assert run(platform).rows == 0


def test_sealed_rows_of_days_before_yesterday_are_merged_to_one_part(
    platform: Settings, clickhouse: Client
) -> None:
    hours = [HOUR - timedelta(days=days, hours=hour) for days in range(3) for hour in range(3)]
    table = f"{platform.clickhouse_database}.ad_events_sealed"
    clickhouse.execute(f"SYSTEM STOP MERGES {table}")  # ClickHouse's own, that is
    for number, hour in enumerate(hours):
        certified(clickhouse, hour, batch_id(1, 0), 300 + number)
    before = clickhouse.execute(SERVED)

    def parts() -> dict[str, int]:
        return dict(
            clickhouse.execute(
                "SELECT partition, count() FROM system.parts WHERE database = currentDatabase() "
                "AND table = 'ad_events_sealed' AND active GROUP BY partition"
            )
        )

    assert run(platform, dry_run=True).merged == {"ad_events_sealed": 2}, "yesterday may still be sealed"
    assert (parts()["20260226"], parts()["20260227"]) == (3, 3)
    clickhouse.execute(f"SYSTEM START MERGES {table}")
    run(platform)
    assert (parts()["20260226"], parts()["20260227"]) == (1, 1)
    assert clickhouse.execute(SERVED) == before
    assert run(platform).merged == {}


def test_a_seal_that_is_being_written_stays(platform: Settings, clickhouse: Client) -> None:
    sealed(clickhouse, HOUR, batch_id(1, 1), 13, 4)
    sealed(clickhouse, HOUR, batch_id(1, 2), 9, 6)
    sealed(clickhouse, HOUR + timedelta(hours=1), batch_id(1, 0), 14, 2)
    run(platform)
    assert clickhouse.execute("SELECT seal, count() FROM ad_events_sealed GROUP BY seal ORDER BY seal") == [
        (9, WINDOWS),
        (12, WINDOWS),
        (13, WINDOWS),
        (14, WINDOWS),
    ]


def test_a_delta_that_lands_between_plan_and_mutation_stays(platform: Settings) -> None:
    clickhouse = connect(platform)
    compaction = plan_compaction(clickhouse, CONTRACT, NOW)
    delta(clickhouse, HOUR, batch_id(1, 3), country="KR")
    before = clickhouse.execute(SERVED)
    compact(clickhouse, compaction)
    assert count_rows(clickhouse, "ad_events_delta", "country = 'KR'") == WINDOWS
    assert clickhouse.execute(SERVED) == before


def test_the_grace_is_waited_and_a_certificate_that_comes_meanwhile_is_not_acted_upon(
    platform: Settings, clickhouse: Client
) -> None:
    waiting = platform.model_copy(update={"grace_seconds": 2.0})
    worker = threading.Thread(target=run, args=(waiting,))
    worker.start()
    certified(clickhouse, HOUR, batch_id(1, 2), 20, events=6)
    assert count_rows(clickhouse, "ad_events_sealed", "seal = 11") == WINDOWS, (
        "dropped before the grace was over"
    )
    worker.join(30)
    left = clickhouse.execute("SELECT DISTINCT seal FROM ad_events_sealed ORDER BY seal")
    assert left in ([(12,), (20,)], [(20,)]), left
    assert (20,) in left
    run(platform)
    assert clickhouse.execute("SELECT DISTINCT seal FROM ad_events_sealed") == [(20,)]


def test_nothing_goes_beside_a_damaged_seal(platform: Settings, clickhouse: Client) -> None:
    clickhouse.execute(
        "INSERT INTO ad_events_sealed VALUES",
        [(HOUR, "click", "FR", "banner", batch_id(1, 1), 12, 1, 1, 1, 1)],
    )
    outcome = run(platform)
    assert outcome.rows == 0
    assert outcome.kept == [
        "ad_events 2026-02-28T05: its sealed rows are not those that were certified: run reconcile_hour for it"
    ]
    assert count_rows(clickhouse, "ad_events_sealed", "seal = 11") == WINDOWS


def test_a_batch_that_a_takeover_left_out_goes_when_it_is_old(platform: Settings, clickhouse: Client) -> None:
    delta(clickhouse, HOUR, batch_id(1, 7), country="DE")
    take_over(clickhouse, STREAM, 2)
    delta(clickhouse, HOUR, batch_id(2, 0), country="JP")
    run(platform)
    assert count_rows(clickhouse, "ad_events_delta", "country = 'DE'") == WINDOWS
    run(platform, now=NOW + timedelta(days=31))
    assert count_rows(clickhouse, "ad_events_delta", "country = 'DE'") == 0
    assert count_rows(clickhouse, "ad_events_delta", "country = 'JP'") == WINDOWS
    assert count_rows(clickhouse, "ad_events_delta", "batch = %(b)s", {"b": batch_id(1, 2)}) == WINDOWS


def test_two_runs_at_once_do_no_harm(platform: Settings, clickhouse: Client) -> None:
    before = clickhouse.execute(SERVED)
    workers = [threading.Thread(target=run, args=(platform,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert clickhouse.execute(SERVED) == before
    assert count_rows(clickhouse, "ad_events_sealed") == WINDOWS


class Reader:
    """Polls the view's total from a connection of its own; every answer that was not expected is kept."""

    def __init__(self, settings: Settings, expected: int) -> None:
        self._settings, self._expected = settings, expected
        self._stop = threading.Event()
        self.polls, self.wrong = 0, list[int]()
        self._thread = threading.Thread(target=self._poll)

    def _poll(self) -> None:
        client = connect(self._settings)
        while not self._stop.is_set():
            total = client.execute("SELECT sum(event_count) FROM ad_events_aggregated")[0][0]
            self.polls += 1
            if total != self._expected:
                self.wrong.append(total)
        client.disconnect()

    def asks_again(self) -> None:
        """Wait until a question that begins after this call is answered."""
        asked = self.polls
        eventually(lambda: self.polls > asked + 1, "the reader has asked again", 30)

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)


@pytest.fixture
def many_hours(platform: Settings, clickhouse: Client) -> Settings:
    """Twenty further hours of three days, each with deltas and two seals whose figures are equal."""
    hours = [HOUR - timedelta(hours=3 * number + 3) for number in range(20)]
    deltas(clickhouse, dict.fromkeys(hours, batch_id(1, 0)), events=4)
    certify(clickhouse, {hour: 100 + number for number, hour in enumerate(hours)}, batch_id(1, 0))
    certify(clickhouse, {hour: 200 + number for number, hour in enumerate(hours)}, batch_id(1, 1))
    return platform


def test_a_reader_that_polls_through_compactions_sees_no_half(
    many_hours: Settings, clickhouse: Client
) -> None:
    expected = 20 * 4 * WINDOWS + (4 + 2 + 2) * WINDOWS
    with Reader(many_hours, expected) as reader:
        eventually(lambda: reader.polls > 2, "the reader has begun", 30)
        for number in range(20):
            run(many_hours)
            hour = HOUR - timedelta(hours=3 * number + 3)
            # The grace, which the product waits, after the rows and after the certificate: whoever asked before
            # has its answer.
            sealed(clickhouse, hour, batch_id(1, 1), 300 + number, 4)
            reader.asks_again()
            certified(clickhouse, hour, batch_id(1, 1), 300 + number)
            reader.asks_again()
        run(many_hours)
    assert reader.wrong == [], (
        f"{len(reader.wrong)} of {reader.polls} answers: {reader.wrong[:5]} instead of {expected}"
    )
    assert reader.polls > 20
    assert count_rows(clickhouse, "ad_events_sealed") == 21 * WINDOWS


OLD = NOW.replace(minute=0) - timedelta(days=401)


@pytest.fixture
def old_hours(warehouse: Settings, clickhouse: Client) -> Settings:
    """Ten old hours, all certified, and one of yesterday; a batch for each, in two partitions."""
    take_over(clickhouse, STREAM, 1)
    hours = [*(OLD + timedelta(hours=n) for n in range(10)), HOUR]
    commit(
        clickhouse,
        [
            row(batch_id(1, number), number * 10, number * 10 + 10, [hour], partition)
            for number, hour in enumerate(hours)
            for partition in (0, 1)
        ],
    )
    deltas(clickhouse, {hour: batch_id(1, number) for number, hour in enumerate(hours)})
    certify(clickhouse, {hour: 50 + number for number, hour in enumerate(hours)}, batch_id(1, 10), events=2)
    for table in ("verdicts", "balances", "differences", "amendments"):
        clickhouse.execute(f"INSERT INTO {table} (stream, hour) VALUES", [(STREAM, hour) for hour in hours])
    return warehouse.model_copy(update={"grace_seconds": 0.0})


def test_old_certified_hours_expire_and_the_ledger_still_chains(
    old_hours: Settings, clickhouse: Client
) -> None:
    outcome = run(old_hours)
    assert outcome.expired == {
        "ledger": 20, "certificates": 10, "ad_events_sealed": 10 * WINDOWS,
        "verdicts": 10, "differences": 10, "balances": 10, "amendments": 10,
    }  # fmt: skip
    assert clickhouse.execute("SELECT DISTINCT hour FROM certificates") == [(HOUR,)]
    state = read_commit_state(clickhouse, STREAM)
    assert chain_faults(by_partition(state.rows), state.keep) == []
    assert state.frontier == {0: 110, 1: 110}
    assert carried_totals(clickhouse, STREAM) == dict.fromkeys((0, 1), Carried(100, 100, 0, 100))
    assert run(old_hours).rows == 0
    assert carried_totals(clickhouse, STREAM) == dict.fromkeys((0, 1), Carried(100, 100, 0, 100))


@pytest.fixture
def old_pieces(warehouse: Settings, clickhouse: Client) -> Settings:
    """Ten old hours and one of yesterday, all certified; of each hour the batches are pieces of their own."""
    take_over(clickhouse, STREAM, 1)
    hours = [*(OLD + timedelta(hours=n) for n in range(10)), HOUR]
    batches = {hour: batch_id(1, number << PIECE_BITS) for number, hour in enumerate(hours)}
    commit(
        clickhouse,
        [
            row(batches[hour], number * 10, number * 10 + 10, [hour], partition)
            for number, hour in enumerate(hours)
            for partition in (0, 1)
        ],
    )
    certify(clickhouse, {hour: 50 + number for number, hour in enumerate(hours)}, batches[HOUR], events=2)
    return warehouse.model_copy(update={"grace_seconds": 0.0})


def stretch(client: Client) -> Stretch:
    return read_stretch(client, STREAM, read_limits(client, STREAM)[1])


def test_folds_of_the_ledger_go_before_its_rows(
    old_pieces: Settings,
    clickhouse: Client,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    early = run(old_pieces, now=OLD + timedelta(days=10))
    assert (early.folded, early.altered, early.rows) == ({STREAM: 20}, [], 0)
    assert set(stretch(clickhouse).hours) == {OLD + timedelta(hours=n) for n in range(10)}

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(expiring, "delete_rows", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(old_pieces, now=OLD + timedelta(days=400, hours=4))
    for _ in range(2):
        assert set(stretch(clickhouse).hours) == {OLD + timedelta(hours=n) for n in range(4, 10)}
        state = read_long_ledger(clickhouse, STREAM)
        assert chain_faults(by_partition(state.rows), state.keep) == []
        assert state.frontier == read_position(clickhouse, STREAM).frontier == {0: 110, 1: 110}
        done = run(old_pieces, now=OLD + timedelta(days=400, hours=4))
        assert (done.folded, done.altered) == ({}, [])
    assert min(row.hours[0] for row in read_long_ledger(clickhouse, STREAM).rows).replace(
        tzinfo=UTC
    ) == OLD + timedelta(hours=4)
    caplog.set_level("INFO")
    log_outcome(run(old_pieces, now=OLD + timedelta(days=400, hours=4)), dry_run=False)
    assert "those that are folded equal their rows" in caplog.text


def test_a_run_says_which_folded_rows_were_lost(
    old_pieces: Settings, clickhouse: Client, caplog: pytest.LogCaptureFixture
) -> None:
    moment = OLD + timedelta(days=10)
    assert run(old_pieces, now=moment, dry_run=True).folded == {STREAM: 20}
    assert stretch(clickhouse) == NOTHING, "a dry run only says it"
    run(old_pieces, now=moment)
    lost = batch_id(1, 3 << PIECE_BITS)
    clickhouse.execute("CREATE TABLE left AS ledger")
    clickhouse.execute("INSERT INTO left SELECT * FROM ledger WHERE batch != %(lost)s", {"lost": lost})
    clickhouse.execute("DROP TABLE ledger")
    clickhouse.execute("RENAME TABLE left TO ledger")
    caplog.set_level("INFO")
    log_outcome(run(old_pieces, now=moment), dry_run=False)
    said = f"rows of 2 pieces were altered or lost since they were folded, the first in partition 0, batches {lost} to {lost}"
    assert said in caplog.text
    state = read_long_ledger(clickhouse, STREAM)
    assert [fault.kind for fault in chain_faults(by_partition(state.rows), state.keep)] == ["gap", "gap"]


def test_totals_are_carried_on_when_more_expires(old_hours: Settings, clickhouse: Client) -> None:
    run(old_hours, now=OLD + timedelta(days=400, hours=4))
    assert carried_totals(clickhouse, STREAM)[0] == Carried(40, 40, 0, 40)
    run(old_hours)
    assert carried_totals(clickhouse, STREAM)[0] == Carried(100, 100, 0, 100)


def test_an_hour_that_was_never_certified_keeps_itself_and_those_after_it(
    old_hours: Settings, clickhouse: Client
) -> None:
    gap = OLD + timedelta(hours=3)
    ledger(clickhouse, batch_id(1, 11), 110, 120, [HOUR])
    clickhouse.execute("CREATE TABLE kept AS certificates")
    clickhouse.execute("INSERT INTO kept SELECT * FROM certificates WHERE hour != %(hour)s", {"hour": gap})
    clickhouse.execute("DROP TABLE certificates")
    clickhouse.execute("RENAME TABLE kept TO certificates")
    outcome = run(old_hours)
    assert outcome.expired["certificates"] == 3
    assert outcome.kept == [f"ad_events: older hours stay, since {gap:%Y-%m-%dT%H} was never certified"]
    assert count_rows(clickhouse, "ad_events_delta", "window_start >= %(h)s", {"h": gap}) == WINDOWS
    assert count_rows(clickhouse, "ledger") == 2 * 8 + 1


def test_an_hour_with_events_after_its_certificate_stays(old_hours: Settings, clickhouse: Client) -> None:
    late = OLD + timedelta(hours=2)
    ledger(clickhouse, batch_id(1, 11), 110, 120, [late])
    delta(clickhouse, late, batch_id(1, 11), events=1)
    before = clickhouse.execute(SERVED)
    outcome = run(old_hours)
    assert outcome.expired["certificates"] == 2
    assert [row for row in before if row[0] >= late] == clickhouse.execute(SERVED)


def test_the_last_ledger_rows_stay_however_old(old_hours: Settings, clickhouse: Client) -> None:
    clickhouse.execute(
        "INSERT INTO certificates (stream, hour, frontier, seal, verdict) SELECT %(stream)s, "
        "toDateTime(%(first)s + number * 3600, 'UTC'), %(frontier)s, 1, 'PROVED' FROM numbers(%(hours)s)",
        {
            "stream": STREAM,
            "first": int(OLD.timestamp()) + 36_000,
            "frontier": batch_id(1, 10),
            "hours": (HOUR - OLD) // timedelta(hours=1) - 10,
        },
    )
    outcome = run(old_hours, now=NOW + timedelta(days=500))
    state = read_commit_state(clickhouse, STREAM)
    assert state.frontier == {0: 110, 1: 110}
    assert state.highest_batch == batch_id(1, 10)
    assert outcome.kept == [
        f"ad_events: older hours stay, since the last ledger rows of a partition list {HOUR:%Y-%m-%dT%H}"
    ]
    assert count_rows(clickhouse, "takeovers") == 1


@pytest.mark.parametrize("reached", range(4))
def test_an_expiry_that_is_interrupted_is_taken_up(
    old_hours: Settings, clickhouse: Client, monkeypatch: pytest.MonkeyPatch, reached: int
) -> None:
    real, calls = expiring.delete_rows, iter(range(100))

    def interrupted(*args: object) -> None:
        if next(calls) == reached:
            raise KeyboardInterrupt
        real(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(expiring, "delete_rows", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(old_hours)
    run(old_hours)
    assert {table: count_rows(clickhouse, table) for table in ("certificates", "ledger", "balances")} == {
        "certificates": 1,
        "ledger": 2,
        "balances": 1,
    }
    assert count_plain(clickhouse, "verdicts") == 1
    assert count_rows(clickhouse, "ad_events_sealed") == WINDOWS
    assert carried_totals(clickhouse, STREAM)[0] == Carried(100, 100, 0, 100)


def test_a_reader_sees_old_hours_whole_or_not_at_all(old_hours: Settings) -> None:
    client = connect(old_hours)
    answers: set[tuple[datetime, int]] = set()
    stop = threading.Event()

    def poll() -> None:
        while not stop.is_set():
            answers.update(
                client.execute(
                    "SELECT toStartOfHour(window_start) AS hour, sum(event_count) FROM ad_events_aggregated GROUP BY hour"
                )
            )

    reader = threading.Thread(target=poll)
    reader.start()
    eventually(lambda: len(answers) == 11, "the reader has seen every hour", 30)
    run(old_hours)
    stop.set()
    reader.join(30)
    client.disconnect()
    assert {events for _, events in answers} == {2 * WINDOWS}


def letter(hour: datetime, offset: int) -> tuple[object, ...]:
    ms = int(hour.timestamp() * 1000) + 60_000
    return (STREAM, 0, offset, batch_id(1, 0), ms, "schema", "", "{}", 2, "", 1, hour.date())


def test_dead_letters_go_after_thirty_days_if_their_hour_is_certified(
    platform: Settings, clickhouse: Client
) -> None:
    open_hour = HOUR + timedelta(hours=1)
    clickhouse.execute("INSERT INTO dead_letters VALUES", [letter(HOUR, 1), letter(open_hour, 2)])
    assert "dead_letters" not in run(platform, now=HOUR + timedelta(days=30)).expired
    assert run(platform, now=HOUR + timedelta(days=31)).expired["dead_letters"] == 1
    assert clickhouse.execute("SELECT record_offset FROM dead_letters") == [(2,)]


@pytest.fixture
def old_checks(clickhouse: Client) -> Client:
    days = [NOW - timedelta(days=age) for age in (0, 29, 30, 31, 90)]
    for day in days:
        at = int(day.timestamp() * 1000)
        clickhouse.execute("INSERT INTO heartbeats (stream, at, day) VALUES", [(STREAM, at, day.date())])
        clickhouse.execute("INSERT INTO quality_checks (stream, checked_at) VALUES", [(STREAM, day)])
    return clickhouse


def test_heartbeats_and_checks_go_after_thirty_days(platform: Settings, old_checks: Client) -> None:
    expired = run(platform).expired
    assert (expired["heartbeats"], expired["quality_checks"]) == (2, 2)
    assert count_plain(old_checks, "heartbeats") == 3
    assert count_plain(old_checks, "quality_checks") == 3


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def test_orders_stay_from_the_one_that_says_what_ought_to_run(platform: Settings, clickhouse: Client) -> None:
    ages = [("launch", "launch_stream", 900), ("launch", "launch_stream", 800), ("launch", "watch_stream", 700),
            ("stop", "stop_stream", 600), ("launch", "watch_stream", 500)]  # fmt: skip
    rows = [(STREAM, ms(NOW - timedelta(days=age)), kind, by) for kind, by, age in ages]
    rows += [("logs", ms(NOW - timedelta(days=age)), "launch", "launch_stream") for age in (500, 399, 10)]
    rows += [("user_events", ms(NOW - timedelta(days=500)), "launch", "launch_stream")]
    clickhouse.execute("INSERT INTO orders (stream, at, kind, by) VALUES", rows)
    assert run(platform).expired["orders"] == 2
    left = clickhouse.execute("SELECT stream, at FROM orders ORDER BY stream, at")
    aged = [(stream, (NOW - datetime.fromtimestamp(at / 1000, UTC)).days) for stream, at in left]
    assert aged == [
        ("ad_events", 800), ("ad_events", 700), ("ad_events", 600), ("ad_events", 500),
        ("logs", 399), ("logs", 10), ("user_events", 500),
    ]  # fmt: skip
    assert "orders" not in run(platform).expired


def test_the_newest_request_to_stop_stays(platform: Settings, clickhouse: Client) -> None:
    rows = [(STREAM, number, NOW - timedelta(days=500 - number)) for number in (1, 2, 3)]
    rows += [("logs", 1, NOW - timedelta(days=401)), ("logs", 9, NOW)]
    clickhouse.execute("INSERT INTO stop_requests VALUES", rows)
    assert run(platform).expired["stop_requests"] == 3
    left = clickhouse.execute("SELECT stream, generation FROM stop_requests ORDER BY stream")
    assert left == [("ad_events", 3), ("logs", 9)]


def test_an_approval_goes_after_its_dead_letter(platform: Settings, clickhouse: Client) -> None:
    insert = "INSERT INTO replay_approvals VALUES"
    old, young = NOW - timedelta(days=401), NOW - timedelta(days=399)
    waiting = letter(HOUR + timedelta(hours=1), 1)  # that hour is not certified
    clickhouse.execute("INSERT INTO dead_letters VALUES", [waiting])
    clickhouse.execute(
        insert, [(STREAM, 0, 1, 2, "r", old), (STREAM, 0, 2, 2, "r", old), (STREAM, 0, 3, 2, "r", young)]
    )
    assert run(platform).expired["replay_approvals"] == 1
    assert clickhouse.execute("SELECT record_offset FROM replay_approvals ORDER BY record_offset") == [
        (1,),
        (3,),
    ]


def test_accounts_of_generated_traffic_go_after_thirty_days(platform: Settings, clickhouse: Client) -> None:
    for name, age in (("old", 31), ("young", 29)):
        begun = NOW - timedelta(days=age)
        clickhouse.execute(
            "INSERT INTO traffic_runs (run, stream, started_at) VALUES", [(name, STREAM, begun)]
        )
        clickhouse.execute(
            "INSERT INTO traffic_truth (run, stream, window_start) VALUES", [(name, STREAM, OLD)]
        )
        clickhouse.execute("INSERT INTO traffic_sends VALUES", [(name, STREAM, ms(begun))] * 3)
    expired = run(platform).expired
    assert {table: rows for table, rows in expired.items() if table.startswith("traffic")} == {
        "traffic_runs": 1, "traffic_truth": 1, "traffic_sends": 3,
    }  # fmt: skip
    for table in ("traffic_runs", "traffic_truth", "traffic_sends"):
        assert clickhouse.execute(f"SELECT DISTINCT run FROM {table}") == [("young",)]


def test_old_repairs_of_the_ledger_go_with_their_hours(old_hours: Settings, clickhouse: Client) -> None:
    rows = [(STREAM, number, number, 0, "gap", 0, 1, hours, "", at) for number, (hours, at) in enumerate(
        [([OLD], OLD + LATER), ([OLD, HOUR], OLD + LATER), ([OLD], HOUR), ([], OLD + LATER)]
    )]  # fmt: skip
    clickhouse.execute("INSERT INTO ledger_repairs VALUES", rows)
    assert run(old_hours).expired["ledger_repairs"] == 2
    assert clickhouse.execute("SELECT number FROM ledger_repairs ORDER BY number") == [(1,), (2,)]


def test_closed_incidents_and_old_alerts_go_after_four_hundred_days(
    platform: Settings, clickhouse: Client
) -> None:
    long_ago, lately = NOW - timedelta(days=460), NOW - timedelta(days=10)
    for key, at, event in (("a", long_ago, "opened"), ("a", long_ago, "closed"), ("b", long_ago, "opened"),
                           ("c", lately, "closed")):  # fmt: skip
        clickhouse.execute(
            "INSERT INTO incidents (key, opened_at, at, event) VALUES", [(key, ms(at), ms(at), event)]
        )
    for at in (long_ago, lately):
        clickhouse.execute("INSERT INTO alerts (detector, window_start) VALUES", [("ddos", at)])
        clickhouse.execute("INSERT INTO alert_judgements (detector, hour) VALUES", [("ddos", at)])
        for table in ("detector_checks", "stream_checks"):
            clickhouse.execute(f"INSERT INTO {table} (stream, at, day) VALUES", [(STREAM, ms(at), at.date())])
    expired = run(platform).expired
    assert (expired["incidents"], expired["alerts"], expired["alert_judgements"]) == (2, 1, 1)
    assert (expired["detector_checks"], expired["stream_checks"]) == (1, 1)
    assert clickhouse.execute("SELECT DISTINCT key FROM incidents ORDER BY key") == [("b",), ("c",)]


def count_plain(client: Client, table: str) -> int:
    return int(client.execute(f"SELECT count() FROM {table}")[0][0])
