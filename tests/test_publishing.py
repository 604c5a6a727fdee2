"""Publishing: slugs, tags and old addresses."""

from collections.abc import Callable

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from blog.entries.redirects import redirect_from
from blog.entries.slugs import free_slug, give_way, is_shadowed, shadowed
from blog.entries.taxonomy import tag_named
from blog.models import Entry, Redirect, Tag
from blog.models.entry import EntryKind
from blog.urls import url_map
from tests.conftest import BlogClient, MakeEntry


def paths(db: Session) -> set[str]:
    return set(db.scalars(select(Redirect.path)))


def test_taken_slug_gets_number(db: Session, make_entry: Callable[..., Entry]) -> None:
    first = make_entry(slug="news")
    make_entry(slug="news-2")

    assert free_slug(db, "entry", "news") == "news-3"
    assert free_slug(db, "entry", "news", except_id=first.id) == "news"
    assert free_slug(db, "page", "news") == "news"


@pytest.mark.parametrize(
    "slug", ["2026", "archive", "privacy", "search", "series", "tag", "tags", "0000", "12345"]
)
def test_entry_slug_avoids_lists(db: Session, slug: str) -> None:
    assert free_slug(db, "entry", slug) == f"{slug}-2"
    assert free_slug(db, "page", slug) == slug


@pytest.mark.parametrize("slug", ["blog", "healthz"])
def test_page_slug_avoids_blog(db: Session, slug: str) -> None:
    assert free_slug(db, "page", slug) == f"{slug}-2"
    assert free_slug(db, "entry", slug) == slug


PARTS = {part for rule in url_map.iter_rules() for part in rule.rule.split("/")[1:]}
WORDS = sorted(part for part in PARTS if part and "<" not in part)


@pytest.mark.parametrize("kind", ["entry", "page"])
@pytest.mark.parametrize("word", [*WORDS, "2026", "feed.atom", "sitemap-1.xml", "hello", "日本"])
def test_shadowed_entries(
    client: BlogClient, db: Session, make_entry: MakeEntry, kind: EntryKind, word: str
) -> None:
    """Each word of an address, checked at the page and at its feed of comments."""
    entry = make_entry("Unheard of", slug=word, kind=kind)
    page = client.get(f"/blog/{word}" if kind == "entry" else f"/{word}")
    is_read = page.status_code == 200 and ">Unheard of</h1>" in page.text
    if kind == "entry":
        feed = client.get(f"/blog/{word}/feed.atom")
        is_read = is_read and feed.status_code == 200 and "Unheard of" in feed.text

    assert is_shadowed(kind, word) != is_read
    assert shadowed(db) == ([] if is_read else [(entry.id, kind, word)])
    moved = give_way(db)
    db.commit()
    assert moved == [] if is_read else moved[0][1].endswith(f"/{word}-2")
    assert shadowed(db) == []


def test_missing_slug_is_named_by_kind(db: Session, make_entry: Callable[..., Entry]) -> None:
    make_entry(slug="entry")

    assert free_slug(db, "entry", "") == "entry-2"
    assert free_slug(db, "page", "") == "page"


def test_tag_is_created_once(db: Session) -> None:
    tag = tag_named(db, "Site News")

    assert (tag.name, tag.slug) == ("Site News", "site-news")
    assert tag_named(db, "site-news") is tag
    assert tag_named(db, " SITE  NEWS") is tag
    assert len(db.scalars(select(Tag)).all()) == 1


def test_tags_differing_in_sign_are_two(db: Session) -> None:
    tags = [tag_named(db, name) for name in ("C", "C++", "C#", "C++", "c", "C#", "?", "!", "?")]

    assert [tag.slug for tag in tags] == [
        "c", "c-2", "c-3", "c-2", "c", "c-3", "tag", "tag-2", "tag",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("/2012/03/bread/", "/2012/03/bread"),
        ("2012/bread.html", "/2012/bread.html"),
        ("https://old.example/2012/br%C3%B6t/?utm=1#top", "/2012/bröt"),
        ("/?p=12", "/?p=12"),
        ("http://old.example/?page_id=2&preview=true", "/?page_id=2"),
        ("/a%20b", "/a b"),
    ],
)
def test_redirect_leads_to_entry(
    db: Session, make_entry: Callable[..., Entry], address: str, path: str
) -> None:
    entry = make_entry()

    assert redirect_from(db, entry, address) is None
    assert redirect_from(db, entry, address) is None
    assert paths(db) == {path}


def test_current_address_needs_no_redirect(db: Session, make_entry: Callable[..., Entry]) -> None:
    assert redirect_from(db, make_entry(slug="here"), "/blog/here/") is None
    assert redirect_from(db, make_entry(slug="there", kind="page"), "/there") is None
    assert paths(db) == set()


@pytest.mark.parametrize("address", ["/", "https://old.example", "/blog", "/blog/2026/", ""])
def test_redirect_does_not_shadow_blog(
    db: Session, make_entry: Callable[..., Entry], address: str
) -> None:
    assert redirect_from(db, make_entry(), address) == "the blog has a page of its own there"
    assert paths(db) == set()


def test_redirect_does_not_shadow_entry(db: Session, make_entry: Callable[..., Entry]) -> None:
    first, second = make_entry(slug="first"), make_entry(slug="second")
    redirect_from(db, first, "/old")

    assert redirect_from(db, second, "/old/") == "it leads to another entry"
    assert db.scalars(select(Redirect.entry_id)).all() == [first.id]


def test_invalid_redirect_is_refused(db: Session, make_entry: Callable[..., Entry]) -> None:
    assert redirect_from(db, make_entry(), "http://[x") == "it is not a valid address"
