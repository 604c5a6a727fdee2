"""Cached pages: which are the same for all, under which key, and for how long.

A page is cached as long as the version of the site stands and no moment has come at which it
changes by itself. Nothing anywhere has to say that it is no longer good.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from sys import getsizeof
from threading import Event, Lock
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from werkzeug.wsgi import get_path_info

from blog.caches import Cache
from blog.cookies import MARK
from blog.flash import COOKIE as FLASH
from blog.freshness import Stamp
from blog.page import Page, size_of
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
    """Return what the page for a request is cached under; None if it is for this visitor alone."""
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
    """Tell whether the visitor has a cookie of ours. Others are no concern of the pages."""
    return MARK in environ.get("HTTP_COOKIE", "")


def _parameters(environ: "WSGIEnvironment", query: str) -> tuple[tuple[str, str], ...] | None:
    """Return the parameters that count; None for a query that is long, not text, or no page's."""
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
    """Pages in memory, of which those that nobody asked for the longest go first.

    :param capacity: how much they may take in all, in bytes; 0 caches none.
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
        # By its key: a page that refers to itself would stay until the garbage is collected.
        page.grown = partial(self._count_again, key)
        self.cache.put(key, page, _size_of_key(key) + page.size)

    def _count_again(self, key: Key) -> None:
        if (page := self.cache.get(key)) is not None:
            self.cache.resize(key, page, _size_of_key(key) + page.size)

    @contextmanager
    def turn(self, key: Key) -> Iterator[None]:
        """Let the first thread that comes for `key` through; hold the others until it is done.

        So that of all who ask for a page that is not there yet, one makes it. If it fails, the
        others go on side by side.
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
