"""Thousands of random requests: no 500, only valid responses, and the blog keeps running.

`FUZZ_REQUESTS=50000 pytest -s tests/test_fuzz.py` sends more, and `FUZZ_SEED` changes them.
"""

import logging
import os
import re
import socket
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from http.client import HTTPResponse, RemoteDisconnected
from io import BytesIO
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import click
import pytest
from sqlalchemy import Engine, text
from werkzeug.datastructures import Headers
from werkzeug.test import create_environ, run_wsgi_app

from blog import demo
from blog.application import Blog
from blog.config import Config
from blog.database import session_factory
from blog.http.security_headers import security_headers
from blog.importing.run import import_path
from blog.operations import migration
from tests.conftest import SITE_URL
from tests.freshness import serve
from tests.fuzz import Answer, Fuzzer, Wanted
from tests.processes import PATIENCE, Server
from tests.wellformed import faults
from tests.wire import Wire

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "2000"))
SEED = int(os.environ.get("FUZZ_SEED", "4"))

pytestmark = [pytest.mark.long, pytest.mark.timeout(120 + REQUESTS / 20)]

#: Number of comments not pruned: a page with thousands would only be slow.
COMMENTS = 30


#: Headers of every response.
ALWAYS = Headers(security_headers(Config(site_url=SITE_URL, database="sqlite:///x")))


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A folder with public and hidden files."""
    names = ["picture.png", "drawing.svg", "notes.txt", "page.html", ".hidden", "folder/song.mp3"]
    for name in names:
        file = tmp_path / "media" / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    return tmp_path / "media"


@pytest.fixture
def filled(config: Config, engine: Engine, media: Path) -> Blog:
    """The blog of `threadleaf demo`, with a small page cache."""
    sessions = session_factory(engine)
    for _ in import_path(demo.HERE, sessions):
        pass
    with sessions() as db:
        demo.add_comments(db)
    config = replace(config, media=str(media), page_cache=1)
    return Blog(config, engine, migration.check(engine).secret)


def ask(app: Blog, wanted: Wanted) -> Answer:
    """Pass a request to the application as a server does."""
    environ = create_environ("/", SITE_URL, method=wanted.method)
    environ["PATH_INFO"] = wanted.path.decode("latin-1")
    environ["QUERY_STRING"] = wanted.query.decode("latin-1")
    environ["wsgi.input"] = BytesIO(wanted.body)
    environ["REMOTE_ADDR"] = wanted.sender
    for name, value in wanted.headers.items():
        key = name.upper().replace("-", "_")
        raw = value.encode("utf-8", "surrogatepass").decode("latin-1")
        environ[key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"] = raw
    body, status, headers = run_wsgi_app(app, environ, buffered=True)
    return Answer(int(status.split()[0]), list(headers), b"".join(body))


def differ(wanted: Wanted, one: Answer, other: Answer) -> bool:
    """Whether two responses differ in more than their dates.

    A page that the last change does not affect may have an earlier date. For two seconds after a
    change it has none. A cookie expires some seconds after its own response.
    """
    if {"If-Modified-Since", "If-Unmodified-Since"} & wanted.headers.keys():
        return False
    undated = ((each.status, list(_undated(each.headers)), each.body) for each in (one, other))
    return next(undated) != next(undated)


def _undated(headers: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for name, value in headers:
        if name != "Last-Modified":
            yield name, re.sub("Expires=[^;]*", "", value)


def test_any_request_gets_valid_response(filled: Blog, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    fuzzer = Fuzzer(SEED)
    statuses: Counter[int] = Counter()
    wrong: dict[str, str] = {}
    makes = Blog(replace(filled.config, page_cache=0), filled.engine, filled.secret)
    makes.page_cache.started = filled.page_cache.started
    for number in range(REQUESTS):
        wanted = fuzzer.request()
        answer = ask(filled, wanted)
        found = list(faults(wanted, answer, dict(ALWAYS)))
        found += [record.getMessage() for record in caplog.records]
        if wanted.method in {"GET", "HEAD"} and differ(wanted, ask(makes, wanted), answer):
            found.append("a newly rendered page differs")
        wrong.update({fault: str(wanted) for fault in found})
        caplog.clear()
        fuzzer.learn(wanted, answer)
        statuses[answer.status] += 1
        if number % 500 == 0:
            prune(filled)

    click.echo(f"\n{filled.engine.name}, {REQUESTS:,} in process: {sorted(statuses.items())}")
    assert not wrong, "\n".join(f"{fault}: {request}" for fault, request in wrong.items())
    assert {200, 303, 304, 400, 403, 404, 405, 422} <= set(statuses)


def prune(app: Blog) -> None:
    with app.engine.begin() as connection:
        connection.execute(
            text(
                "DELETE FROM comment WHERE id NOT IN (SELECT id FROM comment ORDER BY id LIMIT :n)"
            ),
            {"n": COMMENTS},
        )


def test_any_bytes_leave_server_running(filled: Blog) -> None:
    fuzzer, wire = Fuzzer(SEED), Wire(SEED)
    outcomes: Counter[int] = Counter()
    wrong: dict[str, str] = {}
    with serve(
        filled.config, THREADLEAF_SITE_URL=SITE_URL, THREADLEAF_MEDIA=filled.config.media
    ) as server:
        for number in range(max(200, REQUESTS // 10)):
            wanted = fuzzer.request()
            request, is_plain = wire.write(wanted)
            # Mutation may have changed the method.
            wanted = replace(wanted, method=request.split(b" ", 1)[0].decode("latin-1"))
            answer = parse(request, send(server, request, patience=PATIENCE if is_plain else 0.2))
            outcomes[answer.status if answer else 0] += 1
            found: list[str] = []
            if answer is None:
                found = ["there is no answer"] if is_plain else []
            elif not is_from_waitress(answer):
                found = list(faults(wanted, answer, dict(ALWAYS)))
                if is_plain:
                    fuzzer.learn(wanted, answer)
            wrong.update({fault: repr(request[:1_000]) for fault in found})
            if number % 500 == 0:
                prune(filled)
        click.echo(f"\n{outcomes.total():,} on connections: {sorted(outcomes.items())}")
        assert not wrong, "\n".join(f"{fault}: {request}" for fault, request in wrong.items())
        assert {200, 400, 404} <= set(outcomes)
        assert server.get("/healthz") == "ok\n"
        server.stop()
        code, _, logged = server.ended()
    assert code == 0
    assert " ERROR " not in logged


def send(server: Server, request: bytes, patience: float) -> bytes:
    """Send bytes on a new connection, and return everything received.

    :param patience: timeout for a server that waits for more, in seconds.
    """
    address = urlsplit(server.url)
    assert address.hostname is not None
    answer = b""
    with socket.create_connection((address.hostname, address.port or 80), patience) as client:
        # The server may respond before it has read everything.
        with suppress(ConnectionError, TimeoutError):
            client.sendall(request)
        with suppress(ConnectionError, TimeoutError):
            while part := client.recv(65_536):
                answer += part
    return answer


def parse(request: bytes, raw: bytes) -> Answer | None:
    """Return the first final response on a connection."""
    if not raw:
        return None
    response = HTTPResponse(
        cast("socket.socket", Received(raw)), method=request.split(b" ", 1)[0].decode("latin-1")
    )
    try:
        response.begin()
    except RemoteDisconnected:  # after "100 Continue"
        return None
    return Answer(response.status, response.getheaders(), response.read())


class Received:
    """Received bytes in place of a socket, for HTTPResponse."""

    def __init__(self, raw: bytes) -> None:
        self.makefile = lambda _mode: BytesIO(raw)


def is_from_waitress(answer: Answer) -> bool:
    """Whether waitress responded itself, in plain text, without calling the blog."""
    return (
        answer.mimetype == "text/plain"
        and answer.get("Content-Security-Policy") is None
        and answer.status in {400, 413, 431, 501, 505}
    )
