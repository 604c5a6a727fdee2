"""Connections to PostgreSQL: how many there are, who waits for one, and what each request sends."""

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
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from sqlalchemy import URL, NullPool, create_engine, text

from blog import schema
from blog.application import create_app
from blog.config import Config
from tests.apache import open_directory
from tests.conftest import SITE_URL, BlogClient
from tests.processes import PATIENCE, THREADLEAF, Server, environment, start
from tests.test_postgres import execute, make_database, server, written  # noqa: F401
from tests.test_postgres_schemas import opened, publish

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(120)]


@pytest.fixture
def limited(server: URL) -> Iterator[URL]:  # noqa: F811
    """A blog's database, and a role for it that may have 20 connections."""
    url = make_database(server)
    execute(server, "CREATE ROLE limited SUPERUSER LOGIN CONNECTION LIMIT 20")
    execute(server, "ALTER ROLE limited NOSUPERUSER")
    execute(server, f"ALTER DATABASE {url.database} OWNER TO limited")
    yield url.set(username="limited")
    execute(server, f"DROP DATABASE {url.database} WITH (FORCE)")
    execute(server, "DROP ROLE limited")


def visit(url: str, number: int, barrier: threading.Barrier) -> Counter[tuple[str, int]]:
    """Read pages and send a comment, and return how often each method got each status."""
    statuses: Counter[tuple[str, int]] = Counter()
    with closing(HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)) as connection:

        def ask(method: str, path: str, body: str | None = None) -> str:
            # Of a network each, or there would be too many comments of one.
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


def test_two_servers_with_64_threads_share_20_connections(limited: URL, tmp_path: Path) -> None:
    with opened(written(limited)) as engine:
        schema.upgrade(engine)
        publish(engine, "A title")
    variables = environment(
        THREADLEAF_DATABASE=written(limited),
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
        assert connections_of("limited", limited) <= 2, "idle ones are closed"
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
    """Passes on what a client and the server say to each other, on a port of its own.

    :param said: the version of itself that the server names, if it should be another.
    """

    def __init__(self, url: URL, said: bytes = b"") -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._socket = f"{url.query['host']}/.s.PGSQL.5432"
        self._said = said
        #: What clients have sent, an item for each time that they then waited for a reply.
        self.turns: list[bytes] = []
        self.url = url.set(host="127.0.0.1", port=self._listener.getsockname()[1], query={})
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client = self._listener.accept()[0]
                threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as upstream, suppress(OSError):
            upstream.connect(self._socket)
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
    with opened(written(url)) as engine:
        schema.upgrade(engine)
        publish(engine, "A title")
    return url


def test_the_freshness_of_a_cached_page_is_one_round_trip(blog_url: URL) -> None:
    with closing(Relay(blog_url)) as relay:
        app = create_app(Config(database=written(relay.url), site_url=SITE_URL))
        client = BlogClient(app)
        for _ in range(10):  # the driver prepares what it has sent five times
            assert client.get("/blog/a-title").status_code == 200
        before = len(relay.turns)
        for _ in range(10):
            assert client.get("/blog/a-title").status_code == 200
        assert len(relay.turns) - before == 10, relay.turns[before:]
        app.engine.dispose()


@pytest.fixture
def bouncer(blog_url: URL) -> Iterator[URL]:
    """PgBouncer in transaction mode before a blog's database, with two connections to it."""
    if (program := shutil.which("pgbouncer")) is None:
        pytest.skip("needs PgBouncer")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    # The socket of the server is in a folder that not every user may enter.
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


def test_behind_pgbouncer_nothing_of_a_session_is_lost_or_left(bouncer: URL) -> None:
    app = create_app(Config(database=written(bouncer), site_url=SITE_URL, comment_trust=False))

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


def test_a_server_that_is_too_old_is_refused(blog_url: URL) -> None:
    with closing(Relay(blog_url, b"PostgreSQL 13")) as relay, opened(written(relay.url)) as engine:
        for use in (schema.upgrade, schema.check):
            with pytest.raises(schema.DatabaseUnusableError, match=r"PostgreSQL 13\..* needs 14"):
                use(engine)
