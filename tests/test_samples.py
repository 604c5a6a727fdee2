"""The blog with real content of others: links and feeds."""

import json
from collections.abc import Iterator
from pathlib import Path

import feedparser
import pytest
from lxml import etree
from sqlalchemy import Engine

from blog.application import Blog
from blog.config import Config
from blog.database import connect
from blog.operations.migration import check, upgrade
from tests.conftest import SITE_URL, BlogClient
from tests.importing import import_all
from tests.test_feeds import RFC_4287
from tests.test_urls import crawl

pytestmark = pytest.mark.samples


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, samples: Path) -> Iterator[Engine]:
    """A database with all samples."""
    path = tmp_path_factory.mktemp("full") / "full.db"
    engine = connect(f"sqlite:///{path.as_posix()}")
    upgrade(engine)
    for folder in ("18f-posts", "wordpress-theme-test-data"):
        import_all(samples / folder, engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def visitor(full: Engine) -> BlogClient:
    config = Config(title="Full", site_url=SITE_URL, database=str(full.url))
    return BlogClient(Blog(config, full, check(full).secret))


def test_samples_links_lead_somewhere(visitor: BlogClient) -> None:
    found = crawl(visitor)

    assert {address: status for address, status in found.items() if status != 200} == {}
    assert len(found) > 1500


@pytest.mark.parametrize("path", ["/blog/feed", "/blog/tag/agile/feed", "/blog/comments/feed"])
def test_samples_feeds_are_valid(visitor: BlogClient, path: str) -> None:
    atom, rss = visitor.get(f"{path}.atom"), visitor.get(f"{path}.rss")

    RFC_4287.assertValid(etree.fromstring(atom.data))
    for document in (atom.data, rss.data):
        parsed = feedparser.parse(document)
        assert not parsed.bozo
        assert parsed.entries


def test_samples_feeds_have_absolute_urls(visitor: BlogClient) -> None:
    for item in json.loads(visitor.get("/blog/feed.json").data)["items"]:
        for link in etree.HTML(f"<div>{item['content_html']}</div>").xpath("//@href | //@src"):
            assert link.startswith(("https://", "http://", "mailto:", "tel:")), link
