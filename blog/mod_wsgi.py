"""The blog under a server that loads it before it can start, as mod_wsgi may."""

import logging
from collections.abc import Callable, Iterable
from itertools import count
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

from blog.config import ConfigError
from blog.operations.migration import DatabaseUnusableError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

#: The least time between two attempts to start, in seconds.
RETRY = 5.0

_SORRY = b"The blog cannot start at the moment. The log says why. Please try again later.\n"


class StartingBlog:
    """A WSGI application that becomes the blog once settings and database allow it.

    It tries at once, and then on requests, at most every :data:`RETRY` seconds. Until it succeeds,
    the response is a 503. Each reason is logged once.

    :param start: returns the blog, or raises :class:`ConfigError` or
        :class:`DatabaseUnusableError` if the operator has to fix something first.
    """

    def __init__(self, start: "Callable[[], WSGIApplication]") -> None:
        self._start = start
        self._blog: WSGIApplication | None = None
        self._lock = Lock()
        self._tried = 0.0
        self._reason = ""
        self._refused = count()
        self._try()

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        blog = self._blog or self._try_again()
        if blog is not None:
            return blog(environ, start_response)
        next(self._refused)
        headers = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(_SORRY))),
            ("Cache-Control", "no-store"),
            ("Retry-After", "10"),
        ]
        start_response("503 Service Unavailable", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [_SORRY]

    def _try_again(self) -> "WSGIApplication | None":
        # Other threads do not wait for the one that tries.
        if not self._lock.acquire(blocking=False):
            return self._blog
        try:
            if self._blog is None and monotonic() - self._tried >= RETRY:
                self._try()
            return self._blog
        finally:
            self._lock.release()

    def _try(self) -> None:
        self._tried = monotonic()
        try:
            self._blog = self._start()
        except (ConfigError, DatabaseUnusableError) as error:
            if str(error) != self._reason:
                self._reason = str(error)
                log.error("The blog cannot start: %s", error)  # noqa: TRY400 - not a bug
        else:
            if self._reason:
                log.warning("The blog has started; %d requests failed before.", next(self._refused))
