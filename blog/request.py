"""The argument of every view: the request, with settings, database session and addresses."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote_to_bytes

from sqlalchemy import Row
from sqlalchemy.orm import Session
from werkzeug import Request as WerkzeugRequest
from werkzeug.datastructures import Authorization, Headers, ImmutableMultiDict, LanguageAccept
from werkzeug.exceptions import (
    BadRequest,
    LengthRequired,
    RequestEntityTooLarge,
    UnsupportedMediaType,
)
from werkzeug.utils import cached_property
from werkzeug.wsgi import get_path_info

from blog.config import Config
from blog.database import SessionFactory
from blog.database.reads import noted
from blog.models import Entry
from blog.urls import address_of, parameters_of, url_map
from pool.sessions import UnitOfWork

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

log = logging.getLogger(__name__)

#: The largest form that is read, in bytes, and the largest number of fields in it.
MAX_FORM_BYTES = 256 * 1024
MAX_FORM_FIELDS = 100

#: The name of each of our cookies contains it.
MARK = "threadleaf"

#: Conditional headers, by their names in the environ.
CONDITIONS = (
    "HTTP_IF_MATCH",
    "HTTP_IF_NONE_MATCH",
    "HTTP_IF_MODIFIED_SINCE",
    "HTTP_IF_UNMODIFIED_SINCE",
)
RANGES = ("HTTP_RANGE", "HTTP_IF_RANGE")


class Hosts(Protocol):
    """The host names of a site."""

    def __contains__(self, host: str, /) -> bool: ...


class _HttpRequest(WerkzeugRequest):
    max_content_length = MAX_FORM_BYTES


class Request:
    """One request, and the one session that belongs to it.

    Its attributes and properties are the same for all requests with one cache key. All others of
    Werkzeug's request are read through ``__getattr__``, which makes the response private.

    :param environ: the WSGI environment.
    :param config: the settings.
    :param sessions: opens a session; called when a view first asks for :attr:`db`.
    :param secret: the key that signs forms and messages.
    """

    # Annotations without values: reading one of these makes the response private.
    accept_languages: LanguageAccept
    authorization: Authorization | None
    cookies: ImmutableMultiDict[str, str]
    environ: "WSGIEnvironment"
    full_path: str
    headers: Headers
    query_string: bytes
    remote_addr: str | None

    def __init__(
        self, environ: "WSGIEnvironment", config: Config, sessions: SessionFactory, secret: str
    ) -> None:
        # populate_request would put it into the environ: a cycle, left to the garbage collector.
        self._http = _HttpRequest(environ, populate_request=False)
        #: Whether the response is for this visitor alone: something was read that can differ
        #: between the requests with one cache key, or a guard let the visitor in.
        self.is_private = False
        #: Whether :attr:`conditions` were read.
        self.is_conditional = False
        #: Whether a session was opened.
        self.has_used_database = False
        #: GET for a HEAD, which has the same response without its body.
        self.method = "GET" if self._http.method == "HEAD" else self._http.method
        #: The path that the blog is mounted under, as ``/journal``; empty for none.
        self.mount = self._http.root_path
        #: The path below that.
        self.path = self._http.path
        #: The endpoint, once the address is matched.
        self.endpoint = ""
        self.config = config
        #: Returns the path of a page, with the mount: ``url_for(endpoint, **values)``.
        self.url_for = partial(address_of, self.mount)
        #: Returns the absolute URL of a page, below the configured site URL.
        self.absolute_url_for = partial(address_of, config.site_url)
        self.now = datetime.now(UTC)
        self.secret = secret
        self.messages_to_flash: list[str] = []
        self._work = UnitOfWork(sessions)
        self.urls = url_map.bind(
            "localhost",
            # Empty when a blog mounted at /journal is requested as just that.
            path_info=get_path_info(environ) or "/",
            default_method=self.method,
        )

    if not TYPE_CHECKING:  # otherwise mypy would accept any misspelt name

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(name)
            self.is_private = True
            return getattr(self._http, name)

    @property
    def db(self) -> Session:
        """The session of this request. It takes a connection at its first query."""
        self.has_used_database = True
        return self._work.session

    @property
    def comments_read(self) -> frozenset[int]:
        """The entries whose comments the response was made of (:mod:`blog.database.reads`)."""
        return noted(self._work.session) if self.has_used_database else frozenset()

    def close(self) -> None:
        """Give the connection back and roll back what was not committed. Safe to call again.

        The response-closing hook ends here, where an error can no longer be handled, so it raises
        none.
        """
        self._work.close()
        try:
            self._http.close()
        except Exception:  # the server would send a 500 instead of a good 304
            log.exception("Closing %s %s failed", self.method, self.path)

    def check_address(self) -> None:
        """Refuse a path or a query that is not text.

        :raises BadRequest: it is not UTF-8, or the path has a NUL byte in it.
        """
        _text(self._http.environ.get("PATH_INFO", "").encode("latin-1"), "The address")
        # Any search text is valid, so `args` drops NULs.
        query = unquote_to_bytes(self._http.query_string).replace(b"\0", b"")
        _text(query, "The query string")

    def is_for(self, hosts: Hosts) -> bool:
        """Tell whether the Host header is one of `hosts`, as that of each cached response is."""
        return self._http.environ.get("HTTP_HOST", "") in hosts

    def our_cookie(self, name: str) -> str:
        """Return a cookie, or ``""``. No response is cached for visitors with a cookie of ours.

        :param name: contains :data:`MARK`.
        """
        value = self._http.cookies.get(name)
        if value is not None or MARK not in name:
            self.is_private = True
        return value or ""

    @property
    def conditions(self) -> dict[str, str]:
        """The headers that HTTP caches evaluate themselves: ``If-…``, and ``Range`` with GET.

        Keys are their names in the environ. A response that depends on them is not private, and not
        cached by us (https://www.rfc-editor.org/rfc/rfc9110#section-13).
        """
        self.is_conditional = True
        environ = self._http.environ
        # A range is for GET alone: https://www.rfc-editor.org/rfc/rfc9110#section-14.2
        names = CONDITIONS + RANGES if self._http.method == "GET" else CONDITIONS
        return {name: environ[name] for name in names if name in environ}

    @property
    def file_wrapper(self) -> "WSGIEnvironment":
        """The part of the environ by which a server sends files, for `send_file`."""
        name = "wsgi.file_wrapper"
        environ = self._http.environ
        return {name: environ[name]} if name in environ else {}

    @cached_property
    def args(self) -> ImmutableMultiDict[str, str]:
        """The parameters that the page reads (:data:`blog.urls.PARAMETERS`), one value of each.

        NUL bytes are dropped: not every database can store them in a text.
        """
        pairs = parameters_of(self.endpoint, self._http.query_string.decode())
        return ImmutableMultiDict([(name, value.replace("\0", "")) for name, value in pairs])

    @cached_property
    def form(self) -> ImmutableMultiDict[str, str]:
        """The fields of a posted form.

        :raises LengthRequired: the request does not say how long its body is.
        :raises RequestEntityTooLarge: the body has too many bytes or fields.
        :raises UnsupportedMediaType: the body is something other than an HTML form.
        :raises BadRequest: the body ends too early, is not UTF-8, or has a NUL byte in it.
        """
        self.is_private = True
        http = self._http
        if http.content_length is None:
            raise LengthRequired("The form has no Content-Length.")
        if http.mimetype != "application/x-www-form-urlencoded":
            raise UnsupportedMediaType(
                f"The form was sent as {http.mimetype or 'nothing'}; "
                "only application/x-www-form-urlencoded is accepted."
            )
        if http.content_length > MAX_FORM_BYTES:
            raise RequestEntityTooLarge(
                f"The form has {http.content_length:,} bytes; the limit is {MAX_FORM_BYTES:,}."
            )
        body = http.get_data()
        if (number := body.count(b"&") + 1) > MAX_FORM_FIELDS:
            raise RequestEntityTooLarge(
                f"The form has {number:,} fields; the limit is {MAX_FORM_FIELDS}."
            )
        _text(unquote_to_bytes(body), "The form")
        return http.form

    @cached_property
    def pages(self) -> "Sequence[Row[str, str]]":
        """Slug and title of each page, for the navigation."""
        return Entry.pages(self.db, self.now)

    def flash(self, message: str) -> None:
        """Show `message` on the page that the visitor is sent to next."""
        self.messages_to_flash.append(message)


def _text(raw: bytes, what: str) -> None:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"{what} is not UTF-8 (byte {error.start + 1}).") from error
    if b"\0" in raw:
        raise BadRequest(f"{what} contains a NUL byte.")
