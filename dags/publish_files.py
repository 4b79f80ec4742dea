"""# Publish files

Sends JSON-lines files to the topic of a stream: a backfill from an archive. Files lie in the inbox (`PLATFORM_INBOX`), in
a folder named after the stream, as `*.jsonl` or `*.jsonl.gz`; they stay there. Trigger it when files are in place.

A file is sent once, in one transaction: all of its lines or none. It is known by the SHA-256 of its bytes, so that the
same bytes under another name are not sent again, and other bytes under a known name are another file; the summary says
both. `files_current` lists what was sent. Its hours are sealed again by the hourly `reconcile_hour`.

Running it twice: the second run sends nothing and says so. A run that was killed at any point sends nothing twice.

**Triage**: the task's log ends with a line for each file. Files that were not refused are published all the same.
- *refused*: the line says why, where in the file, and what to do. A dry run says it before anything is sent.
- *hours that are certified*: the file adds events to hours that are proved. Choose `allow` if that is meant.
- *no folder*, *No such file or directory*: make inbox/<stream>, or correct `PLATFORM_INBOX`.
- *was not acknowledged*, *transaction … still open*, *no Kafka broker answered*: Kafka is down or was; trigger again.
- *topic … does not exist*, *table … doesn't exist*: run `prepare_platform`.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, dag, task

from include.contracts import stream_names
from include.files import steps

STREAMS = stream_names()


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "platform", "retries": 1, "retry_delay": timedelta(seconds=30)},
    tags=["platform", "stream"],
    doc_md=__doc__,
    params={
        "stream": Param(STREAMS[0], enum=STREAMS, title="Stream", description="Whose files: the folder inbox/<stream>."),
        "pattern": Param(
            "*", type="string", minLength=1, maxLength=200, pattern="^[^/]+$", title="Name pattern",
            description="Shell pattern of file names, such as 2026-11-*.jsonl.gz.",
        ),
        "timestamps": Param(
            "event", enum=["event", "now"], title="Kafka timestamps",
            description="event: each record has its event time, as if it had arrived then; no figure of lateness changes. "
            "now: it arrives now, and counts as late; what is older than the contract's maximum age is refused.",
        ),
        "rejected_lines": Param(
            "publish", enum=["publish", "stop"], title="Lines that the stream would reject",
            description="publish: as they are; they become dead letters with their reason. stop: refuse the file.",
        ),
        "certified_hours": Param(
            "refuse", enum=["refuse", "allow"], title="Certified hours",
            description="Whether a file may add events to hours that are certified, which are then sealed again.",
        ),
        "rate": Param(
            0, type="number", minimum=0, maximum=1_000_000, title="Rate limit",
            description="Records per second, kept between files, since those of a file appear together; 0: none.",
        ),
        "dry_run": Param(False, type="boolean", title="Dry run", description="Only say what would be sent."),
    },
)  # fmt: skip
def publish_files() -> None:
    task(steps.publish)()  # type: ignore[call-arg]


publish_files()
