"""One round on a stage: draw faults, do them, reconcile once, reconcile again, and keep all that was seen.

Nothing is judged here (checks.py does). Steps of a run are done for all hours before the next step begins,
so that a fault between two steps can hit any hour of the run.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from include.reconcile.inject.order import NoFreeBatchError, TooFewRowsError
from include.reconcile.inject.registry import inject_drift
from include.reconcile.report import HourLine
from tests.prove.draw import (
    BEFORE,
    JUDGED,
    PLANNED,
    RECOUNTED,
    REOPENED,
    SEALED,
    UNSEALED,
    Fault,
    draw_fault,
    draw_faults,
)
from tests.prove.seen import Seen, Verdict
from tests.prove.stage import Stage

log = logging.getLogger(__name__)

HOURS_OF_A_RUN = 24
READ_DRIFTS = "SELECT hour, drifts FROM verdicts WHERE run IN %(runs)s"


class Prover:
    """Plays rounds on one stage. Hours that a fault reached and no run has taken up stay in mind for a later round."""

    def __init__(self, stage: Stage, seed: str) -> None:
        self._stage, self._seed = stage, seed
        self._sealed: set[datetime] = set()
        self._tainted: set[datetime] = set()
        self._faults = 0

    def seal_first(self, count: int) -> Seen:
        """Reconcile the oldest `count` hours, to which nothing has happened."""
        seen = Seen(0, self._stage.hours[:count])
        seen.first = self._reconcile(seen.hours)
        seen.truth = self._stage.truth(seen.hours)
        seen.after_first = seen.after_all = self._stage.view(seen.hours)
        self._sealed |= set(seen.hours)
        return seen

    def play(self, number: int, hours: int, faults: int, reopened: int) -> Seen:
        """Do up to `faults` faults to the oldest `hours` hours, of which late events reopen some."""
        stage, chance = self._stage, random.Random(f"{self._seed}/{number}")
        seen = Seen(number, stage.hours[:hours])
        stage.restart()
        sealed = [hour for hour in seen.hours if hour in self._sealed]
        late = chance.sample(sealed, min(reopened, len(sealed)))
        stage.send_late(chance, late, 40)
        states = {
            hour: UNSEALED if hour not in self._sealed else REOPENED if hour in late else SEALED
            for hour in seen.hours
        }
        drawn = draw_faults(chance, states, faults, self._faults + 1)
        self._faults += len(drawn)
        shown, ledger = self._inject(seen, chance, drawn, BEFORE)
        seen.reached = (self._tainted | shown | ledger) & set(seen.hours)
        seen.first = self._reconcile(seen.hours, lambda moment: self._disturb(seen, chance, drawn, moment))
        seen.truth = stage.truth(seen.hours)
        seen.after_first = stage.view(seen.hours)
        seen.second = self._reconcile(seen.hours)
        unproved = [hour for hour in seen.hours if seen.second[hour].verdict != "PROVED"]
        if unproved:
            span = seen.hours[seen.hours.index(unproved[0]) : seen.hours.index(unproved[-1]) + 1]
            seen.third = self._reconcile(span)
        seen.after_all = stage.view(seen.hours)
        self._tainted -= set(seen.hours)
        self._sealed |= set(seen.hours)
        return seen

    def _disturb(self, seen: Seen, chance: random.Random, drawn: Sequence[Fault], moment: str) -> None:
        shown, ledger = self._inject(seen, chance, drawn, moment)
        seen.reached_during |= (shown | ledger) & set(seen.hours)

    def _inject(
        self, seen: Seen, chance: random.Random, drawn: Sequence[Fault], moment: str
    ) -> tuple[set[datetime], set[datetime]]:
        """Do the faults of one moment; return the hours whose figures changed, and those of changed ledger rows."""
        stage = self._stage
        mine = sorted((fault for fault in drawn if fault.when == moment), key=_removes_first)
        if not mine:
            return set(), set()
        view, ledger = stage.view(stage.hours), stage.ledger()
        for fault in mine:
            self._do(seen, chance, fault)
        now, rows = stage.view(stage.hours), stage.ledger()
        shown = {hour for hour in stage.hours if view[hour] != now[hour]}
        changed = {key for key in ledger.keys() | rows.keys() if ledger.get(key) != rows.get(key)}
        listed = {
            hour.replace(tzinfo=UTC)
            for key in changed
            for found in (ledger.get(key), rows.get(key))
            if found is not None
            for hour in found.hours
        }
        self._tainted |= (shown | listed) - set(seen.hours)
        stage.fold_what_was_sent()
        return shown, listed

    def _do(self, seen: Seen, chance: random.Random, fault: Fault) -> None:
        """Do a fault; where the hour does not hold what it needs, do another class of fault to it."""
        stage, refused = self._stage, list[str]()
        while True:
            try:
                found = inject_drift(
                    *(stage.settings, fault.kind, stage.contract.stream, fault.hour, fault.size, fault.seed),
                    stage.load,
                )
            except (NoFreeBatchError, TooFewRowsError) as error:
                seen.refused.append(f"{fault}: {error}")
                log.info("refused %s: %s", fault, error)
                refused.append(fault.kind)
                other = draw_fault(chance, fault.hour, fault.state, fault.number, refused)
                fault = Fault(
                    *(fault.number, other.kind, fault.hour, fault.state, fault.when, other.size, other.seed)
                )
                continue
            seen.faults.append(fault)
            seen.accounts[fault.number] = f"{found.table}: {', '.join(found.touched[:4])}"
            log.info("%s", fault)
            return

    def _reconcile(
        self, hours: list[datetime], between: Callable[[str], None] = lambda _: None
    ) -> dict[datetime, Verdict]:
        """Run all steps over hours that follow each other; `between` is told the step that was done."""
        stage = self._stage
        parts = [hours[at : at + HOURS_OF_A_RUN] for at in range(0, len(hours), HOURS_OF_A_RUN)]
        runs = [stage.plan("auto", part[0], part[-1]) for part in parts]
        between(PLANNED)
        for run in runs:
            stage.recount(run)
        between(RECOUNTED)
        for run in runs:
            stage.judge(run)
        between(JUDGED)
        lines = [line for run in runs for line in stage.seal(run)]
        log.info("reconciled %d hours from %s on", len(hours), f"{hours[0]:%Y-%m-%dT%H}")
        return self._verdicts(runs, lines)

    def _verdicts(self, runs: list[str], lines: Sequence[HourLine]) -> dict[datetime, Verdict]:
        named = {
            f"{hour:%Y-%m-%dT%H}": tuple(drifts)
            for hour, drifts in self._stage.client.execute(READ_DRIFTS, {"runs": tuple(runs)})
        }
        return {
            datetime.strptime(line.hour, "%Y-%m-%dT%H").replace(tzinfo=UTC): Verdict(
                line.verdict, line.reason, named.get(line.hour, ())
            )
            for line in lines
        }


def _removes_first(fault: Fault) -> bool:
    """Order by this: what removes rows comes before what adds some, or it could take away another fault's."""
    return fault.kind not in ("ledger_gap", "lost_batch", "lost_row", "wrong_window")
