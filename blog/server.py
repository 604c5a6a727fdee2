"""Serve a WSGI application with waitress, and stop without cutting anybody off.

Waitress ends on SIGTERM with every answer unfinished, and on SIGINT gives running requests five
seconds in which nothing more is sent. `serve` therefore runs waitress's loop itself, and keeps it
running until the last answer is out.
"""

import errno
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from waitress import create_server, wasyncore

from blog.proxies import BehindProxy

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = logging.getLogger(__name__)

#: The largest request body that is taken, in bytes. Larger ones are answered with 413.
MAX_BODY = 16 * 1024 * 1024
#: The largest request line and headers together, in bytes. Larger ones are answered with 431.
MAX_HEADER = 64 * 1024

# An answer begins to leave when it has so many bytes, or is complete. Waitress would send its head
# by itself; and each time a worker sends, it gives the interpreter away, and has to wait for it.
_SEND = 32 * 1024

# Seconds until a signal is noticed. On Windows a waiting select() does not see signals at all, and
# elsewhere Python resumes it, so the loop looks up this often.
_ATTENTION = 0.25
# Seconds in which a repeated signal is an echo: `timeout`, and a supervisor that signals both the
# process and its group, deliver the same request to stop twice.
_ECHO = 0.5
# Seconds for workers to close what they hold once their connections are gone.
_LAST_WORDS = 0.5


_PROXY_REMEDY = 'Set trusted_proxy = "{peer}" in the settings.'


class ServerError(Exception):
    """The address cannot be listened on. The message says which, why, and what to do."""


def serve(
    application: "WSGIApplication",
    *,
    host: str,
    port: int,
    on_ready: Callable[[str], None],
    threads: int = 8,
    url_prefix: str = "",
    trusted_proxy: str | None = None,
    drain_seconds: float = 60,
) -> None:
    """Serve `application` until a signal asks to stop, finish what has begun, and return.

    SIGTERM and SIGINT (on Windows Ctrl-C and Ctrl-Break) stop the accepting of connections;
    requests that run, wait or are arriving are still answered in full. A second signal ends that
    at once. Outside the main thread no signal is heard, and the server runs as long as the process.

    :param host: the address to listen on; of a name, its first IPv4 address, or else its first.
    :param port: the TCP port; 0 lets the system choose a free one.
    :param on_ready: called once with the URL, when connections are accepted.
    :param threads: how many requests are worked on at a time.
    :param url_prefix: the path below which the blog is mounted (SCRIPT_NAME), or "".
    :param trusted_proxy: the address of the one proxy whose X-Forwarded-For, -Host and -Proto
        headers are believed. Everybody else's are removed.
    :param drain_seconds: how long a client that reads slowly, or not at all, can put off the end.
    :raises ServerError: if the address cannot be listened on.
    """
    proxy: dict[str, Any] = {}
    if trusted_proxy is not None:
        proxy = {
            "trusted_proxy": trusted_proxy,
            "trusted_proxy_count": 1,
            "trusted_proxy_headers": {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"},
        }
    sockets: dict[int, Any] = {}
    with _listen(host, port) as listener, _StopSignals() as signals:
        server = create_server(
            application,
            map=sockets,
            sockets=[listener],
            threads=threads,
            url_prefix=url_prefix,
            max_request_body_size=MAX_BODY,
            max_request_header_size=MAX_HEADER,
            # Keeps reading while a request runs, and so learns that its client has left.
            channel_request_lookahead=1,
            clear_untrusted_proxy_headers=True,
            expose_tracebacks=False,
            ident=None,
            **proxy,
        )
        # Before waitress looks at the headers: it removes those that are not trusted.
        server.application = BehindProxy(server.application, trusted_proxy or "", _PROXY_REMEDY)
        # Not a parameter: waitress warns that it may decide this by itself some day, and would then
        # just not look here.
        server.adj.send_bytes = _SEND
        try:
            on_ready(_url(listener, server.adj.url_prefix))
            while signals.asked is None:
                _turn(sockets, _ATTENTION)
            _drain(server, sockets, signals, drain_seconds)
        finally:
            _close(server, sockets)


class _StopSignals:
    """While the block runs, signals that would end the process are only noted."""

    #: When the first came (monotonic seconds), and whether a later one insisted.
    asked: float | None = None
    insisted = False

    def __init__(self) -> None:
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # Python lets only its main thread set handlers.
        if threading.current_thread() is threading.main_thread():
            numbers = [signal.SIGTERM, signal.SIGINT]
            if sys.platform == "win32":
                numbers.append(signal.SIGBREAK)
            for number in numbers:
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            # None stands for a handler that was not set from Python and cannot be put back.
            signal.signal(number, handler or signal.SIG_DFL)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        # The handler may interrupt any line of this thread, one that holds a lock included, so it
        # takes none and writes to nothing, not even to waitress's trigger, whose pipe can be full.
        now = time.monotonic()
        if self.asked is None:
            self.asked = now
        elif now - self.asked > _ECHO:
            self.insisted = True


def _listen(host: str, port: int) -> socket.socket:
    # Waitress could bind by itself, but it does not say what went wrong, leaves sockets and threads
    # behind, and on Windows sets SO_REUSEADDR, with which a second server takes over the port.
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise ServerError(
            f"Cannot listen on {host!r}: no address is known by that name ({error}). "
            "Use an address of this machine, such as 127.0.0.1."
        ) from error
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    try:
        return socket.create_server(address, family=family, backlog=1024)
    except OSError as error:
        raise ServerError(_reason(host, port, error)) from error


def _reason(host: str, port: int, error: OSError) -> str:
    where = f"Cannot listen on port {port} of {host}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{where}: the port is in use. Stop the server that listens there, perhaps an earlier "
            "one of this blog, or choose another port."
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"{where}: this user may not open it. Choose a port from 1024 up, and let a web server "
            "in front forward to it."
        )
    if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return (
            f"{where}: this machine has no such address. Use 127.0.0.1 to be reached from this "
            "machine alone, or 0.0.0.0 to be reached from every network."
        )
    return f"{where}: {error.strerror or error}."


def _url(listener: socket.socket, url_prefix: str) -> str:
    host, port = listener.getsockname()[:2]
    return (
        f"http://[{host}]:{port}{url_prefix}"
        if ":" in host
        else f"http://{host}:{port}{url_prefix}"
    )


def _turn(sockets: dict[int, Any], seconds: float) -> None:
    # poll() has no ceiling on descriptor numbers; where it is missing, waitress uses select().
    wasyncore.loop(timeout=seconds, use_poll=True, map=sockets, count=1)


def _drain(
    server: Any, sockets: dict[int, Any], signals: _StopSignals, drain_seconds: float
) -> None:
    deadline = time.monotonic() + drain_seconds
    # Who is in the kernel's queue has been told that the connection stands, and may have sent a
    # request; closing the listener would reset it. One call takes one connection or none.
    while len(sockets) < server.adj.connection_limit:
        before = len(sockets)
        server.handle_accept()
        if len(sockets) == before:
            break
    # Not server.close(): that closes the trigger too, by which workers wake the loop.
    wasyncore.dispatcher.close(server)
    # The first turn takes in the requests that lie in the kernel's buffers, so that their
    # connections are not mistaken for idle ones.
    seconds = 0.0
    dispatcher = server.task_dispatcher
    while True:
        _turn(sockets, seconds)
        for channel in list(server.active_channels.values()):
            _let_go(channel)
        # A worker can outlive its connection: the client left, the commit still has to finish.
        if not (server.active_channels or dispatcher.queue or dispatcher.active_count):
            return
        left = deadline - time.monotonic()
        if signals.insisted or left <= 0:
            log.warning(
                "Stopped with %d connections unfinished %s",
                len(server.active_channels),
                "on a second signal" if signals.insisted else f"after {drain_seconds:g} seconds",
            )
            return
        seconds = min(_ATTENTION, left)


def _let_go(channel: Any) -> None:
    """Close an idle connection; tell the client of a busy one that this answer is the last."""
    with channel.requests_lock:
        if channel.requests:
            # As if the client had asked for it: waitress sends `Connection: close`, and closes when
            # all is sent. Only on the last request, because waitress drops those that follow.
            channel.requests[-1].headers["CONNECTION"] = "close"
            return
        arriving = channel.request is not None
    # In this order: a request leaves the list only after its last byte is in the buffer.
    if not arriving and not channel.total_outbufs_len:
        channel.handle_close()


def _close(server: Any, sockets: dict[int, Any]) -> None:
    # Frees the workers that wait for a reader; their applications' close() then still runs.
    for channel in list(server.active_channels.values()):
        channel.handle_close()
    dispatcher = server.task_dispatcher
    # From here on, not even threading.enumerate() knows those that are just ending.
    workers = [thread for thread in threading.enumerate() if thread.name.startswith("waitress-")]
    deadline = time.monotonic() + _LAST_WORDS
    dispatcher.shutdown(timeout=_LAST_WORDS)
    # A thread's last act is to close its connection to the database. Where the process ends before
    # that is done, SQLite's log stays beside the database.
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
    # A worker that still runs will pull the trigger, whose descriptor could by then belong to
    # another file; so it is left open. Workers are daemon threads and end with the process.
    if not dispatcher.threads:
        wasyncore.close_all(sockets)
