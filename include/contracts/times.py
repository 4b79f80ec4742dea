"""Event times as the contract writes them, one at a time, and the bins of delays.

The form of iso8601_utc is YYYY-MM-DDTHH:MM:SS, with a blank instead of T if need be, one to six digits of a
second after a point, and Z or an offset of hours and minutes below 24:00; UTC where there is none.
Hours end at 23 and seconds at 59: neither 24:00:00 nor a leap second is a time. Instants outside
1970 to 2105 are refused, in epoch_ms too: ClickHouse's DateTime cannot hold their windows.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

HOUR_AND_MINUTE = r"([01][0-9]|2[0-3]):[0-5][0-9]"  # later versions of Python take hour 24
DATE, SECOND = r"[0-9]{4}-[0-9]{2}-[0-9]{2}", r"[0-5][0-9](\.[0-9]{1,6})?"
ISO8601_PATTERN = rf"{DATE}[T ]{HOUR_AND_MINUTE}:{SECOND}(Z|[+-]{HOUR_AND_MINUTE})?"
ISO8601 = re.compile(ISO8601_PATTERN)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR_US = 3_600_000_000
END_US = 4_291_747_200_000_000  # 2106-01-01, below 2^32 seconds


def hour_of(time_us: int) -> int:
    """Return the start of the hour of a moment in epoch microseconds, in epoch seconds."""
    return time_us // HOUR_US * 3600


def parse_iso8601(text: str) -> int:
    """Return epoch microseconds.

    Raises:
        ValueError: the text is of another form or names no real instant.
    """
    if not ISO8601.fullmatch(text):
        raise ValueError(f"{text!r} is not YYYY-MM-DDTHH:MM:SS[.ffffff][Z|+HH:MM]")
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    elapsed = moment - EPOCH
    time_us = (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds
    return _within_bounds(time_us, text)


def parse_epoch_ms(milliseconds: int) -> int:
    """Return epoch microseconds.

    Raises:
        ValueError: the instant is not within 1970 to 2105.
    """
    return _within_bounds(milliseconds * 1_000, milliseconds)


def _within_bounds(time_us: int, written: str | int) -> int:
    if not 0 <= time_us < END_US:
        raise ValueError(f"{written!r} is not within 1970 to 2105")
    return time_us


def delay_bin(delay_us: int) -> int:
    """Return the lower edge, in milliseconds, of the bin of a delay; a negative delay is in the bin 0.

    Bins are 1 ms wide below 1 s; from 1000 * 2**k ms on 10 * 2**k ms, which is 1 % at most. Integers alone, so that
    every implementation finds the same bin.
    """
    delay_ms = max(0, delay_us // 1_000)
    if delay_ms < 1_000:
        return delay_ms
    return delay_ms - delay_ms % (10 << ((delay_ms // 1_000).bit_length() - 1))
