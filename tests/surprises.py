"""Kafka values that parsers disagree about, drawn from a seed for any contract.

Half are events of the contract with one surprise each, so that they lie close to the line between
accepted and rejected; the rest are damaged events and plain rubbish.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from math import ceil, floor

from include.contracts import Contract, FieldRule
from tests.helpers import Record
from tests.surprising_lines import ADDRESSES, Lines

Member = tuple[bytes, bytes]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
END_OF_TIMES = datetime(2106, 1, 1, tzinfo=UTC)
# fmt: off
BLANKS = [b"", b" ", b"  ", b"\n", b"\r\n", b"\t", b"\x0b", b"\x0c", b"\xc2\xa0", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\x00",
          b"/* c */", b"// c\n", b"#c\n"]
TOKENS = [
    b"null", b"true", b"false", b"nul", b"True", b"None", b"undefined", b"NaN", b"-NaN", b"Infinity", b"-Infinity", b"INF",
    b"0", b"-0", b"-0.0", b"0.0", b"00", b"01", b"-01", b"+1", b".5", b"5.", b"1e", b"1e+", b"1e2", b"1E2", b"1e+2", b"1e-2",
    b"1e400", b"-1e400", b"1e-400", b"1e-7", b"0e999999999", b"1e99999999999", b"0x10", b"1_000", b"1,5", b"1d", b"1f", b"1L",
    b"--1", b"1-1", b"9" * 20, b"9" * 400, b"0." + b"3" * 40, b"0." + b"3" * 1200, b"1" + b"0" * 1100, b"9223372036854775807",
    b"9223372036854775808", b"1000.0000000000001", b"999.99999999999999999999999999", b"1e3", b"10e2", b"1000.0",
    b"1000.00000000000001", b"4.9e-324", b"2e-324", b'""', b'" "', b'"\xc3\xbc"', b'"\xf0\x9f\x98\x80"', b'"e\xcc\x81"',
    b'"\xef\xbb\xbf"', b'"\\u00fc"', b'"\\u0000"', b'"\x00"', b'"\x1f"', b'"\x7f"', b'"\t"', b'"\n"', b'"\\n"', b'"\\/"',
    b'"\\x41"', b'"\\u12"', b'"\\U0041"', b'"\\ud800"', b'"\\udc00"', b'"\\ud83d\\ude00"', b'"\\ude00\\ud83d"',
    b'"\\ud83d\xf0"', b'"\xed\xa0\x80"', b'"\xff"', b'"\xc0\x80"', b'"\xf4\x90\x80\x80"', b'"\xe2\x82"', b'"\\""', b'"\\',
    b'"', b"'a'", b"a", b'"a" "b"', b'"{"', b'"}"', b'"["', b'"0.5"', b'"NaN"', b'"null"', b'"a":1', b"[]", b"[1]", b'["a"]',
    b"{}", b'{"a":1}', b"[" * 199 + b"]" * 199, b"[" * 200 + b"]" * 200, b"[" * 600 + b"]" * 600, b"[" * 9,
    b'{"a":' * 150 + b"1" + b"}" * 150, b'"' + b"a" * 5_000 + b'"', b'"' + b"\xf0\x9f\x98\x80" * 20_000 + b'"', b"", b",",
    b":", b"]", b"}",
]
KEYS = [b'""', b'"a"', b'"\\u0061"', b"a", b"'a'", b"1", b"null", b'"\xff"', b'"a\x00"', b'"\xc3\xbc"', b'" "', b'"__proto__"']
INSERTS = [b'"', b"'", b"{", b"}", b"[", b"]", b",", b":", b"\\", b" ", b"e", b"-", b".", b"0", b"\x00", b"\xff", b"\xc3", b"\n",
           b"\\u0041", b"\\ud800", b"\xef\xbb\xbf", b"null", b'"":1,', b"\xed\xa0\x80", b"+", b"T", b"Z", b"60"]
ZONES = ["", "", "Z", "z", "+00:00", "-00:00", "+01:30", "-04:00", "+14:00", "-14:00", "+18:00", "-18:00", "+18:01", "+23:59",
         "-23:59", "+24:00", "+99:99", "+14:60", "+0100", "+01", " +01:00", "UTC", " UTC", "GMT+1", "+1:00", "[UTC]", "Z ",
         "+01:00:00"]
FRACTIONS = ["", ".", ",5", ".1", ".12", ".123", ".1234", ".12345", ".123456", ".000000", ".999999", ".1234567", ".12345678",
             ".123456789", ".1234567891", ".12345a", ".-12345"]
EPOCH_FORMS = ["{}", "{}", "{}.0", "{}e0", '"{}"', "-{}", "{}000", "-0", "0", "4291747199999", "4291747200000", "1765850648",
               "9223372036854775808", "1e12", "null", "true"]
INSTANTS = [
    "1970-01-01T00:00:00", "1969-12-31T23:59:59", "2105-12-31T23:59:59", "2106-01-01T00:00:00", "2106-02-07T06:28:16",
    "2024-02-29T12:00:00", "2025-02-29T12:00:00", "2000-02-29T00:00:00", "1900-02-29T00:00:00", "2100-02-29T00:00:00",
    "0000-01-01T00:00:00", "0001-01-01T00:00:00", "9999-12-31T23:59:59", "10000-01-01T00:00:00", "+2025-12-16T00:00:00",
    "-2025-12-16T00:00:00", "2016-12-31T23:59:60", "2025-12-16T23:60:00", "2025-12-16T24:00:00", "2025-12-16T24:00:01",
    "2025-13-01T00:00:00", "2025-00-01T00:00:00", "2025-12-00T00:00:00", "2025-12-32T00:00:00", "2025-04-31T00:00:00",
    "2025-12-16", "2025-12-16T02", "2025-12-16T02:04", "20251216T020408", "2025-W51-2T02:04:08", "2025-350T02:04:08",
    "2025-12-16  02:04:08", "2025-12-16t02:04:08", "2025-12-16_02:04:08", " 2025-12-16T02:04:08", "2025-12-16T02:04:08 ",
    "2025-12-16T2:04:08", "2025-1-6T02:04:08", "25-12-16T02:04:08", "now", "epoch", "today", "1765850648", "",
    "\uff12025-12-16T02:04:08", "2025-12-16T02:04:0\u0668", "2025\u201012\u201016T02:04:08", "2025-12-16T02:04:08\n",
]
# fmt: on


class Surprises:
    """Draws records of one contract; the same seed gives the same records."""

    def __init__(self, contract: Contract, seed: int, moment: datetime) -> None:
        self._contract, self._rng, self._moment = contract, random.Random(seed), moment
        self._kinds: list[tuple[int, Callable[[int], bytes | None]]] = [
            (4, self._plain),
            (5, self._with_a_token),
            (5, self._with_a_time),
            (3, self._with_a_number),
            (3, self._with_a_text),
            (4, self._with_a_repeated_key),
            (3, self._with_an_unknown_key),
            (3, self._with_blanks),
            (6, self._damaged),
            (3, self._around),
            (1, self._rubbish),
        ]
        if not all(rule.required for rule in contract.fields.values()):
            self._kinds.append((6, self._with_absent))
        if any(rule.format == "ip" for rule in contract.fields.values()):
            self._kinds.append((3, self._with_an_address))
        if contract.line_formats:
            lines = Lines(self._rng, self._instant)
            self._kinds += [(15, lines.plain), (6, lines.odd), (4, lines.damaged)]

    def records(self, count: int) -> list[Record]:
        """Draw records at offsets 0, 1, ... of three partitions, in turn, with Kafka timestamps around the moment."""
        kinds = self._rng.choices([k for _, k in self._kinds], [weight for weight, _ in self._kinds], k=count)
        return [Record(kind(i), i % 3, i // 3, self._kafka_ms()) for i, kind in enumerate(kinds)]

    def _kafka_ms(self) -> int:
        at = int(self._moment.timestamp() * 1000)
        if self._rng.random() < 0.97:
            return at + self._rng.choice((0, 0, 1, -1, 999, 60_000, -3_600_000))
        return self._rng.choice((-1, 0, 1, int(END_OF_TIMES.timestamp()) * 1000, 2**40))

    def _members(self, number: int) -> list[Member]:
        """Return key and value of each field of an acceptable event."""
        values: dict[str, object] = {}
        for name, rule in self._contract.fields.items():
            if name == self._contract.event_time.field:
                values[name] = self._written_instant()
            else:
                values[name] = self._number(rule) if rule.is_number else self._text(rule, number)
        for bound in self._contract.rules:
            if all(values[name] == text for name, text in bound.when.items()):
                scale = 10.0 ** (self._contract.fields[bound.field].scale or 0)
                figure = (
                    bound.equals
                    if bound.equals is not None
                    else (bound.above or 0) + self._rng.randint(1, 99)
                )
                values[bound.field] = figure / scale
        raw = self._rng.random() < 0.7
        return [(token(name), token(value, ensure_ascii=not raw)) for name, value in values.items()]

    def _instant(self) -> datetime:
        """Return a time near the moment, more often than not on an edge of a pane, an hour or the contract's limits."""
        rng, contract = self._rng, self._contract
        edges = [
            timedelta(seconds=contract.skew_seconds),
            -timedelta(hours=contract.maximum_age_hours),
            -timedelta(seconds=contract.lateness_seconds),
        ]
        moment = self._moment - timedelta(seconds=rng.uniform(0, 7_200))
        if rng.random() < 0.3:
            moment = self._moment + rng.choice(edges)
        if rng.random() < 0.3:
            moment = moment.replace(minute=rng.choice((0, moment.minute)), second=0, microsecond=0)
        moment += timedelta(microseconds=rng.choice((0, 0, 1, -1, 1_000, -1_000, 500)))
        if rng.random() < 0.5:
            return moment.replace(tzinfo=None)
        return moment.astimezone(timezone(timedelta(minutes=rng.randint(-840, 840))))

    def _written_instant(self) -> str | int:
        """Return an instant as the contract writes event times."""
        instant = self._instant()
        if self._contract.event_time.encoding == "iso8601_utc":
            return instant.isoformat()
        return (instant.replace(tzinfo=instant.tzinfo or UTC) - EPOCH) // timedelta(milliseconds=1)

    def _number(self, rule: FieldRule) -> float | int:
        assert rule.minimum is not None
        assert rule.maximum is not None
        if rule.type == "integer":
            low, high = ceil(rule.minimum), floor(rule.maximum)
            return self._rng.choice((low, high, 0, 200, self._rng.randint(low, high)))
        if self._rng.random() < 0.2:
            return self._rng.choice((rule.minimum, rule.maximum, int(rule.maximum), max(rule.minimum, 0)))
        number = self._rng.uniform(rule.minimum, min(rule.maximum, rule.minimum + 10))
        return round(number, self._rng.choice((0, 1, 4, rule.scale or 0, 17)))

    def _text(self, rule: FieldRule, number: int) -> str:
        if rule.allowed is not None:
            return self._rng.choice(rule.allowed)
        if rule.format == "ip":
            return self._rng.choice(ADDRESSES[:3])
        return self._rng.choice((f"U{number % 50}", f"E{number}", "ünï", "x" * max(1, rule.min_length or 0)))

    def _render(self, members: list[Member]) -> bytes:
        style = self._rng.choice((b"", b" ", b"\n  "))
        return b"{" + b",".join(style + key + b":" + style + value for key, value in members) + b"}"

    def _replace(self, members: list[Member], value: bytes, name: str | None = None) -> bytes:
        at = self._rng.randrange(len(members)) if name is None else list(self._contract.fields).index(name)
        members[at] = (members[at][0], value)
        return self._render(members)

    def _plain(self, number: int) -> bytes:
        members = self._members(number)
        self._rng.shuffle(members)
        return self._render(members)

    def _with_a_token(self, number: int) -> bytes:
        return self._replace(self._members(number), self._rng.choice(TOKENS))

    def _with_a_time(self, number: int) -> bytes:
        rng = self._rng
        if self._contract.event_time.encoding == "epoch_ms":
            form = rng.choice(EPOCH_FORMS).format(self._written_instant())
            return self._replace(self._members(number), form.encode(), self._contract.event_time.field)
        text = self._instant().isoformat()
        if rng.random() < 0.7:
            known = (
                rng.choice(INSTANTS) if rng.random() < 0.5 else text[:10] + rng.choice("T T_t") + text[11:19]
            )
            text = known + rng.choice(FRACTIONS) + rng.choice(ZONES)
        return self._replace(self._members(number), token(text), self._contract.event_time.field)

    def _with_a_number(self, number: int) -> bytes:
        """Give a number field a value where rounding or a bound decides."""
        numbers = [name for name, rule in self._contract.fields.items() if rule.is_number]
        if not numbers:
            return self._plain(number)
        name = self._rng.choice(numbers)
        rule = self._contract.fields[name]
        base = float(self._number(rule))
        half = (int(base * 10 ** (rule.scale or 0)) + 0.5) / 10 ** (rule.scale or 0)
        digits = self._rng.choice((6, 15, 17, 25, 40))
        forms = [
            f"{half:.{digits}f}",
            f"{base:.{digits}f}",
            f"{base:.{digits}e}",
            repr(half),
            f"{half:.16E}",
            f"{base:.1100f}",
        ]
        forms += [
            f"{base:.{digits}f}{'0' * 30}1",
            f"{float(rule.maximum or 0):.{digits}f}1",
            f"-{abs(half)!r}",
            f"{int(base)}",
        ]
        return self._replace(self._members(number), self._rng.choice(forms).encode(), name)

    def _with_a_text(self, number: int) -> bytes:
        """Give a string field another spelling: escapes, other case, blanks, other characters."""
        rng, contract = self._rng, self._contract
        name = rng.choice([name for name, rule in contract.fields.items() if rule.type == "string"])
        members = self._members(number)
        old = json.loads(members[list(contract.fields).index(name)][1])
        escaped = "".join(f"\\u{ord(c):04x}" for c in old if ord(c) < 0x10000)
        texts = [
            f'"{escaped}"',
            token(old + " ").decode(),
            token(old.swapcase()).decode(),
            token(old + "\u0301").decode(),
        ]
        texts += [
            token(old + "\x00").decode(),
            f'"{old[:1]}{escaped[6:]}"',
            f'"{old}\\u0000"',
            f"'{old}'",
            old,
            f'"{old}\\""',
        ]
        return self._replace(members, rng.choice(texts).encode(), name)

    def _with_absent(self, number: int) -> bytes:
        """Leave out optional fields, or give them null or an empty text; now and then a required one."""
        rng, members = self._rng, self._members(number)
        kept = []
        for (key, value), rule in zip(members, self._contract.fields.values(), strict=True):
            how = rng.choice(("kept", "gone", "null", "empty")) if not rule.required else "kept"
            if rule.required and rng.random() < 0.02:
                how = "null"
            if how != "gone":
                kept.append((key, {"kept": value, "null": b"null", "empty": b'""'}[how]))
        return self._render(kept)

    def _with_an_address(self, number: int) -> bytes:
        names = [name for name, rule in self._contract.fields.items() if rule.format == "ip"]
        return self._replace(
            self._members(number), token(self._rng.choice(ADDRESSES)), self._rng.choice(names)
        )

    def _with_a_repeated_key(self, number: int) -> bytes:
        rng, members = self._rng, self._members(number)
        key, value = rng.choice(members)
        name = json.loads(key)
        keys = [
            key,
            token(name.upper()),
            b'"' + b"".join(b"\\u%04x" % ord(c) for c in name) + b'"',
            b"'" + key[1:-1] + b"'",
        ]
        keys += [b'"\\u%04x' % ord(name[0]) + key[2:], key[:-1] + b' "', key[1:-1]]
        values = [value, rng.choice(self._members(number + 1))[1], rng.choice(TOKENS), rng.choice(members)[1]]
        members.insert(rng.randint(0, len(members)), (rng.choice(keys), rng.choice(values)))
        if rng.random() < 0.2:
            members = [m for m in members if m[0] != key]
        return self._render(members)

    def _with_an_unknown_key(self, number: int) -> bytes:
        rng, members = self._rng, self._members(number)
        for _ in range(rng.choice((1, 1, 2))):
            members.insert(rng.randint(0, len(members)), (rng.choice(KEYS), rng.choice(TOKENS)))
        return self._render(members)

    def _with_blanks(self, number: int) -> bytes:
        rng, members = self._rng, self._members(number)
        odd = rng.choice(BLANKS)
        gaps = [odd if rng.random() < 0.1 else rng.choice(BLANKS[:6]) for _ in range(4 * len(members) + 2)]
        body = b",".join(
            gaps.pop() + key + gaps.pop() + b":" + gaps.pop() + value + gaps.pop() for key, value in members
        )
        return gaps.pop() + b"{" + body + b"}" + gaps.pop()

    def _damaged(self, number: int) -> bytes:
        rng, value = self._rng, bytearray(self._plain(number))
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            at = rng.randrange(len(value)) if value else 0
            how = rng.randrange(6)
            if how == 0 and value:
                value[at] ^= 1 << rng.randrange(8)
            elif how == 1:
                del value[at:]
            elif how == 2:
                del value[at : at + rng.randint(1, 12)]
            elif how == 3:
                value[at:at] = rng.choice(INSERTS)
            elif how == 4:
                value[at:at] = value[at : at + rng.randint(1, 60)]
            elif value:
                value[at] = rng.randrange(256)
        return bytes(value)

    def _around(self, number: int) -> bytes | None:
        rng, value = self._rng, self._plain(number)
        other = rng.choice((self._plain(number + 1), rng.choice(TOKENS), rng.choice(BLANKS)))
        forms = [
            value + other,
            other + value,
            value + b"\n" + other,
            b"[" + value + b"]",
            b"{" + value + b"}",
            value[1:],
        ]
        forms += [
            value + b"}",
            value[:-1] + b",}",
            b"{," + value[1:],
            b"\xef\xbb\xbf" + value,
            value.decode().encode("utf-16"),
        ]
        forms += [
            json.dumps(value.decode()).encode(),
            value.replace(b'"', b"'"),
            value.replace(b":", b"="),
            value + b"\x00",
        ]
        return rng.choice([*forms, value.replace(b",", b";"), value.replace(b",", b",,", 1), None])

    def _rubbish(self, _: int) -> bytes:
        rng = self._rng
        return rng.choice(
            (rng.randbytes(rng.randint(0, 60)), rng.choice(TOKENS), b"{" + rng.randbytes(9) + b"}")
        )


def token(value: object, ensure_ascii: bool = True) -> bytes:
    """Return a value as JSON."""
    return json.dumps(value, ensure_ascii=ensure_ascii).encode()
