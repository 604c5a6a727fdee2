"""Requests as fast as they are answered, over connections that stay open.

It runs in a process of its own and does so little for each answer that the server is what limits.
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
    """How many answers came in how many seconds, and what the client computed meanwhile."""

    answers: int
    wall: float
    cpu: float


def get(url: str, paths: Iterable[str], clients: int = 8) -> None:
    """Ask for each of the paths once, by so many clients at a time.

    :raises OSError: one was not answered with 200.
    """

    def read(path: str) -> None:
        with urlopen(url + path, timeout=60) as response:  # noqa: S310 - our own server
            response.read()

    with ThreadPoolExecutor(clients) as executor:
        for _ in executor.map(read, paths):
            pass


def fetch(address: str, seconds: float, connections: int) -> Load:
    """Ask for a page again and again.

    :param address: the page.
    :param seconds: how long to do so.
    :param connections: how many requests are under way at a time.
    :raises RuntimeError: an answer is no page, or the server closed a connection.
    """
    parts = urlsplit(address)
    request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
    answers = 0
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
        while not answers or time.perf_counter() < wall + seconds:
            ready = selector.select(timeout=60)
            if not ready:
                raise RuntimeError(f"{address} was not answered within a minute")
            for key, _ in ready:
                own = key.fileobj  # type: ignore[assignment]
                pending[own] = _receive(own, pending[own])
                if pending[own]:
                    continue
                answers += 1
                own.sendall(request)
        return Load(answers, time.perf_counter() - wall, time.process_time() - cpu)


def _receive(own: socket.socket, missing: int) -> int:
    """Read what is there, and return how many bytes of the answer are still to come."""
    data = own.recv(1 << 18)
    if not data:
        raise RuntimeError("the server closed a connection")
    if missing:
        return missing - len(data)
    head, _, body = data.partition(b"\r\n\r\n")
    lower = head.lower()
    length = lower.partition(b"content-length:")[2].partition(b"\r\n")[0]
    if b" 200 " not in head[:13] or not length:
        raise RuntimeError(f"no page, but {head[:200]!r}")
    return int(length) - len(body)
