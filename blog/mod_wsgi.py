"""The blog under a server that loads it whether it can start or not, as mod_wsgi does."""

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

#: Seconds from one attempt to start to the next.
RETRY = 5.0

_SORRY = b"The blog cannot start just now. Its log says why. Please try again later.\n"


class StartingBlog:
    """A WSGI application that becomes the blog once settings and database allow it.

    It tries at once, and then at most every :data:`RETRY` seconds when a request comes. Until it
    succeeds, requests are answered with 503. A reason is logged once.

    :param start: returns the blog. It raises :class:`ConfigError` or
        :class:`DatabaseUnusableError` if an operator has to do something first.
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
        # Others need not wait for the one that tries.
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
                log.error("The blog cannot start: %s", error)  # noqa: TRY400 - it is not a mistake
        else:
            if self._reason:
                log.warning("The blog has started; %d requests failed before.", next(self._refused))
