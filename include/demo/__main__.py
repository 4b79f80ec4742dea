"""`python -m include.demo`: set up, work through Airflow, report; what `make demo` calls."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time

from include.contracts import load_contracts
from include.demo.airflow_api import AirflowApi, AirflowRunError
from include.demo.report import Report
from include.demo.steps import Demo, DemoSize
from include.demo.streams import stream_report
from include.local.airflow import USER
from include.local.env import platform_environment
from include.local.layout import HOST, Layout
from include.local.platform import up
from include.local.secrets import load_secrets
from include.local.service import LocalPlatformError
from include.local.summary import summary
from include.settings import get_settings
from include.warehouse.client import connect


def _say(line: str) -> None:
    print(line, flush=True)


def run(layout: Layout, size: DemoSize) -> Report:
    """Run the demo and return what it saw.

    Raises:
        LocalPlatformError: the platform cannot be set up.
        AirflowRunError: a DAG run failed, with the end of its log.
    """
    since = time.monotonic()
    _say("Setting up (make up)")
    tools = up(layout, _say)
    os.environ.update(platform_environment(layout, tools.java_home))
    get_settings.cache_clear()
    settings, contracts = get_settings(), load_contracts()
    address = f"http://{HOST}:{layout.ports.airflow}"
    api = AirflowApi(address, USER, load_secrets(layout.secrets).airflow_password)
    set_up = time.monotonic() - since
    _say(f"\nWorking through Airflow at {address}")
    demo = Demo(api, settings, contracts, size, _say)
    demo.prepare()
    demo.stream_past_hours()
    latency = demo.stream_live()
    demo.reconcile()
    drift = demo.damage_and_repair()
    demo.check_quality()
    client = connect(settings)
    report = Report(
        streams={c.stream: stream_report(client, c, demo.reconciled_at) for c in contracts},
        drift=drift,
        latency=latency,
        set_up_seconds=set_up,
        total_seconds=time.monotonic() - since,
    )
    client.disconnect()
    (layout.home / "demo-report.json").write_text(
        json.dumps(report.as_json(), indent=1) + "\n", encoding="utf-8"
    )
    _say(report.as_text())
    _say(summary(layout, tools, set_up))
    return report


def main() -> int:
    """Parse arguments, run, return 0 only when everything is proved, explained and equal."""
    parser = argparse.ArgumentParser(prog="python -m include.demo", description=__doc__)
    parser.add_argument("--hours", type=int, default=DemoSize.hours, choices=range(1, 25), metavar="1..24")
    parser.add_argument("--live-seconds", type=int, default=DemoSize.live_seconds)
    chosen = parser.parse_args()
    layout = Layout()
    try:
        report = run(layout, DemoSize(hours=chosen.hours, live_seconds=chosen.live_seconds))
    except (LocalPlatformError, AirflowRunError) as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return 1
    faults = report.faults()
    for fault in faults:
        print(f"FAULT: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
