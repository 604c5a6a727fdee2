"""The protocol on a real server: what waitress refuses by itself, and what reaches the blog."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Engine

from blog.application import Blog
from blog.config import Config
from tests.conftest import MakeEntry
from tests.pool.servers import waitress_threads
from tests.processes import PATIENCE

FORM = "Content-Type: application/x-www-form-urlencoded"


@pytest.fixture
def address(
    config: Config, engine: Engine, make_entry: MakeEntry, tmp_path: Path
) -> Iterator[tuple[str, int]]:
    make_entry()
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a.png").write_bytes(bytes(1000))
    blog = Blog(replace(config, media=str(tmp_path / "media")), engine, "s")
    with waitress_threads(blog, threads=2) as url:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        yield parts.hostname, parts.port


def ask(address: tuple[str, int], line: str, *headers: str, body: str = "") -> HTTPResponse:
    """Send a request as it stands here, and return the answer, which is read."""
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
        ("GET /blog HTTP/1.1", ("Host: localhost", "Cookie: a=" + "b" * 16_000), 200),
        ("GET /" + "a" * 8_500 + " HTTP/1.1", ("Host: localhost",), 404),
        ("GET /blog HTTP/1.1", ("Host: evil.example",), 421),
        ("GET /blog HTTP/1.1", ("Host: evil.example", "Host: localhost"), 421),
        ("OPTIONS /blog HTTP/1.1", ("Host: localhost",), 204),
        ("TRACE /blog HTTP/1.1", ("Host: localhost",), 405),
        ("BREW /blog HTTP/1.1", ("Host: localhost",), 405),
        ("POST /blog/a-title/comments HTTP/1.1", ("Host: localhost", FORM), 411),
    ],
)
def test_what_the_blog_answers(
    address: tuple[str, int], line: str, headers: tuple[str, ...], status: int
) -> None:
    response = ask(address, line, *headers)

    assert response.status == status
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (("X-A: " + "b" * 300_000,), 431),
        (("Content-Length: -1",), 400),
        (("Content-Length: 1x",), 400),
        (("Transfer-Encoding: gzip",), 501),
    ],
)
def test_what_waitress_refuses(
    address: tuple[str, int], headers: tuple[str, ...], status: int
) -> None:
    assert ask(address, "POST /blog HTTP/1.1", "Host: localhost", *headers).status == status


@pytest.mark.parametrize("path", ["/blog", "/nowhere"])
def test_head_has_the_headers_of_get_and_no_body(address: tuple[str, int], path: str) -> None:
    get = ask(address, f"GET {path} HTTP/1.1", "Host: localhost")
    head = ask(address, f"HEAD {path} HTTP/1.1", "Host: localhost")

    assert head.status == get.status
    ignored = {"Date"}
    assert [h for h in head.getheaders() if h[0] not in ignored] == [
        h for h in get.getheaders() if h[0] not in ignored
    ]
    with socket.create_connection(address, timeout=PATIENCE) as client:
        line = f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        client.sendall(line.encode())
        received = b"".join(iter(lambda: client.recv(65_536), b""))
    assert received.endswith(b"\r\n\r\n")


def test_a_part_of_a_file_is_all_that_is_sent(address: tuple[str, int]) -> None:
    response = ask(address, "GET /media/a.png HTTP/1.1", "Host: localhost", "Range: bytes=990-")

    assert (response.status, response.headers["Content-Length"]) == (206, "10")
    assert response.headers["Content-Range"] == "bytes 990-999/1000"
    assert response.body == bytes(10)  # type: ignore[attr-defined]


def test_what_a_proxy_would_say_counts_for_nothing_from_others(address: tuple[str, int]) -> None:
    forwarded = (
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Prefix: /evil",
    )
    response = ask(address, "GET /Blog HTTP/1.1", "Host: localhost", *forwarded)

    assert (response.status, response.headers["Location"]) == (308, "/blog")
