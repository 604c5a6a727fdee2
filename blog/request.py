"""What a view is given: the request, with the settings, the database and the addresses."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote_to_bytes

from sqlalchemy import Row
from sqlalchemy.orm import Session
from werkzeug import Request as WerkzeugRequest
from werkzeug.datastructures import ImmutableMultiDict, MultiDict
from werkzeug.exceptions import (
    BadRequest,
    LengthRequired,
    RequestEntityTooLarge,
    UnsupportedMediaType,
)
from werkzeug.http import parse_cookie
from werkzeug.utils import cached_property
from werkzeug.wsgi import get_path_info

from blog.config import Config
from blog.database import SessionFactory
from blog.freshness import Stamp
from blog.models import Entry
from blog.urls import parameters_of, path_of, url_map
from pool.sessions import UnitOfWork

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

log = logging.getLogger(__name__)

#: The largest form that is read, in bytes, and the largest number of fields in it.
MAX_FORM_BYTES = 256 * 1024
MAX_FORM_FIELDS = 100


class Hosts(Protocol):
    """Names under which a site answers."""

    def __contains__(self, host: str, /) -> bool: ...


class _Noted:
    """A part of the request that is not in the page's key. Reading it is noted."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"_{name}"

    def __get__(self, request: "Request | None", owner: type) -> Any:
        if request is None:
            return self
        request.is_shared = False
        return getattr(request, self._name)

    def __set__(self, request: "Request", value: Any) -> None:
        setattr(request, self._name, value)


class Request(WerkzeugRequest):
    """One request, and the one session that belongs to it.

    :param environ: the WSGI environment.
    :param config: the settings.
    :param sessions: opens a session; called when a view first asks for :attr:`db`.
    :param secret: what signs forms and messages.
    """

    max_content_length = MAX_FORM_BYTES

    # All that Werkzeug knows of cookies, languages, credentials and addresses comes from these.
    environ: Any = _Noted()
    headers: Any = _Noted()
    query_string: Any = _Noted()
    remote_addr: Any = _Noted()
    scheme: Any = _Noted()
    server: Any = _Noted()
    _environ: "WSGIEnvironment"
    _query_string: bytes

    def __init__(
        self, environ: dict[str, Any], config: Config, sessions: SessionFactory, secret: str
    ) -> None:
        # In the environ, it would be part of a cycle, and stay until the garbage is collected.
        super().__init__(environ, populate_request=False)
        #: Whether the response is the same for all requests with the key of its page: nothing was
        #: read in which they can differ.
        self.is_shared = True
        #: The endpoint, once the address is matched.
        self.endpoint = ""
        self.config = config
        self.now = datetime.now(UTC)
        self.secret = secret
        #: The content version, read before any content; None if it was not read.
        self.stamp: Stamp | None = None
        #: Whether the answer depends on what the visitor's browser keeps for us.
        self.looked_at_cookies = False
        self.messages_to_flash: list[str] = []
        self._work = UnitOfWork(sessions)
        self.urls = url_map.bind(
            "localhost",
            # Without it: a blog mounted at /journal was asked for just that.
            path_info=get_path_info(environ) or "/",
            default_method=self.method,
        )

    @property
    def db(self) -> Session:
        """The session of this request. It takes a connection at its first query."""
        return self._work.session

    def close(self) -> None:
        """Give the connection back and roll back what was not committed. Safe to call again.

        This is the end of the response-closing hook, and runs where nobody can act on an error
        any more, so it raises none.
        """
        self._work.close()
        try:
            super().close()
        except Exception:  # the server would answer 500 in place of a good 304
            log.exception("Closing %s %s failed", self.method, self.path)

    def check_address(self) -> None:
        """Refuse a path or a query that is not text.

        :raises BadRequest: it is not UTF-8, or the path has a NUL byte in it.
        """
        _text(self._environ.get("PATH_INFO", "").encode("latin-1"), "The address")
        # Any search text is valid, so `args` drops NULs.
        _text(unquote_to_bytes(self._query_string).replace(b"\0", b""), "The query string")

    def is_for(self, hosts: Hosts) -> bool:
        """Tell whether the Host header is one of `hosts`, as that of each cached page is."""
        return self._environ.get("HTTP_HOST", "") in hosts

    def our_cookie(self, name: str) -> str:
        """Return one of our cookies, or ``""``: no page is cached for a visitor who has one."""
        if name in self._cookies:
            self.is_shared = False
        return self._cookies.get(name, "")

    @cached_property
    def _cookies(self) -> MultiDict[str, str]:
        return parse_cookie(self._environ)

    @cached_property
    def args(self) -> ImmutableMultiDict[str, str]:
        """The parameters that the page reads (:data:`blog.urls.PARAMETERS`), one value of each.

        They come without NUL bytes, which no database takes in a text.
        """
        pairs = parameters_of(self.endpoint, self._query_string.decode())
        return ImmutableMultiDict([(name, value.replace("\0", "")) for name, value in pairs])

    @cached_property
    def form(self) -> ImmutableMultiDict[str, str]:
        """The fields of a posted form.

        :raises LengthRequired: the request does not say how long its body is.
        :raises RequestEntityTooLarge: the body has too many bytes or fields.
        :raises UnsupportedMediaType: the body is something other than an HTML form.
        :raises BadRequest: the body ends too early, is not UTF-8, or has a NUL byte in it.
        """
        if self.content_length is None:
            raise LengthRequired("The form came without a Content-Length.")
        if self.mimetype != "application/x-www-form-urlencoded":
            raise UnsupportedMediaType(
                f"The form came as {self.mimetype or 'nothing'}; "
                "application/x-www-form-urlencoded is what is read here."
            )
        if self.content_length > MAX_FORM_BYTES:
            raise RequestEntityTooLarge(
                f"The form has {self.content_length:,} bytes; up to {MAX_FORM_BYTES:,} are read."
            )
        body = self.get_data()
        if (number := body.count(b"&") + 1) > MAX_FORM_FIELDS:
            raise RequestEntityTooLarge(
                f"The form has {number:,} fields; up to {MAX_FORM_FIELDS} are read."
            )
        _text(unquote_to_bytes(body), "The form")
        return super().form

    @property
    def mount(self) -> str:
        """The path that the blog is mounted under, as ``/journal``; empty for none."""
        return self.root_path.rstrip("/")

    def url_for(self, endpoint: str, **values: Any) -> str:
        """Return the path of a page, with the path that the blog is mounted under."""
        return self.mount + path_of(endpoint, **values)

    def absolute_url_for(self, endpoint: str, **values: Any) -> str:
        """Return the whole address of a page, below the configured site URL."""
        return self.config.site_url + path_of(endpoint, **values)

    @cached_property
    def pages(self) -> "Sequence[Row[str, str]]":
        """Slug and title of each standing page, for the navigation."""
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
        raise BadRequest(f"{what} has a NUL byte in it.")
