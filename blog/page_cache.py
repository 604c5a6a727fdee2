"""Cached pages: which are the same for all, under which key, and for how long.

A page is current until the site's version changes, or the clock reaches a moment at which the page
changes by itself. No code has to invalidate it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from sys import getsizeof
from threading import Event, Lock
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from werkzeug.wsgi import get_path_info

from blog.cached_response import Page, size_of
from blog.caches import Cache
from blog.cookies import MARK
from blog.flash import COOKIE as FLASH
from blog.freshness import Stamp
from blog.urls import endpoint_at, parameters_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: The longest path and query string that a page is cached for, in bytes.
LONGEST_PATH = 1_000
LONGEST_QUERY = 1_000

#: What tells pages apart: where the blog is mounted, the path, and the parameters that its view
#: reads. A response that depends on more is not cached: see :attr:`blog.request.Request.is_shared`.
Key = tuple[str, str, tuple[tuple[str, str], ...]]


def key_of(environ: "WSGIEnvironment") -> Key | None:
    """Return the key of the page for a request; None if that page is never cached."""
    if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
        return None
    if FLASH in environ.get("HTTP_COOKIE", ""):
        return None
    path = environ.get("PATH_INFO", "")
    query = environ.get("QUERY_STRING", "")
    parameters = _parameters(environ, query) if query else ()
    if parameters is None or len(path) > LONGEST_PATH:
        return None
    return environ.get("SCRIPT_NAME", ""), path, parameters


def has_cookie(environ: "WSGIEnvironment") -> bool:
    """Tell whether the visitor has a cookie of ours. Pages do not depend on other cookies."""
    return MARK in environ.get("HTTP_COOKIE", "")


def _parameters(environ: "WSGIEnvironment", query: str) -> tuple[tuple[str, str], ...] | None:
    """Return the parameters in the key; None if the query is too long, not UTF-8, or no page's."""
    if len(query) > LONGEST_QUERY:
        return None
    try:
        query = query.encode("latin-1").decode()
        unquote_to_bytes(query).decode()
    except UnicodeError:
        return None
    if "%00" in query or "\0" in query:
        return None
    endpoint = endpoint_at(get_path_info(environ))
    return None if endpoint is None else parameters_of(endpoint, query)


class KeptPages:
    """Pages in memory, least recently used first to go.

    :param capacity: the most memory that pages and keys may take, in bytes; 0 caches none.
    """

    def __init__(self, capacity: int) -> None:
        self.cache: Cache[Key, Page] = Cache(capacity)
        self._lock = Lock()
        self._turns: dict[Key, Event] = {}

    def find(self, key: Key, stamp: Stamp) -> Page | None:
        """Return the page that is cached under `key`, if it is fresh."""
        page = self.cache.get(key)
        return page if page is not None and page.is_fresh(stamp) else None

    def keep(self, key: Key, page: Page) -> None:
        """Cache a page, in place of the one that was there."""
        if page.stamp is None:
            return
        if (before := self.cache.get(key)) is not None:
            page.adopt(before)
        # With the key alone: a page that referred to itself would wait for the garbage collector.
        page.grown = partial(self._count_again, key)
        self.cache.put(key, page, _size_of_key(key) + page.size)

    def _count_again(self, key: Key) -> None:
        if (page := self.cache.get(key)) is not None:
            self.cache.resize(key, page, _size_of_key(key) + page.size)

    @contextmanager
    def turn(self, key: Key) -> Iterator[None]:
        """Let the first thread through for `key`, and the others when it is done.

        So one request builds a page that is not cached yet. If it fails, the others go on in
        parallel.
        """
        with self._lock:
            turn = self._turns.get(key)
            is_first = turn is None
            if turn is None:
                turn = self._turns[key] = Event()
        if not is_first:
            turn.wait()
            yield
            return
        try:
            yield
        finally:
            with self._lock:
                del self._turns[key]
            turn.set()


def _size_of_key(key: Key) -> int:
    return sum(map(getsizeof, (key, *key))) + size_of(key[2])
