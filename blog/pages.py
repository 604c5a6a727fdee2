"""Finished pages: how one is sent, and how long it is kept.

A page is kept as long as the version of the site stands and no moment has come at which it changes
by itself. Nothing anywhere has to say that it is no longer good.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from threading import Lock
from time import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote_to_bytes

from werkzeug import Response
from werkzeug.http import http_date, parse_date, parse_etags

from blog import compression
from blog.cookies import MARK
from blog.flash import COOKIE as FLASH
from blog.freshness import Moments, Stamp
from blog.urls import PARAMETERS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

#: HTTP dates count whole seconds, so a page that changed in this very second may change again and
#: keep its date. Such a page has none (https://www.rfc-editor.org/rfc/rfc9110#section-8.8.2.2).
SETTLED = timedelta(seconds=2)

#: What a page takes in memory besides its bytes: headers, keys, objects.
OVERHEAD = 3_000

#: The longest path and query string that a page is kept for, in characters.
LONGEST_PATH = 1_000
LONGEST_QUERY = 1_000

#: Headers that a 304 does not have (https://www.rfc-editor.org/rfc/rfc9110#section-15.4.5).
_OF_THE_BODY = {"Content-Type", "Content-Length", "Content-Encoding"}

_CONDITIONS = (
    "HTTP_IF_MATCH",
    "HTTP_IF_NONE_MATCH",
    "HTTP_IF_MODIFIED_SINCE",
    "HTTP_IF_UNMODIFIED_SINCE",
)

#: What tells pages apart: where the blog is mounted, the path, and the parameters that count.
Key = tuple[str, str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Variant:
    """A page in one encoding, with a strong ETag of its own."""

    body: bytes
    etag: str
    headers: list[tuple[str, str]]
    #: The same with the date, which counts once the page is settled.
    dated: list[tuple[str, str]]


@dataclass
class Page:
    """An answer that is the same for all who may have it: a WSGI application.

    :param body: its bytes, not compressed.
    :param headers: those that have nothing to do with the encoding.
    :param mimetype: decides whether compressing it is worth the time.
    :param stamp: what the site's content was called before the page was made; None if unknown.
    :param made: when it was made, in seconds since 1970.
    :param moments: since when, and until when at most, it is what it is.
    :param is_personal: a visitor who has a cookie of ours would get another one.
    """

    body: bytes
    headers: list[tuple[str, str]]
    mimetype: str
    stamp: Stamp | None
    made: float
    moments: Moments
    is_personal: bool
    _variants: dict[str, Variant] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._until = self.moments.until.timestamp()
        self._settled = (self.moments.changed + SETTLED).timestamp()
        self._compressed = compression.is_worth_it(self.mimetype, len(self.body))

    @property
    def size(self) -> int:
        """What it takes in memory at most, in bytes: compressed it is smaller than the body."""
        return OVERHEAD + 2 * len(self.body)

    def is_fresh(self, stamp: Stamp) -> bool:
        """Tell whether it is what would be made now, when the site's content is called `stamp`."""
        return self.stamp == stamp and self.made <= time() < self._until

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Send the page; or 304 to who has it, or 412 to who wants another one."""
        encoding = ""
        if self._compressed:
            encoding = compression.choose(environ.get("HTTP_ACCEPT_ENCODING", ""))
        variant = self._variants.get(encoding) or self._variant(encoding)
        is_settled = time() >= self._settled
        # A copy, because servers may add to what they are given.
        headers = (variant.dated if is_settled else variant.headers).copy()
        if any(name in environ for name in _CONDITIONS):
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
            body, own = compression.compress(encoding, body), [("Content-Encoding", encoding)]
        etag = f'"{digest}-{encoding}"' if encoding else f'"{digest}"'
        headers = [*self.headers, *own, ("Content-Length", str(len(body))), ("ETag", etag)]
        # Two threads may do this at once, and make the same.
        dated = [*headers, ("Last-Modified", http_date(self.moments.changed))]
        variant = self._variants[encoding] = Variant(body, etag, headers, dated)
        return variant


def condition(environ: "WSGIEnvironment", etag: str, modified: datetime | None) -> str | None:
    """Return the status that answers a conditional request without a body, or None.

    In the order of https://www.rfc-editor.org/rfc/rfc9110#section-13.2.2. For a 304 a date counts
    only if it is the very one that we give: after a clock was set back, or an entry was put off, an
    earlier page has a later date.

    :param etag: of what would be sent: a strong one, with or without its quotes.
    :param modified: when that changed last; None if unknown, or if it may change again within the
        same second.
    """
    wanted, known, since, until = (environ.get(name) for name in _CONDITIONS)
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


def page_of(
    response: Response, stamp: Stamp | None, made: datetime, moments: Moments, is_personal: bool
) -> Page:
    """Make a page of a response that is good for all. See :class:`Page` for the parameters."""
    headers = response.headers
    headers.setdefault("Cache-Control", "no-cache")
    response.vary.add("Accept-Encoding")
    if response.mimetype == "text/html":
        response.vary.add("Cookie")
    headers.remove("Content-Length")
    body = response.get_data()
    parts = list(headers)
    return Page(body, parts, response.mimetype or "", stamp, made.timestamp(), moments, is_personal)


def key_of(environ: "WSGIEnvironment") -> Key | None:
    """Return what the page for a request is kept under; None if it is for this visitor alone."""
    if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
        return None
    if FLASH in environ.get("HTTP_COOKIE", ""):
        return None
    path = environ.get("PATH_INFO", "")
    parameters = _parameters(environ.get("QUERY_STRING", ""))
    if parameters is None or len(path) > LONGEST_PATH:
        return None
    return environ.get("SCRIPT_NAME", ""), path, parameters


def has_cookie(environ: "WSGIEnvironment") -> bool:
    """Tell whether the visitor has a cookie of ours. Others are no concern of the pages."""
    return MARK in environ.get("HTTP_COOKIE", "")


@lru_cache(maxsize=1024)
def _parameters(query_string: str) -> tuple[tuple[str, str], ...] | None:
    """Return the parameters that count, in one order; None for a query that is not text."""
    if not query_string:
        return ()
    try:
        query = query_string.encode("latin-1").decode()
        unquote_to_bytes(query).decode()
    except UnicodeError:
        return None
    if len(query) > LONGEST_QUERY or "%00" in query or "\0" in query:
        return None
    # Of several values the first one counts, as in Request.args.
    pairs = reversed(parse_qsl(query, keep_blank_values=True))
    return tuple(sorted({name: value for name, value in pairs if name in PARAMETERS}.items()))


class KeptPages:
    """Pages in memory, of which those that nobody asked for the longest go first.

    :param capacity: how much they may take in all, in bytes; 0 keeps none.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._size = 0
        self._pages: OrderedDict[Key, Page] = OrderedDict()
        self._lock = Lock()
        self._turns: dict[Key, _Turn] = {}

    def find(self, key: Key, stamp: Stamp | None) -> Page | None:
        """Return the page that is kept under `key`, if it is fresh."""
        page = self._pages.get(key)
        if page is None or stamp is None or not page.is_fresh(stamp):
            return None
        # Without the lock, which all would wait for: it is one step for Python, too.
        with suppress(KeyError):
            self._pages.move_to_end(key)
        return page

    def keep(self, key: Key, page: Page) -> None:
        """Keep a page, in place of the one that was there."""
        if page.stamp is None or page.size > self.capacity:
            return
        with self._lock:
            before = self._pages.pop(key, None)
            self._pages[key] = page
            self._size += page.size - (before.size if before else 0)
            while self._size > self.capacity:
                # Not by a walk, which whoever finds a page meanwhile would break off.
                _, oldest = self._pages.popitem(last=False)
                self._size -= oldest.size

    @contextmanager
    def turn(self, key: Key) -> Iterator[None]:
        """Let one thread after the other do what is in the block, for each key.

        So that of all who ask for a page that nobody has made yet, the first one makes it.
        """
        with self._lock:
            turn = self._turns.setdefault(key, _Turn())
            turn.threads += 1
        try:
            with turn.lock:
                yield
        finally:
            with self._lock:
                turn.threads -= 1
                if not turn.threads:
                    del self._turns[key]


class _Turn:
    def __init__(self) -> None:
        self.lock = Lock()
        self.threads = 0
