"""A connection, with one request at a time, and a deadline for each way to keep it waiting."""

import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any

from waitress.buffers import ReadOnlyFileBasedBuffer
from waitress.channel import HTTPChannel

from blog.server.parser import Parser

if TYPE_CHECKING:
    from blog.server.connections import Server

log = logging.getLogger(__name__)

# Bytes sent on one connection before the others have their turn, and bytes read from a file at a
# time. Waitress reads as much as the kernel's buffer holds, which is megabytes, even if the client
# reads little of it.
_SHARE = 1024 * 1024
_BLOCK = 64 * 1024
# Seconds in which a client may read the last response before the connection is closed.
_LINGER = 2.0


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection. A request on it starts when the previous response has been sent."""

    parser_class = Parser
    server: "Server"
    request: Parser | None
    requests: list[Parser]
    total_outbufs_len: int
    will_close: bool
    close_when_flushed: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sendbuf_len = _BLOCK
        #: The time of the last progress of a response, or of the connect (monotonic seconds).
        self.since = time.monotonic()
        # When the arriving request, or its body, began.
        self._began: float | None = None
        self._lingers = False
        self._ahead = b""
        self._share = _SHARE

    def deadline(self) -> float | None:
        """The client's deadline (monotonic seconds); None while the server is working."""
        limits = self.server.limits
        if self._lingers:
            return self.since + min(limits.idle, _LINGER)
        # With a request running, less than this is not sent yet.
        if self.total_outbufs_len >= (self.adj.send_bytes if self.requests else 1):
            return self.since + limits.send
        if self.requests or self._ahead:
            return None
        if self._began is None:
            return self.since + limits.idle
        request = self.request
        if request is None or not request.headers_finished:
            return self._began + limits.head
        return self._began + limits.body

    def is_overdue(self, now: float) -> bool:
        """Tell whether the client's deadline has passed at `now` (monotonic seconds)."""
        deadline = self.deadline()
        if deadline is None or now <= deadline:
            return False
        is_idle = self._began is None and not self._lingers and not self.total_outbufs_len
        # The next request may just have arrived.
        return not (is_idle and self._has_unread())

    @property
    def waits_since(self) -> float:
        """When the server began to wait for the client, if it does (monotonic seconds)."""
        return self.since if self._began is None else self._began

    def finish(self) -> None:
        """Close the connection after the current response, if any."""
        with self.requests_lock:
            if self.requests and not self._ahead and not self._has_unread():
                # As if the client had sent it: waitress adds it to the response.
                self.requests[-1].headers["CONNECTION"] = "close"

    def _has_unread(self) -> bool:
        with suppress(OSError):
            return bool(self.socket.recv(1, socket.MSG_PEEK))
        return False

    def handle_write(self) -> None:
        if not self.requests:
            self._flush_exception(self._flush_some)
        elif self.total_outbufs_len >= self.adj.send_bytes:
            self._flush_exception(self._flush_some_if_lockable)
        if self.will_close:
            self.handle_close()
        # Sending closes the connection if the client has disconnected.
        elif self.connected and self.close_when_flushed and not self.total_outbufs_len:
            self._linger()

    def _linger(self) -> None:
        # Closing resets the connection if there is anything unread, and the client may then lose
        # the response, too: https://www.rfc-editor.org/rfc/rfc9112#section-9.6
        self.close_when_flushed = False
        self._lingers = True
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def readable(self) -> bool:
        # Called for every connection in every iteration of the loop.
        if self.requests or self.total_outbufs_len or self.will_close or self.close_when_flushed:
            return False
        if self._ahead:
            # The loop catches what its handlers raise; an error raised here would end the server.
            try:
                self.received(b"")
            except Exception:  # noqa: BLE001 - as the loop has it
                self.handle_error()
            return self.connected and not self.requests
        return True

    def received(self, data: bytes) -> bool:
        """Process `data`, up to the end of one request.

        The rest waits until the response has been sent: a client that sends many requests and reads
        no responses would otherwise fill the memory and hold a worker.
        """
        with self.requests_lock:
            if self._lingers or self.will_close or self.close_when_flushed:
                return False
            data = self._ahead + data
            while data and not self.requests:
                data = data[self._parse(data) :]
            self._ahead = data
        return True

    def _parse(self, data: bytes) -> int:
        request = self.request
        if request is None:
            request = self.request = self.parser_class(self.adj)
        if self._began is None:
            self._began = time.monotonic()
        in_head = not request.headers_finished
        consumed: int = request.received(data)
        if request.completed:
            self.request = None
            self.sent_continue = False
            # Blank lines are not a request, and do not extend the deadline.
            if not request.empty:
                self._began = None
                self.requests.append(request)
                self.server.add_task(self)
        elif in_head and request.headers_finished:
            self._began = time.monotonic()
            if request.expect_continue:
                self.send_continue()
        return consumed

    def write_soon(self, data: Any) -> int:
        self.since = time.monotonic()
        if type(data) is bytes and len(data) > self.adj.send_bytes:
            # Sent from where it is; waitress would copy it, and write a long one to a file.
            data = ReadOnlyFileBasedBuffer(BytesIO(data))
            data.prepare()
        return int(super().write_soon(data))

    def send(self, data: bytes, do_close: bool = True) -> int:
        if self._share <= 0:
            return 0  # as if the kernel's buffer were full
        sent = int(super().send(data, do_close))
        self._share -= sent
        return sent

    def _flush_some(self, do_close: bool = True) -> bool:
        self._share = _SHARE
        sent = bool(super()._flush_some(do_close))
        if sent:
            self.since = time.monotonic()
        return sent

    def _flush_exception(
        self, flush: Callable[..., bool], do_close: bool = True
    ) -> tuple[bool, bool]:
        if self.will_close:
            return False, True
        try:
            return flush(do_close=do_close), False
        except OSError as error:
            # The network's, or that of a file that cannot be read to its end.
            log.warning("A response to %s is cut off: %s", self.addr[0], error)
            self.will_close = True
            return False, True
