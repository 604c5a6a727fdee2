"""Titles: tags are emphasis in HTML and dropped in plain text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html
from markupsafe import escape

from blog.markup.titles import title_html, title_text
from tests.conftest import BlogClient, MakeEntry


@pytest.mark.parametrize(
    ("written", "shown", "text"),
    [
        ("A <em>and</em> B & C", "A <em>and</em> B &amp; C", "A and B & C"),
        ("<B>A</b> <i class='x'>b</i>", "<b>A</b> <i>b</i>", "A b"),
        ('<a href="/x">A</a> <span style="x">b</span>', "A b", "A b"),
        ("Use the <title> and <b> tags", "Use the &lt;title&gt; and &lt;b&gt; tags", None),
        ("a </b> <b> c </i>", "a &lt;/b&gt; &lt;b&gt; c &lt;/i&gt;", None),
        ("<b><i>x</b>", "&lt;b&gt;&lt;i&gt;x&lt;/b&gt;", None),
        ("List<int> &amp; <script>x</script>", None, None),
        ("<em onclick=alert(1)>x</em>", "<em>x</em>", "x"),
    ],
)
def test_title_is_text_with_emphasis(written: str, shown: str | None, text: str | None) -> None:
    assert title_html(written) == (escape(written) if shown is None else shown)
    assert title_text(written) == (written if text is None else text)


@given(st.lists(st.sampled_from("<em> </em> <b> </B> <a x=y> </a> <br> < > & x".split())))  # noqa: SIM905
def test_title_is_valid_and_keeps_words(parts: list[str]) -> None:
    title = "".join(parts)
    found = html.fragment_fromstring(str(title_html(title)), create_parent="div")

    assert title_text(title).count("x") >= parts.count("x")
    assert {element.tag for element in found.iter()} <= {"div", "em", "b"}


def test_title_emphasis_on_pages(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry("Action <em>and</em> <title>", slug="a")
    make_entry("The <i>page</i>", slug="page", kind="page")
    page = client.get("/blog/a").text

    assert '<h1 class="p-name">Action <em>and</em> &lt;title&gt;</h1>' in page
    assert "<title>Action and &lt;title&gt; · Test blog</title>" in page
    assert 'property="og:title" content="Action and &lt;title&gt;"' in page
    assert 'title="Comments on Action and &lt;title&gt; (Atom)"' in page
    assert '<a href="/page">The <i>page</i></a>' in page
    (data,) = html.document_fromstring(page).xpath("//script[@type='application/ld+json']/text()")
    assert json.loads(data)["@graph"][0]["headline"] == "Action and <title>"
    for path in ("/blog", "/blog/archive", "/blog/2026", "/blog/2026/11"):
        assert "&lt;em&gt;" not in client.get(path).text
    feed = json.loads(client.get("/blog/feed.json").text)
    assert [item["title"] for item in feed["items"]] == ["Action and <title>"]
    for name in ("atom", "rss"):
        assert "<title>Action and &lt;title&gt;</title>" in client.get(f"/blog/feed.{name}").text
    assert "Comments on Action and &lt;title&gt;" in client.get("/blog/a/feed.atom").text
