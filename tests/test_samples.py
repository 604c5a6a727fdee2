"""The blog with the content of others: real exports, taken in whole, and every link followed."""

import json
from collections.abc import Iterator
from pathlib import Path

import feedparser
import pytest
from lxml import etree
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from blog.application import Blog
from blog.config import Config
from blog.database import connect, session_factory
from blog.importing.run import Summary, import_path
from blog.models import Comment, Entry, Site
from blog.schema import check, upgrade
from tests.conftest import SITE_URL, BlogClient
from tests.test_feeds import RFC_4287
from tests.test_urls import crawl

pytestmark = pytest.mark.samples


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, samples: Path) -> Iterator[Engine]:
    """A database with all that the samples hold."""
    path = tmp_path_factory.mktemp("full") / "full.db"
    engine = connect(f"sqlite:///{path.as_posix()}")
    upgrade(engine)
    for folder in ("18f-posts", "wordpress-theme-test-data"):
        take(engine, samples / folder)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def visitor(full: Engine) -> BlogClient:
    config = Config(title="Full", site_url=SITE_URL, database=str(full.url))
    return BlogClient(Blog(config, session_factory(full), check(full).secret))


def take(engine: Engine, path: Path) -> Summary:
    importing = import_path(path, session_factory(engine))
    for _ in importing:
        pass
    return importing.summary


def test_every_post_is_taken_whole(full: Engine, samples: Path) -> None:
    posts = list((samples / "18f-posts").glob("*.md"))
    with session_factory(full)() as db:
        bodies = set(db.scalars(select(Entry.body).where(Entry.format == "markdown")))

    assert len(posts) == 509
    assert len(bodies) == len(posts)
    for post in posts:
        body = post.read_text(encoding="utf-8").split("\n---", 1)[1].partition("\n")[2].strip()
        assert body in bodies or any(body in stored for stored in bodies), post.name


def test_a_second_import_changes_nothing(full: Engine, samples: Path) -> None:
    with session_factory(full)() as db:
        before = db.scalar(select(Site.version))
    for folder in ("18f-posts", "wordpress-theme-test-data"):
        summary = take(full, samples / folder)
        assert (summary.imported, summary.updated, summary.comments) == (0, 0, 0)
    with session_factory(full)() as db:
        assert db.scalar(select(Site.version)) == before


def test_wordpress_brings_posts_pages_and_threads(full: Engine) -> None:
    def count(db: Session, *conditions: object) -> int:
        statement = select(func.count()).select_from(Entry).where(Entry.format == "html")
        return db.scalar(statement.where(*conditions)) or 0  # type: ignore[arg-type]

    with session_factory(full)() as db:
        assert count(db, Entry.kind == "entry") == 126
        assert count(db, Entry.kind == "page") == 22
        assert db.scalar(select(func.count()).select_from(Comment)) == 37
        assert db.scalar(select(func.count()).where(Comment.parent_id.is_not(None)))


def test_every_link_that_the_blog_makes_leads_somewhere(visitor: BlogClient) -> None:
    found = crawl(visitor)

    assert {address: status for address, status in found.items() if status != 200} == {}
    assert len(found) > 1500


def test_every_feed_is_valid_and_its_links_are_absolute(visitor: BlogClient) -> None:
    for path in ("/blog/feed", "/blog/tag/agile/feed", "/blog/page-with-comments/feed"):
        atom = visitor.get(f"{path}.atom")
        if atom.status_code == 404:
            continue
        RFC_4287.assertValid(etree.fromstring(atom.data))
        for parsed in (
            feedparser.parse(atom.data),
            feedparser.parse(visitor.get(f"{path}.rss").data),
        ):
            assert not parsed.bozo
            assert parsed.entries
    for item in json.loads(visitor.get("/blog/feed.json").data)["items"]:
        for link in etree.HTML(f"<div>{item['content_html']}</div>").xpath("//@href | //@src"):
            assert "://" in link or link.startswith(("mailto:", "tel:")), link
