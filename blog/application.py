"""The application: a cached page, or else match, guard, view, response, close.

``docs/architecture.md`` has the life of a request.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, OperationalError
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

from blog import csrf, flash, freshness, indexing, moderation, publishing, schema
from blog.auth import GUARDS, Guard
from blog.cached_response import Page, page_of
from blog.config import Config
from blog.database import DatabaseOutdatedError, begin_writing, connect, session_factory
from blog.freshness import Stamp
from blog.headers import secure
from blog.hosts import OwnHosts
from blog.outages import Outages, outage
from blog.page_cache import KeptPages, Key, has_cookie, key_of
from blog.request import Request
from blog.urls import url_map
from blog.views import errors, reader
from pool.sessions import ClosingHook

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)

View = Callable[..., Response]


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
        self.outages = Outages()

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        return self.wsgi_app(environ, start_response)

    def wsgi_app(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Serve the cached page if it is still current; otherwise build it."""
        key = key_of(environ) if environ.get("HTTP_HOST", "") in self.hosts else None
        if key is None:
            return self.answer(environ, start_response)
        try:
            stamp = freshness.stamp(self.engine)
        except (OperationalError, PoolTimeout) as error:
            return self.answer(environ, start_response, failure=error)
        if stamp is None:
            return self.answer(environ, start_response)
        page = self.pages.find(key, stamp)
        if page is None:
            with self.pages.turn(key):
                # Another thread may have made it while this one waited.
                page = self.pages.find(key, stamp)
                if page is None:
                    return self.answer(environ, start_response, key, stamp)
        if page.is_personal and has_cookie(environ):
            return self.answer(environ, start_response)
        self.outages.succeeded(is_writing=False)
        return page(environ, start_response)

    def answer(
        self,
        environ: "WSGIEnvironment",
        start_response: "StartResponse",
        key: Key | None = None,
        stamp: Stamp | None = None,
        failure: Exception | None = None,
    ) -> Iterable[bytes]:
        """Answer a request. The server closes what this returns, and with it the session.

        :param key: the page's key in the cache; None for a response that is not cached.
        :param stamp: the content version, read before any content.
        :param failure: a wait that has timed out. The view is not called: it would wait once more.
        """
        request = Request(environ, self.config, self.sessions, self.secret)
        request.stamp = stamp
        hook = ClosingHook(environ)
        try:
            if failure is None:
                response = self.respond(request)
            else:
                response = self.finish(request, self.error_response(request, failure))
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
        return hook.attach(body, request.close)

    def respond(self, request: Request) -> Response | Page:
        """Return the response to a request; an exception becomes its page."""
        try:
            response = self.finish(request, self.dispatch(request))
        except Exception as error:  # noqa: BLE001 - the one place that turns exceptions into pages
            return self.finish(request, self.error_response(request, error))
        self.note_success(request, response)
        return response

    def dispatch(self, request: Request) -> Response:
        """Match a request, and call its view."""
        request.check_address()
        if not request.is_for(self.hosts):
            host = request.environ["HTTP_HOST"]
            raise MisdirectedRequest(
                f"This server does not answer to the host name {host[:100]!r}. The site is at "
                f"{self.config.site_url}. If you run it, add the name to the setting `hosts`."
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
        request.endpoint = endpoint
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
        """Add the headers of every response, and make a page of one that all visitors can get.

        A view that sets Cache-Control to ``no-store``, sets a cookie, or reads anything that is
        not in the page's key has responded to one visitor.
        """
        secure(response.headers, self.config)
        flash.carry(request, response)
        if 300 <= response.status_code < 400:
            # Browsers store 301 and 308 for good (RFC 9110, 15.4.2). After two renames of an entry,
            # two stored redirects could lead to each other.
            response.headers.setdefault("Cache-Control", "no-cache")
        if (
            response.status_code != 200
            or request.method not in {"GET", "HEAD"}
            or response.is_streamed
            # Waitress's file wrapper has a length, and is_streamed is False for it.
            or response.direct_passthrough
            or response.cache_control.no_store
        ):
            return response
        if not request.is_shared or "Set-Cookie" in response.headers:
            response.headers.setdefault("Cache-Control", "private, no-store")
            return response
        moments = freshness.moments(
            request.db, request.now, self.started, self.config.comments_close_after
        )
        personal = request.looked_at_cookies
        return page_of(response, request.stamp, request.now, moments, personal)

    def note_success(self, request: Request, response: Response | Page) -> None:
        """End the outages that a response proves to be over: a page was read, a form stored."""
        if isinstance(response, Page):
            self.outages.succeeded(is_writing=False)
        elif request.method == "POST" and response.status_code == 303:
            self.outages.succeeded(is_writing=True)

    def error_response(self, request: Request, error: Exception) -> Response:
        """Return the page of an error, and log the error unless the visitor caused it."""
        shown = error if isinstance(error, HTTPException) else self.logged(request, error)
        try:
            return errors.page(request, shown)
        except Exception as second:
            # A page of 404 reads the navigation from the database.
            if shown is error and outage(self.engine, second) is not None:
                return self.error_response(request, second)
            log.exception("The error page for %s %s failed", request.method, request.path)
            return Response(f"{shown.code} {shown.name}", shown.code, mimetype="text/plain")

    def logged(self, request: Request, error: Exception) -> HTTPException:
        """Log a bug or an outage, and return the error that the visitor is shown."""
        if isinstance(error, DatabaseOutdatedError):  # it is in the log already, once
            return ServiceUnavailable(retry_after=10)
        what = f"{request.method} {request.path}"
        found = outage(self.engine, error)
        if found is None:
            log.error("%s failed", what, exc_info=error)
            return InternalServerError()
        self.outages.failed(found, what, is_writing=request.method not in csrf.SAFE_METHODS)
        return ServiceUnavailable(retry_after=10)


def resolve(endpoint: str) -> tuple[Guard, View]:
    """Return the guard and the view of an endpoint."""
    section, name = endpoint.split(".")
    return GUARDS[section], getattr(import_module(f"blog.views.{section}"), name)


def create_app(config: Config) -> Blog:
    """Return the application for `config`.

    :raises schema.DatabaseUnusableError: the database is missing, or its schema is not the code's.
    """
    engine = connect(
        config.database,
        # Those who wait to write have a connection each, and readers need some, too.
        writers=min(config.threads, config.pool_size or config.threads) // 2,
        pool_size=config.pool_size,
        max_idle=config.max_idle or -1,
        language=config.language,
    )
    try:
        site = schema.check(engine)
        forget_addresses(engine, config)
        warn_of_unfinished(engine)
    finally:
        # The thread that starts a server seldom serves, and would keep this connection open.
        # After Engine.dispose(), SQLAlchemy would open the next connection under a lock, and
        # readers of a locked database would wait for each other.
        engine.pool.dispose()
    return Blog(config, engine, site.secret)


def forget_addresses(engine: Engine, config: Config) -> None:
    """Delete the hashed networks of old comments.

    A database that can only be read is logged: pages are served, and comments cannot be stored.
    """
    try:
        with session_factory(engine)() as db, schema.explaining(engine):
            begin_writing(db)
            moderation.forget(db, config.comment_days, datetime.now(UTC))
            db.commit()
    except schema.DatabaseUnusableError as error:
        log.warning("%s Until then no comment can be stored.", error)


def warn_of_unfinished(engine: Engine) -> None:
    """Log the entries that readers cannot find until `threadleaf upgrade` has run."""
    with session_factory(engine)() as db, suppress(DBAPIError):
        for _, kind, slug in publishing.shadowed(db):
            log.warning(
                "The %s %r cannot be read, because the blog itself has a page at its address: "
                "run `threadleaf upgrade` to rename it.",
                kind,
                slug,
            )
        if texts := indexing.stale(db.connection()):
            log.warning(
                "%d texts are not indexed yet, because an upgrade was interrupted or another "
                "program changed them: run `threadleaf upgrade`, or the next searches take longer.",
                texts,
            )
