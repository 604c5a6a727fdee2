"""Invalid requests: the right status, a page, and never a 500."""

import sqlite3
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from werkzeug.test import create_environ, run_wsgi_app

from blog.application import Blog
from blog.request import MARK
from tests.conftest import BlogClient, MakeEntry

FORM = "application/x-www-form-urlencoded"


def get(app: Blog, path: bytes, query: bytes = b"") -> tuple[str, str]:
    """Request the bytes of a target, decoded as a server passes them to the application."""
    environ = create_environ("/")
    environ["PATH_INFO"] = path.decode("latin-1")
    environ["QUERY_STRING"] = query.decode("latin-1")
    body, status, _ = run_wsgi_app(app, environ, buffered=True)
    return status, b"".join(body).decode()


@pytest.mark.parametrize("path", [b"/blog/\xff\xfe", b"/\xc3", b"/blog/tag/\xed\xa0\x80"])
def test_path_not_utf8(app: Blog, path: bytes) -> None:
    status, page = get(app, path)

    assert status == "400 BAD REQUEST"
    assert "not UTF-8" in page


@pytest.mark.parametrize("query", [b"page=%FF", b"page=\xff", b"%C3=1"])
def test_query_not_utf8(app: Blog, query: bytes) -> None:
    assert get(app, b"/blog", query)[0] == "400 BAD REQUEST"


@pytest.mark.parametrize("query", [b"page=1%00", b"page=1&x=%00", b"%00"])
def test_nul_in_query_is_dropped(app: Blog, query: bytes) -> None:
    assert get(app, b"/blog", query)[0] == "200 OK"


def test_nul_in_old_address(client: BlogClient) -> None:
    for query in ("p=%00", "p=1%002", "page_id=\0"):
        assert client.get(f"/blog/nothing?{query}").status_code == 404


@pytest.mark.parametrize("path", [b"/blog/a\0b", b"/\0", b"/static/a\0.css"])
def test_nul_in_path(app: Blog, path: bytes) -> None:
    status, page = get(app, path)

    assert status == "400 BAD REQUEST"
    assert "NUL" in page


@pytest.mark.parametrize("part", ["0", "50001", "9" * 30])
def test_sitemap_part_out_of_range(client: BlogClient, part: str) -> None:
    assert client.get(f"/sitemap-{part}.xml").status_code == 404


def test_slug_of_5000_characters(client: BlogClient) -> None:
    for path in ("/blog/" + "x" * 5000, "/blog/tag/" + "ü" * 5000, "/" + "x" * 5000):
        assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        b"/blog/../../etc/passwd",
        b"/static/../config.py",
        b"//evil.example",
        b"//evil.example/blog/",
    ],
)
def test_path_traversal(app: Blog, path: bytes) -> None:
    assert get(app, path)[0] == "404 NOT FOUND"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"])
def test_method_not_allowed(client: BlogClient, method: str) -> None:
    response = client.open("/blog", method=method)

    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


def test_get_on_form_address(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry()
    response = client.get("/blog/a-title/comments")

    assert response.status_code == 405
    assert response.headers["Allow"] == "OPTIONS, POST"


def send(client: BlogClient, body: bytes, content_type: str = FORM) -> tuple[int, str]:
    response = client.post("/blog/a-title/comments", data=body, content_type=content_type)
    return response.status_code, response.text


def test_form_without_length(app: Blog) -> None:
    environ = create_environ("/blog/a-title/comments", method="POST", content_type=FORM)
    environ["wsgi.input"] = BytesIO(b"text=hello")
    environ.pop("CONTENT_LENGTH", None)
    _, status, _ = run_wsgi_app(app, environ, buffered=True)

    assert status == "411 LENGTH REQUIRED"


@pytest.mark.parametrize("length", ["-5", "ten", "", "1e3"])
def test_form_with_invalid_length(app: Blog, length: str) -> None:
    environ = create_environ("/blog/a-title/comments", method="POST", content_type=FORM)
    environ["CONTENT_LENGTH"] = length
    _, status, _ = run_wsgi_app(app, environ, buffered=True)

    assert status.startswith(("400", "411", "403"))


def test_form_truncated(app: Blog) -> None:
    environ = create_environ("/blog/a-title/comments", method="POST", content_type=FORM)
    environ["wsgi.input"] = BytesIO(b"text=hel")
    environ["CONTENT_LENGTH"] = "100"
    _, status, _ = run_wsgi_app(app, environ, buffered=True)

    assert status == "400 BAD REQUEST"


def test_form_too_large(client: BlogClient) -> None:
    status, page = send(client, b"text=" + b"x" * 300_000)

    assert status == 413
    assert "300,005 bytes" in page


def test_form_with_10000_fields(client: BlogClient) -> None:
    status, page = send(client, b"&".join(b"f%d=1" % n for n in range(10_000)))

    assert status == 413
    assert "10,000 fields" in page


@pytest.mark.parametrize(
    "content_type", ["application/json", "multipart/form-data; boundary=x", "text/plain", ""]
)
def test_body_of_wrong_type(client: BlogClient, content_type: str) -> None:
    assert send(client, b"text=hello", content_type)[0] == 415


@pytest.mark.parametrize("body", [b"text=%FF", b"text=\xff", b"text=a%00b", b"%C3%28=x"])
def test_form_not_utf8(client: BlogClient, body: bytes) -> None:
    assert send(client, body)[0] == 400


@pytest.mark.parametrize(
    "cookie",
    [
        f"{MARK}-flash=x",
        f"{MARK}-flash=W10.x",
        f"{MARK}-flash=%00",
        f"{MARK}-flash=\xff",
        "=x; ;",
    ],
)
def test_foreign_cookie(client: BlogClient, make_entry: MakeEntry, cookie: str) -> None:
    make_entry()

    assert client.get("/blog", headers={"Cookie": cookie}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"If-None-Match": '"' * 100},
        {"If-Modified-Since": "yesterday"},
        {"Range": "bytes=5-1"},
        {"Accept-Encoding": ";;;q=x"},
        {"Content-Type": ";" * 1000},
    ],
)
def test_malformed_header(client: BlogClient, headers: dict[str, str]) -> None:
    assert client.get("/blog", headers=headers).status_code == 200


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(path=st.binary(max_size=60), query=st.binary(max_size=60))
def test_any_address_gets_a_response(app: Blog, path: bytes, query: bytes) -> None:
    for prefix in (b"/", b"/blog/", b"/static/"):
        status = get(app, prefix + path, query)[0]
        assert status[:3] in {"200", "301", "302", "308", "400", "404", "405"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(body=st.binary(max_size=200), content_type=st.sampled_from([FORM, "", "text/plain"]))
def test_any_form_gets_a_response(client: BlogClient, body: bytes, content_type: str) -> None:
    assert send(client, body, content_type)[0] in {400, 403, 411, 413, 415, 404}


def test_database_breaks_while_serving(app: Blog, engine: Engine, make_entry: MakeEntry) -> None:
    make_entry()
    client = BlogClient(app)
    assert client.get("/blog").status_code == 200
    with sqlite3.connect(str(engine.url.database)) as shell:
        shell.execute("ALTER TABLE entry RENAME TO elsewhere")
    shell.close()

    response = client.get("/blog/archive")
    assert response.status_code == 503
    assert "cannot reach its database" in response.text
    assert client.get("/healthz").status_code == 200


def test_database_file_is_overwritten(app: Blog, engine: Engine, make_entry: MakeEntry) -> None:
    make_entry()
    engine.dispose()
    Path(str(engine.url.database)).write_bytes(b"not a database at all" * 1000)

    for path in ("/blog", "/blog/a-title", "/healthz"):
        assert BlogClient(app).get(path).status_code == 503
