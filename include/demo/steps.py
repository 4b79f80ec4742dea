"""What the demo does, step by step, each through Airflow as a user would from its pages."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from clickhouse_driver import Client

from include.contracts import Contract
from include.demo.airflow_api import AirflowApi, AirflowRunError, DagRun
from include.demo.report import Drift, LatencySeconds
from include.demo.streams import certificates
from include.settings import Settings
from include.streaming.ledger import read_commit_state, read_position
from include.topics.offsets import Offsets
from include.traffic.latency import LatencyProbe, match
from include.warehouse.client import connect
from include.warehouse.sql import read_sql

HOUR = timedelta(hours=1)
MAIN = "ad_events"  # the stream whose latency is measured and whose hour is damaged
DAGS = {
    "prepare_platform",
    "launch_stream",
    "stop_stream",
    "generate_traffic",
    "reconcile_hour",
    "inject_drift",
    "check_quality",
}


@dataclass(frozen=True)
class DemoSize:
    """How much traffic the demo sends: `hours` past hours, then `live_seconds` now.

    `rate` is events/s of MAIN, `other_rate` of each other stream.
    """

    hours: int = 3
    rate: float = 82.0
    other_rate: float = 10.0
    live_seconds: int = 60
    malformed: float = 0.001
    duplicate: float = 0.002
    late: float = 0.01

    @property
    def shares(self) -> dict[str, float]:
        """The generator's shares of faulty records."""
        return {"malformed": self.malformed, "duplicate": self.duplicate, "late": self.late}


class Demo:
    """One demo on a running platform, all streams side by side; `say` shows a line of progress."""

    def __init__(
        self,
        api: AirflowApi,
        settings: Settings,
        contracts: Sequence[Contract],
        size: DemoSize,
        say: Callable[[str], None],
    ) -> None:
        self._api, self._settings, self._size, self._say = api, settings, size, say
        self._contracts = {contract.stream: contract for contract in contracts}
        self._since = time.monotonic()
        # The newest hour that is closed by now in every stream, with a minute to spare.
        spare = timedelta(seconds=max(contract.lateness_seconds for contract in contracts) + 120)
        self.reconciled_at = datetime.now(UTC)
        self.end = (datetime.now(UTC) - spare).replace(minute=0, second=0, microsecond=0)

    def prepare(self) -> None:
        """Wait until Airflow has read the DAGs, then create topics and tables."""
        self._wait_for("Airflow to read the DAGs", lambda: self._api.dags() >= DAGS, 120)
        self._tell(self._api.run("prepare_platform"), "topics and tables are there")

    def stream_past_hours(self) -> None:
        """Launch the streaming job and send past hours meanwhile; wait until all of it is committed."""
        launch = self._api.trigger("launch_stream", {"streams": list(self._contracts)})
        start = self.end - self._size.hours * HOUR
        past = f"{self._size.hours} past hours from {start:%Y-%m-%d %H:%M} UTC on"
        self._send(self._size.hours * 3600, start.isoformat().replace("+00:00", "Z"), past)
        self._tell(self._api.wait("launch_stream", launch, 300), "the streaming job runs")
        self._catch_up()

    def stream_live(self) -> LatencySeconds:
        """Send live traffic and watch when each event of MAIN is first seen in the served view."""
        probe = LatencyProbe(self._settings)
        probe.start()
        sent = self._send(self._size.live_seconds, None, f"{self._size.live_seconds} s of live traffic")
        probe.wait_for(int(sent[MAIN].returned["generate"]["accepted"]), 60)
        latency = match(self._live_sends(), probe.stop())
        self._catch_up()
        return LatencySeconds(latency.p50, latency.p99)

    def _live_sends(self) -> list[int]:
        client = connect(self._settings)
        found = client.execute(read_sql("report/live_sends.sql"), {"stream": MAIN})
        client.disconnect()
        return [row[0] for row in found]

    def reconcile(self, hour: datetime | None = None) -> None:
        """Prove every hour that is due of every stream, or one hour of MAIN again."""
        if hour is None:
            self.reconciled_at = datetime.now(UTC)
        text = None if hour is None else f"{hour:%Y-%m-%dT%H:%M:%SZ}"
        streams = list(self._contracts) if hour is None else [MAIN]
        run = self._api.run("reconcile_hour", {"streams": streams, "from_hour": text, "to_hour": text}, 600)
        judged = "; ".join(
            f"{stream} {', '.join(f'{at:%H:%M} {verdict}' for at, verdict in self.verdicts(stream))}"
            for stream in streams
        )
        self._tell(run, f"reconciled {'all that was due' if hour is None else f'{hour:%H:%M}'}: {judged}")

    def damage_and_repair(self) -> Drift:
        """Remove served rows of a proved hour of MAIN; see it caught, repaired and proved again."""
        hour = self.end - (self._size.hours + 1) // 2 * HOUR
        before = self._seal(hour)
        cube = self._contracts[MAIN].cubes[0].name
        form = {"stream": MAIN, "cube": cube, "hour": f"{hour:%Y-%m-%dT%H:00:00Z}"}
        run = self._api.run("inject_drift", form)
        injected = run.returned["inject"]
        damage = f"{injected['rows']} rows removed from {injected['table']}, hour {hour:%H:%M}"
        self._tell(run, damage)
        self.reconcile(hour)
        mended = dict(self._verdicts_after(hour, before)).get("REPAIRED")
        seal = self._seal(hour)
        self.reconcile(hour)
        again = [verdict for verdict, _ in self._verdicts_after(hour, seal)]
        verdict = "NOT REPAIRED" if mended is None else "REPAIRED"
        return Drift(
            injected["kind"],
            mended is not None,
            verdict,
            set(again) == {"PROVED"},
            damage,
            mended or "nothing",
        )

    def check_quality(self) -> None:
        """Run the Great Expectations suites over the newest certified hours."""
        run = self._api.run("check_quality", {"streams": list(self._contracts)}, 300)
        self._tell(run, "quality checked")

    def verdicts(self, stream: str) -> list[tuple[datetime, str]]:
        """Return each certified hour of a stream and its verdict in force."""
        client = connect(self._settings)
        found = [(hour, verdict) for hour, _, _, verdict, *_ in certificates(client, stream)]
        client.disconnect()
        return found

    def _verdicts_after(self, hour: datetime, seal: int) -> list[tuple[str, str]]:
        client = connect(self._settings)
        values = {"stream": MAIN, "hour": f"{hour:%Y-%m-%d %H:%M:%S}", "seal": seal}
        found: list[tuple[str, str]] = client.execute(read_sql("report/verdicts_after.sql"), values)
        client.disconnect()
        return found

    def _seal(self, hour: datetime) -> int:
        client = connect(self._settings)
        seals = {found: seal for found, _, seal, *_ in certificates(client, MAIN)}
        client.disconnect()
        return seals.get(hour, 0)

    def _send(self, seconds: int, start: str | None, what: str) -> dict[str, DagRun]:
        """Send traffic of every stream at the same time; return the run of each."""
        form = {"duration": seconds, **self._size.shares, "seed": int(time.time())}
        moment = {"start": start} if start else {}
        rates = {s: self._size.rate if s == MAIN else self._size.other_rate for s in self._contracts}
        runs = {
            stream: self._api.trigger("generate_traffic", {"stream": stream, "rate": rate, **form, **moment})
            for stream, rate in rates.items()
        }
        sent = {stream: self._api.wait("generate_traffic", run, 600) for stream, run in runs.items()}
        for stream, run in sent.items():
            self._tell(run, f"{stream}: {run.returned['generate']['sent']:,} records sent, {what}")
        return sent

    def _catch_up(self) -> None:
        ends = {
            stream: Offsets(self._settings, contract.topic.name).ends()
            for stream, contract in self._contracts.items()
        }
        client = connect(self._settings)
        shown = [time.monotonic()]

        def caught_up() -> bool:
            lag = 0
            for stream, ended in ends.items():
                frontier = read_position(client, stream).frontier
                lag += sum(max(0, end - frontier.get(partition, 0)) for partition, end in ended.items())
            if lag and time.monotonic() - shown[0] > 5:
                shown[0] = time.monotonic()
                self._say(f"        {lag:,} records to go")
            return lag == 0

        self._wait_for("the streams to commit what was sent", caught_up, 300)
        events = sum(_count(client, stream) for stream in self._contracts)
        client.disconnect()
        self._say(self._line(f"{events:,} events are aggregated"))

    def _wait_for(self, what: str, met: Callable[[], bool], limit_seconds: float) -> None:
        since = time.monotonic()
        while not met():
            if time.monotonic() - since > limit_seconds:
                raise AirflowRunError(
                    f"waited {limit_seconds:.0f} s for {what}\n" + "\n".join(self._api.import_errors())
                )
            time.sleep(0.5)

    def _tell(self, run: DagRun, what: str) -> None:
        self._say(self._line(f"{run.dag:<18} {what} ({run.seconds:.0f} s)"))

    def _line(self, text: str) -> str:
        return f"{time.monotonic() - self._since:6.0f} s  {text}"


def _count(client: Client, stream: str) -> int:
    return sum(row.accepted for row in read_commit_state(client, stream).rows)
