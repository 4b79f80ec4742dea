"""Where a query begins: the ledger's frontier, moved past what expired unread or what a person decided to skip.

Who records that in the ledger is query.py.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from clickhouse_driver import Client
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from include.streaming.ledger import GenerationError
from include.streaming.waiting import insist
from include.topics.offsets import Offsets, beyond_end
from include.warehouse.sql import read_sql

SETTLE_SECONDS = 15


def parse_skip(text: str, streams: list[str]) -> tuple[str, str]:
    """Return stream and time of one STREAM=ISO argument; a time without an offset is UTC.

    Raises:
        ValueError: no such form, a stream that is not launched, no ISO time, or a time to come.
    """
    stream, _, moment = text.partition("=")
    if stream not in streams:
        raise ValueError(f"--skip-to {text!r}: STREAM=ISO, and STREAM one of {', '.join(streams)}")
    try:
        at = datetime.fromisoformat(moment)
    except ValueError as error:
        raise ValueError(f"--skip-to {text!r}: {moment!r} is no ISO 8601 time") from error
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    if at > datetime.now(UTC):
        raise ValueError(f"--skip-to {text!r}: {moment} is still to come, records before it too")
    return stream, at.isoformat()


def unread(
    frontier: dict[int, int], log_starts: dict[int, int], skip_to: dict[int, int]
) -> dict[int, tuple[int, int]]:
    """Return for each partition the offsets [from, to) that will never be read; partitions without are absent.

    They end at the log start, below which everything expired, or at the offset to skip to, whichever
    is higher; a partition whose frontier is there already loses nothing.
    """
    ends = {p: max(log_starts.get(p, 0), skip_to.get(p, 0)) for p in frontier}
    return {p: (at, ends[p]) for p, at in frontier.items() if at < ends[p]}


class LogCutError(GenerationError):
    """A topic ends before what was folded of it: it was made anew, or its log was cut."""


@retry(
    retry=retry_if_exception_type(LogCutError),
    stop=stop_after_delay(SETTLE_SECONDS),
    wait=wait_fixed(1),
    reraise=True,
)
def refuse_cut_log(topic: str, frontier: dict[int, int], offsets: Offsets) -> None:
    """Refuse to go on where what comes next would have offsets that the ledger has: it would never be folded.

    Looked at for SETTLE_SECONDS: a partition whose leader has just changed may tell an older end for a moment.

    Raises:
        LogCutError: a partition ends before its frontier.
    """
    cut = beyond_end(frontier, offsets.ends())
    if cut:
        said = ", ".join(
            f"partition {p} is folded to {at} and ends at {end or 0}" for p, (at, end) in cut.items()
        )
        raise LogCutError(
            f"{topic}: {said}: the topic was made anew, or its log was cut, and new records would take offsets that "
            "the ledger has; restore the topic, or give the stream's contract a new topic and stream name"
        )


class Skip:
    """A person's decision that one launch of a stream begins at a Kafka time, carried out once."""

    def __init__(self, stream: str, launch: str, moment: str) -> None:
        self._stream, self._launch, self._moment = stream, launch, moment
        self._offsets: dict[int, int] | None = None if moment else {}

    def offsets(self, client: Client, topic: Offsets, between: Callable[[str], None]) -> dict[int, int]:
        """Return the first offset at or past the time, the end where there is none; the same at every call.

        Empty when this launch has committed before, in a process that was lost: where nothing was
        as late as the time, the end of today is not the end of then.
        """
        if self._offsets is None:
            statement = read_sql("life_cycle/launch_committed.sql")
            values = {"stream": self._stream, "launch": self._launch}
            done = insist(lambda: client.execute(statement, values)[0][0], "the launch's commits", between)
            self._offsets = {} if done else topic.begin_at(self._moment)
        return self._offsets
