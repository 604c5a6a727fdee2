"""Scopes: cached responses that a change leaves current, and changes of other histories."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, text

from blog.application import Blog
from blog.models import Comment
from blog.models.change import MOST
from tests.conftest import BlogClient, MakeEntry

MakeComment = Callable[..., Comment]

SHOWN = ["/blog", "/blog/one", "/blog/two", "/blog/feed.atom", "/blog/two/feed.json", "/blog/tags"]


@pytest.fixture
def talkative(client: BlogClient, make_entry: MakeEntry, make_comment: MakeComment) -> BlogClient:
    for slug in ("one", "two"):
        make_comment(make_entry(slug.title(), slug=slug, tags=("tea",)))
    return client


def current(app: Blog, client: BlogClient, pages: list[str]) -> set[str]:
    """Request pages, and return those served from the cache."""
    made = {page: app.page_cache.responses.get(("", page, ())) for page in pages}
    for page in pages:
        assert client.get(page).status_code == 200
    after = {page: app.page_cache.responses.get(("", page, ())) for page in pages}
    return {page for page in pages if made[page] is not None and made[page] is after[page]}


def changed_by_hand(engine: Engine, *statements: str) -> None:
    """Execute statements as another program."""
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


ON_ONE = "(SELECT id FROM entry WHERE slug = 'one')"
ON_TWO = "(SELECT id FROM entry WHERE slug = 'two')"


@pytest.mark.parametrize(
    ("statement", "stale"),
    [
        (f"UPDATE comment SET text = 'Other' WHERE entry_id = {ON_ONE}", {"/blog/one"}),
        (f"DELETE FROM comment WHERE entry_id = {ON_ONE}", {"/blog/one"}),
        (
            f"UPDATE comment SET text = 'Other' WHERE entry_id = {ON_TWO}",
            {"/blog/two", "/blog/two/feed.json"},
        ),
        (
            f"UPDATE comment SET entry_id = {ON_TWO} WHERE entry_id = {ON_ONE}",
            {"/blog/one", "/blog/two", "/blog/two/feed.json"},
        ),
        ("UPDATE comment SET taught = 'spam'", set()),
        ("UPDATE tag SET name = 'Coffee'", set(SHOWN)),
        ("UPDATE entry SET body = 'Other' WHERE slug = 'one'", set(SHOWN)),
        # A version without a recorded scope.
        ("UPDATE site SET version = version + 1", set(SHOWN)),
    ],
)
def test_comment_expires_only_its_pages(
    app: Blog, talkative: BlogClient, engine: Engine, statement: str, stale: set[str]
) -> None:
    assert current(app, talkative, SHOWN) == set()
    assert current(app, talkative, SHOWN) == set(SHOWN)
    changed_by_hand(engine, statement)
    assert current(app, talkative, SHOWN) == set(SHOWN) - stale
    assert current(app, talkative, SHOWN) == set(SHOWN)


def test_search_expires_with_any_comment(
    app: Blog, talkative: BlogClient, make_comment: MakeComment, make_entry: MakeEntry
) -> None:
    address = "/blog/search?q=heron"
    assert (
        "heron"
        not in talkative.get(address).text.partition("<main")[2].replace("q=heron", "")[400:]
    )
    make_comment(make_entry("Three"), "A heron.")
    assert "<mark>heron</mark>" in talkative.get(address).text


def test_many_changes_expire_all_their_pages(
    app: Blog, talkative: BlogClient, engine: Engine
) -> None:
    many = f"UPDATE comment SET name = 'Ann', text = text || '!' WHERE entry_id = {ON_TWO}"
    current(app, talkative, SHOWN)
    changed_by_hand(engine, *[many] * 20)
    assert current(app, talkative, ["/blog/one"]) == {"/blog/one"}
    changed_by_hand(engine, *[many] * (MOST + 1))
    assert current(app, talkative, ["/blog/one", "/blog/two"]) == set()
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM change")) == MOST


@pytest.mark.parametrize(
    "statements",
    [
        # A reused version: another text under the same number.
        [
            f"UPDATE comment SET text = 'Other' WHERE entry_id = {ON_TWO}",
            "UPDATE site SET version = version - 1, changed = '2020-01-01 00:00:00.000000'",
        ],
        ["UPDATE site SET version = version + 5"],
        ["DELETE FROM change", f"UPDATE comment SET text = 'Other' WHERE entry_id = {ON_TWO}"],
        [
            f"UPDATE comment SET text = 'Other' WHERE entry_id = {ON_TWO}",
            "UPDATE change SET changed = '2020-01-01 00:00:00.000000'",
        ],
    ],
)
def test_other_history_expires_all_pages(
    app: Blog, talkative: BlogClient, engine: Engine, statements: list[str]
) -> None:
    current(app, talkative, SHOWN)
    changed_by_hand(engine, *statements)
    assert current(app, talkative, ["/blog/one", "/blog/tags"]) == set()
