"""A reader that polls the served view through 50 seals, beside batches, takeovers and compaction, never sees a half."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from clickhouse_driver import Client

from include.compact.seals import compact, plan_compaction
from include.contracts import Contract
from include.reconcile import compare, store
from include.reconcile.candidates import write_cells
from include.reconcile.judging import judge_run
from include.reconcile.measure import Cell
from include.reconcile.seal import seal_run
from include.reconcile.types import HOUR, PROVED, HourPlan, PartitionBalance, Recounted, epoch
from include.settings import Settings
from include.streaming.commit import ledger_rows, write_batch
from include.streaming.control import claim, draw_seal
from include.streaming.ledger import GENERATION_BITS, batch_id, read_commit_state, take_over
from include.warehouse.client import connect
from tests.helpers import Record, ad_events, encoded, folded

CONTRACT = ad_events().model_copy(update={"cubes": ad_events().cubes[:1]})
STREAM = CONTRACT.stream
FIRST = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
HOURS = [FIRST + number * HOUR for number in range(5)]
SEALS = 50
GRACE_SECONDS = 0.6
TOTALS = (
    "SELECT toStartOfHour(window_start) AS hour, sum(event_count) FROM ad_events_aggregated GROUP BY hour"
)
EACH = 4  # events of each hour in a batch


@dataclass
class Truth:
    """What readers may see: at least what was committed before they began, at most what was begun before they end."""

    committed: Counter[datetime] = field(default_factory=Counter)
    begun: Counter[datetime] = field(default_factory=Counter)

    def illegal(self, least: Counter[datetime], found: Counter[datetime]) -> list[str]:
        """Return a sentence for each hour whose total no complete state has."""
        return [
            f"{hour:%H:%M}: {found[hour]} events, legal are {least[hour]} to {self.begun[hour]}"
            for hour in HOURS
            if not least[hour] <= found[hour] <= self.begun[hour]
        ]


def totals(client: Client) -> Counter[datetime]:
    return Counter({hour.replace(tzinfo=UTC): int(events) for hour, events in client.execute(TOTALS)})


def hour_of(offset: int) -> datetime:
    return HOURS[offset // EACH % len(HOURS)]


def moment(offset: int) -> datetime:
    return hour_of(offset) + timedelta(minutes=offset % 3, seconds=1)


def record(offset: int) -> Record:
    at = moment(offset)
    stamp = at.strftime("%Y-%m-%dT%H:%M:%S.%f")
    return Record(encoded(event_id=f"E{offset}", timestamp=stamp), 0, offset, epoch(at) * 1000 + 1000)


@dataclass
class Driver:
    """Writes batches of all hours; takes over now and then, and lets the driver before write once more, too late."""

    settings: Settings
    client: Client
    truth: Truth
    generation: int = 0
    number: int = 0
    end: int = 0

    def start(self) -> None:
        self.generation, self.number = claim(self.settings, STREAM), 0
        self.end = take_over(self.client, STREAM, self.generation).frontier.get(0, 0)

    def write(self, counts: bool = True) -> None:
        offsets = range(self.end, self.end + EACH * len(HOURS))
        batch = batch_id(self.generation, self.number)
        results = folded(CONTRACT, [[[record(offset) for offset in offsets]]])
        rows = ledger_rows(CONTRACT, batch, {0: (offsets.start, offsets.stop)}, {0: 0}, results)
        events = Counter(hour_of(offset) for offset in offsets) if counts else Counter[datetime]()
        self.truth.begun = self.truth.begun + events
        write_batch(self.client, CONTRACT, batch, results, rows)
        self.truth.committed = self.truth.committed + events
        self.end, self.number = offsets.stop, self.number + 1

    def run(self, over: threading.Event) -> None:
        turn = 0
        while not over.wait(0.1):
            turn += 1
            self.write()
            if turn % 8 == 0:
                late = Driver(self.settings, self.client, self.truth, self.generation, self.number, self.end)
                self.start()
                late.write(counts=False)


def seal_all(settings: Settings, client: Client, turn: int) -> None:
    """Seal every hour in one run, with one grace: the product's rows, judgement and certificates."""
    run = f"run-{turn}"
    seal = draw_seal(settings, STREAM, HOURS[0])
    state = read_commit_state(client, STREAM)
    frontier = max(state.generation << GENERATION_BITS, state.highest_batch)
    bases = store.certificates(client, STREAM)
    offsets = [offset for row in state.rows for offset in range(row.start_offset, row.end_offset)]
    plans = [
        HourPlan(run, STREAM, hour, seal, state.generation, frontier, bases.get(hour), 1, "auto")
        for hour in HOURS
    ]
    store.write_plans(client, plans)
    for plan in plans:
        cells = recounted_cells(plan.hour, offsets)
        write_cells(client, CONTRACT, plan, cells)
        events = sum(cell.once[0] for cell in cells)
        whole = len(offsets)
        balance = PartitionBalance(0, ((0, whole),), whole, events, whole - events, {}, 0, 0, 0, 0)
        digest = compare.digest_of(client, CONTRACT, plan.hour, plan.frontier, plan.seal)
        store.write_recount(
            client, plan, Recounted(len(cells), len(cells), events, events, digest, (balance,))
        )
    assert judge_run(settings, run, load) == {PROVED: len(HOURS)}
    seal_run(settings, run, load)


def load(_: str) -> Contract:
    return CONTRACT


def recounted_cells(hour: datetime, offsets: list[int]) -> list[Cell]:
    minutes = Counter(epoch(moment(o).replace(second=0)) for o in offsets if hour_of(o) == hour)
    return [
        Cell("ad_events", epoch(hour), minute, ("click", "UK", "rewarded_video"), figures, figures)
        for minute, count in minutes.items()
        for figures in [(count, 16_500 * count)]
    ]


@pytest.fixture
def settings_with_grace(control_topic: Settings) -> Settings:
    return control_topic.model_copy(update={"grace_seconds": GRACE_SECONDS})


@pytest.fixture
def beside(settings_with_grace: Settings) -> Iterator[Callable[[Callable[[Client], None]], None]]:
    """Return a function that runs an action in a thread with a client of its own; its errors fail the test."""
    threads: list[threading.Thread] = []
    errors: list[BaseException] = []

    def start(action: Callable[[Client], None]) -> None:
        def run() -> None:
            client = connect(settings_with_grace)
            try:
                action(client)
            except BaseException as error:
                errors.append(error)
            finally:
                client.disconnect()

        threads.append(threading.Thread(target=run))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join(60)
    assert not errors, errors


def test_a_reader_never_sees_a_half(
    settings_with_grace: Settings, clickhouse: Client, beside: Callable[[Callable[[Client], None]], None]
) -> None:
    settings, truth, over, sealed = settings_with_grace, Truth(), threading.Event(), threading.Event()
    driver = Driver(settings, clickhouse, truth)
    driver.start()
    driver.write()

    def write(client: Client) -> None:
        driver.client = client
        driver.run(over)

    def seal(client: Client) -> None:
        try:
            for turn in range(SEALS // len(HOURS)):
                seal_all(settings, client, turn)
        finally:
            sealed.set()

    def drop(client: Client) -> None:
        while not over.wait(1.0):
            planned = plan_compaction(client, CONTRACT, datetime.now(UTC))
            if not over.wait(GRACE_SECONDS):
                compact(client, planned)

    reader = connect(settings)
    beside(write)
    beside(seal)
    beside(drop)
    reads = slow = 0
    try:
        while not sealed.wait(0.02):
            least, began = truth.committed, time.monotonic()
            found = totals(reader)
            # The grace is for queries that end within it; a slower one is refused by the readers' profile.
            if time.monotonic() - began > GRACE_SECONDS:
                slow += 1
                continue
            reads += 1
            wrong = truth.illegal(least, found)
            assert not wrong, f"read {reads}: {wrong}"
    finally:
        over.set()
        reader.disconnect()
    certificates = clickhouse.execute("SELECT count(), uniqExact(frontier) FROM certificates")[0]
    assert certificates[0] == SEALS, certificates
    assert reads >= SEALS, f"{reads} reads, {slow} slower than the grace"


def test_a_certificate_before_its_rows_is_seen_as_a_half(
    settings_with_grace: Settings, clickhouse: Client
) -> None:
    truth = Truth()
    driver = Driver(settings_with_grace, clickhouse, truth)
    driver.start()
    driver.write()
    assert truth.illegal(truth.committed, totals(clickhouse)) == []
    clickhouse.execute(
        "INSERT INTO certificates (stream, hour, frontier, seal, verdict) VALUES",
        [(STREAM, HOURS[0], batch_id(driver.generation, 0), 1, PROVED)],
    )
    assert truth.illegal(truth.committed, totals(clickhouse)) == ["00:00: 0 events, legal are 4 to 4"]
