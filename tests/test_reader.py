"""The pages for readers."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from lxml import html
from sqlalchemy import event
from sqlalchemy.orm import Session

from blog.application import Blog
from blog.config import Config
from blog.models import Comment, Redirect
from tests.conftest import NOW, SITE_URL, BlogClient, MakeEntry

MakeComment = Callable[..., Comment]


def titles(page: str) -> list[str]:
    """Return the titles of a list's entries, from top to bottom."""
    found: list[str] = html.document_fromstring(page).xpath(
        "//*[contains(@class, 'h-feed')]//*[contains(@class, 'h-entry')]"
        "//*[contains(@class, 'p-name')]//text()[normalize-space()]"
    )
    return [title.strip() for title in found]


@pytest.fixture
def many(make_entry: MakeEntry) -> None:
    for number in range(25):
        make_entry(f"Entry {number:02}", timestamp=NOW - timedelta(days=30 - number))


@pytest.mark.parametrize("path", ["/blog", "/blog.html"])
@pytest.mark.usefixtures("many")
def test_front_page_has_newest_10(client: BlogClient, path: str) -> None:
    assert titles(client.get(path).text) == [f"Entry {n:02}" for n in range(24, 14, -1)]


@pytest.mark.usefixtures("many")
def test_last_page_has_the_rest(client: BlogClient) -> None:
    assert titles(client.get("/blog?page=3").text) == [f"Entry {n:02}" for n in range(4, -1, -1)]


@pytest.mark.parametrize(
    "number", ["0", "-1", "01", "4", "x", "", "1e3", "９", "9" * 99, "1000001"]
)
@pytest.mark.usefixtures("many")
def test_unknown_page_is_not_found(client: BlogClient, number: str) -> None:
    assert client.get("/blog", query_string={"page": number}).status_code == 404


def test_empty_blog_has_front_page(client: BlogClient) -> None:
    assert client.get("/blog").status_code == 200
    assert client.get("/blog/archive").status_code == 200
    assert client.get("/blog/tags").status_code == 200


def test_root_redirects_to_blog(client: BlogClient) -> None:
    response = client.get("/")

    assert (response.status_code, response.location) == (302, "/blog")


@pytest.mark.usefixtures("many")
def test_older_featured_entry_is_on_first_page(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry("Old and good", featured=True, timestamp=NOW - timedelta(days=900))

    assert "Old and good" in client.get("/blog").text
    assert "Old and good" not in client.get("/blog?page=2").text


def test_newest_featured_entry_is_marked_once(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry("Good", featured=True)

    page = client.get("/blog").text
    assert page.count(">Good<") == 1
    assert "Featured" in page


@pytest.mark.parametrize(
    "hidden", [{"state": "draft"}, {"timestamp": NOW + timedelta(days=1)}], ids=["draft", "future"]
)
@pytest.mark.parametrize("kind", ["entry", "page"])
def test_hidden_entries_are_nowhere(
    client: BlogClient, make_entry: MakeEntry, hidden: dict[str, object], kind: str
) -> None:
    make_entry("Seen", tags=("tea",))
    entry = make_entry("Veiled", tags=("tea", "secret"), featured=True, kind=kind, **hidden)

    for path in (
        *("/blog", "/blog.html", "/blog/archive", "/blog/tags", "/blog/tag/tea", "/sitemap.xml"),
        *(f"/blog/{NOW:%Y}", f"/blog/{NOW:%Y/%m}", "/blog/feed.atom", "/blog/feed.rss"),
        *("/blog/feed.json", "/blog/tag/tea/feed.atom", "/blog/seen"),
    ):
        response = client.get(path)
        assert response.status_code == 200, path
        assert "veiled" not in response.text.lower(), path
        assert "secret" not in response.text, path
    for path in (
        *(f"/blog/{entry.slug}", f"/{entry.slug}", f"/blog/{entry.slug}/feed.atom"),
        *("/blog/tag/secret", "/blog/tag/secret/feed.atom"),
    ):
        assert client.get(path).status_code == 404, path


def test_entry_shows_its_fields(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry("A title", tags=("tea",), author="Ann", timestamp=datetime(2020, 2, 3, tzinfo=UTC))

    page = client.get("/blog/a-title").text
    for part in ("<em>A title</em>", "Ann", "3 February 2020", 'href="/blog/tag/tea"'):
        assert part in page
    assert f'<link rel="canonical" href="{SITE_URL}/blog/a-title">' in page


def test_title_is_escaped(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry("<script>alert(1)</script>", slug="a")

    for path in ("/blog", "/blog/a", f"/blog/{NOW:%Y/%m}"):
        assert "<script>" not in client.get(path).text


def test_threads_omit_held_comments(
    client: BlogClient, make_entry: MakeEntry, make_comment: MakeComment
) -> None:
    entry = make_entry()
    first = make_comment(entry, "First", name="Ann")
    make_comment(entry, "Second")
    make_comment(entry, "Answer to the first", parent_id=first.id)
    held = make_comment(entry, "Held", state="held")
    make_comment(entry, "Answer to the held", parent_id=held.id)

    page = client.get("/blog/a-title").text
    places = [page.index(text) for text in ("First", "Answer to the first", "Second")]
    assert places == sorted(places)
    assert ">Held<" not in page
    assert "Answer to the held" in page
    assert "Anonymous" in page


def test_thread_of_2000_replies(client: BlogClient, db: Session, make_entry: MakeEntry) -> None:
    entry = make_entry()
    parent = None
    for number in range(2000):
        comment = Comment(entry_id=entry.id, text=f"Answer {number}", parent_id=parent)
        db.add(comment)
        db.flush()
        parent = comment.id
    db.commit()

    assert "Answer 1999" in client.get("/blog/a-title").text


def test_archive_counts_months(client: BlogClient, make_entry: MakeEntry) -> None:
    for day, title in enumerate(("One", "Two"), 1):
        make_entry(title, timestamp=datetime(2019, 12, 30 + day - 1, 23, 59, tzinfo=UTC))
    make_entry("Three", timestamp=datetime(2020, 1, 1, tzinfo=UTC))

    archive = client.get("/blog/archive").text
    assert 'href="/blog/2019/12"' in archive
    assert 'href="/blog/2020/01"' in archive
    assert titles(client.get("/blog/2019/12").text) == ["Two", "One"]
    assert titles(client.get("/blog/2019").text) == ["Two", "One"]
    assert titles(client.get("/blog/2020/01").text) == ["Three"]


@pytest.mark.parametrize("path", ["/blog/2018", "/blog/2019/13", "/blog/0000", "/blog/9999/12"])
def test_empty_period_is_not_found(client: BlogClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_tag_lists_its_entries(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry("One", tags=("tea",))
    make_entry("Two", tags=("tea", "walks"))
    make_entry("Three")

    assert titles(client.get("/blog/tag/tea").text) == ["Two", "One"]
    assert client.get("/blog/tag/none").status_code == 404


def test_standing_page_is_in_navigation_only(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry("About me", kind="page", slug="about")

    assert "<em>About me</em>" in client.get("/about").text
    assert 'href="/about"' in client.get("/blog").text
    assert titles(client.get("/blog").text) == []
    assert client.get("/blog/about").status_code == 404


def test_entry_and_page_may_share_slug(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry("An entry", slug="same")
    make_entry("A page", slug="same", kind="page")

    assert "<em>An entry</em>" in client.get("/blog/same").text
    assert "<em>A page</em>" in client.get("/same").text


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("/2010/01/old", "/2010/01/old"),
        ("/2010/01/old", "/2010/01/old/?utm_source=x"),
        ("/?p=12", "/?p=12"),
        ("/?p=12", "/?utm_source=x&p=12&p=13&utm_medium=y"),
        ("/?p=12", "/?page_id=7&p=12"),
        ("/blog/former", "/blog/former"),
        ("/alter-kaffee-☕", "/alter-kaffee-%E2%98%95"),
    ],
)
def test_old_address_redirects_to_entry(
    client: BlogClient, db: Session, make_entry: MakeEntry, stored: str, asked: str
) -> None:
    db.add(Redirect(path=stored, entry_id=make_entry().id))
    db.commit()

    response = client.get(asked)
    assert (response.status_code, response.location) == (301, "/blog/a-title")


def test_query_redirect_is_looked_up_once(
    client: BlogClient, db: Session, make_entry: MakeEntry
) -> None:
    db.add(Redirect(path="/?p=12", entry_id=make_entry().id))
    db.commit()

    query = "&".join(f"p={number}" for number in range(12, 9_000))
    assert client.get(f"/?{query}").location == "/blog/a-title"


def test_old_address_of_draft_is_not_found(
    client: BlogClient, db: Session, make_entry: MakeEntry
) -> None:
    db.add(Redirect(path="/old", entry_id=make_entry(state="draft").id))
    db.commit()

    assert client.get("/old").status_code == 404


def test_etag_changes_with_page(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry()
    for path in ("/blog", "/blog/a-title", "/blog/feed.atom", "/sitemap.xml", "/robots.txt"):
        first = client.get(path)
        etag = first.headers["ETag"]
        assert not etag.startswith("W/")
        again = client.get(path, headers={"If-None-Match": etag})
        assert (again.status_code, again.data) == (304, b""), path
        assert again.headers["ETag"] == etag
    make_entry("Another")
    assert client.get("/blog", headers={"If-None-Match": etag}).status_code == 200


def test_last_modified_gets_304(
    config: Config, app: Blog, db: Session, make_entry: MakeEntry
) -> None:
    make_entry()
    settle(app, db)
    client = BlogClient(app)

    date = client.get("/blog").headers["Last-Modified"]
    assert client.get("/blog", headers={"If-Modified-Since": date}).status_code == 304
    make_entry("Another")
    assert client.get("/blog", headers={"If-Modified-Since": date}).status_code == 200


def settle(app: Blog, db: Session) -> None:
    """Set the last change and the start of the process back by an hour."""
    from blog.models import Site

    past = datetime.now(UTC) - timedelta(hours=1)
    app.page_cache.started = past
    db.get_one(Site, 1).changed = past
    db.commit()


def test_recently_changed_page_has_no_date(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry()

    assert "Last-Modified" not in client.get("/blog").headers


def test_head_has_headers_of_get(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry()
    for path in ("/blog", "/blog/a-title", "/blog/feed.json", "/nowhere"):
        get, head = client.get(path), client.head(path)
        assert head.data == b""
        assert head.status_code == get.status_code
        assert head.headers.get("Content-Length") == get.headers["Content-Length"]
        assert head.headers.get("ETag") == get.headers.get("ETag")


def test_mounted_blog_has_prefixed_links(config: Config, app: Blog, make_entry: MakeEntry) -> None:
    make_entry(tags=("tea",))
    mounted = Blog(replace(config, site_url="https://example.org/journal"), app.engine, app.secret)
    client = BlogClient(mounted)

    for path in ("/blog", "/blog/a-title", "/blog/tag/tea", "/nowhere"):
        page = client.get(path, base_url="http://localhost/journal").text
        links = html.document_fromstring(page).xpath("//@href | //@action | //@src")
        assert links
        for link in links:
            assert link.startswith(("/journal/", "https://example.org/journal/", "#")), link
    response = client.get("/", base_url="http://localhost/journal")
    assert response.location == "/journal/blog"


def test_absolute_urls_come_from_settings(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry()
    for path in ("/blog", "/blog/a-title", "/blog/feed.atom", "/sitemap.xml", "/robots.txt"):
        text = client.get(path, headers={"Host": "203.0.113.9"}).text
        assert SITE_URL in text
        assert "203.0.113.9" not in text


def statements(app: Blog, path: str) -> list[str]:
    """Return the SQL statements of a page, without those that begin and end the transaction."""
    seen: list[str] = []
    engine = app.engine

    def note(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    assert BlogClient(app).get(path).status_code == 200
    event.remove(engine, "before_cursor_execute", note)
    return [statement for statement in seen if not statement.startswith("BEGIN")]


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("/blog", 5),  # entries, their tags, featured, pages, the site's date
        ("/blog?page=2", 4),
        ("/blog/entry-24", 7),  # entry, tags, comments, neighbours, related, pages, date
        ("/blog/archive", 4),  # months, scheduled entries, pages, date
        ("/blog/tags", 3),
        ("/blog/tag/tea", 5),
        ("/blog/feed.atom", 4),
        ("/sitemap.xml", 4),  # count, entries, series, date
        ("/robots.txt", 1),
        ("/healthz", 1),
    ],
)
def test_statement_count_is_constant(
    app: Blog, make_entry: MakeEntry, make_comment: MakeComment, path: str, number: int
) -> None:
    for each in range(25):
        entry = make_entry(f"Entry {each:02}", tags=("tea", "walks"))
        make_comment(entry)

    assert len(statements(app, path)) == number
