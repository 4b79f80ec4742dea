"""A reconciliation without Spark: the product's plan, rows, judgement and certificate around a recount in Python."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from include.contracts.classifier import Classifier, Event
from include.reconcile import balance, compare, judging, plan, seal, store
from include.reconcile.candidates import write_balances, write_cells
from include.reconcile.delivered import Delivered
from include.reconcile.measure import Cell, SegmentCount
from include.reconcile.types import CertificateChangedError, HourPlan, Recounted, epoch
from include.settings import Settings
from include.streaming import control
from tests.protocol.reading import once
from tests.protocol.replay.driver import read_steps
from tests.protocol.replay.gate import Actor, SteppedClient, current
from tests.protocol.replay.platform import HOUR, STREAM, Platform
from tests.protocol.state import Offset

CERTIFYING = [("certify", "INSERT INTO certificates")]


def reconcile(platform: Platform, actor: Actor, hour_number: int) -> None:
    """Reconcile one hour, from the draw of a seal number to the certificate."""
    hour = HOUR + timedelta(hours=hour_number)
    settings, contract = platform.settings, platform.contract
    run, plans = plan.make_plans(settings, [STREAM], hour, hour, "auto", lambda _: contract)
    (found,) = plans
    if found.verdict is not None:
        return
    client = platform.connect()
    cells, recounted = recount(platform, found)
    first, second = minutes_by_part(platform)
    actor.before("write 0")
    write_cells(client, contract, found, [cell for cell in cells if cell.window in first])
    actor.before("write 1")
    write_cells(client, contract, found, [cell for cell in cells if cell.window in first | second])
    write_balances(client, found, recounted.balances)
    digest = compare.digest_of(client, contract, found.hour, found.frontier, found.seal)
    store.write_recount(client, found, Recounted(**{**vars(recounted), "digest": digest}))
    try:
        actor.before("compare")
        judging.judge_run(settings, run)
        actor.before("verify")
        seal.seal_run(settings, run)
    except CertificateChangedError:
        return


def minutes_by_part(platform: Platform) -> tuple[set[int], set[int]]:
    """Return the windows, in epoch seconds, of the first and of the second half of an hour's sealed rows."""
    windows: tuple[set[int], set[int]] = (set(), set())
    for offset, record in platform.world.records.items():
        windows[record.part].add(window(platform, offset))
    return windows


def window(platform: Platform, offset: Offset) -> int:
    """Return the start of a record's minute, epoch seconds."""
    return epoch(platform.moment(offset).replace(second=0))


def recount(platform: Platform, found: HourPlan) -> tuple[list[Cell], Recounted]:
    """Judge every record of the plan's segments by the contract's classifier; return cells and what was read."""
    classifiers = {contract.version: Classifier(contract) for contract in platform.contracts.values()}
    counts: list[SegmentCount] = []
    events: dict[Offset, Event] = {}
    for index, segment in enumerate(found.segments):
        span = segment.range
        again = {item.offset: item.contract_version for item in segment.replayed}
        outcomes: Counter[tuple[str | None, int | None, bool]] = Counter()
        late: Counter[tuple[str | None, int | None, bool]] = Counter()
        for offset in ((span.partition, o) for o in range(span.start, span.end)):
            record = platform.record(offset)
            replayed = offset[1] in again
            version = again.get(offset[1], segment.contract_version)
            event = classifiers[version].classify(record.value, record.kafka_ms)
            if not isinstance(event, Event):
                outcomes[event.reason, None, replayed] += 1
                continue
            hour = event.time_us // 3_600_000_000 * 3600
            outcomes[None, hour, replayed] += 1
            late[None, hour, replayed] += (
                record.kafka_ms * 1000 - event.time_us > platform.contract.lateness_seconds * 1_000_000
            )
            if hour == epoch(found.hour):
                events[offset] = event
        counts += [
            SegmentCount(index, reason, hour, n, n, late[reason, hour, replayed], replayed)
            for (reason, hour, replayed), n in outcomes.items()
        ]
    winners = once(platform.world, events)
    cells = [_cell(platform, found, offset, event, offset in winners) for offset, event in events.items()]
    delivered = [Delivered(index, segment.range.offsets, 0) for index, segment in enumerate(found.segments)]
    read = balance.by_segment(found.segments, delivered, counts)
    reads = [read[segment.range] for segment in found.segments]
    return cells, Recounted(
        windows=len(cells),
        cells=len(cells),
        events=len(winners),
        events_as_they_came=len(events),
        digest="",
        balances=balance.balances(epoch(found.hour), reads),
        findings=tuple(sentence for item in reads for sentence in balance.findings(item)),
    )


def _cell(platform: Platform, found: HourPlan, offset: Offset, event: Event, wins: bool) -> Cell:
    (cube,) = platform.contract.cubes
    came = tuple(1 if m.field is None else int(event.values[m.field]) for m in cube.measures)
    dimensions = tuple(str(event.values[name]) for name in cube.dimensions)
    exact = came if wins else (0,) * len(came)
    return Cell(cube.name, epoch(found.hour), window(platform, offset), dimensions, exact, came)


class SteppedPlan:
    """Stands where the planner looks for its client and the control topic; all calls go through to the product."""

    def __init__(self, platform: Platform) -> None:
        self._platform, self._rules = platform, platform.world.rules
        self._draw, self._newest_claim = control.draw_seal, control.newest_claim
        self._clients: dict[Actor, SteppedClient] = {}
        self._claims: dict[Actor, int] = {}

    def connect(self, _: Settings) -> SteppedClient:
        """Return a client that will stop once a seal number is drawn."""
        client = self._clients[current()] = SteppedClient(self._platform.connect(), [])
        return client

    def draw_seal(self, settings: Settings, stream: str, hour: datetime) -> int:
        """Draw a seal number; stop before, and before each read that follows."""
        current().before("draw")
        if not self._rules.claim_is_read_last:
            self._claims[current()] = self._newest_claim(settings, stream)
        self._clients[current()].stop_before([*read_steps(self._rules), ("base", "FROM certificates")])
        return self._draw(settings, stream, hour)

    def newest_claim(self, settings: Settings, stream: str) -> int:
        """Read the newest claim; stop before, and before what follows."""
        current().before("claim")
        found = self._claims.get(current()) or self._newest_claim(settings, stream)
        current().before("recount")
        return found


def stepped_certifying(platform: Platform) -> SteppedClient:
    """Return the client of a seal step, which stops before the certificate."""
    return SteppedClient(platform.connect(), CERTIFYING)
