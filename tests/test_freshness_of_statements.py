"""After any SQL statement, each cached page equals a newly rendered one."""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from blog.application import Blog
from blog.config import Config
from blog.models.triggers import recount
from tests.conftest import BlogClient

IDS = st.integers(1, 3)
STATES = st.sampled_from(["draft", "published"])
KINDS = st.sampled_from(["entry", "page"])
COMMENTS = st.sampled_from(["published", "held", "spam"])
pytestmark = pytest.mark.long

DATES = st.sampled_from(["2025-01-31 23:59:59.000000", "2025-02-01 00:00:00.000000"])
WORDS = st.sampled_from(["One", "Two"])
COLUMNS = st.sampled_from(["title", "body", "summary", "author"])

PATHS = [
    *("/blog", "/blog/s1", "/s1", "/blog/s2", "/blog/tag/t1", "/blog/tags", "/blog/archive"),
    *("/blog/2025/01", "/blog/feed.json", "/blog/s1/feed.json", "/sitemap.xml"),
    *("/blog/series/r1", "/blog/s1/reply/1"),
]


def entry(id_: int, date: str, state: str, kind: str) -> str:
    return (
        "INSERT INTO entry (id, title, body, timestamp, featured, slug, state, uid, updated, "
        f"format, kind, comments_open) VALUES ({id_}, 'T', 'B', '{date}', false, 's{id_}', "
        f"'{state}', 'u{id_}', '{date}', 'markdown', '{kind}', true)"
    )


def comment(id_: int, entry_id: int, state: str) -> str:
    return (
        "INSERT INTO comment (id, entry_id, text, state, format, uid) "
        f"SELECT {id_}, id, 'C', '{state}', 'text', 'u{id_}' FROM entry WHERE id = {entry_id}"
    )


# Some violate a constraint and change nothing.
STATEMENTS = st.one_of(
    st.builds(entry, IDS, DATES, STATES, KINDS),
    st.builds(comment, IDS, IDS, COMMENTS),
    st.builds(
        "INSERT INTO entry_tag (entry_id, tag_id) SELECT id, 2 FROM entry WHERE id >= {}".format,
        IDS,
    ),
    st.builds("UPDATE entry SET {} = '{}' WHERE id = {}".format, COLUMNS, WORDS, IDS),
    st.builds("UPDATE entry SET timestamp = '{}' WHERE id >= {}".format, DATES, IDS),
    st.builds("UPDATE entry SET state = '{}' WHERE id <= {}".format, STATES, IDS),
    st.builds("UPDATE entry SET kind = '{}' WHERE id = {}".format, KINDS, IDS),
    st.builds("UPDATE entry SET slug = slug || 'x' WHERE id = {}".format, IDS),
    st.builds("UPDATE entry SET comments_open = false WHERE id = {}".format, IDS),
    st.builds("UPDATE comment SET state = '{}' WHERE id = {}".format, COMMENTS, IDS),
    st.builds("UPDATE comment SET text = '{}' WHERE id = {}".format, WORDS, IDS),
    st.builds("UPDATE comment SET uid = uid || 'x' WHERE id = {}".format, IDS),
    st.builds("UPDATE comment SET id = id + 10 WHERE id = {}".format, IDS),
    st.builds("UPDATE tag SET name = '{}' WHERE id = {}".format, WORDS, IDS),
    st.builds("UPDATE tag SET slug = slug || 'x' WHERE id = {}".format, IDS),
    st.builds("UPDATE entry_tag SET tag_id = 3 - tag_id WHERE entry_id = {}".format, IDS),
    st.builds("UPDATE entry_tag SET entry_id = {} WHERE entry_id = {}".format, IDS, IDS),
    st.builds("UPDATE comment SET parent_id = {} WHERE id = {}".format, IDS, IDS),
    st.builds("INSERT INTO series (id, title, slug) VALUES ({}, 'R', 'r{}')".format, IDS, IDS),
    st.builds("UPDATE series SET title = '{}' WHERE id = {}".format, WORDS, IDS),
    st.builds("UPDATE entry SET series_id = {} WHERE id = {}".format, IDS, IDS),
    st.builds("UPDATE entry SET series_number = 3 - id WHERE id >= {}".format, IDS),
    st.builds("UPDATE entry SET series_id = NULL WHERE id = {}".format, IDS),
    st.builds("DELETE FROM series WHERE id = {}".format, IDS),
    st.builds("DELETE FROM comment WHERE id = {}".format, IDS),
    st.builds("DELETE FROM entry_tag WHERE entry_id = {}".format, IDS),
    st.builds("DELETE FROM tag WHERE id = {}".format, IDS),
    st.builds("DELETE FROM entry WHERE id = {}".format, IDS),
)
#: In SQLite, replacing a row deletes the old one without firing delete triggers.
REPLACING = STATEMENTS.map(
    lambda statement: statement.replace("INSERT", "REPLACE", 1).replace(
        "UPDATE", "UPDATE OR REPLACE", 1
    )
)


def pages(client: BlogClient) -> list[tuple[str, int, str]]:
    answers = [(path, client.get(path)) for path in PATHS]
    return [(path, answer.status_code, answer.text) for path, answer in answers]


def fill(engine: Engine) -> None:
    execute(
        engine,
        *("DELETE FROM comment", "DELETE FROM entry", "DELETE FROM tag", "DELETE FROM series"),
        "INSERT INTO series (id, title, slug) VALUES (1, 'R', 'r1')",
        "INSERT INTO tag VALUES (1, 'A', 't1'), (2, 'B', 't2')",
        entry(1, "2025-01-31", "published", "entry"),
        entry(2, "2025-01-31", "published", "entry"),
        comment(1, 1, "published"),
        "INSERT INTO entry_tag (entry_id, tag_id) VALUES (1, 1)",
        "UPDATE entry SET series_id = 1",
    )


def execute(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


SLOWLY = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25
)


@SLOWLY
@given(performed=st.lists(STATEMENTS, min_size=1, max_size=5))
@example(performed=["UPDATE entry_tag SET entry_id = 2 WHERE entry_id = 1"])
@example(performed=["UPDATE comment SET id = 30 WHERE id = 1"])
@example(performed=["UPDATE comment SET uid = 'other' WHERE id = 1"])
def test_cached_page_equals_new_page(
    app: Blog, config: Config, engine: Engine, performed: list[str]
) -> None:
    compare(app, config, engine, performed)


@SLOWLY
@given(performed=st.lists(REPLACING, min_size=1, max_size=5))
@example(performed=["REPLACE" + entry(1, "2025-02-01", "draft", "entry").removeprefix("INSERT")])
def test_cached_page_equals_new_after_replace(
    app: Blog, config: Config, engine: Engine, performed: list[str]
) -> None:
    compare(app, config, engine, performed)


def test_replaced_comment_is_gone(app: Blog, engine: Engine) -> None:
    fill(engine)
    execute(engine, "UPDATE comment SET digest = 'd'")
    client = BlogClient(app)
    assert "<p>C</p>" in client.get("/blog/s1").text

    execute(
        engine,
        "REPLACE INTO comment (id, entry_id, text, state, format, uid, digest) "
        "VALUES (9, 1, 'Held', 'held', 'text', 'u9', 'd')",
    )
    assert "<p>C</p>" not in client.get("/blog/s1").text


def test_entry_of_year_9999_is_replaceable(app: Blog, engine: Engine) -> None:
    never = entry(1, "9999-12-31", "published", "entry")
    execute(engine, never, "REPLACE" + never.removeprefix("INSERT"))
    assert BlogClient(app).get("/blog/archive").status_code == 200


def compare(app: Blog, config: Config, engine: Engine, performed: list[str]) -> None:
    fill(engine)
    uncached = Blog(replace(config, page_cache=0), engine, app.secret)
    uncached.page_cache.started = app.page_cache.started
    keeps, makes = BlogClient(app), BlogClient(uncached)
    pages(keeps)
    for statement in performed:
        with suppress(IntegrityError):
            execute(engine, statement)
        kept = pages(keeps)
        execute(engine, *recount(engine.dialect.name))
        assert kept == pages(makes), statement
