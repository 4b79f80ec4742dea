"""# Report proved hours (example)

Shows how a DAG waits for *proved* data: it is scheduled by the asset `proved_ad_events`, of which
`reconcile_hour` publishes one partition for each verified hour, and never by the clock. Each run reads one hour
from the served view, whose figures are then those of the raw log, and logs the revenue by country.

To make your own: copy this file, name the asset of your stream, and read what you need of the hour.

Running it twice: it only reads; an hour that is sealed again, after a late event, gets another run.

**Triage**
- *needs a partition*: it was triggered by hand without a partition key; give one, such as 2026-01-01T05 (UTC).
- *is not sealed*: events came after the hour's certificate; `reconcile_hour` seals it again and this runs again.
"""

from __future__ import annotations

from airflow.sdk import Asset, PartitionedAssetTimetable, dag, task


@task
def report(dag_run=None) -> dict[str, str]:  # type: ignore[no-untyped-def]
    from include.demo.proved_hour import log_revenue, revenue_by_country
    from include.forms import FormError
    from include.refusal import refuse
    from include.settings import get_settings

    try:
        revenue = revenue_by_country(get_settings(), dag_run.partition_key)
    except FormError as error:
        refuse(error)
    log_revenue(dag_run.partition_key, revenue)
    return {country: str(dollars) for country, dollars in revenue.items()}


@dag(
    schedule=PartitionedAssetTimetable(assets=Asset("proved_ad_events")),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "platform", "retries": 0},
    tags=["demo", "proof"],
    doc_md=__doc__,
)
def report_proved_hours() -> None:
    report()


report_proved_hours()
