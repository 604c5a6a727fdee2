"""Blogs in schemas of one PostgreSQL database: whoever writes, and while they are upgraded."""

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, text

from blog import schema, upgrading
from blog.application import Blog, create_app
from blog.cli_upgrade import upgrade_database
from blog.config import Config
from blog.database import begin_writing, connect, session_factory
from blog.models import Comment, Entry, Tag
from blog.publishing import render_entry
from tests.conftest import SITE_URL, BlogClient
from tests.processes import ROOT
from tests.test_postgres import execute, make_database, server, written  # noqa: F401

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(120)]


def beside(url: URL, path: str) -> str:
    """Return the address of the same database with another search path."""
    return written(url.update_query_dict({"options": f"-csearch_path={path}"}))


@contextmanager
def opened(address: str) -> Iterator[Engine]:
    engine = connect(address)
    yield engine
    engine.dispose()


def publish(engine: Engine, title: str) -> None:
    with session_factory(engine)() as db:
        begin_writing(db)
        moment = datetime(2024, 1, 1, tzinfo=UTC)
        entry = Entry(title=title, slug="a-title", body="Words", timestamp=moment)
        entry.tags.append(Tag(name="one", slug="one"))
        db.add_all([entry, Comment(entry=entry, text="A comment.", created=moment)])
        render_entry(db, entry)
        db.commit()


@contextmanager
def operator(url: URL, *settings: str) -> Iterator[Connection]:
    """A shell, with settings of its own."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        for setting in settings:
            connection.execute(text(setting))
        connection.commit()
        yield connection


@pytest.fixture
def url(server: URL) -> URL:  # noqa: F811
    """A database with a schema beside `public`."""
    url = make_database(server)
    execute(url, "CREATE SCHEMA tl")
    return url


#: Shells whose own search path has the tables of the blog in `tl` last, or not at all.
SHELLS = [
    (),
    ("SET search_path = ''",),
    ("SET search_path = public, tl",),
    ("CREATE TEMP TABLE site AS SELECT * FROM tl.site", "CREATE TEMP TABLE entry (id int)"),
    ("SET session_replication_role = replica",),
]


@pytest.mark.parametrize("neighbour", [True, False])
@pytest.mark.parametrize("settings", SHELLS)
def test_a_shell_leaves_no_page_stale(url: URL, settings: tuple[str, ...], neighbour: bool) -> None:
    with opened(beside(url, "tl")) as blog, opened(written(url)) as other:
        for engine in (blog, other) if neighbour else (blog,):
            schema.upgrade(engine)
            publish(engine, "The first title")
        published = schema.check(other).version if neighbour else None
        client = BlogClient(create_app(Config(database=beside(url, "tl"), site_url=SITE_URL)))
        with operator(url, *settings) as shell:
            for number in range(3):
                assert client.get("/blog/a-title").status_code == 200
                shell.execute(text(f"UPDATE tl.entry SET title = 'Number{number}'"))
                shell.commit()
                assert f"Number{number}" in client.get("/blog/a-title").text
                assert f"Number{number}" in client.get(f"/blog/search?q=number{number}").text
            if neighbour:
                assert schema.check(other).version == published
        client.application.engine.dispose()  # type: ignore[attr-defined]


#: What there is in the schema `public`.
CATALOGUE = [
    "SELECT oid, relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
    "SELECT oid, proconfig FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1",
    "SELECT t.oid, tgname, tgfoid, tgenabled FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid "
    "WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
]


def test_an_upgrade_leaves_the_blog_in_the_other_schema_alone(url: URL) -> None:
    def objects() -> list[object]:
        with operator(url) as shell:
            return [row for query in CATALOGUE for row in shell.execute(text(query))]

    with opened(written(url)) as other, opened(beside(url, "tl,public")) as blog:
        schema.upgrade(other)
        publish(other, "The first title")
        before = objects()
        assert schema.upgrade(blog) == (None, schema.HEAD)
        assert objects() == before
        publish(blog, "In tl")
        with operator(url) as shell:
            shell.execute(text("COMMENT ON TABLE tl.search_index IS 'of another version'"))
            shell.commit()
        assert schema.upgrade(blog) == (schema.HEAD, schema.HEAD)
        assert objects() == before
        for engine, title in ((other, "The first title"), (blog, "In tl")):
            with engine.connect() as connection:
                assert connection.scalars(text("SELECT title FROM entry")).all() == [title]
            schema.check(engine)


def test_upgrades_beside_writers_and_readers_end_nobody(url: URL) -> None:
    ended = threading.Event()
    with opened(written(url)) as engine:
        upgrade_database(engine)
        publish(engine, "A title")

        def write() -> int:
            number = 0
            while not ended.is_set():
                with session_factory(engine)() as db:
                    begin_writing(db)
                    db.execute(
                        text("UPDATE entry SET title = title || 'x' WHERE length(title) < 99")
                    )
                    db.commit()
                number += 1
                time.sleep(0.01)
            return number

        def shell(first: str, second: str) -> int:
            number = 0
            with operator(url) as connection:
                while not ended.is_set():
                    connection.execute(text(first))
                    connection.execute(text(second))
                    connection.commit()
                    number += 1
                    time.sleep(0.01)
                time.sleep(0.01)
            return number

        with ThreadPoolExecutor(5) as threads:
            others = [
                threads.submit(write),
                threads.submit(
                    shell,
                    "UPDATE entry SET body = body || 'x' WHERE length(body) < 99",
                    "UPDATE comment SET text = 'x'",
                ),
                threads.submit(shell, "SELECT 1 FROM comment", "SELECT 1 FROM entry"),
                threads.submit(shell, "SELECT 1 FROM searchable_entry", "SELECT 1 FROM site"),
            ]
            try:
                for _ in range(10):
                    with operator(url) as connection:
                        connection.execute(text("COMMENT ON TABLE search_index IS 'of another'"))
                        connection.commit()
                    upgrade_database(engine)
            finally:
                ended.set()
            assert all(other.result(30) > 0 for other in others)


def test_of_two_first_upgrades_one_makes_the_schema(url: URL) -> None:
    engines = [connect(written(url)) for _ in range(3)]
    together = threading.Barrier(len(engines))

    def upgrade(engine: Engine) -> tuple[str | None, str]:
        together.wait(30)
        return schema.upgrade(engine)

    with ThreadPoolExecutor(len(engines)) as threads:
        results = list(threads.map(upgrade, engines))
    assert sorted(results, key=str) == [(schema.HEAD, schema.HEAD)] * 2 + [(None, schema.HEAD)]
    for engine in engines:
        engine.dispose()


def test_an_upgrade_that_is_not_needed_changes_nothing(url: URL) -> None:
    with opened(written(url)) as engine:
        upgrade_database(engine)
        publish(engine, "A title")

        def rows() -> list[object]:
            with engine.connect() as connection:
                return list(connection.execute(text("SELECT xmin, id FROM search_index")))

        before = rows()
        upgrade_database(engine)
        assert rows() == before
        assert list(upgrading.index_all(engine)) == []


def test_a_role_needs_the_documented_grants_and_no_more(url: URL) -> None:
    page = (ROOT / "docs" / "postgresql.md").read_text("utf-8")
    grants = re.findall(r"(?m)^GRANT .*;$", page)
    assert len(grants) == 2
    execute(url, "CREATE ROLE blog LOGIN")
    try:
        with opened(written(url)) as owner, opened(written(url.set(username="blog"))) as engine:
            schema.upgrade(owner)
            publish(owner, "A title")
            execute(url, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO blog")
            client = BlogClient(
                Blog(Config(site_url=SITE_URL), engine, schema.check(engine).secret)
            )
            assert client.get("/blog/a-title").status_code == 200
            response = client.send_comment("a-title", text="Long thought about")
            assert (response.status_code, "Long thought about" in response.text) == (503, True)
            for grant in grants:
                execute(url, grant)
            assert client.send_comment("a-title", text="Long thought about").status_code == 303
            assert "Long thought about" in client.get("/blog/a-title").text
            execute(url, "COMMENT ON TABLE search_index IS 'of another version'")
            with pytest.raises(schema.DatabaseUnusableError, match="takes the owner of the tables"):
                schema.upgrade(engine)
    finally:
        execute(url, "DROP OWNED BY blog; DROP ROLE blog")
