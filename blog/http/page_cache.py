"""The page cache, which wraps the application and calls it only for uncached responses.

It fails closed. Two functions alone decide: :meth:`PageCache.key_of`, which requests have a key,
and :func:`is_cacheable`, which responses are the same for all requests with that key. A cached
response is current until the site's version changes, or until the next moment at which pages change
by themselves. No code has to invalidate it.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from sys import getsizeof
from threading import Event, Lock
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote_to_bytes

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug import Response
from werkzeug.wsgi import get_path_info

from blog.caches import Cache
from blog.config import Config
from blog.http.cached_response import CachedResponse, size_of
from blog.http.hosts import OwnHosts
from blog.models import freshness
from blog.models.freshness import Stamp
from blog.operations.outages import Outages
from blog.request import MARK, Request
from blog.urls import endpoint_at, parameters_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

#: The longest path and query string of a cached response, in bytes.
LONGEST_PATH = 1_000
LONGEST_QUERY = 1_000

#: Identifies a response: the mount point, the path, and the parameters that its view reads.
Key = tuple[str, str, tuple[tuple[str, str], ...]]

#: Turns a response into the WSGI application to send, while the request's session is still open.
Finish = Callable[[Request, Response], "WSGIApplication"]


class Application(Protocol):
    """The wrapped WSGI application, which knows neither keys nor stamps."""

    def __call__(
        self,
        environ: "WSGIEnvironment",
        start_response: "StartResponse",
        finish: Finish,
        failure: Exception | None = None,
        /,
    ) -> Iterable[bytes]:
        """Respond with the result of `finish` for the response.

        :param failure: the error of a wait for the database that must not be repeated; None if
            there was none.
        """


class PageCache:
    """A WSGI application that serves cached responses, and otherwise calls `application`.

    :param application: responds to uncached requests.
    :param config: `page_cache` limits the memory of responses and keys, in MiB.
    :param engine: the blog's database.
    :param hosts: the host names that the blog answers to.
    :param outages: is told when the database has served a request.
    """

    def __init__(
        self,
        application: Application,
        config: Config,
        engine: Engine,
        hosts: OwnHosts,
        outages: Outages,
    ) -> None:
        #: Templates, settings and code have not changed since.
        self.started = datetime.now(UTC)
        self.responses: Cache[Key, CachedResponse] = Cache(config.page_cache * 1024 * 1024)
        self._application = application
        self._engine = engine
        self._hosts = hosts
        self._outages = outages
        self._lock = Lock()
        self._turns: dict[Key, Event] = {}
        self._history = freshness.History(engine)

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Serve the cached response if it is still current; otherwise have a new one rendered."""
        key = self.key_of(environ)
        try:
            # Read before any content, so that no response claims to be newer than it is.
            stamp = None if key is None else freshness.stamp(self._engine)
        except (OperationalError, PoolTimeout) as error:
            return self._application(environ, start_response, self.finish, error)
        if key is None or stamp is None:
            return self._application(environ, start_response, self.finish)
        cached = self._find(key, stamp)
        if cached is None:
            with self._turn(key):
                # Another thread may have rendered it while this one waited.
                cached = self._find(key, stamp)
                if cached is None:
                    # Before the view takes a connection: this must not need a second one.
                    with suppress(SQLAlchemyError):
                        self._history.advance(stamp)
                    finish = partial(self.finish, key=key, stamp=stamp)
                    return self._application(environ, start_response, finish)
        if self._outages.open:
            self._outages.succeeded(is_writing=False)
        return cached(environ, start_response)

    def key_of(self, environ: "WSGIEnvironment") -> Key | None:
        """Return the cache key of a request; None if it must bypass the cache.

        Methods other than GET and HEAD bypass it, and so do foreign hosts, requests that identify
        a person (credentials or a cookie of ours), and addresses that are too long or not UTF-8.
        """
        if (
            environ["REQUEST_METHOD"] not in {"GET", "HEAD"}
            or environ.get("HTTP_HOST", "") not in self._hosts
            or "HTTP_AUTHORIZATION" in environ
            or MARK in environ.get("HTTP_COOKIE", "")
        ):
            return None
        path = environ.get("PATH_INFO", "")
        query = environ.get("QUERY_STRING", "")
        parameters = _parameters(environ, query) if query else ()
        if parameters is None or len(path) > LONGEST_PATH:
            return None
        return environ.get("SCRIPT_NAME", ""), path, parameters

    def finish(
        self,
        request: Request,
        response: Response,
        key: Key | None = None,
        stamp: Stamp | None = None,
    ) -> "WSGIApplication":
        """Return what to send: `response` itself, or a cached response made from it.

        :param key: the key to cache it under; None to leave it out of the cache.
        :param stamp: the content version, read before any content; None if unknown.
        """
        if is_private(request, response):
            # Overrides the view: other caches must not store it, either.
            response.headers["Cache-Control"] = "private, no-store"
        else:
            # Browsers would cache 301 and 308 indefinitely (RFC 9110, 15.4.2). After two renames of
            # an entry, two cached redirects could form a loop.
            response.headers.setdefault("Cache-Control", "no-cache")
        if not is_cacheable(request, response):
            return response
        moments = freshness.moments(
            request.db, request.now, self.started, request.config.comments_close_after
        )
        cached = CachedResponse.of(response, stamp, request.now, moments, request.comments_read)
        if key is not None:
            self._store(key, cached)
        return cached

    def _find(self, key: Key, stamp: Stamp) -> CachedResponse | None:
        cached = self.responses.get(key)
        try:
            is_current = cached is not None and cached.is_current(stamp, self._history)
        except SQLAlchemyError:  # the view will meet it again, with an error page
            return None
        return cached if is_current else None

    def _store(self, key: Key, cached: CachedResponse) -> None:
        if (before := self.responses.get(key)) is not None:
            cached.adopt(before)
        # The callback refers to the key only: a response that referred to itself would live until
        # the next garbage collection.
        cached.grown = partial(self._count_again, key)
        self.responses.put(key, cached, _size_of_key(key) + cached.size)

    def _count_again(self, key: Key) -> None:
        if (cached := self.responses.get(key)) is not None:
            self.responses.resize(key, cached, _size_of_key(key) + cached.size)

    @contextmanager
    def _turn(self, key: Key) -> Iterator[None]:
        """Let the first thread for `key` proceed, and the others when it is done.

        So only one request renders an uncached page. If it fails, the others proceed in parallel.
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


def is_private(request: Request, response: Response) -> bool:
    """Tell whether a response is, or may be, specific to one visitor."""
    # A streamed body can still read from the request while it is sent. A file cannot.
    is_streamed = response.is_streamed and not response.direct_passthrough
    return request.is_private or is_streamed or "Set-Cookie" in response.headers


def is_cacheable(request: Request, response: Response) -> bool:
    """Tell whether a response is complete, and the same for all requests with the same key.

    A view opts out with ``Cache-Control: no-store`` or ``private``.
    """
    control = response.cache_control
    return (
        response.status_code == 200
        and not is_private(request, response)
        and not request.is_conditional
        and not control.no_store
        and not control.private
        and not response.direct_passthrough
    )


def _parameters(environ: "WSGIEnvironment", query: str) -> tuple[tuple[str, str], ...] | None:
    """Return the key's parameters; None if the query is too long, not UTF-8, or for no page."""
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


def _size_of_key(key: Key) -> int:
    return sum(map(getsizeof, (key, *key))) + size_of(key[2])
