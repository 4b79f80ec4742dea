"""Access-log lines that parsers disagree about, drawn from the random numbers of surprises.py."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime

# fmt: off
ADDRESSES = ["10.0.3.7", "192.168.1.20", "2001:db8::1", "0.0.0.0", "255.255.255.255", "256.0.0.1", "1.2.3", "1.2.3.4.5", "01.2.3.4",
             "1.2.3.04", "1.2.3.4 ", " 1.2.3.4", "1.2.3.4\n", "::", "::ffff:1.2.3.4", "::1%eth0", "1.2.3.4/32", "2001:DB8::G", "localhost",
             "", "-", "\uff11.2.3.4", "1.2.3.\u0664", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:9", "16909060", "0x1.2.3.4"]
USERS = ["-", "-", "user_017", "user_001", "u", '""', "Jane Doe", "ünï", "", "a-b", "-x", "U7"]
TARGETS = ["/checkout/cart", "/checkout", "/", "//", "//search/x", "/U7/x?y=/z", "/?q=1", "/#top", "/cart?a=b#c", "*", "", "example.org:443",
           "http://example.org/api/v1", "http://example.org", "https://h:1?x=/y", "/a%20b/c", "/ü/x", "/a b", '/a\\"b/c', "/\\x16/x", "/ok/",
           "/it's/x", "/x", "checkout/cart"]
REQUESTS = ["GET {} HTTP/1.1"] * 6 + ["POST {} HTTP/2", "GET {}", "get {} HTTP/1.0", "GET  {} HTTP/1.1", "{}", "\\x16\\x03\\x01", "GET {} HTTP/1.1 x", "-"]
STATUSES = ["200", "200", "200", "404", "500", "502", "399", "400", "499", "301", "100", "599", "600", "099", "000", "99", "1000", "-", "20x"]
SIZES = ["512", "0", "-", "", "5e2", "-1", "99999999999999999999"]
AGENTS = ["curl/8.5", "-", "Mozilla/5.0 (X11; Linux x86_64)", 'a\\"b', "ü", "", "a\tb", "[x]", "{}"]
MOMENTS = ["30/Feb/2025:02:04:08 +0000", "29/Feb/2024:02:04:08 +0000", "31/Apr/2025:02:04:08 +0000", "16/dec/2025:02:04:08 +0000",
           "16/Dez/2025:02:04:08 +0000", "16/Dec/2025:24:04:08 +0000", "16/Dec/2025:23:59:60 +0000", "16/Dec/2025:02:04:08 +2400",
           "16/Dec/2025:02:04:08 0000", "16/Dec/2025:02:04:08", "6/Dec/2025:02:04:08 +0000", "16/Dec/0000:02:04:08 +0000",
           "16/Dec/1969:23:59:59 +0000", "01/Jan/1970:00:00:00 +0001", "31/Dec/2105:23:59:59 +0000", "01/Jan/2106:00:00:00 +0000",
           "16/Dec/2025 02:04:08 +0000", "2025-12-16T02:04:08Z", "16/12/2025:02:04:08 +0000"]
BITS = [b" ", b"  ", b'"', b"[", b"]", b"-", b"\\", b"\n", b"\r\n", b"\t", b"\x00", b"\xff", b"\xc2\xa0", b"\xe2\x80\xa8", b"{", b"}", b"0", b"\x7f"]
# fmt: on


class Lines:
    """Draws lines; `instant` draws a moment near the bounds of the contract."""

    def __init__(self, rng: random.Random, instant: Callable[[], datetime]) -> None:
        self._rng, self._instant = rng, instant

    def plain(self, _: int) -> bytes:
        """A line as a server writes it."""
        rng = self._rng
        return self._line(rng.choice(ADDRESSES[:3]), rng.choice(USERS[:4]), rng.choice(TARGETS[:3])).encode()

    def odd(self, _: int) -> bytes:
        """A line of which one part is a surprise."""
        rng = self._rng
        plain = (rng.choice(ADDRESSES[:3]), rng.choice(USERS[:4]), rng.choice(TARGETS[:3]))
        lines = [
            self._line(rng.choice(ADDRESSES), *plain[1:]),
            self._line(plain[0], rng.choice(USERS), plain[2]),
            self._line(*plain[:2], rng.choice(TARGETS), rng.choice(REQUESTS)),
            self._line(*plain, moment=rng.choice(MOMENTS)),
            self._line(*plain, status=rng.choice(STATUSES)),
            self._line(*plain, size=rng.choice(SIZES)),
            self._line(*plain, tail=f' "{rng.choice(AGENTS)}" "{rng.choice(AGENTS)}"'),
            self._line(
                *plain, tail=rng.choice((' "-"', " ", "\n", "\r\n", "\n\n", ' "-" "-" "-"', " x", ' "-""-"'))
            ),
            rng.choice((" ", "\t", "\n", "\ufeff", "x ")) + self._line(*plain),
        ]
        return rng.choice(lines).encode()

    def damaged(self, number: int) -> bytes:
        """A line of which some bytes are others."""
        rng, value = self._rng, bytearray(self.plain(number))
        at = rng.randrange(len(value))
        how = rng.randrange(4)
        if how == 0:
            value[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            del value[at : at + rng.randint(1, 12)]
        elif how == 2:
            value[at:at] = rng.choice(BITS)
        else:
            value[at:at] = value + rng.choice(BITS)
        return bytes(value)

    def _line(
        self,
        address: str,
        user: str,
        target: str,
        request: str = REQUESTS[0],
        *,
        moment: str = "",
        status: str = "",
        size: str = "512",
        tail: str | None = None,
    ) -> str:
        rng, instant = self._rng, self._instant()
        at = moment or instant.replace(tzinfo=instant.tzinfo or UTC).strftime("%d/%b/%Y:%H:%M:%S %z")
        code = status or rng.choice(STATUSES[:8])
        end = rng.choice(("", f' "-" "{rng.choice(AGENTS[:4])}"')) if tail is None else tail
        return f'{address} - {user} [{at}] "{request.format(target)}" {code} {size}{end}'
