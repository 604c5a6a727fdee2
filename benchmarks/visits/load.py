"""The next request as soon as a response is there, over connections that stay open.

The client runs in a separate process, and does so little per response that the server is the limit.
"""

import selectors
import socket
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import urlopen


class Load(NamedTuple):
    """The number of responses, and the seconds and the client's CPU seconds that they took."""

    responses: int
    wall: float
    cpu: float


def get(url: str, paths: Iterable[str], clients: int = 8) -> None:
    """Get each of the paths once, with `clients` requests at a time.

    :raises OSError: a response has a status of 400 or more.
    """

    def read(path: str) -> None:
        with urlopen(url + path, timeout=60) as response:  # noqa: S310 - our own server
            response.read()

    with ThreadPoolExecutor(clients) as executor:
        for _ in executor.map(read, paths):
            pass


def fetch(address: str, seconds: float, connections: int) -> Load:
    """Get a page again and again.

    :param address: the page.
    :param seconds: the time after which no request is sent.
    :param connections: the number of requests in flight.
    :raises RuntimeError: a response is not a page, or the server closed a connection.
    """
    parts = urlsplit(address)
    request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
    responses = 0
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        pending: dict[socket.socket, int] = {}
        for _ in range(connections):
            own = socket.create_connection((parts.hostname, parts.port), timeout=60)
            selector.register(stack.enter_context(own), selectors.EVENT_READ)
            pending[own] = 0
        wall, cpu = time.perf_counter(), time.process_time()
        for own in pending:
            own.sendall(request)
        while not responses or time.perf_counter() < wall + seconds:
            ready = selector.select(timeout=60)
            if not ready:
                raise RuntimeError(f"There was no response from {address} within a minute.")
            for key, _ in ready:
                own = key.fileobj  # type: ignore[assignment]
                pending[own] = _receive(own, pending[own])
                if pending[own]:
                    continue
                responses += 1
                own.sendall(request)
        return Load(responses, time.perf_counter() - wall, time.process_time() - cpu)


def _receive(own: socket.socket, missing: int) -> int:
    """Read what has arrived, and return the number of bytes of the response that are missing."""
    data = own.recv(1 << 18)
    if not data:
        raise RuntimeError("The server closed a connection.")
    if missing:
        return missing - len(data)
    head, _, body = data.partition(b"\r\n\r\n")
    lower = head.lower()
    length = lower.partition(b"content-length:")[2].partition(b"\r\n")[0]
    if b" 200 " not in head[:13] or not length:
        raise RuntimeError(f"The response is not a page: {head[:200]!r}")
    return int(length) - len(body)
