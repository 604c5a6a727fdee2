"""Serve a WSGI application with waitress, and stop without cutting off a response.

On SIGTERM waitress exits with every response unfinished, and on SIGINT it gives running requests
five seconds, in which nothing more is sent. `serve` therefore runs waitress's loop itself, until
the last response has been sent.
"""

import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from waitress import wasyncore

from blog.http.proxies import BehindProxy
from blog.server.connections import Server
from blog.server.limits import Limits, fitting
from blog.server.listening import BACKLOG, url_of
from blog.server.listening import ServerError as ServerError
from blog.server.listening import listen as listen

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = logging.getLogger(__name__)

#: The largest accepted request body, in bytes. A larger one gets a 413.
MAX_BODY = 16 * 1024 * 1024
#: The most bytes of request line and headers together. Larger ones get a 431.
MAX_HEADER = 64 * 1024

# A response is sent once it has this many bytes or is complete. Waitress would send its head
# separately, and with each send a worker releases the GIL and has to wait for it.
_SEND = 32 * 1024
_OPTIONS = {
    "backlog": BACKLOG,
    "max_request_body_size": MAX_BODY,
    "max_request_header_size": MAX_HEADER,
    # Bytes of a request body in memory; a longer one goes to a temporary file.
    "inbuf_overflow": 16 * 1024,
    "clear_untrusted_proxy_headers": True,
    "expose_tracebacks": False,
    "ident": None,
}

# Seconds until a signal is noticed. On Windows a signal does not interrupt select(), and elsewhere
# Python resumes it, so the loop wakes up this often.
_ATTENTION = 0.25
# Seconds in which a repeated signal is an echo: `timeout`, and a supervisor that signals both the
# process and its group, deliver the same signal twice.
_ECHO = 0.5
# While stopping: seconds for the rest of a request's head, and without progress of a response.
_LAST_HEAD = 1.0
_LAST_SEND = 3.0
# Seconds for workers to release their resources once their connections are closed.
_LAST_WORDS = 0.5

_PROXY_REMEDY = 'Set trusted_proxy = "{peer}" in the settings.'


def serve(
    application: "WSGIApplication",
    listener: socket.socket,
    limits: Limits,
    *,
    on_ready: Callable[[str], None],
    threads: int = 8,
    url_prefix: str = "",
    trusted_proxy: str | None = None,
    drain_seconds: float = 60,
) -> None:
    """Serve `application` until a signal, finish the requests in progress, and return.

    After SIGTERM, SIGINT or SIGHUP (on Windows Ctrl-C or Ctrl-Break) no connection is accepted;
    requests that run, wait or are still arriving get their complete responses. A second signal
    stops at once. SIGHUP stays ignored where it is ignored, as under nohup. Outside the
    main thread signals are not handled, and the server runs as long as the process.

    :param listener: from :func:`listen`; it is closed at the end.
    :param limits: the number of connections, lowered where the system allows fewer, and the
        deadlines of clients.
    :param on_ready: called once with the URL, when connections are accepted.
    :param threads: the number of workers: requests that run at the same time.
    :param url_prefix: the path below which the blog is mounted (SCRIPT_NAME), or "".
    :param trusted_proxy: the address of the one proxy whose X-Forwarded-For, -Host and -Proto
        headers are trusted. Those of other clients are removed.
    :param drain_seconds: how long slow clients can delay the end.
    """
    # It warns whenever a request waits for a thread, which is normal.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    sockets: dict[int, Any] = {}
    limits = replace(limits, connections=fitting(limits.connections, threads))
    options = {"threads": threads, "url_prefix": url_prefix, **_proxy_options(trusted_proxy)}
    with listener, _StopSignals() as signals:
        server = Server(application, listener, sockets, limits, **_OPTIONS, **options)
        # Before waitress reads the headers: it removes untrusted ones.
        server.application = BehindProxy(server.application, trusted_proxy or "", _PROXY_REMEDY)
        # Not a parameter: waitress deprecates it with a warning. If it is removed, this attribute
        # has no effect.
        server.adj.send_bytes = _SEND
        try:
            on_ready(url_of(listener, server.adj.url_prefix))
            while signals.asked is None:
                _turn(sockets, _ATTENTION)
                server.tend()
            _drain(server, sockets, signals, drain_seconds)
        finally:
            _close(server, sockets)


def _proxy_options(trusted_proxy: str | None) -> dict[str, Any]:
    if trusted_proxy is None:
        return {}
    return {
        "trusted_proxy": trusted_proxy,
        "trusted_proxy_count": 1,
        "trusted_proxy_headers": {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"},
    }


class _StopSignals:
    """While the block runs, signals that would end the process are only recorded."""

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
            elif signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
                numbers.append(signal.SIGHUP)
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
            # None is a handler that was not set from Python and cannot be restored.
            signal.signal(number, handler or signal.SIG_DFL)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        # The handler may interrupt any line of this thread, one that holds a lock included, so it
        # takes none and writes to nothing, not even to waitress's trigger, whose pipe can be full.
        now = time.monotonic()
        if self.asked is None:
            self.asked = now
        elif now - self.asked > _ECHO:
            self.insisted = True


def _turn(sockets: dict[int, Any], seconds: float) -> None:
    # poll() has no ceiling on descriptor numbers; where it is missing, waitress uses select().
    wasyncore.loop(timeout=seconds, use_poll=True, map=sockets, count=1)


def _drain(
    server: Server, sockets: dict[int, Any], signals: _StopSignals, drain_seconds: float
) -> None:
    deadline = time.monotonic() + drain_seconds
    # Clients in the kernel's queue are connected and may have sent a request; closing the listener
    # would reset them.
    while len(server.active_channels) < server.limits.connections:
        before = len(server.active_channels)
        server.accept_waiting()
        if len(server.active_channels) == before:
            break
    # Not server.close(): that closes the trigger too, by which workers wake the loop.
    wasyncore.dispatcher.close(server)
    # No longer wait for idle clients, or for those that stop sending a head or reading a response.
    # The first iteration reads the data in the kernel's buffers.
    server.limits = replace(server.limits, idle=0, head=_LAST_HEAD, send=_LAST_SEND)
    seconds = 0.0
    dispatcher = server.task_dispatcher
    while True:
        _turn(sockets, seconds)
        for channel in list(server.active_channels.values()):
            channel.finish()
        server.close_overdue(time.monotonic())
        # A worker can outlive its connection: the client is gone, but the commit must finish.
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


def _close(server: Server, sockets: dict[int, Any]) -> None:
    # Frees the workers that wait for a reader; their applications' close() then still runs.
    for channel in list(server.active_channels.values()):
        channel.handle_close()
    dispatcher = server.task_dispatcher
    # Now: after the shutdown, threading.enumerate() may miss workers that are just ending.
    workers = [thread for thread in threading.enumerate() if thread.name.startswith("waitress-")]
    deadline = time.monotonic() + _LAST_WORDS
    dispatcher.shutdown(timeout=_LAST_WORDS)
    # A thread's last act is to close its connection to the database. Where the process ends before
    # that is done, SQLite's log file remains.
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
    # A worker that still runs will use the trigger, whose descriptor could by then belong to
    # another file, so it stays open. Workers are daemon threads and end with the process.
    if not dispatcher.threads:
        wasyncore.close_all(sockets)
