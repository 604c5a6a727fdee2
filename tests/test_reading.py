"""What surrounds a text: neighbours, related entries, contents and metadata."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html
from sqlalchemy import Engine, text

from blog.application import Blog
from blog.markup import render
from blog.markup.contents import Heading, contents
from tests.conftest import NOW, SITE_URL, BlogClient, MakeEntry
from tests.test_reader import statements

LONG = "word " * 700


def page_of(client: BlogClient, path: str) -> Any:
    response = client.get(path)
    assert response.status_code == 200
    return html.document_fromstring(response.text)


def neighbours(client: BlogClient, slug: str) -> dict[str, str]:
    links = page_of(client, f"/blog/{slug}").xpath("//nav[@aria-label='Entries']//a")
    return {link.get("rel"): link.text for link in links}


def related(client: BlogClient, slug: str) -> list[str]:
    links = page_of(client, f"/blog/{slug}").xpath("//section[@class='related']//a")
    return [link.text for link in links]


def described(client: BlogClient, path: str) -> Any:
    (script,) = page_of(client, path).xpath("//script")
    assert script.get("type") == "application/ld+json"
    return json.loads(script.text)


def test_entry_links_to_neighbours(client: BlogClient, make_entry: MakeEntry) -> None:
    for age, title in enumerate(("Newest", "Middle", "Oldest")):
        make_entry(title, timestamp=NOW - timedelta(days=age + 1))
    make_entry("Page", kind="page", timestamp=NOW - timedelta(days=1, hours=1))
    make_entry("Draft", state="draft", timestamp=NOW - timedelta(days=1, hours=1))
    make_entry("Later", timestamp=NOW + timedelta(hours=1))

    assert neighbours(client, "newest") == {"prev": "Middle"}
    assert neighbours(client, "middle") == {"prev": "Oldest", "next": "Newest"}
    assert neighbours(client, "oldest") == {"next": "Middle"}


def test_entries_of_one_moment_are_ordered(client: BlogClient, make_entry: MakeEntry) -> None:
    for title in ("First", "Second", "Third"):
        make_entry(title, timestamp=NOW)

    assert neighbours(client, "first") == {"next": "Second"}
    assert neighbours(client, "second") == {"prev": "First", "next": "Third"}
    assert neighbours(client, "third") == {"prev": "Second"}


def test_entry_is_not_its_own_neighbour(
    client: BlogClient, make_entry: MakeEntry, engine: Engine
) -> None:
    make_entry("Older", timestamp=datetime(2020, 2, 2, tzinfo=UTC))
    make_entry("This", timestamp=datetime(2020, 2, 3, tzinfo=UTC))
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE entry SET timestamp = '2020-02-03 00:00:00' WHERE slug = 'this'")
        )

    assert neighbours(client, "this") == {"prev": "Older"}


def test_single_entry_has_no_neighbours(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry()

    assert neighbours(client, "a-title") == {}


def test_rare_tag_weighs_more(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry("This", tags=("common", "rare"))
    make_entry("Rare", tags=("rare",), timestamp=NOW - timedelta(days=900))
    make_entry("Both", tags=("common", "rare"), timestamp=NOW - timedelta(days=800))
    for age in range(1, 10):
        make_entry(f"Common {age}", tags=("common",), timestamp=NOW - timedelta(days=age))
    make_entry("Other", tags=("other",))
    make_entry("Draft", tags=("rare",), state="draft")
    make_entry("Later", tags=("rare",), timestamp=NOW + timedelta(days=1))

    assert related(client, "this") == ["Both", "Rare", "Common 1", "Common 2"]
    assert related(client, "other") == []


def test_entry_with_hundreds_of_tags(client: BlogClient, make_entry: MakeEntry) -> None:
    tags = tuple(f"tag-{number:03}" for number in range(600))
    make_entry("Other", tags=tags)
    make_entry(tags=tags)

    assert related(client, "a-title") == ["Other"]


def test_untagged_entry_costs_no_statement(app: Blog, make_entry: MakeEntry) -> None:
    make_entry("Other", tags=("tea",))
    make_entry("With", tags=("tea",))
    make_entry("Without")

    assert len(statements(app, "/blog/with")) - len(statements(app, "/blog/without")) == 1


def test_dates_have_month_name_and_exact_time(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry(timestamp=datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC))

    for path in ("/blog", "/blog/a-title", "/blog/2020"):
        (time,) = page_of(client, path).xpath("//time[@class='dt-published']")
        assert time.get("title") == "3 February 2020, 04:05:06 UTC"
        assert time.get("datetime") == "2020-02-03T04:05:06+00:00"
        assert time.text == ("3" if path == "/blog/2020" else "3 February 2020")


# The table of contents


def test_long_text_has_contents(client: BlogClient, make_entry: MakeEntry) -> None:
    body = f"# One & *two*\n\n{LONG}\n\n## Below\n\n### Deep\n\n# Überschrift 50%\n"
    for kind, path in (("entry", "/blog/a-title"), ("page", "/a-title")):
        make_entry(kind=kind, body=body)
        page = page_of(client, path)
        links = page.xpath("//details//nav//a")

        assert [link.text for link in links] == ["One & two", "Below", "Überschrift 50%"]
        for link in links:
            assert page.get_element_by_id(unquote(link.get("href")[1:])).tag in {"h2", "h3"}
        assert page.xpath("//details//nav/ol/li[1]/ol/li/a/text()") == ["Below"]
    assert "<details" not in client.get("/blog/feed.atom").text


@pytest.mark.parametrize(
    "body", [f"# One\n\n# Two\n\n{LONG}", "# One\n\n# Two\n\n# Three\n\nShort."]
)
def test_short_text_has_no_contents(client: BlogClient, make_entry: MakeEntry, body: str) -> None:
    make_entry(body=body)

    assert page_of(client, "/blog/a-title").xpath("//details") == []


def test_footnote_mark_is_not_in_heading() -> None:
    body = render("# A[^1]\n\n# B\n\n# C\n\n[^1]: Note.", "markdown").html

    assert contents(body) == [Heading("a", "A"), Heading("b", "B"), Heading("c", "C")]


@given(
    st.lists(
        st.one_of(
            st.text(),
            st.builds("<h{} id='{}'>{}".format, st.integers(1, 6), st.text(), st.text()),
            st.builds("<div title='{}'>{}</h2>".format, st.text(), st.text()),
        )
    ).map("\n".join)
)
def test_contents_lead_to_headings(body: str) -> None:
    body = render(body, "html").html
    found = [each for top in contents(body) for each in (top, *top.below)]
    ids = {
        element.get("id")
        for element in html.fragment_fromstring(body, create_parent="div").iter("h2", "h3")
    }

    assert {each.id for each in found} <= ids


# Metadata for search engines


def test_entry_has_json_ld(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry(
        tags=("tea", "walks"),
        author="Ann",
        summary="In *short*.",
        body='Text ![A "picture" > src="x](/media/a.png?b=1&c=2) ![Other](b.png)',
        timestamp=datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC),
        updated=datetime(2021, 2, 3, 4, 5, 6, tzinfo=UTC),
    )

    posting, path = described(client, "/blog/a-title")["@graph"]
    address = f"{SITE_URL}/blog/a-title"
    blog = f"{SITE_URL}/blog"
    assert posting == {
        "@type": "BlogPosting",
        "@id": address,
        "url": address,
        "mainEntityOfPage": address,
        "headline": "A title",
        "description": "In short.",
        "datePublished": "2020-02-03T04:05:06+00:00",
        "dateModified": "2021-02-03T04:05:06+00:00",
        "author": {"@type": "Person", "name": "Ann", "url": blog},
        "keywords": ["tea", "walks"],
        "image": f"{SITE_URL}/media/a.png?b=1&c=2",
        "inLanguage": "en",
        "isPartOf": [{"@type": "Blog", "@id": blog, "name": "Test blog", "url": blog}],
    }
    assert [step["name"] for step in path["itemListElement"]] == ["Test blog", "A title"]


def test_bare_entry_has_json_ld(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry("", slug="a", body="", timestamp=datetime(2020, 2, 3, tzinfo=UTC))

    posting = described(client, "/blog/a")["@graph"][0]
    assert posting["headline"] == "2020-02-03"
    assert posting["author"]["name"] == "Test blog"
    assert "image" not in posting


def test_front_page_has_json_ld(client: BlogClient) -> None:
    found = described(client, "/blog")

    assert (found["@type"], found["name"]) == ("Blog", "Test blog")


@pytest.mark.parametrize(
    "title", ["</script><script>alert(1)</script>", "<!--<script>", "\u2028'\"&"]
)
def test_no_title_ends_json_ld(client: BlogClient, make_entry: MakeEntry, title: str) -> None:
    make_entry(title, slug="a")

    assert described(client, "/blog/a")["@graph"][0]["headline"] == title
    assert "<script>" not in client.get("/blog/a").text


# Footnotes


def test_footnote_links_are_named(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry(body="A[^x] and again[^x], and^[a second].\n\n[^x]: The note.")

    links = page_of(client, "/blog/a-title").xpath("//*[@class='prose e-content']//a")
    assert [(link.get("href"), link.get("aria-label")) for link in links] == [
        ("#fn1", "Footnote 1"),
        ("#fn1", "Footnote 1"),
        ("#fn2", "Footnote 2"),
        ("#fnref1", "Back to reference 1"),
        ("#fnref1:1", "Back to reference 1:1"),
        ("#fnref2", "Back to reference 2"),
    ]


@pytest.mark.parametrize("kind", ["entry", "page"])
def test_open_graph_has_first_image(client: BlogClient, make_entry: MakeEntry, kind: str) -> None:
    make_entry(slug="with", kind=kind, body='![](/media/a.png?b="c"&d) ![](https://x.example/y)')
    make_entry(slug="without", kind=kind, body="No picture")
    above = "/blog" if kind == "entry" else ""

    page = html.document_fromstring(client.get(f"{above}/with").text)
    assert page.xpath("//meta[@property='og:image']/@content") == [
        f"{SITE_URL}/media/a.png?b=%22c%22&d"
    ]
    assert "og:image" not in client.get(f"{above}/without").text
