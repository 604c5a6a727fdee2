"""The URL map, and a crawl of every link that the blog generates."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from urllib.parse import urldefrag, urljoin, urlsplit

import pytest
from lxml import etree, html

from blog.application import resolve
from blog.auth.guards import GUARDS
from blog.models import Comment
from blog.urls import url_map
from tests.conftest import NOW, SITE_URL, BlogClient, MakeEntry


@pytest.mark.parametrize("endpoint", sorted({rule.endpoint for rule in url_map.iter_rules()}))
def test_endpoints_have_view_and_guard(endpoint: str) -> None:
    guard, view = resolve(endpoint)

    assert f"{view.__module__}.{view.__name__}" == f"blog.views.{endpoint}"
    assert guard is GUARDS[endpoint.split(".")[0]]


@pytest.mark.parametrize("endpoint", ["reader.entri", "nowhere.entry"])
def test_misspelt_endpoint_stops_start(endpoint: str) -> None:
    with pytest.raises((AttributeError, KeyError)):
        resolve(endpoint)


def links(text: str) -> Iterator[str]:
    """Yield the links of a page, feed or sitemap, without those in bodies by authors."""
    if text.startswith("<?xml"):
        root = etree.fromstring(text.encode())
        yield from root.xpath("//*[local-name() = 'loc' or local-name() = 'link']/text()")
        yield from root.xpath("//*[local-name() = 'link']/@href")
        return
    page = html.document_fromstring(text)
    for body in page.xpath("//*[contains(concat(' ', @class, ' '), ' e-content ')]"):
        body.getparent().remove(body)
    yield from page.xpath("//@href | //@src | //meta[@property='og:url']/@content")


def crawl(client: BlogClient, start: str = "/") -> dict[str, int]:
    """Follow every internal link, and return the final status of each address."""
    seen: dict[str, int] = {}
    waiting = [SITE_URL + start, SITE_URL + "/sitemap.xml", SITE_URL + "/robots.txt"]
    while waiting:
        address = urldefrag(waiting.pop()).url
        if address in seen or not address.startswith(SITE_URL):
            continue
        parts = urlsplit(address)
        response = client.get(
            parts.path, query_string=parts.query, base_url=SITE_URL, follow_redirects=True
        )
        seen[address] = response.status_code
        if response.mimetype in {"text/html", "application/xml", "application/atom+xml"}:
            waiting += [urljoin(address, link) for link in links(response.text)]
    return seen


def test_links_lead_somewhere(
    client: BlogClient, make_entry: MakeEntry, make_comment: Callable[..., Comment]
) -> None:
    for number in range(45):
        entry = make_entry(
            f"Entry {number}",
            slug=f"entry-{number}" if number % 2 else f"наступ-{number}",
            tags=("tea", "c++ & ☕") if number % 3 else (),
            timestamp=NOW - timedelta(days=20 * number, hours=1),
            featured=number == 40,
        )
        make_comment(entry, website="https://example.org/")
    make_entry("About", kind="page")
    make_entry("Draft", state="draft")

    found = crawl(client)
    assert {address: status for address, status in found.items() if status != 200} == {}
    for path in ("/blog", "/about", "/blog?page=5", "/blog/entry-43", "/blog/tags"):
        assert SITE_URL + path in found
    assert any(address.endswith(".css") for address in found)
    assert len(found) > 150


def test_sitemap_lists_visible_pages(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry()
    make_entry("About", kind="page")
    make_entry("Draft", state="draft")

    root = etree.fromstring(client.get("/sitemap.xml").data)
    assert [loc.text for loc in root.iter("{*}loc")] == [
        f"{SITE_URL}{path}" for path in ("/blog", "/blog/a-title", "/about")
    ]
    assert client.get("/sitemap-1.xml").data == client.get("/sitemap.xml").data
    assert client.get("/sitemap-2.xml").status_code == 404


def test_robots_name_sitemap(client: BlogClient) -> None:
    assert f"Sitemap: {SITE_URL}/sitemap.xml" in client.get("/robots.txt").text


def test_static_file_is_immutable(client: BlogClient) -> None:
    page = html.document_fromstring(client.get("/blog").text)
    (address,) = page.xpath("//link[@rel='stylesheet']/@href")
    response = client.get(address)

    assert response.mimetype == "text/css"
    assert response.cache_control.immutable
    assert response.cache_control.max_age == 31_536_000
    assert client.get("/static/style.css").status_code == 404
    etag = response.headers["ETag"]
    assert client.get(address, headers={"If-None-Match": etag}).status_code == 304


def test_health(client: BlogClient) -> None:
    response = client.get("/healthz")

    assert (response.status_code, response.text) == (200, "ok\n")
    assert response.headers["Cache-Control"] == "no-store"
