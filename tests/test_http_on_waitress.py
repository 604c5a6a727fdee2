"""HTTP/1.1 on the real server: requests it refuses, and requests that reach the blog."""

import re
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from http.client import HTTPResponse
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blog.database import connect, session_factory
from blog.models import Entry
from tests.conftest import NOW
from tests.processes import PATIENCE, THREADLEAF, WINE, Server, environment, start

if sys.platform == "linux":
    import resource

FORM = "Content-Type: application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def server(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("waitress")
    shutil.copy(migrated, folder / "blog.db")
    engine = connect(f"sqlite:///{(folder / 'blog.db').as_posix()}")
    with session_factory(engine)() as db:
        db.add(Entry(title="A title", slug="a-title", body="The body.", timestamp=NOW))
        db.commit()
    engine.dispose()
    (folder / "media").mkdir()
    (folder / "media" / "a.png").write_bytes(bytes(200_000))
    values = {"DATABASE": folder / "blog.db", "MEDIA": folder / "media"}
    environ = environment(**{f"THREADLEAF_{name}": value for name, value in values.items()})
    with Server(start([*THREADLEAF, "serve", "--port", 0], folder, environ)) as server:
        yield server
        if WINE:
            return  # it has no SIGBREAK
        server.stop()
        code, _, logged = server.ended()
    # No request here may be logged.
    assert (code, logged) == (0, "")


@pytest.fixture(scope="module")
def address(server: Server) -> tuple[str, int]:
    parts = urlsplit(server.url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


def exchange(address: tuple[str, int], *packets: bytes) -> bytes:
    """Send bytes and close the sending side; return everything received."""
    with socket.create_connection(address, timeout=PATIENCE) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for packet in packets:
            client.sendall(packet)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65_536), b""))


def statuses(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", received)]


def ask(address: tuple[str, int], line: str, *headers: str, body: str = "") -> HTTPResponse:
    """Send the request exactly as given, and return the response with its body read."""
    head = "".join(f"{header}\r\n" for header in (line, *headers, "Connection: close"))
    with socket.create_connection(address, timeout=PATIENCE) as client:
        client.sendall(f"{head}\r\n{body}".encode("latin-1"))
        response = HTTPResponse(client, method=line.split()[0])
        response.begin()
        response.body = response.read()  # type: ignore[attr-defined]
        return response


@pytest.mark.parametrize(
    ("line", "headers", "status"),
    [
        ("GET /blog HTTP/1.0", (), 200),
        ("GET /blog HTTP/1.0", ("Host: localhost",), 200),
        ("GET /blog HTTP/1.1", ("Host:",), 200),
        ("GET /blog HTTP/1.1", ("Host: [::1]:80",), 200),
        # A later minor version is treated as the latest known one (RFC 9110, 2.5).
        ("GET /blog HTTP/1.2", ("Host: localhost",), 200),
        ("GET /blog HTTP/1.1", ("Host: localhost", "Cookie: a=" + "b" * 16_000), 200),
        ("GET /" + "a" * 8_500 + " HTTP/1.1", ("Host: localhost",), 404),
        ("GET /blog HTTP/1.1", ("Host: evil.example",), 421),
        # The host of the target overrides the header (RFC 9112, 3.2.2).
        ("GET http://localhost/blog HTTP/1.1", ("Host: evil.example",), 200),
        ("GET http://localhost HTTP/1.1", ("Host: localhost",), 302),
        ("GET http://evil.example/blog HTTP/1.1", ("Host: localhost",), 421),
        ("OPTIONS /blog HTTP/1.1", ("Host: localhost",), 204),
        ("TRACE /blog HTTP/1.1", ("Host: localhost",), 405),
        ("BREW /blog HTTP/1.1", ("Host: localhost",), 405),
        ("POST /blog/a-title/comments HTTP/1.1", ("Host: localhost", FORM), 411),
    ],
)
def test_well_formed_request_is_served(
    address: tuple[str, int], line: str, headers: tuple[str, ...], status: int
) -> None:
    response = ask(address, line, *headers)

    assert response.status == status
    assert response.headers["X-Content-Type-Options"] == "nosniff"


HOST = b"Host: localhost\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /blog", 400),
        (b"GET /blog HTTP", 400),
        (b"GET /blog HTTP/1", 400),
        (b"GET /blog HTTP/1.1.1", 400),
        (b"GET /blog HTTP/11", 400),
        (b"GET /blog http/1.1", 400),
        (b"GET /blog FTP/1.1", 400),
        (b"GET /blog HTTP/0.9", 505),
        (b"GET /blog HTTP/2.0", 505),
        (b"GET /blog HTTP/9.9", 505),
        (b"GET  /blog HTTP/1.1", 400),
        (b"GET /blog  HTTP/1.1", 400),
        (b"GET /a b HTTP/1.1", 400),
        (b"get /blog HTTP/1.1", 400),
        (b"G@T /blog HTTP/1.1", 400),
        (b"\x16\x03\x01\x02", 400),
        (b"GET blog HTTP/1.1", 400),
        (b"GET * HTTP/1.1", 400),
        (b"GET ?q=1 HTTP/1.1", 400),
        (b"GET localhost:80/blog HTTP/1.1", 400),
        (b"GET ftp://localhost/blog HTTP/1.1", 400),
        (b"GET http:///blog HTTP/1.1", 400),
        (b"GET http://me@localhost/blog HTTP/1.1", 400),
        (b"GET http://[ HTTP/1.1", 400),
        (b"GET http://[] HTTP/1.1", 400),
        (b"GET http://[localhost]/blog HTTP/1.1", 400),
        (b"GET http://[::1/blog HTTP/1.1", 400),
        (b"GET http://localhost]/blog HTTP/1.1", 400),
        (b"CONNECT localhost:443 HTTP/1.1", 400),
    ],
)
def test_invalid_request_line_is_refused(
    address: tuple[str, int], line: bytes, status: int
) -> None:
    refused = line + b"\r\n" + HOST + b"\r\n"
    assert statuses(exchange(address, refused)) == [status]
    # As the second request of a pipeline it is parsed elsewhere in the loop.
    assert statuses(exchange(address, HEALTH + refused)) == [200, status]


@settings(max_examples=50, deadline=None)
@given(target=st.text("htp:/[]@%?#1x.\0é", max_size=20).map(lambda text: text.encode("latin-1")))
@pytest.mark.parametrize("prefix", [b"", b"http://", b"//"])
def test_any_target_gets_one_response(
    address: tuple[str, int], prefix: bytes, target: bytes
) -> None:
    request = b"GET %s HTTP/1.1\r\n%s\r\n" % (prefix + target, HOST)
    assert len(statuses(exchange(address, HEALTH + request))) == 2


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        [b"localhost", b"localhost"],
        [b"localhost", b"evil.example"],
        [b"", b""],
        [b"a b"],
        [b"localhost/blog"],
        [b"me@localhost"],
        [b"localhost:x"],
        [b"[::1"],
        [b"localhost\x0b"],
    ],
)
@pytest.mark.parametrize("target", [b"/blog", b"http://localhost/blog"])
def test_invalid_host_is_refused(
    address: tuple[str, int], hosts: Sequence[bytes], target: bytes
) -> None:
    invalid_beside_the_target = target != b"/blog" and len(hosts) == 1
    lines = [b"GET %s HTTP/1.1" % target, *(b"Host: " + host for host in hosts)]
    received = exchange(address, b"\r\n".join(lines) + b"\r\n\r\n")

    assert statuses(received) in ([[400], [200]] if invalid_beside_the_target else [[400]])


CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("version", "headers", "body", "status"),
    [
        (b"1.1", [b"Content-Length: -1"], b"", 400),
        (b"1.1", [b"Content-Length: +5"], b"hello", 400),
        (b"1.1", [b"Content-Length: 0x5"], b"hello", 400),
        (b"1.1", [b"Content-Length: 5x"], b"hello", 400),
        (b"1.1", [b"Content-Length: 5 5"], b"hello", 400),
        (b"1.1", [b"Content-Length:"], b"", 400),
        (b"1.1", [b"Content-Length: 5, 5"], b"hello", 400),
        (b"1.1", [b"Content-Length: 5", b"Content-Length: 5"], b"hello", 400),
        (b"1.1", [b"Content-Length: 5", b"Content-Length: 6"], b"hello!", 400),
        (b"1.1", [b"Content-Length: " + b"9" * 5_000], b"", 413),
        (b"1.1", [b"Content-Length: 100000000"], b"", 413),
        (b"1.1", [b"Content-Length: 5", b"Transfer-Encoding: chunked"], CHUNKS, 400),
        (b"1.1", [b"Transfer-Encoding: chunked", b"Content-Length: 5"], CHUNKS, 400),
        (b"1.0", [b"Content-Length: 5", b"Transfer-Encoding: chunked"], b"hello", 400),
        (b"1.0", [b"Transfer-Encoding: chunked"], CHUNKS, 400),
        (b"1.1", [b"Transfer-Encoding: chunked, chunked"], CHUNKS, 400),
        (b"1.1", [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"], CHUNKS, 400),
        (b"1.1", [b"Transfer-Encoding:"], CHUNKS, 400),
        (b"1.1", [b"Transfer-Encoding: ,"], CHUNKS, 400),
        (b"1.1", [b"Transfer-Encoding: gzip"], b"", 501),
        (b"1.1", [b"Transfer-Encoding: gzip, chunked"], CHUNKS, 501),
        (b"1.1", [b"Transfer-Encoding: chunked;q=1"], CHUNKS, 501),
        (b"1.1", [b"Transfer-Encoding: chunked"], b"x\r\n", 400),
        (b"1.1", [b"Transfer-Encoding: chunked"], b"-5\r\nhello\r\n0\r\n\r\n", 400),
        (b"1.1", [b"Transfer-Encoding: chunked"], b"5\r\nhello0\r\n\r\n", 400),
        (b"1.1", [b"Transfer-Encoding: chunked"], b"1\r\nx\r\n" * 20_000, 400),
        (b"1.1", [b"Transfer-Encoding: chunked"], b"1;a=b\r\nx\r\n" * 20_000, 400),
        (b"1.1", [b"Transfer-Encoding: chunked"], b"5" * 20_000, 400),
        (b"1.1", [b"Transfer-Encoding: chunked"], b"0\r\nX: " + b"x" * 20_000, 400),
        (b"1.1", [b"X-A: " + b"b" * 300_000], b"", 431),
        (b"1.1", [b"X : 1"], b"", 400),
        (b"1.1", [b": 1"], b"", 400),
        (b"1.1", [b"X"], b"", 400),
        (b"1.1", [b"X: \0"], b"", 400),
        (b"1.1", [b"X: 1\rY: 2"], b"", 400),
    ],
)
def test_invalid_headers_are_refused(
    address: tuple[str, int], version: bytes, headers: Sequence[bytes], body: bytes, status: int
) -> None:
    lines = [b"POST /blog HTTP/" + version, b"Host: localhost", *headers]
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    received = exchange(address, b"\r\n".join(lines) + b"\r\n\r\n" + body, smuggled)

    # If the end of a request is unknown, nothing after it is a request.
    assert statuses(received) == [status]
    assert b"\r\nConnection: close\r\n" in received


def test_large_body_is_refused_before_sent(address: tuple[str, int]) -> None:
    head = b"POST /blog HTTP/1.1\r\n%sContent-Length: %d\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(address, timeout=PATIENCE) as client:
        client.sendall(head % (HOST, 100_000_000))
        assert statuses(client.recv(65_536)) == [413]
    with socket.create_connection(address, timeout=PATIENCE) as client:
        client.sendall(head % (HOST, 5))
        assert statuses(client.recv(65_536)) == [100]
        client.sendall(b"hello")
        assert statuses(client.recv(65_536)) == [405]


@pytest.mark.skipif(sys.platform != "linux", reason="needs prlimit(2)")
@pytest.mark.parametrize("size", [0, 8192])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_unstorable_body_gets_response(
    migrated: Path, tmp_path: Path, is_chunked: bool, size: int
) -> None:
    shutil.copy(migrated, tmp_path / "blog.db")
    environ = environment(THREADLEAF_DATABASE=tmp_path / "blog.db")
    body = b"x" * 40_000
    head = b"POST /blog/a-title HTTP/1.1\r\n" + HOST + FORM.encode()
    if is_chunked:
        request = head + b"\r\nTransfer-Encoding: chunked\r\n\r\n9c40\r\n" + body + b"\r\n0\r\n\r\n"
    else:
        request = head + b"\r\nContent-Length: 40000\r\n\r\n" + body

    with Server(start([*THREADLEAF, "serve", "--port", 0], tmp_path, environ)) as server:
        parts = urlsplit(server.url)
        address = str(parts.hostname), int(parts.port or 0)
        # Simulates a full disk: no file of this process may exceed this size.
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, size))
        assert statuses(exchange(address, request)) == [503]
        server.stop()
        _, _, logged = server.ended()
    errors = [line for line in logged.splitlines() if " ERROR " in line]
    assert len(errors) == 1
    assert "blog.server.parser: Cannot store a request body in " in errors[0]


def test_expect_without_body_gets_no_continue(address: tuple[str, int]) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n"

    assert statuses(exchange(address, head)) == [200]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("path", ["/healthz", "/blog", "/media/a.png"])
def test_half_closed_client_gets_response(
    address: tuple[str, int], server: Server, version: str, path: str
) -> None:
    for _ in range(20):
        received = exchange(
            address, f"GET {path} HTTP/{version}\r\nHost: localhost\r\n\r\n".encode()
        )
        head, _, body = received.partition(b"\r\n\r\n")
        assert statuses(head) == [200]
        length = re.search(rb"Content-Length: (\d+)", head)
        assert length
        assert len(body) == int(length[1])


@pytest.mark.parametrize("value", ["close", "Close", "close, te", "keep-alive, close"])
def test_connection_header_is_obeyed(address: tuple[str, int], value: str) -> None:
    request = f"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: {value}\r\n\r\n"
    with socket.create_connection(address, timeout=PATIENCE) as client:
        client.sendall(request.encode() * 2)
        received = b"".join(iter(lambda: client.recv(65_536), b""))
    assert statuses(received) == [200]


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_aborted_download_is_not_logged(migrated: Path, tmp_path: Path, version: bytes) -> None:
    shutil.copy(migrated, tmp_path / "blog.db")
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a.png").write_bytes(bytes(20_000_000))
    values = {"DATABASE": tmp_path / "blog.db", "MEDIA": tmp_path / "media"}
    environ = environment(**{f"THREADLEAF_{name}": value for name, value in values.items()})
    with Server(start([*THREADLEAF, "serve", "--port", 0], tmp_path, environ)) as server:
        parts = urlsplit(server.url)
        for _ in range(10):
            with socket.create_connection((str(parts.hostname), int(parts.port or 0))) as client:
                request = b"GET /media/a.png HTTP/" + version + b"\r\n" + HOST
                client.sendall(request + b"Connection: close\r\n\r\n")
                # Unread data makes close() reset the connection.
                assert client.recv(65_536)
        server.stop()
        _, _, logged = server.ended()
    assert logged == ""


PIPELINED = (
    b"\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    b"POST /blog HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"
    b"POST /blog HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    + CHUNKS
    + b"\r\n\r\n"
    b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n"
    b"GET /healthz HTTP/9.9\r\nHost: localhost\r\n\r\n"
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
)


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, len(PIPELINED)), max_size=8).map(sorted))
def test_request_in_small_packets(address: tuple[str, int], cuts: list[int]) -> None:
    edges = [0, *cuts, len(PIPELINED)]
    packets = [PIPELINED[a:b] for a, b in pairwise(edges)]

    # The connection is closed after the refused request.
    assert statuses(exchange(address, *packets)) == [200, 405, 405, 200, 404, 505]


@pytest.mark.parametrize("path", ["/blog", "/nowhere"])
def test_head_has_headers_of_get_on_waitress(address: tuple[str, int], path: str) -> None:
    get = ask(address, f"GET {path} HTTP/1.1", "Host: localhost")
    head = ask(address, f"HEAD {path} HTTP/1.1", "Host: localhost")

    assert head.status == get.status
    ignored = {"Date"}
    assert [h for h in head.getheaders() if h[0] not in ignored] == [
        h for h in get.getheaders() if h[0] not in ignored
    ]
    received = exchange(address, f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert received.endswith(b"\r\n\r\n")


def test_forwarded_headers_are_ignored(address: tuple[str, int]) -> None:
    forwarded = (
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Prefix: /evil",
    )
    response = ask(address, "GET /Blog HTTP/1.1", "Host: localhost", *forwarded)

    assert (response.status, response.headers["Location"]) == (308, "/blog")
