"""No visitor receives a response made for another one, whatever a view reads."""

import ast
import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from itsdangerous import Signer
from sqlalchemy import Engine
from werkzeug import Request as WerkzeugRequest
from werkzeug import Response
from werkzeug.exceptions import HTTPException, Unauthorized
from werkzeug.test import TestResponse, create_environ
from werkzeug.utils import redirect, send_file

from blog.application import Blog
from blog.auth.guards import anyone
from blog.comments import commenter
from blog.comments.commenter import Person
from blog.config import Config
from blog.http import cookies
from blog.http.static_files import immutable_name
from blog.models import Comment
from blog.request import Request
from blog.urls import url_map
from tests.conftest import NOW, BlogClient, MakeEntry

ROOT = Path(__file__).parents[1]

HOUR_AGO = NOW - timedelta(hours=1)

#: An address for each endpoint; braces are filled in with ids.
ADDRESSES = {
    "reader.home": "/",
    "reader.blog": "/blog",
    "reader.archive": "/blog/archive",
    "reader.year": f"/blog/{HOUR_AGO:%Y}",
    "reader.month": f"/blog/{HOUR_AGO:%Y/%m}",
    "reader.tags": "/blog/tags",
    "reader.tag": "/blog/tag/tea",
    "reader.series": "/blog/series/none",
    "reader.entry": "/blog/a-title",
    "reader.page": "/about",
    "comments.add": "/blog/a-title/comments",
    "comments.receipt": "/blog/a-title/comments/{receipt}",
    "comments.reply": "/blog/a-title/reply/{comment}",
    "comments.privacy": "/blog/privacy",
    "search.results": "/blog/search?q=title",
    "search.description": "/blog/search.xml",
    "feeds.blog": "/blog/feed.atom",
    "feeds.tag": "/blog/tag/tea/feed.rss",
    "feeds.comments": "/blog/a-title/feed.json",
    "crawlers.sitemap": "/sitemap.xml",
    "crawlers.sitemap_part": "/sitemap-1.xml",
    "crawlers.robots": "/robots.txt",
    "health.healthz": "/healthz",
    "files.static": f"/static/{immutable_name('style.css')}",
    "files.media": "/media/notes.txt",
}

#: Headers that caches depend on.
HEADERS = ("Cache-Control", "Vary", "ETag", "Set-Cookie", "Content-Type", "Content-Length", "Age")


def test_every_endpoint_has_an_address() -> None:
    assert set(ADDRESSES) == {rule.endpoint for rule in url_map.iter_rules()}


def remembered(app: Blog, name: str) -> str:
    """Return the Cookie header of a remembered commenter."""
    request = Request(create_environ("/"), app.config, app.sessions, app.secret)
    response = Response()
    commenter.keep(request, response, Person(name, "", f"number-of-{name}"))
    return response.headers["Set-Cookie"].split(";")[0]


def seen(response: TestResponse) -> tuple[int, bytes, list[str | None]]:
    return response.status_code, response.data, [response.headers.get(name) for name in HEADERS]


@pytest.mark.parametrize("endpoint", sorted(ADDRESSES))
def test_visitors_get_their_own_pages(
    config: Config,
    engine: Engine,
    app: Blog,
    make_entry: MakeEntry,
    make_comment: Callable[..., Comment],
    tmp_path: Path,
    endpoint: str,
) -> None:
    comment = make_comment(make_entry(tags=("tea",)))
    make_entry("About", kind="page")
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "notes.txt").write_text("Notes.")
    config = replace(config, media=str(tmp_path / "media"))
    address = ADDRESSES[endpoint].format(
        comment=comment.id,
        receipt=Signer(app.secret, salt="receipt").sign(str(comment.id)).decode(),
    )
    mark = "&" if "?" in address else "?"
    visitors: dict[str, tuple[str, dict[str, str]]] = {
        "anybody": (address, {}),
        "anna": (address, {"Cookie": remembered(app, "Anna")}),
        "bob": (address, {"Cookie": remembered(app, "Bob")}),
        "a cookie of another application": (address, {"Cookie": "session=1"}),
        "credentials": (address, {"Authorization": "Bearer x"}),
        "another language": (address, {"Accept-Language": "de"}),
        "an undeclared parameter": (f"{address}{mark}preview=key", {}),
    }

    def ask(blog: Blog, visitor: str) -> tuple[int, bytes, list[str | None]]:
        path, headers = visitors[visitor]
        return seen(BlogClient(blog, use_cookies=False).get(path, headers=headers))

    uncached = Blog(replace(config, page_cache=0), engine, app.secret)
    expected = {visitor: ask(uncached, visitor) for visitor in visitors}
    for first in visitors:
        blog = Blog(config, engine, app.secret)
        for visitor in [first, *visitors, first]:
            assert ask(blog, visitor) == expected[visitor], f"{visitor}, after {first}"


# Views that read more than their key

READS: dict[str, Callable[[Request], object]] = {
    "a cookie": lambda request: request.cookies.get("session"),
    "a cookie as if it were ours": lambda request: request.our_cookie("session"),
    "a cookie of ours": lambda request: cookies.get(request, "theme"),
    "the languages": lambda request: request.accept_languages.best,
    "credentials": lambda request: request.authorization,
    "a header": lambda request: request.headers.get("X-Name"),
    "the environ": lambda request: request.environ["HTTP_X_NAME"],
    "the query string": lambda request: request.query_string,
    "the address": lambda request: request.full_path,
    "the client": lambda request: request.remote_addr,
}


def headers_of(name: str) -> dict[str, str]:
    """Return headers of a visitor, each with a value unique to the visitor."""
    return {
        "Cookie": f"session={name}",
        "Accept-Language": name,
        "X-Name": name,
        "User-Agent": name,
        "Referer": f"https://{name}.example/",
        "X-Forwarded-For": name,
        "Range": f"bytes={len(name)}-",
        "Accept": f"text/{name}",
        "Content-Type": f"text/{name}",
        "Pragma": name,
        "If-Match": f'"{name}"',
        "If-Range": f'"{name}"',
        "Cache-Control": f"max-age={len(name)}",
    }


def known(name: str) -> dict[str, str]:
    """Return headers that identify a visitor."""
    cookie = f"session={name}; __Host-threadleaf-theme={name}"
    return {**headers_of(name), "Cookie": cookie, "Authorization": f"Bearer {name}"}


def test_declared_parameters_are_cached(app: Blog) -> None:
    numbers = itertools.count()

    def view(request: Request) -> Response:
        read = request.args.get("page"), request.path, request.mount, request.config.title
        return Response(f"{next(numbers)} {read}")

    app.views["reader.blog"] = (anyone, view)

    def ask(page: int, name: str) -> TestResponse:
        headers = {**headers_of(name), "If-Match": "*"}
        return BlogClient(app, use_cookies=False).get(
            f"/blog?page={page}&x={name}", headers=headers
        )

    first, other, again = ask(1, "anna"), ask(2, "bob"), ask(1, "carl")

    assert first.data == again.data != other.data
    assert first.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("what", READS)
@pytest.mark.parametrize("headers", [headers_of, known])
@pytest.mark.parametrize("says", ["", "public, max-age=60"])
def test_personal_response_is_not_shared(
    app: Blog, what: str, headers: Callable[[str], dict[str, str]], says: str
) -> None:
    def view(request: Request) -> Response:
        page = Response(f"<p>For {READS[what](request)}</p>", mimetype="text/html")
        if says:
            page.headers["Cache-Control"] = says
        return page

    app.views["reader.archive"] = (anyone, view)
    shown = []
    # The first visitor sends none of these values, and the last is the second one again.
    for name in ("", "anna", "bob", "anna"):
        client = BlogClient(app, use_cookies=False)
        address = {"REMOTE_ADDR": name}
        given = {key: value for key, value in headers(name).items() if name}
        given.setdefault("X-Name", "")
        response = client.get(f"/blog/archive?{name}", headers=given, environ_base=address)

        shown.append(response.text)
        if name and (headers is known or what not in {"credentials", "a cookie of ours"}):
            assert name in response.text
        if name in response.text and name:
            assert response.headers["Cache-Control"] == "private, no-store", "despite the view"
            assert "ETag" not in response.headers
    assert "anna" not in shown[0] + shown[2]
    assert "bob" not in shown[3]


def test_view_gets_get_for_head(app: Blog) -> None:
    app.views["reader.archive"] = (anyone, lambda request: Response(request.method))
    client = BlogClient(app)

    head = client.head("/blog/archive")
    get = client.get("/blog/archive")
    assert (head.data, get.data) == (b"", b"GET")
    assert head.headers == get.headers


def test_conditional_response_is_not_cached(app: Blog) -> None:
    def view(request: Request) -> Response:
        return Response(f"{request.conditions.get('HTTP_RANGE')}")

    app.views["reader.archive"] = (anyone, view)
    for range_ in ("bytes=0-1", "bytes=2-3"):
        response = BlogClient(app).get("/blog/archive", headers={"Range": range_})
        assert response.text == range_


def test_form_by_get_is_private(app: Blog) -> None:
    app.views["reader.archive"] = (anyone, lambda request: Response(request.form["name"]))
    for name in ("anna", "bob"):
        response = BlogClient(app).get("/blog/archive", data={"name": name})
        assert response.text == name
        assert response.headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS", "BREW"])
def test_unsafe_method_skips_cache(client: BlogClient, method: str) -> None:
    for _ in range(2):
        assert client.open("/blog/archive", method=method).status_code in {204, 405}
        assert client.get("/blog/archive").status_code == 200


def test_only_status_200_is_cached(app: Blog) -> None:
    app.views["reader.archive"] = (anyone, lambda _request: Response("Gone.", 410))

    assert [BlogClient(app).get("/blog/archive").status_code for _ in range(2)] == [410, 410]


@pytest.mark.parametrize("says", ["private", "no-store", "max-age=60, private"])
def test_private_response_is_not_cached(app: Blog, says: str) -> None:
    numbers = itertools.count()

    def view(_request: Request) -> Response:
        return Response(f"{next(numbers)}", headers={"Cache-Control": says})

    app.views["reader.archive"] = (anyone, view)

    assert [BlogClient(app).get("/blog/archive").text for _ in range(2)] == ["0", "1"]


def test_undeclared_parameter_is_hidden(app: Blog, client: BlogClient) -> None:
    def view(request: Request) -> Response:
        return Response(f"<p>{request.args.get('sort')} {request.args.getlist('sort')}</p>")

    app.views["reader.archive"] = (anyone, view)

    assert client.get("/blog/archive?sort=title").text == "<p>None []</p>"


def test_cookie_makes_response_private(app: Blog) -> None:
    numbers = itertools.count()

    def view(_request: Request) -> Response:
        response = Response("<p>Hello</p>", mimetype="text/html")
        response.headers["Cache-Control"] = "public"
        response.set_cookie("session", str(next(numbers)))
        return response

    app.views["reader.archive"] = (anyone, view)
    responses = [BlogClient(app).get("/blog/archive") for _ in range(2)]

    assert [each.headers["Set-Cookie"][:9] for each in responses] == ["session=0", "session=1"]
    assert {each.headers["Cache-Control"] for each in responses} == {"private, no-store"}


def test_streamed_response_is_private(app: Blog) -> None:
    """It may read the request while it is sent."""

    def view(request: Request) -> Response:
        def body() -> Iterator[str]:
            yield f"For {request.headers['X-Name']}"

        return Response(body(), headers={"Cache-Control": "public, max-age=60"})

    app.views["reader.archive"] = (anyone, view)
    for name in ("anna", "bob"):
        response = BlogClient(app).get("/blog/archive", headers={"X-Name": name})
        assert response.text == f"For {name}"
        assert response.headers["Cache-Control"] == "private, no-store"


def test_file_is_not_cached(app: Blog, tmp_path: Path) -> None:
    """The version of the database does not cover files."""
    file = tmp_path / "file.txt"
    app.views["reader.archive"] = (
        anyone,
        lambda request: send_file(file, request.file_wrapper, conditional=False),
    )
    for content in ("one", "two"):
        file.write_text(content)
        assert BlogClient(app).get("/blog/archive").text == content


# Identified visitors


@pytest.mark.parametrize(
    "headers", [{"Authorization": "Bearer x"}, {"Cookie": "a=b; __Host-threadleaf-session=x"}]
)
def test_known_visitor_skips_cache(app: Blog, headers: dict[str, str]) -> None:
    numbers = itertools.count()
    app.views["reader.archive"] = (anyone, lambda _request: Response(f"{next(numbers)}"))

    def ask(**options: Any) -> str:
        return BlogClient(app, use_cookies=False).get("/blog/archive", **options).text

    assert [ask(headers=headers), ask(), ask(headers=headers), ask(), ask()] == [*"01211"]


TOKEN = {"Authorization": "Bearer secret"}
ORDERS = sorted(set(itertools.permutations(["no", "no", "token", "token"])))


@pytest.mark.parametrize("asked", ["as is", "/Blog/Archive/"])
@pytest.mark.parametrize("order", ORDERS)
def test_guarded_section_is_not_cached(app: Blog, order: tuple[str, ...], asked: str) -> None:
    """The section alone decides, even if the guard reads nothing that is recorded."""
    holders: list[bool] = []

    def guard(_request: Request) -> None:
        if not holders[-1]:
            raise Unauthorized

    def view(_request: Request) -> Response:
        return Response("The secret.", headers={"Cache-Control": "public, max-age=60"})

    app.views["reader.archive"] = (guard, view)
    app.views["reader.tags"] = (guard, lambda _request: redirect("/blog", 302))
    path = "/blog/archive" if asked == "as is" else asked
    for who in order:
        holders.append(who == "token")
        response = BlogClient(app).get(path, headers=TOKEN if who == "token" else {})
        secret = BlogClient(app).get("/blog/tags")

        if asked == "as is":
            assert response.status_code == (200 if who == "token" else 401)
            assert ("The secret." in response.text) == (who == "token")
        for each in (response, secret):
            assert each.headers["Cache-Control"] == "private, no-store"


# Every attribute is recorded


QUERIES = st.lists(
    st.sampled_from(
        [*"=&;+%", "page", "q", "tag", "year", "sort", "%70", "%3D", "%26", "%C3", "%BC", "ü", "1"]
    ),
    max_size=12,
).map("".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(query=QUERIES, path=st.sampled_from(["/blog", "/blog/search", "/blog/tags", "/nowhere"]))
@example(query="page=1&page=2", path="/blog")
def test_view_parameters_are_in_key(app: Blog, query: str, path: str) -> None:
    environ = create_environ(path)
    environ["QUERY_STRING"] = query.encode().decode("latin-1")
    key = app.page_cache.key_of(environ)
    request = Request(environ, app.config, app.sessions, app.secret)
    request.endpoint, _ = request.urls.match()

    if key is not None:
        assert request.args.to_dict(flat=False) == {name: [value] for name, value in key[2]}
    assert not request.is_private


def test_all_of_request_is_recorded(app: Blog) -> None:
    """All attributes of Werkzeug's Request, in any version."""

    def made(name: str, method: str, scheme: str, host: str) -> Request:
        address = {"REMOTE_ADDR": name, "REMOTE_USER": name}
        environ = create_environ(
            "/blog",
            f"{scheme}://{host}/",
            name,
            method=method,
            headers=headers_of(name),
            environ_base=address,
        )
        assert app.page_cache.key_of(environ) == ("", "/blog", ())
        return Request(environ, app.config, app.sessions, app.secret)

    def read(request: Request, name: str) -> str:
        try:
            found = getattr(request, name)
        except (AttributeError, HTTPException) as error:
            return str(error)
        return "" if callable(found) else repr(found)

    names = {*dir(Request), *dir(WerkzeugRequest), *vars(made("bob", "GET", "http", "localhost"))}
    unnoticed = set()
    for name in sorted(name for name in names if not name.startswith("_")):
        requests = [
            made("bob", "GET", "http", "localhost"),
            made("anna", "HEAD", "https", "127.0.0.1"),
        ]
        differs = len({read(request, name) for request in requests}) > 1
        noted = all(request.is_private or request.is_conditional for request in requests)
        for request in requests:
            request.close()
        if differs and not noted:
            unnoticed.add(name)

    # The moment is in CachedResponse.moments; the others differ only by identity.
    assert unnoticed == {"now", "urls", "db"}


def test_request_method_lookup_is_recorded(app: Blog) -> None:
    own = set(dir(Request))
    for name in sorted(set(dir(WerkzeugRequest)) - own):
        request = Request(create_environ("/blog"), app.config, app.sessions, app.secret)
        if name.startswith("_"):
            with pytest.raises(AttributeError):
                getattr(request, name)
        else:
            with suppress(HTTPException):
                getattr(request, name)
            assert request.is_private, name


def test_only_recorder_knows_werkzeug_request() -> None:
    for path in ROOT.glob("blog/**/*.py"):
        if path.name == "request.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                is_inside = node.value.id == "request" and node.attr.startswith("_")
                assert not is_inside, f"{path}:{node.lineno} reads request.{node.attr}"
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("werkzeug"):
                assert "Request" not in {alias.name for alias in node.names}, path
    for path in ROOT.glob("templates/**/*.html"):
        assert not re.search(r"request\s*(\.\s*|\[\s*['\"])_", path.read_text("utf-8")), path
