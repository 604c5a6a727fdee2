"""Waitress's parser, extended to refuse requests that RFC 9112 does not allow."""

import logging
import re
import tempfile

from waitress.parser import HTTPRequestParser, ParsingError
from waitress.utilities import BadRequest, Error, RequestEntityTooLarge

log = logging.getLogger(__name__)

# Bytes that the chunks of a body may have around its own, besides two for each of those. A chunk
# costs a thousand times what a byte does, and a long chunk header or trailer section is searched
# from its start with everything that arrives.
_AROUND_CHUNKS = 16 * 1024

# Of these, waitress joins the values.
_ONCE = {b"host", b"content-length", b"transfer-encoding"}
# uri-host [":" port], https://www.rfc-editor.org/rfc/rfc9110#section-7.2
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~%!$&'()*+,;=]*)(?::[0-9]*)?")
_VERSION = re.compile(rb" HTTP/([0-9])\.([0-9])$")


class VersionError(Error):  # type: ignore[misc]
    """https://www.rfc-editor.org/rfc/rfc9110#section-15.6.6"""

    code = 505
    reason = "HTTP Version Not Supported"


class UnavailableError(Error):  # type: ignore[misc]
    """https://www.rfc-editor.org/rfc/rfc9110#section-15.6.4"""

    code = 503
    reason = "Service Unavailable"


class _RefusedError(Exception):
    def __init__(self, error: Error) -> None:
        super().__init__()
        self.error = error


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """Waitress's parser, with the checks of RFC 9112 that it leaves out."""

    # Waitress logs it, even of a request whose head was refused.
    path = ""

    def received(self, data: bytes) -> int:
        """Process `data`; return how many bytes of it belong to this request."""
        try:
            consumed: int = super().received(data)
        except _RefusedError as refused:
            self._refuse(refused.error)
            return len(data)
        except OSError as error:  # a long body goes to a temporary file
            log.error(  # noqa: TRY400 - not a bug
                "Cannot store a request body in %s (%s): free space there, or set TMPDIR",
                # Not gettempdir(), which fails where no folder can be written to.
                tempfile.tempdir or "a temporary file",
                error.strerror,
            )
            self._refuse(UnavailableError("The body cannot be stored just now"))
            return len(data)
        body = len(self.body_rcv) if self.chunked else 0
        if self.chunked and self.body_bytes_received > 3 * body + _AROUND_CHUNKS:
            self._refuse(BadRequest("The chunks of the body are too small"))
        if self.error is not None:
            # The response is sent at once, even if the body never follows.
            self.expect_continue = False
        return consumed

    def _refuse(self, error: Error) -> None:
        self.error = error
        self.completed = self.headers_finished = True

    def parse_header(self, header_plus: bytes) -> None:
        """Parse the head of the request.

        :raises ParsingError: it is invalid; the client gets a 400.
        """
        line, end, rest = header_plus.partition(b"\r\n")
        fields: dict[bytes, list[bytes]] = {}
        for field in rest.split(b"\r\n"):
            name, _, value = field.partition(b":")
            if (name := name.lower()) in _ONCE:
                fields.setdefault(name, []).append(value.strip(b" \t"))
        # int() refuses them.
        if any(len(value) > 1000 for value in fields.get(b"content-length", [])):
            raise _RefusedError(RequestEntityTooLarge("Content-Length is too large"))
        try:
            super().parse_header(_with_known_version(line.rstrip()) + end + rest)
        except ValueError as error:  # urlsplit()'s, of brackets without an IPv6 address
            raise ParsingError("The request target is invalid") from error
        self._check_framing(fields)
        self._check_target(fields.get(b"host", []))
        options = self.headers.get("CONNECTION", "").lower().split(",")
        if "close" in {option.strip() for option in options}:
            self.headers["CONNECTION"] = "close"

    def _check_framing(self, fields: dict[bytes, list[bytes]]) -> None:
        # https://www.rfc-editor.org/rfc/rfc9112#section-6.1
        codings = fields.get(b"transfer-encoding")
        if codings is None:
            return
        if b"content-length" in fields:
            raise ParsingError("Content-Length and Transfer-Encoding exclude each other")
        if self.version == "1.0":
            raise ParsingError("HTTP/1.0 has no Transfer-Encoding")
        if [coding.lower() for coding in codings] != [b"chunked"]:
            raise ParsingError("Transfer-Encoding is invalid")

    def _check_target(self, hosts: list[bytes]) -> None:
        # https://www.rfc-editor.org/rfc/rfc9112#section-3.2
        if len(hosts) > 1 or (not hosts and self.version == "1.1"):
            raise ParsingError("One Host header is required")
        if self.proxy_netloc or self.proxy_scheme:
            # The target's authority overrides the Host header.
            if self.proxy_scheme not in {"http", "https"} or not self.proxy_netloc:
                raise ParsingError("The request target is invalid")
            self.headers["HOST"] = self.proxy_netloc
            self.path = self.path or "/"
        elif not self.request_uri.startswith("/") and (self.command, self.path) != ("OPTIONS", "*"):
            raise ParsingError("The request target is invalid")
        if _HOST.fullmatch(self.headers.get("HOST", "")) is None:
            raise ParsingError("The host is invalid")


def _with_known_version(line: bytes) -> bytes:
    # https://www.rfc-editor.org/rfc/rfc9110#section-2.5
    found = _VERSION.search(line)
    if found is None:
        raise ParsingError("The request line has no HTTP version")
    if found[1] != b"1":
        raise _RefusedError(VersionError("HTTP/1.1 and HTTP/1.0 are supported"))
    return line if found[2] in b"01" else line[: found.start()] + b" HTTP/1.1"
