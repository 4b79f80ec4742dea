"""# Check data quality

Runs the Great Expectations suites of each stream on served hours, on their ledger and balance, and on a bounded
sample of their raw records, and publishes the report. It follows every verified hour by itself; hours that are proved
together are checked in one run. Trigger it for hours of your choice, or without an hour for the newest certified
ones. It never withholds a proof.

Running it twice: a second set of results in the history and a second report; nothing else changes.

**Triage**
- *critical expectation(s) failed*: the message names the expectation, the hour, what was observed and expected, and
  the page with the full result. Look at the hour's certificate: if the hour is PROVED, the raw log itself holds the
  odd values and the producer is to be asked; if not, run `reconcile_hour` on it and check again.
- *suite cubes*, critical: a cube lost rows of the hour, or counts some twice. Run `reconcile_hour` on it, then check again.
- *suite raw_log*, critical: `beyond_offsets` means that the topic was made anew; anything else that the platform accepts
  what the contract forbids, which is a defect. Records that have expired from Kafka are never a failure.
- *a warning* stands in the log and the report only: few rows, an odd click-through rate, many rejects or odd raw values.
- *expectations/….json: …*: that suite file is wrong for the reason given; correct it.
- *suite raw_log: not checked*: Kafka is down or slow, for the reason given. All other results are kept; trigger the
  hours that it names again.
- *no hour … is certified yet*: run `reconcile_hour`, or name an hour.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, AssetAny, FixedKeyMapper, Param, PartitionedAssetTimetable, dag, task

from include.contracts import stream_names
from include.spark.form import STREAMS

VERIFIED = {f"proved_{stream}": stream for stream in stream_names()}
HOURS = r"^(\d{4}-\d\d-\d\dT\d\d([, ]+|$))*$"
HOURS_HELP = "UTC, YYYY-MM-DDTHH, several with commas; empty: the newest certified hours."


@task
def check(params: dict[str, Any], triggering_asset_events: Any = None) -> None:
    from include.quality.task import check_requested

    verified = [event for events in triggering_asset_events.values() for event in events]
    hours = [(VERIFIED[event.asset.name], event.partition_key) for event in verified]
    check_requested(hours or [(stream, params["hour"] or "") for stream in params["streams"]])


@dag(
    # One key for all hours: those that wait share a run, since loading Great Expectations costs more than a check.
    schedule=PartitionedAssetTimetable(
        assets=AssetAny(*(Asset(name) for name in VERIFIED)),
        default_partition_mapper=FixedKeyMapper("verified_hours"),
    ),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "platform", "retries": 0},
    tags=["platform", "proof"],
    doc_md=__doc__,
    params={
        "streams": Param([*VERIFIED.values()], **STREAMS, description="Those whose hours are checked."),
        "hour": Param(None, type=["null", "string"], pattern=HOURS, title="Hours", description=HOURS_HELP),
    },
)
def check_quality() -> None:
    check()


check_quality()
