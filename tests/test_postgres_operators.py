"""PostgreSQL in operation: schemas, shells, roles, upgrades, limits and poolers."""

import os
import re
import select
import shutil
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, text

from blog.application import Blog, create_app
from blog.cli.upgrade import upgrade_database
from blog.config import Config
from blog.database import begin_writing, connect, session_factory
from blog.entries.rendering import render_entry
from blog.models import Comment, Entry, Tag
from blog.operations import backfill, migration
from tests.apache import open_directory
from tests.conftest import SITE_URL, BlogClient
from tests.processes import PATIENCE, ROOT, THREADLEAF, Server, environment, start
from tests.test_postgres import execute, make_database, server, url_string  # noqa: F401

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(120)]


def in_schema(url: URL, path: str) -> str:
    """Return the URL of the same database with another search path."""
    return url_string(url.update_query_dict({"options": f"-csearch_path={path}"}))


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
    """A shell with its own settings."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        for setting in settings:
            connection.execute(text(setting))
        connection.commit()
        yield connection


@pytest.fixture
def url(server: URL) -> URL:  # noqa: F811
    """A database with a schema in addition to `public`."""
    url = make_database(server)
    execute(url, "CREATE SCHEMA tl")
    return url


#: Shells whose search path has the blog's schema `tl` last, or not at all.
SHELLS = [
    (),
    ("SET search_path = ''",),
    ("SET search_path = public, tl",),
    ("CREATE TEMP TABLE site AS SELECT * FROM tl.site", "CREATE TEMP TABLE entry (id int)"),
    ("SET session_replication_role = replica",),
]


@pytest.mark.parametrize("neighbour", [True, False])
@pytest.mark.parametrize("settings", SHELLS)
def test_shell_leaves_no_stale_page(url: URL, settings: tuple[str, ...], neighbour: bool) -> None:
    with opened(in_schema(url, "tl")) as blog, opened(url_string(url)) as other:
        for engine in (blog, other) if neighbour else (blog,):
            migration.upgrade(engine)
            publish(engine, "The first title")
        published = migration.check(other).version if neighbour else None
        client = BlogClient(create_app(Config(database=in_schema(url, "tl"), site_url=SITE_URL)))
        with operator(url, *settings) as shell:
            for number in range(3):
                assert client.get("/blog/a-title").status_code == 200
                shell.execute(text(f"UPDATE tl.entry SET title = 'Number{number}'"))
                shell.commit()
                assert f"Number{number}" in client.get("/blog/a-title").text
                assert f"Number{number}" in client.get(f"/blog/search?q=number{number}").text
            if neighbour:
                assert migration.check(other).version == published
        client.application.engine.dispose()  # type: ignore[attr-defined]


#: All objects in the schema `public`.
CATALOGUE = [
    "SELECT oid, relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
    "SELECT oid, proconfig FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1",
    "SELECT t.oid, tgname, tgfoid, tgenabled FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid "
    "WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
]


def test_upgrade_leaves_other_schema_alone(url: URL) -> None:
    def objects() -> list[object]:
        with operator(url) as shell:
            return [row for query in CATALOGUE for row in shell.execute(text(query))]

    with opened(url_string(url)) as other, opened(in_schema(url, "tl,public")) as blog:
        migration.upgrade(other)
        publish(other, "The first title")
        before = objects()
        assert migration.upgrade(blog) == (None, migration.HEAD)
        assert objects() == before
        publish(blog, "In tl")
        with operator(url) as shell:
            shell.execute(text("COMMENT ON TABLE tl.search_index IS 'of another version'"))
            shell.commit()
        assert migration.upgrade(blog) == (migration.HEAD, migration.HEAD)
        assert objects() == before
        for engine, title in ((other, "The first title"), (blog, "In tl")):
            with engine.connect() as connection:
                assert connection.scalars(text("SELECT title FROM entry")).all() == [title]
            migration.check(engine)


def test_upgrade_beside_readers_and_writers(url: URL) -> None:
    ended = threading.Event()
    with opened(url_string(url)) as engine:
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


def test_concurrent_first_upgrades(url: URL) -> None:
    engines = [connect(url_string(url)) for _ in range(3)]
    together = threading.Barrier(len(engines))

    def upgrade(engine: Engine) -> tuple[str | None, str]:
        together.wait(30)
        return migration.upgrade(engine)

    with ThreadPoolExecutor(len(engines)) as threads:
        results = list(threads.map(upgrade, engines))
    assert sorted(results, key=str) == [(migration.HEAD, migration.HEAD)] * 2 + [
        (None, migration.HEAD)
    ]
    for engine in engines:
        engine.dispose()


def test_unneeded_upgrade_changes_nothing(url: URL) -> None:
    with opened(url_string(url)) as engine:
        upgrade_database(engine)
        publish(engine, "A title")

        def rows() -> list[object]:
            with engine.connect() as connection:
                return list(connection.execute(text("SELECT xmin, id FROM search_index")))

        before = rows()
        upgrade_database(engine)
        assert rows() == before
        assert list(backfill.index_all(engine)) == []


def test_documented_grants_suffice(url: URL) -> None:
    page = (ROOT / "docs" / "postgresql.md").read_text("utf-8")
    grants = re.findall(r"(?m)^GRANT .*;$", page)
    assert len(grants) == 2
    execute(url, "CREATE ROLE blog LOGIN")
    try:
        with (
            opened(url_string(url)) as owner,
            opened(url_string(url.set(username="blog"))) as engine,
        ):
            migration.upgrade(owner)
            publish(owner, "A title")
            execute(url, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO blog")
            client = BlogClient(
                Blog(Config(site_url=SITE_URL), engine, migration.check(engine).secret)
            )
            assert client.get("/blog/a-title").status_code == 200
            assert "A <mark>title</mark>" in client.get("/blog/search?q=title").text
            execute(url, "UPDATE comment SET text = 'Changed.'")
            assert "A <mark>title</mark>" in client.get("/blog/search?q=title").text
            assert "<mark>" not in client.get("/blog/search?q=changed").text
            response = client.send_comment("a-title", text="Long thought about")
            assert (response.status_code, "Long thought about" in response.text) == (503, True)
            for grant in grants:
                execute(url, grant)
            assert "<mark>Changed</mark>" in client.get("/blog/search?q=changed").text
            assert client.send_comment("a-title", text="Long thought about").status_code == 303
            assert "Long thought about" in client.get("/blog/a-title").text
            execute(url, "COMMENT ON TABLE search_index IS 'of another version'")
            with pytest.raises(
                migration.DatabaseUnusableError, match="needs the owner of the tables"
            ):
                migration.upgrade(engine)
    finally:
        execute(url, "DROP OWNED BY blog; DROP ROLE blog")


def test_waiting_upgrade_can_be_stopped(url: URL) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with opened(url_string(url)) as engine:
        migration.upgrade(engine)
        execute(url, "COMMENT ON TABLE search_index IS 'of another version'")
        with operator(url) as shell:
            shell.execute(text("SELECT 1 FROM entry"))
            with pytest.raises(KeyboardInterrupt):
                migration.upgrade(engine, stop)
        assert migration.upgrade(engine) == (migration.HEAD, migration.HEAD)


# Connections


@pytest.fixture
def limited(server: URL) -> Iterator[URL]:  # noqa: F811
    """A blog's database, with a role limited to 20 connections."""
    url = make_database(server)
    execute(server, "CREATE ROLE limited SUPERUSER LOGIN CONNECTION LIMIT 20")
    execute(server, "ALTER ROLE limited NOSUPERUSER")
    execute(server, f"ALTER DATABASE {url.database} OWNER TO limited")
    yield url.set(username="limited")
    execute(server, f"DROP DATABASE {url.database} WITH (FORCE)")
    execute(server, "DROP ROLE limited")


def visit(url: str, number: int, barrier: threading.Barrier) -> Counter[tuple[str, int]]:
    """Read pages and send comments; return the number of responses by method and status."""
    statuses: Counter[tuple[str, int]] = Counter()
    with closing(HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)) as connection:

        def ask(method: str, path: str, body: str | None = None) -> str:
            # Each from another network, because each network is limited.
            headers = {"X-Forwarded-For": f"203.0.{number}.7", "X-Forwarded-Proto": "http"}
            if body:
                headers["Content-Type"] = "application/x-www-form-urlencoded"
            connection.request(method, path, body, headers)
            with connection.getresponse() as response:
                statuses[method, response.status] += 1
                return response.read().decode()

        barrier.wait(PATIENCE)
        page = ask("GET", "/blog/a-title")
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)
        if number % 4 == 0 and token:
            form = {"csrf_token": token[1], "text": f"Comment {number}", "name": f"Reader {number}"}
            ask("POST", "/blog/a-title/comments", urlencode(form))
        for path in ("/blog", f"/blog/search?q=word{number}", "/blog/feed.atom"):
            ask("GET", path)
    return statuses


def test_two_servers_share_20_connections(limited: URL, tmp_path: Path) -> None:
    with opened(url_string(limited)) as engine:
        migration.upgrade(engine)
        publish(engine, "A title")
    variables = environment(
        THREADLEAF_DATABASE=url_string(limited),
        THREADLEAF_THREADS=64,
        THREADLEAF_POOL_SIZE=10,
        THREADLEAF_MAX_IDLE=1,
        THREADLEAF_TRUSTED_PROXY="127.0.0.1",
    )
    with ExitStack() as stack:
        servers = [
            stack.enter_context(
                Server(start([*THREADLEAF, "serve", "--port", 0], tmp_path, variables))
            )
            for _ in range(2)
        ]
        together = threading.Barrier(128)
        urls = [each.url for each in servers] * 64
        with ThreadPoolExecutor(128) as clients:
            counts = clients.map(visit, urls, range(128), [together] * 128)
            statuses = sum(counts, Counter[tuple[str, int]]())
        assert statuses == {("GET", 200): 512, ("POST", 303): 32}

        time.sleep(1.1)
        for each in servers:
            each.get("/blog")
        assert connections_of("limited", limited) <= 2, "idle connections are closed"
        for each in servers:
            each.stop()
            assert each.ended() == (0, "", "")


def connections_of(role: str, url: URL) -> int:
    engine = create_engine(url.set(username="postgres"), poolclass=NullPool)
    with engine.connect() as connection:
        counted = connection.scalar(
            text("SELECT count(*) FROM pg_stat_activity WHERE usename = :role"), {"role": role}
        )
    assert isinstance(counted, int)
    return counted


class Relay:
    """A TCP relay between clients and the server, on its own port.

    :param said: replaces the version that the server reports.
    """

    def __init__(self, url: URL, said: bytes = b"") -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._server = url
        self._said = said
        #: Data sent by clients, one item per round trip.
        self.turns: list[bytes] = []
        self.url = url.set(host="127.0.0.1", port=self._listener.getsockname()[1], query={})
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _connect(self) -> socket.socket:
        if self._server.host is not None:
            return socket.create_connection((self._server.host, self._server.port or 5432))
        upstream = socket.socket(socket.AF_UNIX)
        upstream.connect(f"{self._server.query['host']}/.s.PGSQL.5432")
        return upstream

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client = self._listener.accept()[0]
                threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with client, self._connect() as upstream, suppress(OSError):
            is_asking = False
            while True:
                for each in select.select([client, upstream], [], [])[0]:
                    if not (data := each.recv(65536)):
                        return
                    if each is upstream:
                        client.sendall(
                            re.sub(rb"PostgreSQL \d\d", self._said, data) if self._said else data
                        )
                        is_asking = False
                        continue
                    if is_asking:
                        self.turns[-1] += data
                    else:
                        self.turns.append(data)
                    is_asking = True
                    upstream.sendall(data)


@pytest.fixture
def blog_url(server: URL) -> URL:  # noqa: F811
    url = make_database(server)
    with opened(url_string(url)) as engine:
        migration.upgrade(engine)
        publish(engine, "A title")
    return url


def test_freshness_costs_one_round_trip(blog_url: URL) -> None:
    with closing(Relay(blog_url)) as relay:
        app = create_app(Config(database=url_string(relay.url), site_url=SITE_URL))
        client = BlogClient(app)
        for _ in range(10):  # the driver prepares a statement after five executions
            assert client.get("/blog/a-title").status_code == 200
        before = len(relay.turns)
        for _ in range(10):
            assert client.get("/blog/a-title").status_code == 200
        assert len(relay.turns) - before == 10, relay.turns[before:]
        app.engine.dispose()


@pytest.fixture
def bouncer(blog_url: URL) -> Iterator[URL]:
    """PgBouncer in transaction mode, with two connections to a blog's database."""
    if (program := shutil.which("pgbouncer")) is None:
        pytest.skip("needs PgBouncer")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    # The server's socket is in a folder that other users may not enter.
    with open_directory() as folder, closing(Relay(blog_url)) as relay:
        users, settings = folder / "users.txt", folder / "pgbouncer.ini"
        users.write_text('"postgres" ""\n', encoding="utf-8")
        settings.write_text(
            f"""[databases]
            * = host=127.0.0.1 port={relay.url.port} user=postgres
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = {port}
            unix_socket_dir =
            auth_type = any
            auth_file = {users}
            pool_mode = transaction
            default_pool_size = 2
            """.replace("            ", ""),
            encoding="utf-8",
        )
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        with subprocess.Popen(
            [program, "-q", *user, settings], stderr=subprocess.DEVNULL
        ) as process:
            url = blog_url.set(host="127.0.0.1", port=port, query={"prepare_threshold": "none"})
            for _ in range(PATIENCE * 20):
                with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.05)
            yield url
            process.terminate()


def test_pgbouncer_keeps_session_state_apart(bouncer: URL) -> None:
    app = create_app(Config(database=url_string(bouncer), site_url=SITE_URL, comment_trust=False))

    def read_and_write(number: int) -> list[int]:
        client = BlogClient(app)
        client.address = f"203.0.{number}.7"
        statuses = [client.get(path).status_code for path in ("/blog", "/blog/a-title") * 10]
        statuses.append(client.send_comment("a-title", text=f"Number {number}").status_code)
        with app.engine.connect() as connection:
            assert connection.scalar(text("SHOW lock_timeout")) == "15s"
        return statuses

    with ThreadPoolExecutor(8) as threads:
        for statuses in threads.map(read_and_write, range(24)):
            assert statuses == [200] * 20 + [303]
    app.engine.dispose()

    stranger = create_engine(bouncer.set(query={}), poolclass=NullPool)
    for _ in range(4):
        with stranger.connect() as connection:
            assert connection.scalar(text("SHOW lock_timeout")) == "0"
            assert connection.scalar(text("SELECT count(*) FROM pg_prepared_statements")) == 0


def test_old_server_is_refused(blog_url: URL) -> None:
    with (
        closing(Relay(blog_url, b"PostgreSQL 13")) as relay,
        opened(url_string(relay.url)) as engine,
    ):
        for use in (migration.upgrade, migration.check):
            with pytest.raises(
                migration.DatabaseUnusableError, match=r"PostgreSQL 13\..* needs 14"
            ):
                use(engine)
