"""The feeds are valid and whole, with absolute URLs and permanent ids."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import feedparser
import pytest
from lxml import etree, html
from sqlalchemy.orm import Session

from blog.models import Comment
from tests.conftest import SITE_URL, BlogClient, MakeEntry

#: The grammar of RFC 4287, whose appendix B has it in the compact syntax.
RFC_4287 = etree.RelaxNG(etree.parse(Path(__file__).with_name("atom.rng")))

BODY = """Read [the other](other), [below](#end) and [away](https://example.org/x?a=b&c=d).

![A picture](/media/p.png)

## The end {#end}

Control \x0b characters, ]]> and <b>bold</b> & more.[^1]

[^1]: A note.
"""

ADDRESSES = ["/blog/feed", "/blog/tag/tea/feed", "/blog/a-title/feed"]


@pytest.fixture
def _blog(make_entry: MakeEntry, make_comment: Callable[..., Comment]) -> None:
    make_entry("Empty", body="", author="Ann", summary="In *short* <b>& good</b>")
    entry = make_entry(body=BODY, tags=("tea",))
    make_comment(entry, "One\x0b & <two>", name="Ann <ann@example.org>")
    make_comment(entry, "Seed", created=None)


def get(client: BlogClient, address: str, format: str) -> str:
    response = client.get(f"{address}.{format}")
    assert response.status_code == 200
    expected = {"atom": "application/atom+xml", "rss": "application/rss+xml"}
    assert response.mimetype == expected.get(format, "application/feed+json")
    return response.text


@pytest.mark.usefixtures("_blog")
@pytest.mark.parametrize("address", ADDRESSES)
def test_atom_feed_is_valid(client: BlogClient, address: str) -> None:
    RFC_4287.assertValid(etree.fromstring(get(client, address, "atom").encode()))


@pytest.mark.usefixtures("_blog")
@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("format", ["atom", "rss"])
def test_feedparser_accepts_feeds(client: BlogClient, address: str, format: str) -> None:
    parsed = feedparser.parse(get(client, address, format).encode())

    assert not parsed.bozo
    assert parsed.entries
    assert all(entry.id.startswith("urn:uuid:") for entry in parsed.entries)


def test_empty_feeds_are_valid(client: BlogClient) -> None:
    RFC_4287.assertValid(etree.fromstring(get(client, "/blog/feed", "atom").encode()))
    assert not feedparser.parse(get(client, "/blog/feed", "rss").encode()).bozo


def contents(client: BlogClient, address: str) -> dict[str, list[str]]:
    """Return the whole text of each item by format, newest first."""
    return {
        "atom": [
            entry.content[0].value
            for entry in feedparser.parse(
                get(client, address, "atom").encode(), sanitize_html=False
            ).entries
        ],
        "rss": [
            entry.content[0].value
            for entry in feedparser.parse(
                get(client, address, "rss").encode(), sanitize_html=False
            ).entries
        ],
        "json": [i["content_html"] for i in json.loads(get(client, address, "json"))["items"]],
    }


@pytest.mark.usefixtures("_blog")
def test_feed_has_whole_entries(client: BlogClient) -> None:
    for kind, (content, *_) in contents(client, "/blog/tag/tea/feed").items():
        body = html.fragment_fromstring(content, create_parent="div")
        links: list[Any] = body.xpath("//@href | //@src")
        page = f"{SITE_URL}/blog/a-title"
        assert f"{SITE_URL}/blog/other" in links, kind
        assert f"{SITE_URL}/media/p.png" in links
        assert "https://example.org/x?a=b&c=d" in links
        assert f"{page}#end" in links
        assert all(link.startswith(("https://example.org/", SITE_URL)) for link in links), links
        text = body.text_content()
        assert "A note." in text
        assert "]]> and bold & more" in text


@pytest.mark.usefixtures("_blog")
def test_feed_escapes_comments(client: BlogClient) -> None:
    for texts in contents(client, "/blog/a-title/feed").values():
        assert "&lt;two&gt;" in texts[-1]


@pytest.mark.usefixtures("_blog")
def test_feed_ids_are_stable(client: BlogClient, db: Session, make_entry: MakeEntry) -> None:
    entry = make_entry("Before")

    def ids(format: str) -> list[str]:
        text = get(client, "/blog/feed", format)
        if format == "json":
            return [item["id"] for item in json.loads(text)["items"]]
        return [entry.id for entry in feedparser.parse(text.encode()).entries]

    before = {kind: ids(kind) for kind in ("atom", "rss", "json")}
    entry.slug, entry.title = "after", "After"
    db.commit()
    assert {kind: ids(kind) for kind in before} == before
    assert before["atom"] == before["rss"] == before["json"]


@pytest.mark.usefixtures("_blog")
def test_feed_links_to_itself_and_page(client: BlogClient) -> None:
    for address, page in zip(ADDRESSES, ("/blog", "/blog/tag/tea", "/blog/a-title"), strict=True):
        parsed = feedparser.parse(get(client, address, "atom").encode())
        links = {link.rel: link.href for link in parsed.feed.links}
        assert links["self"] == f"{SITE_URL}{address}.atom"
        assert links["alternate"] == SITE_URL + page
        feed = json.loads(get(client, address, "json"))
        assert feed["feed_url"] == f"{SITE_URL}{address}.json"
        assert feed["home_page_url"] == SITE_URL + page


def test_feed_has_newest_20(client: BlogClient, make_entry: MakeEntry) -> None:
    for number in range(25):
        make_entry(f"Entry {number}")

    assert len(json.loads(get(client, "/blog/feed", "json"))["items"]) == 20


def test_imported_entry_is_dated_in_feed(client: BlogClient, make_entry: MakeEntry) -> None:
    moment = datetime(2014, 3, 12, 9, 30, tzinfo=UTC)
    make_entry(timestamp=moment, updated=moment + timedelta(days=2))

    item = json.loads(get(client, "/blog/feed", "json"))["items"][0]
    assert item["date_published"] == "2014-03-12T09:30:00Z"
    assert item["date_modified"] == "2014-03-14T09:30:00Z"
    assert "Wed, 12 Mar 2014 09:30:00 GMT" in get(client, "/blog/feed", "rss")


@pytest.mark.parametrize(
    "path",
    ["/blog/none/feed.atom", "/blog/tag/none/feed.rss", "/blog/feed.xml", "/blog/feed.ATOMS"],
)
def test_unknown_feed_is_not_found(client: BlogClient, path: str) -> None:
    assert client.get(path).status_code == 404


# Rules of https://validator.w3.org/feed/docs/ that no schema has.


@pytest.mark.usefixtures("_blog")
@pytest.mark.parametrize("address", ADDRESSES)
def test_rss_has_prefixes_and_descriptions(
    client: BlogClient, make_entry: MakeEntry, address: str
) -> None:
    make_entry("", slug="untitled", body="Some *words*.", tags=("tea",))
    make_entry("", slug="short", body="Some words.", summary="Few *words*")
    document = get(client, address, "rss")
    channel = etree.fromstring(document.encode()).find("channel")

    assert "ns0" not in document
    assert "<atom:link" in document
    assert all(item.find("description").text for item in channel.iterfind("item"))
    for item in channel.iterfind("item"):
        title = item.find("title")
        assert title is None or title.text
    if address == "/blog/feed":
        described = {item.find("link").text: item.find("description").text for item in channel[6:]}
        assert described[f"{SITE_URL}/blog/untitled"] == "<p>Some <em>words</em>.</p>\n"
        assert described[f"{SITE_URL}/blog/short"] == "Few words"


def test_json_feed_omits_missing_fields(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry("", slug="untitled")
    feed = json.loads(get(client, "/blog/feed", "json"))

    assert not {"title", "summary"} & feed["items"][0].keys()
    assert "description" not in feed
    assert feed["items"][0]["content_html"]


def test_first_year_has_four_digits(client: BlogClient, make_entry: MakeEntry) -> None:
    moment = datetime(1, 1, 1, tzinfo=UTC)
    make_entry("", slug="old", timestamp=moment, updated=moment)

    assert "<published>0001-01-01T00:00:00Z</published>" in get(client, "/blog/feed", "atom")
    assert "Mon, 01 Jan 0001 00:00:00 GMT" in get(client, "/blog/feed", "rss")
    item = json.loads(get(client, "/blog/feed", "json"))["items"][0]
    assert item["date_published"] == item["date_modified"] == "0001-01-01T00:00:00Z"
    assert "<lastmod>0001-01-01T00:00:00Z</lastmod>" in client.get("/sitemap-1.xml").text
    page = client.get("/blog/old").text
    assert page.count("1 January 0001") > 2
    assert "0001-01-01" in page
    for path in ("/blog/archive", "/blog/0001", "/blog/0001/01"):
        assert "0001" in client.get(path).text
