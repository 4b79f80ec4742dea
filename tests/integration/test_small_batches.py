"""What a batch of few records costs besides its fold: a task for each core, and two small files."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pytest

from include.contracts import Contract
from include.streaming.partials import PARTITIONS, collect
from tests.streams import Job, clicks


def test_a_batch_has_no_more_tasks_than_the_job_has_cores(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks: list[int] = []

    def counted(contract: Contract, rows: Iterable[tuple[str, bytes]]) -> dict[str, pa.Table]:
        found = list(rows)
        tasks.append(sum(kind == PARTITIONS for kind, _ in found))
        return collect(contract, found)

    monkeypatch.setattr("include.streaming.query.collect", counted)
    job.send(*clicks(40))
    job.start()
    state = job.await_commit()
    assert {row.partition for row in state.rows} == {0, 1, 2, 3}
    assert tasks == [job.settings.stream_cores], f"tasks of each batch: {tasks}"
    job.assert_exact()


def test_the_scratch_checkpoint_holds_no_checksums(job: Job) -> None:
    job.send(*clicks(40))
    driver = job.start()
    job.await_commit()
    checkpoint = job.settings.scratch_dir / "ad_events" / str(driver.vitals.generation)
    names = [path.name for log in ("offsets", "commits") for path in (checkpoint / log).iterdir()]
    assert "0" in names, names
    assert [name for name in names if name.endswith(".crc")] == []
