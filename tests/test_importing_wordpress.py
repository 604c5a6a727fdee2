"""WordPress exports: posts, pages, comments and attachments."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from blog.importing.items import ForeignEntry, Item
from blog.importing.wordpress import WordPressExport
from blog.models import Comment, Entry
from tests.conftest import BlogClient
from tests.importing import EXPORTS, entry, import_all, redirects

EXPORT = EXPORTS / "wordpress.xml"


@pytest.fixture
def imported(engine: Engine, db: Session) -> Session:
    import_all(EXPORT, engine)
    return db


def item(folder: Path, fields: str) -> Item:
    """Return the item read from an export with only these fields."""
    path = folder / "one.xml"
    path.write_text(
        '<rss xmlns:wp="https://wordpress.org/export/1.0/" '
        'xmlns:content="http://purl.org/rss/1.0/modules/content/">'
        f"<channel><link>https://www.old.example</link><item>{fields}</item></channel></rss>",
        encoding="utf-8",
    )
    (found,) = WordPressExport(path, path.name)
    return found


def test_every_item_is_accounted_for(engine: Engine) -> None:
    summary = import_all(EXPORT, engine)

    assert (summary.imported, summary.comments) == (7, 5)
    assert summary.skipped == {
        "in the trash": ["Thrown away"],
        "media files are not imported yet": ["photo.jpg"],
    }
    assert summary.notes == {
        "Comments of type “order_note” were not imported.": ["Bread & butter"],
        "The featured image was not imported.": ["Bread & butter"],
        "The taxonomy “series” is not supported and was ignored.": ["Bread & butter"],
        "E-mail and IP addresses of commenters were not imported.": ["Bread & butter"],
        "The shortcode [gallery] was imported as text.": ["Blocks"],
        "Imported as a draft: protected by a password.": ["Secret"],
        "Imported as a draft: “status” is “private”.": ["Private"],
        "Imported as a draft: “status” is “draft”.": ["post 16"],
        "Imported as a draft: no readable date, so it is dated by the file.": ["post 16"],
        "Scheduled for 2990-01-01 00:00 UTC.": ["Tomorrow"],
    }


def test_wordpress_post_keeps_fields(imported: Session) -> None:
    post = entry(imported, "Bread & butter")

    assert post.body == (
        "<p>One line<br>\nand another.</p>\n"
        "<blockquote>\n<p>Said.</p>\n</blockquote>\n<!--more-->\n<p>The rest.</p>"
    )
    assert (post.format, post.kind, post.state, post.slug) == (
        "html",
        "entry",
        "published",
        "bread",
    )
    assert post.timestamp == datetime(2012, 3, 4, 5, 6, 7, tzinfo=UTC)
    assert post.updated == datetime(2012, 4, 5, tzinfo=UTC)
    assert post.author == "Ada & Co."
    assert post.summary == "About <b>bread</b>."
    assert post.featured
    assert not post.comments_open
    assert post.uid == "http://old.example/journal/?p=11"
    assert {tag.name for tag in post.tags} == {"bread", "Food & Drink"}


def test_wordpress_redirects_are_stored(imported: Session) -> None:
    assert redirects(imported, entry(imported, "Bread & butter")) == {
        "/journal/2012/03/bread",
        "/journal/2012/03/brot",
        "/journal?p=11",
    }
    assert redirects(imported, entry(imported, "About")) == {
        "/journal/about",
        "/journal?page_id=2",
    }


def test_wordpress_addresses_redirect(imported: Session, client: BlogClient) -> None:
    for address in ("/journal/2012/03/bread/", "/journal/2012/03/brot/", "/journal/?p=11"):
        answer = client.get(address)
        assert (answer.status_code, answer.location) == (301, "/blog/bread")


def test_wordpress_comments_keep_fields(imported: Session) -> None:
    first, answer, waiting, ping, spam = imported.scalars(
        select(Comment).order_by(Comment.created.nulls_last())
    )

    assert (first.name, first.website) == ("First", "https://first.example/")
    assert first.created == datetime(2012, 3, 5, tzinfo=UTC)
    assert (answer.name, answer.website) == ("Reply «er»", None)
    assert answer.text == "<p>An answer<br>\nto <em>one</em>.</p>"
    assert answer.format == "html"
    assert answer.parent_id == first.id
    assert (waiting.author, waiting.state, waiting.parent_id) == ("Anonymous", "held", None)
    assert (ping.state, ping.website) == ("published", "http://other.example/post")
    assert (spam.state, spam.created) == ("spam", None)
    assert first.id < answer.id < waiting.id < ping.id


def test_personal_data_is_not_stored(imported: Session, tmp_path: Path) -> None:
    imported.rollback()
    stored = (tmp_path / "blog.db").read_bytes() + (tmp_path / "blog.db-wal").read_bytes()

    assert b"The rest." in stored
    for secret in (b"reader@example.org", b"192.0.2.7", b"ada@old.example", b"open sesame"):
        assert secret not in stored


def test_blocks_are_unchanged(imported: Session) -> None:
    post = entry(imported, "Blocks")

    assert post.body.startswith("<!-- wp:paragraph -->\n<p>As it\nstands.")
    assert post.slug == "日本"
    assert post.timestamp == datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_post_states_are_mapped(imported: Session) -> None:
    states = {e.title: e.state for e in imported.scalars(select(Entry))}

    assert states == {
        "Bread & butter": "published",
        "Blocks": "published",
        "About": "published",
        "Secret": "draft",
        "Private": "draft",
        "A thought without a title that is longer than sixty…": "draft",
        "Tomorrow": "published",
    }
    assert entry(imported, "About").kind == "page"
    assert entry(imported, "Tomorrow").timestamp == datetime(2990, 1, 1, tzinfo=UTC)


def test_public_posts_are_listed(imported: Session, client: BlogClient) -> None:
    page = client.get("/blog").text

    assert "Blocks" in page
    assert "Secret" not in page
    assert "Tomorrow" not in page
    assert client.get("/about").status_code == 200


@pytest.mark.parametrize(
    ("version", "scheme"), [("1.0", "http"), ("1.1", "https"), ("1.2", "https")]
)
def test_wxr_versions_and_schemes(
    engine: Engine, tmp_path: Path, version: str, scheme: str
) -> None:
    text = EXPORT.read_text(encoding="utf-8")
    text = text.replace(
        "http://wordpress.org/export/1.2", f"{scheme}://wordpress.org/export/{version}"
    )
    (tmp_path / "export.xml").write_text(text, encoding="utf-8")

    assert import_all(tmp_path / "export.xml", engine).imported == 7


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ("<wp:post_type>nav_menu_item</wp:post_type>", "menus are not imported"),
        ("<wp:post_type>recipe</wp:post_type>", "items of type “recipe” are not supported"),
    ],
)
def test_non_text_content_is_skipped(tmp_path: Path, fields: str, reason: str) -> None:
    assert getattr(item(tmp_path, fields), "reason", None) == reason


def test_empty_password_on_two_lines(engine: Engine, db: Session, tmp_path: Path) -> None:
    text = EXPORT.read_text(encoding="utf-8")
    empty = "<wp:post_password></wp:post_password>"
    assert empty in text
    path = tmp_path / "export.xml"
    path.write_text(text.replace(empty, empty.replace("><", ">\n    <")), encoding="utf-8")

    import_all(path, engine)

    assert entry(db, "Bread & butter").state == "published"


@pytest.mark.parametrize(
    "link", ["http://old.example/2012/03/04/bread/", "http://old.example/", ""]
)
@pytest.mark.parametrize("slug", ["", " ", "<![CDATA[]]>"])
def test_empty_old_slug_is_ignored(tmp_path: Path, link: str, slug: str) -> None:
    found = item(
        tmp_path,
        f"<link>{link}</link><wp:postmeta><wp:meta_key>_wp_old_slug</wp:meta_key>"
        f"<wp:meta_value>{slug}</wp:meta_value></wp:postmeta>",
    )

    assert isinstance(found, ForeignEntry)
    assert found.addresses == tuple(filter(None, [link.removeprefix("http://old.example")]))


def test_guid_of_other_blog_is_ignored(tmp_path: Path) -> None:
    found = item(
        tmp_path, "<link>http://old.example/a/</link><guid>http://else.example/?p=3</guid>"
    )

    assert isinstance(found, ForeignEntry)
    assert found.addresses == ("/a/",)
    assert found.source == "wordpress:old.example"


def test_blog_at_https_is_recognised(engine: Engine, tmp_path: Path) -> None:
    import_all(EXPORT, engine)
    text = EXPORT.read_text(encoding="utf-8")
    text = text.replace("<link>http://old", "<link>https://www.old")
    text = text.replace("_url>http://old", "_url>https://www.old")
    (tmp_path / "export.xml").write_text(text, encoding="utf-8")

    summary = import_all(tmp_path / "export.xml", engine)

    assert (summary.imported, summary.updated, summary.unchanged) == (0, 0, 7)
    assert summary.comments == 0


def test_blog_at_new_host_is_recognised(engine: Engine, db: Session, tmp_path: Path) -> None:
    import_all(EXPORT, engine)
    text = EXPORT.read_text(encoding="utf-8")
    text = text.replace("<link>http://old.example/", "<link>https://new.example/")
    text = text.replace("_url>http://old.example/", "_url>https://new.example/")
    (tmp_path / "export.xml").write_text(text, encoding="utf-8")

    for _ in range(2):
        summary = import_all(tmp_path / "export.xml", engine)
        assert summary.imported == summary.comments == 0

    assert summary.unchanged == 7
    assert len(db.scalars(select(Comment)).all()) == 5
