"""Two files through publish_files while the streams run: served as any other event, once however often it is triggered."""

from __future__ import annotations

import gzip
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

from include.contracts import Contract
from include.spark.progress import running_launches
from include.topics.offsets import Offsets
from include.traffic.store import Account, TrafficReport, store_accounts
from include.traffic.tally import Accepted, Number, Text, tally
from tests.system.conftest import Platform

USERS = "user_events"
EVENTS, AGO_SECONDS, VALUE = 40, 90, 1.5
WINDOWS = 5  # of user_totals, in which each event counts
BROKEN = b'{"timestamp":'
LIMIT_SECONDS = 60


@dataclass(frozen=True)
class Files:
    """Two files with the events of a user whom nobody else has, half a second apart, and a broken line."""

    user: str
    began: datetime

    @property
    def pattern(self) -> str:
        return f"{self.user}*"

    @property
    def names(self) -> tuple[str, str]:
        return f"{self.user} one.jsonl", f"{self.user}-two.jsonl.gz"

    @cached_property
    def times_ms(self) -> list[int]:
        return [int(self.began.timestamp() * 1000) + 500 * number for number in range(EVENTS)]

    def write(self, folder: Path) -> None:
        event = {"user_id": self.user, "action": "view", "value": VALUE, "session_id": "s"}
        lines = [json.dumps({"timestamp": moment, **event}).encode() for moment in self.times_ms]
        half = EVENTS // 2
        (folder / self.names[0]).write_bytes(b"\n".join(lines[:half]) + b"\n")
        (folder / self.names[1]).write_bytes(gzip.compress(b"\r\n".join([*lines[half:], BROKEN])))

    def account(self, contract: Contract) -> Account:
        """Return what the tests that compare all that is served with all that was sent must know of."""
        times, same = np.array(self.times_ms), np.zeros(EVENTS, dtype=np.int64)
        every = np.ones(EVENTS, dtype=np.bool_)
        texts = {"user_id": Text(same, [self.user]), "action": Text(same, ["view"])}
        values = {"value": Number(same + int(VALUE * 1e6), every)}
        truth = tally(contract, Accepted(times * 1000, times, every, texts, values))
        report = TrafficReport(
            *(self.user, USERS, contract.topic.name, 0, datetime.now(UTC), self.began, 0.0),
            *(EVENTS + 1, EVENTS, 1, 0, 0, len(truth), "{}"),
        )
        return Account(report, truth, [])


@pytest.fixture
def users(platform: Platform) -> Platform:
    """The platform, looking at a running stream of user events."""
    if not running_launches(platform.settings, [USERS]):
        platform.api.run("launch_stream", {"streams": [USERS]})
    return platform.looking_at(USERS)


@pytest.fixture
def files(users: Platform) -> Iterator[Files]:
    """Files of a minute ago in the inbox."""
    began = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=AGO_SECONDS)
    found = Files(f"files-{secrets.token_hex(4)}", began)
    folder = users.settings.inbox / USERS
    folder.mkdir(parents=True, exist_ok=True)
    found.write(folder)
    yield found
    for name in found.names:
        (folder / name).unlink()


def outcomes(platform: Platform, files: Files) -> dict[str, tuple[str, int, dict[str, int]]]:
    """Trigger publish_files; return outcome, records and rejected lines of each file that it took."""
    form = {"stream": USERS, "pattern": files.pattern}
    report = platform.api.run("publish_files", form, LIMIT_SECONDS).returned["publish"]
    return {item["name"]: (item["outcome"], item["records"], item["rejected"]) for item in report["files"]}


def test_files_are_sent_once_and_served(users: Platform, files: Files) -> None:
    topic, half = users.contract.topic.name, EVENTS // 2
    client = users.client()
    sent = outcomes(users, files)
    store_accounts(client, [files.account(users.contract)])
    assert sent == {
        files.names[0]: ("published", half, {}),
        files.names[1]: ("published", half + 1, {"malformed": 1}),
    }
    users.catch_up(LIMIT_SECONDS)
    totals = "SELECT sum(event_count), sum(total_value) FROM user_totals WHERE user_id = %(user)s"
    served = client.execute(totals, {"user": files.user})
    assert served == [(WINDOWS * EVENTS, WINDOWS * EVENTS * VALUE)]
    kept = client.execute(
        "SELECT reason, payload FROM dead_letters WHERE stream = %(stream)s AND (partition, record_offset) IN "
        "(SELECT p, o FROM files_current ARRAY JOIN partitions AS p, last_offsets AS o WHERE name = %(name)s)",
        {"stream": USERS, "name": files.names[1]},
    )
    assert kept == [("malformed", BROKEN.decode())]
    ends = Offsets(users.settings, topic).ends()
    again = outcomes(users, files)
    assert again.keys() == sent.keys()
    assert {outcome for outcome, _, _ in again.values()} == {"already published"}, again
    assert Offsets(users.settings, topic).ends() == ends, "the second run has sent something"
    client.disconnect()
