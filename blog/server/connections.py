"""Connections that cost only a file descriptor, even with slow clients.

Waitress reads requests and sends responses in one thread, and runs the application in workers. Its
classes are extended where a client could hold a worker, that thread or memory by not sending, not
reading or not disconnecting.
"""

import errno
import logging
import socket
import time
from typing import TYPE_CHECKING, Any

from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from blog.server.channel import Channel
from blog.server.limits import Limits

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = logging.getLogger(__name__)

# Bytes that the kernel buffers beyond those in flight. Otherwise it buffers up to 4 MB, even of a
# download that is not read (https://docs.kernel.org/networking/ip-sysctl.html, tcp_wmem).
_UNSENT = 256 * 1024
# Connections accepted per iteration of the loop.
_AT_ONCE = 64
# Of accept(), https://man7.org/linux/man-pages/man2/accept.2.html: too many open files, no memory.
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
# Seconds between checks of the deadlines, and before the next accept() if no file is available.
_LOOK = 1.0
_PAUSE = 0.25
# Seconds below the limit after which the shortage is over.
_OVER = 10.0


class Server(TcpWSGIServer):  # type: ignore[misc]
    """Accepts connections up to a limit, and closes those whose clients are too slow.

    :param application: the WSGI application.
    :param listener: a listening socket.
    :param sockets: the map for :func:`waitress.wasyncore.loop`.
    :param limits: the number of connections, and the deadlines.
    :param options: of waitress, https://docs.pylonsproject.org/projects/waitress/en/stable/arguments.html
    """

    channel_class = Channel

    def __init__(
        self,
        application: "WSGIApplication",
        listener: socket.socket,
        sockets: dict[int, Any],
        limits: Limits,
        **options: Any,
    ) -> None:
        self.limits = limits
        self._look_at = self._accept_at = self._full_at = 0.0
        self._is_full = self._has_callers = False
        adjustments = Adjustments(**options)
        dispatcher = ThreadedTaskDispatcher()
        dispatcher.set_thread_count(adjustments.threads)
        super().__init__(
            application,
            map=sockets,
            _sock=listener,
            dispatcher=dispatcher,
            adj=adjustments,
            bind_socket=False,
            sockinfo=(listener.family, listener.type, listener.proto, listener.getsockname()),
        )

    def set_socket_options(self, conn: socket.socket) -> None:
        super().set_socket_options(conn)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)

    def readable(self) -> bool:
        return bool(self.accepting) and time.monotonic() >= self._accept_at

    def handle_accept(self) -> None:
        self._has_callers = True

    def tend(self) -> None:
        """Accept connections and close others, between two iterations of the loop.

        Within a turn, a new connection could get the descriptor of one that was closed in it, and
        with it the events that were meant for that one.
        """
        if self._has_callers:
            self._has_callers = False
            self.accept_waiting()
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + _LOOK
            self.close_overdue(now)

    def close_overdue(self, now: float) -> None:
        """Close each connection past its deadline.

        :param now: in monotonic seconds.
        """
        for channel in list(self.active_channels.values()):
            if channel.is_overdue(now):
                channel.handle_close()
        if self._is_full and now > self._full_at + _OVER:
            self._is_full = False
            log.warning("New connections no longer replace others")

    def accept_waiting(self) -> None:
        """Accept the waiting connections, and make room for them."""
        waiting: list[Channel] | None = None
        for _ in range(_AT_ONCE):
            try:
                obstacle = self._accept()
            except OSError:
                return  # there is none, or its client has disconnected
            if not obstacle:
                continue
            self._full_at = time.monotonic()
            if not self._is_full:
                self._is_full = True
                log.warning(
                    "Disconnecting the clients that keep the server waiting longest: %s", obstacle
                )
            if waiting is None:
                waiting = self._waiting()
                if not waiting:
                    self._accept_at = self._full_at + _PAUSE
            if not waiting:
                return
            waiting.pop().handle_close()

    def _accept(self) -> str:
        """Accept one connection; return the reason if there is no room, or "".

        :raises OSError: no connection is waiting, or its client has left.
        """
        if len(self.active_channels) >= self.limits.connections:
            return f"all {self.limits.connections} connections (connection_limit) are in use"
        try:
            connection, address = self.socket.accept()
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            return f"the system allows no more: {error.strerror} (ulimit -n)"
        try:
            self.set_socket_options(connection)
            self.channel_class(self, connection, address, self.adj, map=self._map)
        except OSError:
            connection.close()  # its client has already disconnected
        return ""

    def _waiting(self) -> list[Channel]:
        waiting = [each for each in self.active_channels.values() if each.deadline() is not None]
        waiting.sort(key=lambda each: each.waits_since, reverse=True)
        # The other half may have sent what is not read yet.
        return waiting[len(waiting) // 2 :]
