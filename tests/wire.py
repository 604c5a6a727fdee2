"""Requests as bytes on a connection, some of them invalid."""

import random
import re
from urllib.parse import quote_from_bytes

from tests.fuzz import Wanted


class Wire:
    """Serialises requests, some of them invalidly.

    :param seed: the same seed gives the same bytes for the same requests.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def write(self, wanted: Wanted) -> tuple[bytes, bool]:
        """Return the bytes, and whether a server must respond to them."""
        target = quote_from_bytes(wanted.path, safe="/%:;=@&+$,!~*'()\x7f").encode()
        if wanted.query:
            target += b"?" + re.sub(rb"[\x00-\x20\x7f]", b"", wanted.query)
        lines = [b"%s %s HTTP/1.1" % (wanted.method.encode(), target)]
        headers = {"Host": "localhost", "X-Forwarded-For": wanted.sender, **wanted.headers}
        headers["Connection"] = "close"
        for name, value in headers.items():
            raw = value.encode("utf-8", "surrogatepass")
            lines.append(name.encode() + b": " + re.sub(rb"[\x00-\x08\x0a-\x1f\x7f]", b"", raw))
        is_plain = self._random.random() < 0.8
        if not is_plain:
            self._random.choice(self._bends)(self, lines)
        end = b"\r\n" if is_plain else self._random.choice([b"\r\n", b"\r\n", b"\n"])
        # It would wait for the rest.
        is_plain &= wanted.headers.get("Content-Length", "0") == str(len(wanted.body))
        is_plain &= "Expect" not in wanted.headers
        return end.join(lines) + end + end + wanted.body, is_plain

    def _version(self, lines: list[bytes]) -> None:
        new = self._random.choice(
            [b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.1.1", b"", b"FTP/1"]
        )
        lines[0] = lines[0].replace(b"HTTP/1.1", new)

    def _request_line(self, lines: list[bytes]) -> None:
        bent = [
            b"",
            b" ",
            b"GET",
            b"GET  /blog",
            b"GET /blog",
            b"\0",
            b"\x16\x03\x01\x02",
            b"* / *",
        ]
        bent += [
            b"GET http://evil.example/blog HTTP/1.1",
            b"OPTIONS * HTTP/1.1",
            b"GET blog HTTP/1.1",
        ]
        bent += [b"GET //evil.example/blog HTTP/1.1", b"CONNECT evil.example:443 HTTP/1.1"]
        bent += [b"GET /" + b"x" * 70_000 + b" HTTP/1.1", b"GET /blog?\xff\xfe HTTP/1.1"]
        lines[0] = self._random.choice(bent)

    def _header(self, lines: list[bytes]) -> None:
        bent = [
            b"X",
            b": x",
            b" folded",
            b"X : 1",
            b"X\0: 1",
            b"X: \0",
            b"\xff: \xff",
            b"Host: evil",
        ]
        bent += [
            b"Content-Length: 5",
            b"Content-Length: +5",
            b"Content-Length: 5, 6",
            b"Cookie: " + b"x" * 16_000,
        ]
        bent += [
            b"Transfer-Encoding: chunked",
            b"Transfer-Encoding: gzip",
            b"Transfer-Encoding: x, chunked",
        ]
        bent += [
            b"X: " + b"x" * 100_000,
            b"Upgrade: h2c",
            b"Expect: 100-continue",
            b"X_Forwarded_For: 1",
        ]
        lines.insert(self._random.randint(1, len(lines)), self._random.choice(bent))

    def _many(self, lines: list[bytes]) -> None:
        lines += [b"X-%d: 1" % number for number in range(self._random.choice([100, 3_000]))]

    def _cut(self, lines: list[bytes]) -> None:
        del lines[self._random.randrange(len(lines)) :]

    _bends = (_version, _request_line, _header, _header, _many, _cut)
