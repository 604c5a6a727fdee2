"""A real Apache with mod_wsgi, in daemon and in embedded mode."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.apache import Apache, daemon, embedded, hammer, missing, open_directory, python_home

pytestmark = [pytest.mark.apache, pytest.mark.timeout(120)]

SITE = Path(__file__).resolve().parents[1] / "deploy" / "apache" / "threadleaf.conf"

SCRIPT = """
import json, os, sys, time
import mod_wsgi

def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(0.05)
    body = json.dumps({
        "process": os.getpid(),
        "process_group": mod_wsgi.process_group,
        "application_group": mod_wsgi.application_group,
        "home": sys.prefix,
        "asked": os.environ.get("THREADLEAF_ASKED"),
        "authorization": environ.get("HTTP_AUTHORIZATION"),
        "multithread": environ["wsgi.multithread"],
        "multiprocess": environ["wsgi.multiprocess"],
    }).encode()
    start_response("200 OK", [("Content-Length", str(len(body))), ("ETag", '"tiny"')])
    return [body]
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    with open_directory() as path:
        yield path


@pytest.fixture
def script(directory: Path) -> Path:
    path = directory / "app" / "app.wsgi"
    path.parent.mkdir()
    path.write_text(SCRIPT, encoding="utf-8")
    reason = missing(path)
    if reason is not None:
        pytest.skip(reason)
    return path


def ask(
    url: str,
    method: str = "GET",
    body: bytes | None = None,
    *,
    source: str = "127.0.0.1",
    **headers: str,
) -> tuple[http.client.HTTPResponse, bytes]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(
        parts.hostname, parts.port, timeout=30, source_address=(source, 0)
    )
    try:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, parts.path or "/", body, names)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def answer(url: str) -> Any:
    return json.loads(ask(url)[1])


@pytest.mark.parametrize(("mode", "group"), [(daemon, "blog"), (embedded, "")])
def test_application_is_served_by_apache(
    directory: Path, script: Path, mode: Callable[..., str], group: str
) -> None:
    site = mode(script, processes=2, threads=15)
    with Apache(directory, site, {"THREADLEAF_ASKED": "yes"}) as apache:
        assert hammer([f"{apache.url}/", f"{apache.url}/slow"], total=200) == {200: 200}
        first = answer(apache.url)
        assert first | {"process": 0} == {
            "process": 0,
            "process_group": group,
            "application_group": "",
            "home": str(python_home()),
            "asked": "yes",
            "authorization": None,
            "multithread": True,
            "multiprocess": True,
        }
        busy = threading.Thread(target=hammer, args=([f"{apache.url}/slow"], 200))
        busy.start()
        seen = {answer(apache.url)["process"] for _ in range(60)}
        busy.join()
        assert len(seen) == 2
        assert "Traceback" not in apache.log()
    with pytest.raises(ConnectionRefusedError):
        ask(apache.url)


def test_invalid_apache_site_is_reported(directory: Path, script: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="Invalid command 'Nonsense'"),
        Apache(directory, "Nonsense On"),
    ):
        pass


def test_apache_site_file_serves(directory: Path, script: Path) -> None:
    (directory / "data").mkdir()
    site = SITE.read_text(encoding="utf-8")
    for ours, theirs in [
        ("/srv/threadleaf/venv", str(python_home())),
        ("/srv/threadleaf", str(directory)),
        ("user=threadleaf group=threadleaf ", ""),
        ("<VirtualHost *:80>", "<VirtualHost *:*>\nSetOutputFilter DEFLATE"),
    ]:
        assert ours in site
        site = site.replace(ours, theirs)
    with Apache(directory, site) as apache:
        assert answer(apache.url)["process_group"] == "threadleaf"
        response, body = ask(apache.url, Authorization="Bearer token", Accept_Encoding="identity")
        assert json.loads(body)["authorization"] == "Bearer token"
        compressed, _ = ask(apache.url, Accept_Encoding="gzip")
        assert compressed.headers["Content-Encoding"] == "gzip"
        assert compressed.headers["ETag"] == response.headers["ETag"] == '"tiny"'
        refused, _ = ask(apache.url, "POST", b"x" * (16 * 1024 * 1024 + 1))
        assert refused.status == 413
