"""The protocol: hosts, methods, respelled addresses, headers of every response."""

import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from werkzeug.test import create_environ, run_wsgi_app

from blog.application import Blog
from blog.config import Config
from blog.entries.redirects import redirect_from
from blog.http.hosts import OwnHosts
from tests.conftest import BlogClient, MakeEntry

HTML = "text/html; charset=utf-8"


@pytest.mark.parametrize(
    "host",
    [
        *("blog.example", "BLOG.example:8080", "blog.example.", "www.blog.example", "localhost:1"),
        *("127.0.0.1", "192.168.1.5:8080", "[::1]", "[2001:db8::1]:80", ""),
    ],
)
def test_own_hosts_are_served(config: Config, host: str) -> None:
    assert host in OwnHosts(replace(config, hosts="www.blog.example other.example"))


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "blog.example.evil.example", "blog.example@evil.example", "a b<>"),
        *("blog.example,evil.example", "blog.example/", "blog.example/x", "blog.example?x"),
        *("blog.example\t", "blog.example:x", "[::1", "[evil]", "127.0.0.1.nip.example", ":80"),
    ],
)
def test_other_hosts_are_refused(config: Config, host: str) -> None:
    hosts = OwnHosts(config)

    assert host not in hosts
    assert host not in hosts, "nor on a second look-up"


@given(host=st.text(max_size=40))
def test_any_host_is_handled(host: str) -> None:
    hosts = OwnHosts(Config(database="sqlite:///x"))

    assert (host in hosts) == (host in hosts)


def test_misdirected_request_names_host(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry()
    client.get("/blog")
    for path in ("/blog", "/healthz", "/nowhere"):
        response = client.get(path, headers={"Host": "evil.example"})
        assert response.status_code == 421
        assert "https://blog.example" in response.text
        assert not re.search(r'(href|action|src)="[^"]*evil', response.text)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/blog", "GET, HEAD, OPTIONS"),
        ("/blog/any/comments", "OPTIONS, POST"),
        ("/healthz", "GET, HEAD, OPTIONS"),
    ],
)
def test_options_lists_methods(client: BlogClient, path: str, allowed: str) -> None:
    response = client.options(path)

    assert (response.status_code, response.headers["Allow"]) == (204, allowed)


@pytest.mark.parametrize(
    ("asked", "location"),
    [
        ("/blog/", "/blog"),
        ("/Blog", "/blog"),
        ("/BLOG.HTML/", "/blog"),
        ("/blog/a-title/", "/blog/a-title"),
        ("/Blog/A-Title/?x=Y&x=z", "/blog/a-title?x=Y&x=z"),
        ("/blog/archive/?a=b&a=c", "/blog/archive?a=b&a=c"),
        # Parameter names of the code itself.
        ("/blog/tag/tea/?slug=x&endpoint=y&self=z", "/blog/tag/tea?slug=x&endpoint=y&self=z"),
        ("/blog/Ünde/", "/blog/%C3%BCnde"),
        ("/About//", "/about"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/journal"])
def test_respelled_address_redirects_once(
    client: BlogClient, make_entry: MakeEntry, asked: str, location: str, prefix: str
) -> None:
    make_entry(tags=("tea",))
    make_entry("Ünde", slug="ünde")
    make_entry("About", kind="page")
    response = client.get(asked, base_url=f"http://localhost{prefix}")

    assert (response.status_code, response.location) == (308, prefix + location)
    final = client.get(asked, base_url=f"http://localhost{prefix}", follow_redirects=True)
    assert (final.status_code, len(final.history)) == (200, 1)


@pytest.mark.parametrize(
    "asked", ["/blog/none/", "/Nowhere", "/BLOG/TAG/NONE", "/Healthz/x", "//Nowhere"]
)
def test_missing_address_is_not_redirected(client: BlogClient, asked: str) -> None:
    environ = create_environ("/")
    environ["PATH_INFO"] = asked
    _, status, headers = run_wsgi_app(client.application, environ, buffered=True)

    assert status[:3] == "404"
    assert "Location" not in headers


@pytest.mark.parametrize(
    ("path", "status"),
    [("/blog", 200), ("/nowhere", 404), ("/", 302), ("/Blog", 308), ("/blog?x=%FF", 400)],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_every_response_is_safe(
    config: Config, engine: Engine, client: BlogClient, path: str, status: int, method: str
) -> None:
    response = client.open(path, method=method)

    if method in {"GET", "HEAD"}:
        assert response.status_code == status
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    # The test blog's address has https.
    assert "max-age" in response.headers["Strict-Transport-Security"]
    plain = BlogClient(Blog(replace(config, site_url="http://blog.example"), engine, "s"))
    assert "Strict-Transport-Security" not in plain.get("/blog").headers


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    none_match=st.sampled_from(["", "*", "W/{}", "{}", '"x", {}', '"x"', "{}-gzip", "x"]),
    accepted=st.sampled_from(["", "gzip", "br;q=0, *", "identity;q=0"]),
)
def test_matching_etag_gets_304(
    client: BlogClient, make_entry: MakeEntry, none_match: str, accepted: str
) -> None:
    if client.get("/blog/a-title").status_code == 404:
        make_entry()
    headers = {"Accept-Encoding": accepted}
    etag = client.get("/blog", headers=headers).headers["ETag"]
    condition = {"If-None-Match": none_match.format(etag)} if none_match else {}
    matches = none_match not in {"", '"x"', "{}-gzip", "x"}
    for method in ("GET", "HEAD"):
        response = client.open("/blog", method=method, headers={**headers, **condition})
        assert response.status_code == (304 if matches else 200)
        assert response.headers["ETag"] == etag
        if matches:
            assert "Content-Length" not in response.headers
            kept = {"Cache-Control", "Vary", "Content-Security-Policy"}
            assert kept <= set(response.headers.keys())


def test_failed_precondition_gets_412(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry()
    etag = client.get("/blog").headers["ETag"]

    assert client.get("/blog", headers={"If-Match": etag}).status_code == 200
    assert client.get("/blog", headers={"If-Match": '"other"'}).status_code == 412


def test_page_ignores_range(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry()
    response = client.get("/blog", headers={"Range": "bytes=0-9"})

    assert response.status_code == 200
    assert response.content_type == HTML


def test_redirects_are_not_permanent(
    client: BlogClient, db: Session, make_entry: MakeEntry
) -> None:
    entry = make_entry(slug="now")
    assert redirect_from(db, entry, "/2015/03/then/") is None
    assert redirect_from(db, entry, "/?p=7") is None
    db.commit()

    for path in ("/", "/2015/03/then/", "/?p=7", "/Blog/Now/", "/blog/now/"):
        response = client.get(path)
        assert response.status_code in {301, 302, 308}, path
        assert response.cache_control.no_cache or response.cache_control.no_store
