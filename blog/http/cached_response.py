"""A finished response: its encodings and validators, and conditional requests."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from sys import getsizeof
from time import time
from typing import TYPE_CHECKING

from werkzeug import Response
from werkzeug.http import http_date, parse_date, parse_etags

from blog.http import compression
from blog.models.freshness import History, Moments, Stamp
from blog.request import CONDITIONS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

#: HTTP dates have a resolution of a second, so a page may change again within the second and keep
#: its date. Until this long after a change a response has no Last-Modified
#: (https://www.rfc-editor.org/rfc/rfc9110#section-8.8.2.2).
SETTLED = timedelta(seconds=2)

#: The memory of a response and of a variant besides bodies, headers and key, in bytes.
OVERHEAD = 2_000
OVERHEAD_OF_VARIANT = 1_500

#: Headers that a 304 omits (https://www.rfc-editor.org/rfc/rfc9110#section-15.4.5).
_OF_THE_BODY = {"Content-Type", "Content-Length", "Content-Encoding"}


@dataclass(frozen=True)
class Variant:
    """A response in one encoding, with its own strong ETag."""

    body: bytes
    etag: str
    headers: list[tuple[str, str]]
    #: The same with Last-Modified, from :data:`SETTLED` after the last change on.
    dated: list[tuple[str, str]]


@dataclass
class CachedResponse:
    """The response to all requests with one cache key, as a WSGI application.

    :param body: the uncompressed bytes.
    :param headers: the headers that do not depend on the encoding.
    :param mimetype: decides whether it is compressed.
    :param stamp: the content version, read before any content; None if unknown.
    :param made: when it was rendered, in seconds since 1970.
    :param moments: when its content last changed, and when it expires.
    :param comments: the ids of the entries whose comments were read for it.
    """

    body: bytes
    headers: list[tuple[str, str]]
    mimetype: str
    stamp: Stamp | None
    made: float
    moments: Moments
    comments: frozenset[int]
    #: Called after each new variant, which takes more memory.
    grown: Callable[[], None] | None = None
    _compressed_bodies: dict[str, bytes] = field(default_factory=dict)
    _variants: dict[str, Variant] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._until = self.moments.until.timestamp()
        self._settled = (self.moments.changed + SETTLED).timestamp()
        self._compressed = compression.is_worth_it(self.mimetype, len(self.body))
        self._own_size = OVERHEAD + getsizeof(self.body) + size_of(self.headers)

    @property
    def size(self) -> int:
        """Its memory, in bytes. It grows with each encoding that clients request."""
        # A copy: another thread may be adding one.
        bodies = sum(map(getsizeof, list(self._compressed_bodies.values())))
        return self._own_size + bodies + OVERHEAD_OF_VARIANT * len(self._variants)

    @classmethod
    def of(
        cls,
        response: Response,
        stamp: Stamp | None,
        made: datetime,
        moments: Moments,
        comments: frozenset[int],
    ) -> "CachedResponse":
        """Return `response` as a cached response. See the class for the parameters."""
        headers = response.headers
        response.vary.add("Accept-Encoding")
        if response.mimetype == "text/html":
            response.vary.add("Cookie")
        headers.remove("Content-Length")
        body, mimetype = response.get_data(), response.mimetype or ""
        return cls(body, list(headers), mimetype, stamp, made.timestamp(), moments, comments)

    def adopt(self, before: "CachedResponse") -> None:
        """Share the bodies of the previous response, if they are the same."""
        if self.body == before.body:
            self.body = before.body
            self._compressed_bodies = before._compressed_bodies

    def is_current(self, stamp: Stamp, history: History) -> bool:
        """Tell whether it is still current.

        :param stamp: the content version now.
        :param history: the changes since earlier versions.
        """
        if not self.made <= time() < self._until:
            return False
        if self.stamp == stamp:
            return True
        if self.stamp is None or not history.covers(self.stamp, self.comments, stamp):
            return False
        if self.stamp[1] < stamp[1]:  # speeds up the next comparison
            self.stamp = stamp
        return True

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Send it, or the 304 or 412 that the conditional headers require."""
        encoding = ""
        if self._compressed:
            encoding = compression.choose(environ.get("HTTP_ACCEPT_ENCODING", ""))
        variant = self._variants.get(encoding) or self._variant(encoding)
        is_settled = time() >= self._settled
        # A copy, because servers may add headers to the list.
        headers = (variant.dated if is_settled else variant.headers).copy()
        if not environ.keys().isdisjoint(CONDITIONS):
            modified = self.moments.changed if is_settled else None
            if (status := condition(environ, variant.etag, modified)) is not None:
                start_response(status, [h for h in headers if h[0] not in _OF_THE_BODY])
                return []
        start_response("200 OK", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [variant.body]

    def _variant(self, encoding: str) -> Variant:
        digest = hashlib.sha256(self.body).hexdigest()[:32]
        body, own = self.body, []
        if encoding:
            body, own = self._compress(encoding), [("Content-Encoding", encoding)]
        etag = f'"{digest}-{encoding}"' if encoding else f'"{digest}"'
        headers = [*self.headers, *own, ("Content-Length", str(len(body))), ("ETag", etag)]
        # Two threads may do this at once, with the same result.
        dated = [*headers, ("Last-Modified", http_date(self.moments.changed))]
        variant = self._variants[encoding] = Variant(body, etag, headers, dated)
        if self.grown:
            self.grown()
        return variant

    def _compress(self, encoding: str) -> bytes:
        body = self._compressed_bodies.get(encoding)
        if body is None:
            body = self._compressed_bodies[encoding] = compression.compress(encoding, self.body)
        return body


def size_of(pairs: Iterable[tuple[str, str]]) -> int:
    """Return the memory of pairs of strings, in bytes."""
    return sum(getsizeof(each) + getsizeof(each[0]) + getsizeof(each[1]) for each in pairs)


def condition(environ: Mapping[str, str], etag: str, modified: datetime | None) -> str | None:
    """Evaluate a conditional request.

    In the order of https://www.rfc-editor.org/rfc/rfc9110#section-13.2.2. For a 304 the date must
    equal Last-Modified: after a clock was set back, or an entry was postponed, an earlier page has
    a later date.

    :param environ: contains the conditional headers (:data:`blog.request.CONDITIONS`).
    :param etag: the strong ETag of the full response, with or without its quotes.
    :param modified: when its content last changed; None if unknown, or if it may change again
        within the same second.
    :return: the status of the response without a body; None for the full response.
    """
    wanted, known, since, until = (environ.get(name) for name in CONDITIONS)
    etag = etag.strip('"')
    if wanted is not None and not parse_etags(wanted).contains(etag):
        return "412 PRECONDITION FAILED"
    if wanted is None and until is not None and modified is not None:
        date = parse_date(until)
        if date is not None and modified.replace(microsecond=0) > date:
            return "412 PRECONDITION FAILED"
    if known is not None:
        return "304 NOT MODIFIED" if parse_etags(known).contains_weak(etag) else None
    if modified is not None and parse_date(since) == modified.replace(microsecond=0):
        return "304 NOT MODIFIED"
    return None
