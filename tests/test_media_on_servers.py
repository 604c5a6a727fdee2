"""Files and ranges on waitress, wsgiref and Apache: the bytes, and that all is closed."""

import http.client
import random
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.apache import Apache, daemon, embedded, missing, open_directory
from tests.processes import PATIENCE, ROOT, Server, environment, start

SCRIPT = '''
"""The blog, with a hook that counts what the server has closed."""

import sys
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from blog.application import create_app
from blog.config import Config
from blog.server import listen, serve
from blog.server.limits import Limits
from pool.sessions import ClosingHook

config = Config.load(Path(__file__).with_name("threadleaf.toml"), {})
blog = create_app(config)
closed = []


def application(environ, start_response):
    if environ["PATH_INFO"] == "/closed":
        start_response("200 OK", [("Content-Length", "6")])
        return [b"%6d" % len(closed)]
    if not environ["PATH_INFO"].startswith("/media/"):
        return blog(environ, start_response)
    hook = ClosingHook(environ)
    return hook.attach(blog(environ, start_response), lambda: closed.append(True))


class Server(ThreadingMixIn, WSGIServer):
    pass


class Handler(WSGIRequestHandler):
    def log_message(self, format, *values):
        "Write nothing: a pipe of Windows takes 4 KiB, and the next request would wait."


def announce(url):
    print(url, flush=True)


if sys.argv[-1:] == ["waitress"]:
    serve(application, listen("127.0.0.1", 0), Limits.of(config), on_ready=announce)
if sys.argv[-1:] == ["wsgiref"]:
    server = make_server("127.0.0.1", 0, application, Server, Handler)
    announce(f"http://127.0.0.1:{server.server_port}")
    server.serve_forever()
'''

FILES = {
    f"{size}.bin": random.Random(size).randbytes(size)
    for size in (0, 1, 1000, 17 * 1024 * 1024 + 3)
}

RANGES = [
    None,
    *("bytes=0-0", "bytes=5-", "bytes=-7", "bytes=-0", "bytes=999-1000", "bytes=1000-"),
    *("bytes=0-99999999", "bytes=-99999999", "bytes=99999999-", "bytes=16777210-16777220"),
    *("bytes=7-5", "lines=0-1"),  # not several ranges, which Apache cuts from a whole file itself
]


@pytest.fixture
def script() -> Iterator[Path]:
    with open_directory() as folder:
        for name in ("blog", "pool", "templates"):
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / "app" / name, ignore=ignore)
        script = folder / "app" / "app.wsgi"
        script.write_text(SCRIPT, encoding="utf-8")
        (folder / "data").mkdir()
        script.with_name("threadleaf.toml").write_text(
            f"database = '{folder / 'data' / 'blog.db'}'\nmedia = '{folder / 'media'}'\n",
            encoding="utf-8",
        )
        (folder / "media").mkdir()
        for name, content in FILES.items():
            (folder / "media" / name).write_bytes(content)
        yield script


def of_its_own(kind: str) -> Callable[[Path, ExitStack], str]:
    def serve(script: Path, running: ExitStack) -> str:
        command = [sys.executable, script, kind]
        environ = environment(PYTHONPATH=script.parent)
        return running.enter_context(Server(start(command, environ=environ))).url

    return serve


def on_apache(mode: Callable[..., str]) -> Callable[[Path, ExitStack], str]:
    def serve(script: Path, running: ExitStack) -> str:
        if reason := missing(script):
            pytest.skip(reason)
        site = mode(script, processes=1, threads=4)
        return running.enter_context(Apache(script.parent.parent, site)).url

    return serve


def expected(method: str, content: bytes, asked: str | None) -> tuple[int, bytes, str | None]:
    """Return status, body and Content-Range, by https://www.rfc-editor.org/rfc/rfc9110#section-14."""
    size = len(content)
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", asked or "")
    if method == "HEAD" or not size or not found:
        return 200, content, None
    first, last = found.groups()
    positions = range(size)
    if first and last and int(first) > int(last):
        return 200, content, None
    if first:
        wanted = positions[int(first) : int(last) + 1 if last else None]
    else:
        wanted = positions[-int(last) :] if int(last) else positions[:0]
    if not wanted:
        return 416, b"", f"bytes */{size}"
    part = content[wanted[0] : wanted[-1] + 1]
    return 206, part, f"bytes {wanted[0]}-{wanted[-1]}/{size}"


def closed(connection: http.client.HTTPConnection) -> int:
    connection.request("GET", "/closed")
    return int(connection.getresponse().read())


@pytest.mark.parametrize(
    "serve",
    [
        pytest.param(of_its_own("waitress"), id="waitress"),
        pytest.param(of_its_own("wsgiref"), id="wsgiref"),
        pytest.param(on_apache(daemon), id="apache", marks=pytest.mark.apache),
        pytest.param(on_apache(embedded), id="embedded", marks=pytest.mark.apache),
    ],
)
def test_file_wrapper_sends_and_closes(
    script: Path, migrated: Path, serve: Callable[[Path, ExitStack], str]
) -> None:
    shutil.copy(migrated, script.parent.parent / "data" / "blog.db")
    with ExitStack() as running:
        url = serve(script, running)
        parts = urlsplit(url)
        assert parts.hostname
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE)
        running.callback(connection.close)
        asked = 0
        for name, content in FILES.items():
            for method in ("GET", "HEAD"):
                for wanted in RANGES:
                    headers = {"Range": wanted} if wanted else {}
                    connection.request(method, f"/media/{name}", headers=headers)
                    response = connection.getresponse()
                    body = response.read()
                    asked += 1
                    status, part, content_range = expected(method, content, wanted)
                    case = (method, name, wanted)
                    assert (response.status, response.headers["Content-Range"]) == (
                        status,
                        content_range,
                    ), case
                    if status == 416:
                        continue
                    length = response.headers["Content-Length"]
                    # Apache omits a length of 0 in a response to HEAD.
                    assert (length or "0") == str(len(part)), case
                    assert body == (part if method == "GET" else b""), case
        # Waitress closes a file after sending its last byte.
        deadline = time.monotonic() + PATIENCE
        while closed(connection) < asked and time.monotonic() < deadline:
            time.sleep(0.05)
        assert closed(connection) == asked
