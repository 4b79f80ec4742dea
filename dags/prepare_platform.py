"""# Prepare the platform

Creates the topics of every contract and the control topic, and brings the warehouse to the schema
of this checkout: numbered migrations, cube tables, views. Trigger it once before the first launch
and after each upgrade.

Running it twice: the second run changes nothing and says so.

**Triage**
- `topics` fails with *drifted*: an existing topic differs from its contract. Nothing was altered. Correct
  the topic with Kafka's own tools, or the contract, and run again.
- `topics` fails with *no Kafka broker answered*: start Kafka or correct PLATFORM_KAFKA_BOOTSTRAP_SERVERS.
- `warehouse` fails: ClickHouse is down, or a migration was edited after it had been applied. The message says which.
"""

from __future__ import annotations

from airflow.sdk import dag, task

from include.summary import log_summary


@task
def topics() -> None:
    from include.contracts import load_contracts
    from include.settings import get_settings
    from include.topics import ensure_topics

    report = ensure_topics(get_settings(), load_contracts())
    title = "topics: created what was missing" if report.created else "topics: nothing changed"
    log_summary(title, {"created": report.created, "unchanged": report.unchanged})


@task
def warehouse() -> None:
    from include.settings import get_settings
    from include.warehouse.migrate import prepare_warehouse

    prepared = prepare_warehouse(get_settings())
    title = "warehouse: applied what was missing" if prepared.applied else "warehouse: nothing changed"
    log_summary(title, {"applied": prepared.applied, "unchanged": prepared.unchanged})


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "platform", "retries": 0},
    tags=["platform", "setup"],
    doc_md=__doc__,
)
def prepare_platform() -> None:
    [topics(), warehouse()]


prepare_platform()
