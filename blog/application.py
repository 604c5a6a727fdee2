"""The application: match, guard, view, answer, close.

The life of a request is told in ``docs/architecture.md``.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING

from sqlalchemy.exc import DatabaseError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug import Response
from werkzeug.exceptions import HTTPException, InternalServerError, NotFound, ServiceUnavailable

from blog import csrf, flash, freshness, schema
from blog.auth import GUARDS, Guard
from blog.config import Config
from blog.database import SessionFactory, connect, session_factory
from blog.request import Request
from blog.urls import url_map
from blog.views import errors, reader
from pool.sessions import ClosingBody

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)

View = Callable[..., Response]

READ_ONLY_TRANSACTION = "25006"

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' https: http: data:; "
        "media-src 'self' https:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
}


class Blog:
    """The WSGI application.

    :param config: the settings.
    :param sessions: opens a session of the blog's database.
    :param secret: what signs forms and messages.
    :raises KeyError: a section of the URL map has no guard.
    :raises AttributeError: an endpoint names no view.
    """

    def __init__(self, config: Config, sessions: SessionFactory, secret: str) -> None:
        self.config = config
        self.sessions = sessions
        self.secret = secret
        self.started = datetime.now(UTC)
        self.views = {rule.endpoint: resolve(rule.endpoint) for rule in url_map.iter_rules()}

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        return self.wsgi_app(environ, start_response)

    def wsgi_app(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer a request. The server closes what this returns, and with it the session."""
        request = Request(environ, self.config, self.sessions, self.secret)
        try:
            response = self.respond(request)
            # The transaction ends and the connection is back before the first byte leaves: a
            # slow reader holds nothing. Only a streamed body may open the session again.
            request.close()
            body = response(environ, start_response)
        except BaseException:
            # The server has no body to close.
            request.close()
            raise
        return ClosingBody(body, request.close)

    def respond(self, request: Request) -> Response:
        """Return the answer to a request, whatever happens on the way."""
        try:
            response = self.conditional(request, self.dispatch(request))
        except Exception as error:  # noqa: BLE001 - the one place that turns exceptions into pages
            response = self.error_response(request, error)
        response.headers.update(SECURITY_HEADERS)
        flash.carry(request, response)
        return response

    def dispatch(self, request: Request) -> Response:
        """Find the view for a request, let the guard decide, and call it."""
        request.check_address()
        try:
            endpoint, values = request.urls.match()
            guard, view = self.views[endpoint]
            guard(request)
            csrf.protect(request)
            return view(request, **values)
        except NotFound:
            response = reader.moved(request)
            if response is None:
                raise
            return response

    def conditional(self, request: Request, response: Response) -> Response:
        """Give a page its validators, and make it a 304 for who has it already.

        A view that sets Cache-Control has decided for itself.
        """
        if response.status_code != 200 or "Cache-Control" in response.headers:
            return response
        if request.method not in {"GET", "HEAD"} or response.is_streamed:
            return response
        response.headers["Cache-Control"] = "no-cache"
        response.add_etag()
        if moment := freshness.last_modified(request, self.started):
            response.last_modified = moment
        return response.make_conditional(request)

    def error_response(self, request: Request, error: Exception) -> Response:
        """Return the page for what went wrong, and log what was not the visitor's doing."""
        if not isinstance(error, HTTPException):
            log.error("%s %s failed", request.method, request.path, exc_info=error)
            error = (
                ServiceUnavailable(retry_after=10) if is_outage(error) else InternalServerError()
            )
        try:
            return errors.page(request, error)
        except Exception:
            log.exception("The error page for %s %s failed", request.method, request.path)
            return Response(f"{error.code} {error.name}", error.code, mimetype="text/plain")


def is_outage(error: Exception) -> bool:
    """Tell a database that cannot be used just now from a mistake in the code."""
    if isinstance(error, InternalError):
        # PostgreSQL says so on a standby: https://www.postgresql.org/docs/current/hot-standby.html
        return getattr(error.orig, "sqlstate", None) == READ_ONLY_TRANSACTION
    # SQLite reports a file that is no database as the bare DatabaseError.
    return isinstance(error, (OperationalError, PoolTimeout)) or type(error) is DatabaseError


def resolve(endpoint: str) -> tuple[Guard, View]:
    """Return the guard and the view of an endpoint."""
    section, name = endpoint.split(".")
    return GUARDS[section], getattr(import_module(f"blog.views.{section}"), name)


def create_app(config: Config) -> Blog:
    """Return the application for `config`.

    :raises schema.DatabaseUnusableError: the database is missing, or its schema is not the code's.
    """
    engine = connect(config.database)
    try:
        site = schema.check(engine)
    finally:
        # The thread that starts a server seldom serves, and would keep this connection open.
        engine.dispose()
    return Blog(config, session_factory(engine), site.secret)
