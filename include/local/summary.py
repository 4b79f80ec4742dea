"""The last screen of `make up`: addresses, logins, queries to paste, how to stop."""

from __future__ import annotations

from pathlib import Path

from include.local.airflow import USER
from include.local.clickhouse import ANALYST
from include.local.layout import HOST, Layout
from include.local.programs import Tools
from include.local.secrets import load_secrets

_QUERIES = (
    (
        "SELECT country, sum(total_revenue) AS revenue, sum(event_count) AS events FROM ad_events_aggregated "
        "WHERE window_start >= now() - 86400 GROUP BY country ORDER BY revenue DESC"
    ),
    (
        "SELECT ad_format, sumIf(event_count, event_type = 'click') / sumIf(event_count, event_type = 'impression') "
        "AS click_through FROM ad_events_aggregated WHERE window_start >= now() - 86400 GROUP BY ad_format"
    ),
    (
        "SELECT toStartOfHour(window_start) AS hour, status, sum(event_count) AS events FROM ad_events_aggregated "
        "WHERE window_start >= now() - 86400 GROUP BY hour, status ORDER BY hour"
    ),
)


def summary(layout: Layout, tools: Tools, seconds: float) -> str:
    """Return the text shown once everything is ready, `seconds` after the start."""
    ports = layout.ports
    secrets = load_secrets(layout.secrets)
    home = layout.home.relative_to(layout.project)
    program, *part = tools.clickhouse_client
    client = " ".join([Path(program).name, *part]) + f" --config-file={home}/clickhouse/analyst.xml"
    lines = [
        "",
        f"The local platform is up ({seconds:.0f} s).",
        "",
        f"  Airflow          http://{HOST}:{ports.airflow}   user {USER}, password {secrets.airflow_password}",
        f"                   (kept in {home}/airflow/passwords.json)",
        f"  Spark master     http://{HOST}:{ports.spark_master_ui}   worker http://{HOST}:{ports.spark_worker_ui}",
        f"  Kafka            {HOST}:{ports.kafka}",
        f"  ClickHouse       {HOST}:{ports.clickhouse} (native)   {HOST}:{ports.clickhouse_http} (HTTP)",
        f"  Analysts         user {ANALYST}, read-only; the login is in {home}/clickhouse/analyst.xml. To paste:",
        "",
        *(f'    {client} --query "{query}"' for query in _QUERIES),
        "",
        f"  Settings         . {home}/env          Logs  {home}/logs  (make logs)",
        "  Stop             make down            Remove everything  make clean",
    ]
    return "\n".join(lines)
