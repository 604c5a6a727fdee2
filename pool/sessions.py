"""Sessions for one unit of work, instead of a session shared by the whole program.

A session is for one thread at a time and for one unit of work. Created at import and shared, it
mixes the transactions of its users: a rollback in one thread undoes what another has added. So each
unit of work opens its own session and closes it whatever happens:

    with UnitOfWork(sessions) as work:  # sessions = sessionmaker(engine)
        work.session.add(Entry(title="Begun"))
        work.session.commit()

In a WSGI application the unit of work is a request and ends when the server closes the response:

    application = SessionPerRequest(application, sessions)

    def application(environ, start_response):
        session = environ["threadleaf.work"].session

Nothing here commits. A commit after the response has begun can fail when the client has already
been told of success, and https://peps.python.org/pep-3333/ has no way to withdraw that.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy.orm import Session

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)


class UnitOfWork:
    """At most one session, opened at its first use and always closed.

    The end of the `with` block or :meth:`close` closes it. Like its session, it is for one thread
    at a time.

    :param sessions: opens a session: a :class:`~sqlalchemy.orm.sessionmaker`. Not a
        ``scoped_session``, which would give the same session to the thread's next unit of work.
    """

    def __init__(self, sessions: Callable[[], Session]) -> None:
        self._sessions = sessions
        self._session: Session | None = None

    @property
    def session(self) -> Session:
        """The session. It takes a connection at its first query.

        After :meth:`close` this is a new session, which must be closed in turn.
        """
        if self._session is None:
            self._session = self._sessions()
        return self._session

    def close(self) -> None:
        """Close the session, which rolls back uncommitted changes and returns its connection.

        It can be called any number of times. No caller could handle an error at this point, so an
        error is logged and not raised.
        """
        session, self._session = self._session, None
        if session is None:
            return
        transaction = session.get_transaction()
        try:
            session.close()
        except Exception:
            log.exception("Session.close() failed; its connection is returned all the same")
            # If the rollback fails, Session.close() drops the transaction with the connection still
            # in it, which would stay checked out until it is garbage-collected.
            if transaction is not None:
                with suppress(Exception):
                    transaction.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class ClosingHook:
    """Runs a callback last when the server closes a response.

    A server must call ``close()`` when it is done with a body, whether it was sent, interrupted or
    failed (https://peps.python.org/pep-3333/#the-start-response-callable). The hook is created
    before the application runs, because a file sent through ``wsgi.file_wrapper`` must reach the
    server as the very object that the server's wrapper returned. Inside another body a server sends
    it like any other and occupies a thread while it does. For a file the callback therefore runs in
    the ``close()`` of the file itself.

        hook = ClosingHook(environ)
        body = application(environ, start_response)
        return hook.attach(body, close)

    :param environ: the request's. Its ``wsgi.file_wrapper``, if any, is replaced by a callable that
        returns what the server's own returns.
    """

    def __init__(self, environ: "WSGIEnvironment") -> None:
        self._files: list[tuple[Iterable[bytes], _ClosingFile]] = []
        wrapper = environ.get("wsgi.file_wrapper")
        if wrapper is not None:
            environ["wsgi.file_wrapper"] = partial(self._wrap, wrapper)

    def attach(self, body: Iterable[bytes], close: Callable[[], None]) -> Iterable[bytes]:
        """Return the body for the server.

        :param body: what the application returned.
        :param close: the callback, called once, after all else, in the thread in which the server
            closes the body. That is often, but not always, the one that called the application:
            waitress closes files in the thread that serves all connections, which must not block.
            An error of `close` reaches the server, which may respond 500 if nothing was sent yet.
        """
        for wrapped, file in self._files:
            if wrapped is body:
                file.on_close = close
                return body
        return ClosingBody(body, close)

    def _wrap(
        self, wrapper: Callable[..., Iterable[bytes]], file: Any, *block_size: int
    ) -> Iterable[bytes]:
        closing = _ClosingFile(file)
        body = wrapper(closing, *block_size)
        self._files.append((body, closing))
        return body


class _ClosingFile:
    """A file with a callback in its close(). Servers also look for fileno(), seek() and tell()."""

    on_close: Callable[[], None] | None = None

    def __init__(self, file: Any) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def close(self) -> None:
        on_close, self.on_close = self.on_close, None
        try:
            _close(self._file)
        finally:
            if on_close is not None:
                on_close()


class ClosingBody:
    """A WSGI body whose ``close()`` runs a callback last.

    The wrapped body is closed first, and `close` runs even if that raises; each runs once. Only the
    iteration is passed on, so a server cannot derive Content-Length from the length of a list. See
    :class:`ClosingHook` for files.

    :param body: what the application returned.
    :param close: see :meth:`ClosingHook.attach`.
    """

    def __init__(self, body: Iterable[bytes], close: Callable[[], None]) -> None:
        self._body = body
        self._close = close
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            _close(self._body)
        finally:
            self._close()


def _close(body: object) -> None:
    # PEP 3333: close() is optional, but must be called if there is one.
    close: Callable[[], None] | None = getattr(body, "close", None)
    if close is not None:
        close()


class SessionPerRequest:
    """WSGI middleware: a unit of work per request, in ``environ["threadleaf.work"]``.

    It is closed when the server closes the response, or when the application raises before
    returning one. A body that is a plain list or tuple no longer needs the session: its connection
    is returned before the first byte is sent, so a slow client does not hold it.

    :param application: any WSGI application.
    :param sessions: opens a session; see :class:`UnitOfWork`.
    """

    def __init__(self, application: "WSGIApplication", sessions: Callable[[], Session]) -> None:
        self._application = application
        self._sessions = sessions

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        work = environ["threadleaf.work"] = UnitOfWork(self._sessions)
        hook = ClosingHook(environ)
        try:
            body = self._application(environ, start_response)
        except BaseException:
            # The server has no body to close.
            work.close()
            raise
        if type(body) in {list, tuple}:
            work.close()
            return body
        return hook.attach(body, work.close)
