"""Clients of `threadleaf serve` that send, read or leave slowly, beside normal ones."""

import http.client
import os
import re
import shutil
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.processes import PATIENCE, THREADLEAF, environment, start
from tests.processes import Server as Process

pytestmark = [pytest.mark.long, pytest.mark.timeout(120)]

LARGE = 64 * 1024 * 1024


class Server(Process):
    """`threadleaf serve`, and the clients of a test."""

    def __init__(self, folder: Path, before: str, **values: object) -> None:
        values = {"DATABASE": folder / "blog.db", "MEDIA": folder / "media", **values}
        environ = environment(**{f"THREADLEAF_{name}": value for name, value in values.items()})
        command = [*THREADLEAF, "serve", "--port", "0"]
        if before:
            command = ["sh", "-c", f'{before}; exec "$@"', "sh", *map(str, command)]
        super().__init__(start(command, folder, environ))
        self.clients = ExitStack()
        #: The slowest page, in seconds.
        self.slowest = 0.0

    def __exit__(self, *error: object) -> None:
        self.clients.close()
        super().__exit__(*error)

    def client(self, sent: bytes = b"", buffer: int | None = None) -> socket.socket:
        """Connect and send. With a small receive buffer, most of a response stays at the server."""
        parts = urlsplit(self.url)
        client = self.clients.enter_context(socket.socket())
        if buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.settimeout(PATIENCE)
        client.connect((parts.hostname, parts.port))
        client.sendall(sent)
        return client

    def statuses(self, times: int, at_a_time: int = 8) -> Counter[int]:
        """Request a page `times` times, each on a new connection, and count the statuses."""

        def read(_: int) -> int:
            connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=PATIENCE)
            began = time.monotonic()
            connection.request("GET", "/healthz")
            with connection.getresponse() as response:
                response.read()
            connection.close()
            self.slowest = max(self.slowest, time.monotonic() - began)
            return response.status

        with ThreadPoolExecutor(at_a_time) as readers:
            return Counter(readers.map(read, range(times)))


Start = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path, migrated: Path) -> Iterator[Start]:
    shutil.copy(migrated, tmp_path / "blog.db")
    (tmp_path / "media").mkdir()
    with (tmp_path / "media" / "large.bin").open("wb") as file:
        file.truncate(LARGE)
    with ExitStack() as running:
        yield lambda before="", **values: running.enter_context(Server(tmp_path, before, **values))


def get(path: str, *headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", *headers]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


FILE = get("/media/large.bin")


def drained(client: socket.socket) -> int:
    """Read until the connection ends, and return the number of bytes."""
    received = 0
    with suppress(ConnectionError):
        while data := client.recv(1 << 20):
            received += len(data)
    return received


def many(number: int) -> int:
    # On Windows select() is limited to 512 sockets, and under wine to fewer.
    return number if sys.platform != "win32" else number // 5


def test_crowd_of_slow_clients(serve: Start) -> None:
    server = serve()
    for _ in range(many(1000)):
        server.client()
    for _ in range(many(500)):
        server.client(b"GET /blog HTTP/1.1\r\nHost: loc")
    stalled = [server.client(FILE, buffer=4096) for _ in range(50)]
    assert {client.recv(12) for client in stalled} == {b"HTTP/1.1 200"}

    assert server.statuses(1000) == {200: 1000}
    # Under 0.1 s on an idle machine, and two minutes if slow clients block the workers.
    assert server.slowest < 30
    last = server.client(get("/blog"))
    assert last.recv(12) == b"HTTP/1.1 200"
    stopped = server.stop()
    code, _, logged = server.ended()
    assert (code, logged) == (0, "")
    assert time.monotonic() - stopped < 20


@pytest.mark.parametrize(
    "asked",
    [
        FILE,
        get("/media/large.bin", "Range: bytes=0-"),
        get("/media/large.bin", "Range: bytes=1-60000000"),
        FILE * 20,
        FILE + get("/blog") * 20,
        get("/blog?q=1") * 500,
    ],
    ids=["whole", "all", "range", "pipelined", "then pages", "pages"],
)
def test_unread_response_holds_no_worker(serve: Start, asked: bytes) -> None:
    server = serve(THREADS=1)
    for _ in range(3):
        server.client(asked, buffer=4096).recv(1)

    assert server.statuses(3) == {200: 3}


def test_stalled_download_arrives_whole(serve: Start) -> None:
    server = serve(THREADS=1)
    client = server.client(FILE + get("/healthz", "Connection: close"), buffer=4096)
    time.sleep(0.5)

    assert LARGE < drained(client) < LARGE + 2000


def test_deadlines(serve: Start) -> None:
    server = serve(IDLE_TIMEOUT=1, HEADER_TIMEOUT=1, BODY_TIMEOUT=1, SEND_TIMEOUT=1)
    post = b"POST /blog HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n"
    began = time.monotonic()
    idle = [server.client(), server.client(get("/healthz")), server.client(b"\r\n\r\n")]
    trickling = [server.client(sent) for sent in (b"", b"GET /blog HT", post + b"x")]
    blank = server.client()
    unread = server.client(FILE, buffer=4096)

    waiting = set(trickling) | {blank}
    while waiting:
        assert time.monotonic() - began < 20
        for client in list(waiting):
            try:
                client.sendall(b"\r\n\r\n" if client is blank else b"x")
            except ConnectionError:
                waiting.discard(client)
        time.sleep(0.2)
    for client in idle:
        while client.recv(65_536):
            pass
    assert drained(unread) < LARGE
    assert time.monotonic() - began > 1
    assert server.statuses(1) == {200: 1}


def test_slow_steady_reader_is_not_cut_off(serve: Start) -> None:
    server = serve(SEND_TIMEOUT=2)
    client = server.client(get("/media/large.bin", "Range: bytes=0-29999999"), buffer=65_536)
    received = 0
    began = time.monotonic()
    while data := client.recv(65_536):
        received += len(data)
        if time.monotonic() - began < 4:
            time.sleep(0.05)
        if received > 30_000_000:
            break

    assert received > 30_000_000


def test_full_server_makes_room(serve: Start) -> None:
    server = serve(CONNECTION_LIMIT=20, THREADS=2)
    for _ in range(60):
        server.client()
        server.client(b"GET /blog HT")
        server.client(FILE, buffer=4096)

    assert server.statuses(100, at_a_time=4) == {200: 100}
    server.stop()
    code, _, logged = server.ended()
    assert (code, logged.count("\n")) == (0, 1), logged
    assert "all 20 connections (connection_limit) are in use" in logged


if sys.platform != "win32":

    def test_low_file_limit_is_logged_once(serve: Start) -> None:
        server = serve("ulimit -n 64", THREADS=8)
        for _ in range(120):
            server.client()

        assert server.statuses(100) == {200: 100}
        server.stop()
        code, _, logged = server.ended()
        assert (code, logged.count("\n")) == (0, 2)
        assert "12 connections instead of 2500: this process may open 64 files." in logged

    def test_file_limit_is_raised(serve: Start) -> None:
        server = serve("ulimit -Sn 64")
        clients = [server.client(get("/healthz")) for _ in range(120)]

        assert {client.recv(12) for client in clients} == {b"HTTP/1.1 200"}
        server.stop()
        assert server.ended()[2] == ""


def test_shrinking_file_ends_connection(serve: Start, tmp_path: Path) -> None:
    server = serve()
    client = server.client(FILE, buffer=65_536)
    assert client.recv(12) == b"HTTP/1.1 200"
    os.truncate(tmp_path / "media" / "large.bin", 1024)

    assert drained(client) < LARGE
    assert server.statuses(1) == {200: 1}
    server.stop()
    code, _, logged = server.ended()
    assert (code, logged.count("\n")) == (0, 1), logged
    assert re.search(r"is cut off: .*large.bin was truncated below 67108864 bytes", logged)
