"""The application: match, guard, view, respond, close.

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
from sqlalchemy.exc import DBAPIError
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

from blog.auth.guards import GUARDS, Guard, anyone
from blog.comments import rate_limit
from blog.config import Config
from blog.database import DatabaseOutdatedError, connect, search_index, session_factory, writing
from blog.entries import slugs
from blog.http import csrf, flash
from blog.http.hosts import OwnHosts
from blog.http.page_cache import Finish, PageCache
from blog.http.security_headers import security_headers
from blog.operations import migration
from blog.operations.outages import Outages, outage
from blog.request import Request
from blog.urls import url_map
from blog.views import errors, reader
from pool.sessions import ClosingHook

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

View = Callable[..., Response]


class Blog:
    """The WSGI application.

    :param config: the settings.
    :param engine: the blog's database.
    :param secret: the key that signs forms and cookies.
    :raises KeyError: a section of the URL map has no guard.
    :raises AttributeError: an endpoint has no view.
    """

    def __init__(self, config: Config, engine: Engine, secret: str) -> None:
        self.config = config
        self.engine = engine
        self.sessions = session_factory(engine)
        self.secret = secret
        self.views = {rule.endpoint: resolve(rule.endpoint) for rule in url_map.iter_rules()}
        self.hosts = OwnHosts(config)
        self.headers = security_headers(config)
        self.outages = Outages()
        self.page_cache = PageCache(self.serve, config, engine, self.hosts, self.outages)

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        return self.page_cache(environ, start_response)

    def serve(
        self,
        environ: "WSGIEnvironment",
        start_response: "StartResponse",
        finish: Finish,
        failure: Exception | None = None,
    ) -> Iterable[bytes]:
        """Respond to a request. The server closes what this returns, and with it the session.

        See :class:`~blog.http.page_cache.Application` for the parameters.
        """
        request = Request(environ, self.config, self.sessions, self.secret)
        hook = ClosingHook(environ)
        try:
            if failure is None:
                response = self.respond(request, finish)
            else:
                response = finish(request, self.error_response(request, failure))
            # The transaction ends and the connection is returned before the first byte is sent:
            # a slow client holds neither. Only a streamed body may open the session again.
            request.close()
            body = response(environ, start_response)
        except BaseException:
            # The server has no body to close.
            request.close()
            raise
        return hook.attach(body, request.close)

    def respond(self, request: Request, finish: Finish) -> "WSGIApplication":
        """Return the response to a request; an exception becomes its page."""
        try:
            response = self.complete(request, self.dispatch(request))
            finished = finish(request, response)
        except Exception as error:  # noqa: BLE001 - the one place that turns exceptions into pages
            return finish(request, self.error_response(request, error))
        if self.outages.open and request.has_used_database:
            is_writing = request.method == "POST" and response.status_code == 303
            self.outages.succeeded(is_writing=is_writing)
        return finished

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
        if guard is not anyone:
            # A response of a guarded section is for one visitor, and must not be cached.
            request.is_private = True
            guard(request)
        csrf.protect(request)
        return view(request, **values)

    def respelt(self, request: Request) -> Response | None:
        """Redirect from ``/Blog/A-Title/`` to ``/blog/a-title``; None if there is no such page."""
        path = request.path.rstrip("/").lower()
        if path in {"", request.path}:
            return None
        try:
            endpoint, values = request.urls.match(path)
            if request.method in csrf.SAFE_METHODS:
                self.visit(request, endpoint, values).close()
        except (NotFound, MethodNotAllowed):
            return None
        # Unchanged, except for characters that a header cannot contain.
        query = quote(request.query_string, safe="!$%&'()*+,-./:;=?@[]_~")
        address = request.url_for(endpoint, **values)
        return redirect(f"{address}?{query}" if query else address, 308)

    def complete(self, request: Request, response: Response) -> Response:
        """Add the headers of every response and the flashed messages."""
        for name, value in self.headers.items():
            response.headers.setdefault(name, value)
        flash.carry(request, response)
        return response

    def error_response(self, request: Request, error: Exception) -> Response:
        """Return the page of an error, and log the error unless the visitor caused it."""
        shown = error if isinstance(error, HTTPException) else self.logged(request, error)
        try:
            return self.complete(request, errors.page(request, shown))
        except Exception as second:
            # A 404 page reads the navigation from the database.
            if shown is error and outage(self.engine, second) is not None:
                return self.error_response(request, second)
            log.exception("The error page for %s %s failed", request.method, request.path)
            plain = Response(f"{shown.code} {shown.name}", shown.code, mimetype="text/plain")
            return self.complete(request, plain)

    def logged(self, request: Request, error: Exception) -> HTTPException:
        """Log a bug or an outage, and return the error for the visitor."""
        if isinstance(error, DatabaseOutdatedError):  # logged where it was raised
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

    :raises DatabaseUnusableError: the database is missing, or its schema is not the code's.
    """
    engine = connect(
        config.database,
        # Each waiting writer holds a connection, and readers need some, too.
        writers=min(config.threads, config.pool_size or config.threads) // 2,
        pool_size=config.pool_size,
        max_idle=config.max_idle or -1,
        language=config.language,
    )
    try:
        site = migration.check(engine)
        forget_addresses(engine, config)
        warn_of_unfinished(engine)
    finally:
        # The thread that starts a server seldom serves, and would keep this connection open.
        # After Engine.dispose(), SQLAlchemy would open the next connection under a lock, and
        # readers of a locked database would wait for each other.
        engine.pool.dispose()
    return Blog(config, engine, site.secret)


def forget_addresses(engine: Engine, config: Config) -> None:
    """Delete the network hashes of old comments.

    A read-only database is logged: pages are served, but comments cannot be stored.
    """
    try:
        with session_factory(engine)() as db, migration.explaining(engine), writing(db):
            rate_limit.forget_networks(db, config.comment_days, datetime.now(UTC))
    except migration.DatabaseUnusableError as error:
        log.warning("%s Until then comments cannot be stored.", error)


def warn_of_unfinished(engine: Engine) -> None:
    """Log the entries that readers cannot find until `threadleaf upgrade` has run."""
    with session_factory(engine)() as db, suppress(DBAPIError):
        for _, kind, slug in slugs.shadowed(db):
            log.warning(
                "The %s %r cannot be reached, because the blog has its own page there: "
                "run `threadleaf upgrade` to rename it.",
                kind,
                slug,
            )
        if texts := search_index.stale(db.connection()):
            log.warning(
                "%d texts are not indexed yet, because an upgrade was interrupted or another "
                "program changed them: run `threadleaf upgrade`, or the next searches take longer.",
                texts,
            )
