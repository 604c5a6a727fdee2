"""The application: a kept page, or else match, guard, view, answer, close.

The life of a request is told in ``docs/architecture.md``.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import Engine
from sqlalchemy.exc import DatabaseError, DBAPIError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug import Response
from werkzeug.exceptions import (
    HTTPException,
    InternalServerError,
    MethodNotAllowed,
    MisdirectedRequest,
    NotFound,
    ServiceUnavailable,
)
from werkzeug.utils import redirect

from blog import csrf, flash, freshness, moderation, publishing, schema, upgrading
from blog.auth import GUARDS, Guard
from blog.config import Config
from blog.database import DatabaseOutdatedError, begin_writing, connect, session_factory
from blog.freshness import Stamp
from blog.headers import secure
from blog.hosts import OwnHosts
from blog.pages import KeptPages, Key, Page, has_cookie, key_of, page_of
from blog.request import Request
from blog.urls import url_map
from blog.views import errors, reader
from pool.sessions import ClosingBody

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)

View = Callable[..., Response]

READ_ONLY_TRANSACTION = "25006"

#: On PostgreSQL, a table or a column that is not there. SQLite has OperationalError for these.
OTHER_SCHEMA = {"42P01", "42703"}


class Blog:
    """The WSGI application.

    :param config: the settings.
    :param engine: the blog's database.
    :param secret: what signs forms and messages.
    :raises KeyError: a section of the URL map has no guard.
    :raises AttributeError: an endpoint names no view.
    """

    def __init__(self, config: Config, engine: Engine, secret: str) -> None:
        self.config = config
        self.engine = engine
        self.sessions = session_factory(engine)
        self.secret = secret
        self.started = datetime.now(UTC)
        self.views = {rule.endpoint: resolve(rule.endpoint) for rule in url_map.iter_rules()}
        self.hosts = OwnHosts(config)
        self.pages = KeptPages(config.page_cache * 1024 * 1024)

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        return self.wsgi_app(environ, start_response)

    def wsgi_app(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer a request: with the page that is kept, if it is what would be made now."""
        key = key_of(environ) if environ.get("HTTP_HOST", "") in self.hosts else None
        if key is None:
            return self.answer(environ, start_response)
        page = self.pages.find(key, freshness.stamp(self.engine))
        if page is None:
            with self.pages.turn(key):
                # Somebody else may have made it while this thread waited for its turn.
                stamp = freshness.stamp(self.engine)
                page = self.pages.find(key, stamp)
                if page is None:
                    return self.answer(environ, start_response, key, stamp)
        if page.is_personal and has_cookie(environ):
            return self.answer(environ, start_response)
        return page(environ, start_response)

    def answer(
        self,
        environ: "WSGIEnvironment",
        start_response: "StartResponse",
        key: Key | None = None,
        stamp: Stamp | None = None,
    ) -> Iterable[bytes]:
        """Answer a request. The server closes what this returns, and with it the session.

        :param key: where to keep the page, if it is one that others get, too.
        :param stamp: what the site's content is called, read before anything else of it.
        """
        request = Request(environ, self.config, self.sessions, self.secret)
        request.stamp = stamp
        try:
            response = self.respond(request)
            # The transaction ends and the connection is back before the first byte leaves: a
            # slow reader holds nothing. Only a streamed body may open the session again.
            request.close()
            if key is not None and isinstance(response, Page) and not has_cookie(environ):
                self.pages.keep(key, response)
            body = response(environ, start_response)
        except BaseException:
            # The server has no body to close.
            request.close()
            raise
        return ClosingBody(body, request.close)

    def respond(self, request: Request) -> Response | Page:
        """Return the answer to a request, whatever happens on the way."""
        try:
            return self.finish(request, self.dispatch(request))
        except Exception as error:  # noqa: BLE001 - the one place that turns exceptions into pages
            return self.finish(request, self.error_response(request, error))

    def dispatch(self, request: Request) -> Response:
        """Find out what a request is for, and call its view."""
        request.check_address()
        if (host := request.environ.get("HTTP_HOST", "")) not in self.hosts:
            raise MisdirectedRequest(
                f"This site does not know itself by the name {host[:100]!r}. It is at "
                f"{self.config.site_url}; whoever runs it can add names to the setting `hosts`."
            )
        try:
            return self.visit(request, *request.urls.match())
        except MethodNotAllowed as error:
            allowed = sorted({*(error.valid_methods or ()), "OPTIONS"})
            if request.method == "OPTIONS":
                return Response(status=204, headers={"Allow": ", ".join(allowed)})
            raise MethodNotAllowed(allowed) from error
        except NotFound:
            response = reader.moved(request) or self.respelt(request)
            if response is None:
                raise
            return response

    def visit(self, request: Request, endpoint: str, values: Mapping[str, Any]) -> Response:
        """Let the guard decide, and call the view."""
        guard, view = self.views[endpoint]
        guard(request)
        csrf.protect(request)
        return view(request, **values)

    def respelt(self, request: Request) -> Response | None:
        """Lead from ``/Blog/A-Title/`` to ``/blog/a-title``; None where that is nothing, either."""
        path = request.path.rstrip("/").lower()
        if path in {"", request.path}:
            return None
        try:
            endpoint, values = request.urls.match(path)
            if request.method in csrf.SAFE_METHODS:
                self.visit(request, endpoint, values).close()
        except (NotFound, MethodNotAllowed):
            return None
        # As it came, but for what a header cannot have.
        query = quote(request.query_string, safe="!$%&'()*+,-./:;=?@[]_~")
        address = request.url_for(endpoint, **values)
        return redirect(f"{address}?{query}" if query else address, 308)

    def finish(self, request: Request, response: Response) -> Response | Page:
        """Give an answer what all answers have, and make a page of one that is good for all.

        A view that sets Cache-Control to ``no-store`` has made its answer for one visitor.
        """
        secure(response.headers, self.config)
        flash.carry(request, response)
        if (
            response.status_code != 200
            or request.method not in {"GET", "HEAD"}
            or response.is_streamed
            or response.cache_control.no_store
        ):
            return response
        moments = freshness.moments(
            request.db, request.now, self.started, self.config.comments_close_after
        )
        personal = request.looked_at_cookies
        return page_of(response, request.stamp, request.now, moments, personal)

    def error_response(self, request: Request, error: Exception) -> Response:
        """Return the page for what went wrong, and log what was not the visitor's doing."""
        if not isinstance(error, HTTPException):
            if not isinstance(error, DatabaseOutdatedError):  # it is in the log, once
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
    if getattr(getattr(error, "orig", None), "sqlstate", None) in OTHER_SCHEMA:
        return True
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
        forget_addresses(engine, config)
        warn_of_unfinished(engine)
    finally:
        # The thread that starts a server seldom serves, and would keep this connection open.
        engine.dispose()
    return Blog(config, engine, site.secret)


def forget_addresses(engine: Engine, config: Config) -> None:
    """Remove what is stored of the addresses of old comments, if the database can be written to."""
    with session_factory(engine)() as db, suppress(DBAPIError):
        begin_writing(db)
        moderation.forget(db, config.comment_days, datetime.now(UTC))
        db.commit()


def warn_of_unfinished(engine: Engine) -> None:
    """Log which entries readers cannot find until `threadleaf upgrade` has run."""
    with session_factory(engine)() as db, suppress(DBAPIError):
        for _, kind, slug in publishing.shadowed(db):
            log.warning(
                "The %s %r cannot be read, because the blog itself has a page at its address: "
                "run `threadleaf upgrade` to rename it.",
                kind,
                slug,
            )
        if texts := upgrading.unindexed(db.connection()):
            log.warning(
                "The search lacks %d texts, because an upgrade was interrupted: run `threadleaf "
                "upgrade` to finish it.",
                texts,
            )
