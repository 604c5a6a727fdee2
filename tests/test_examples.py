"""The programs of the question and of its answers, from examples/, under load."""

import importlib
import re
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from logging import WARNING
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, Pool, QueuePool, create_engine, event
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from examples.models import Comment, create_tables
from pool import ThreadLocalPool
from tests.clients import CLIENTS, Client, all_statuses, load
from tests.pool.servers import waitress_threads
from tests.pool.watched import Worker, open_files
from tests.processes import PATIENCE, ROOT, Server, environment, start

for package in "flask", "flask_sqlalchemy", "fastapi", "uvicorn":
    pytest.importorskip(package, reason="needs the extra `examples`")

pytestmark = [pytest.mark.examples, pytest.mark.timeout(90)]

SENTENCE = "SQLite objects created in a thread can only be used in that same thread"

WSGI = ["global_session", "flask_scoped", "flask_extension", "flask_url", "plain_wsgi"]


@contextmanager
def serving_asgi(application: Any) -> Iterator[str]:
    """Serve `application` with uvicorn in a thread; yield its address."""
    import uvicorn

    with socket.create_server(("127.0.0.1", 0), backlog=CLIENTS) as listener:
        server = uvicorn.Server(uvicorn.Config(application, log_config=None))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def served(name: str, database: str, poolclass: type[Pool]) -> Iterator[str]:
    """Serve an example; at the end, all of its threads have ended."""
    before = set(threading.enumerate())
    create_app = importlib.import_module(f"examples.{name}").create_app
    application = create_app(database, poolclass)
    with (waitress_threads if name in WSGI else serving_asgi)(application) as url:
        yield url
        # Listed now, because a thread that is ending is no longer listed.
        workers = set(threading.enumerate()) - before
    for thread in workers:
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.fixture
def engines() -> Iterator[list[Engine]]:
    """All engines used by an example.

    Their connections wait for a lock as long as the test may take: dozens of writers compete for
    one in no order, and on a slow disk some would exceed the driver's timeout of five seconds.
    """
    used: list[Engine] = []

    def note(connection: Connection) -> None:
        if connection.engine not in used:
            used.append(connection.engine)

    def wait(_dialect: object, _record: object, _args: object, arguments: dict[str, Any]) -> None:
        arguments["timeout"] = PATIENCE

    event.listen(Engine, "engine_connect", note)
    event.listen(Engine, "do_connect", wait)
    yield used
    event.remove(Engine, "do_connect", wait)
    event.remove(Engine, "engine_connect", note)
    for engine in used:
        engine.dispose()


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{(tmp_path / 'blog.db').as_posix()}"


def comments(folder: Path) -> list[str]:
    """The committed comments, ordered by text."""
    with closing(sqlite3.connect(folder / "blog.db")) as reader:
        return [text for (text,) in reader.execute("SELECT text FROM comment ORDER BY text")]


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("flask_scoped", ""),
        ("flask_scoped", "?check_same_thread=true"),
        ("flask_extension", ""),
        ("flask_extension", "?check_same_thread=true"),
        ("flask_url", ""),
        ("fastapi_sessionlocal", ""),
        ("plain_wsgi", ""),
        ("plain_wsgi", "?check_same_thread=true"),
    ],
)
def test_example_closes_all_connections(
    name: str,
    query: str,
    database: str,
    engines: list[Engine],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with served(name, database + query, ThreadLocalPool) as url:
        clients = load(url)

    assert all_statuses(clients) == {("POST", 303): 2 * CLIENTS, ("GET", 200): 2 * CLIENTS}
    assert [client.missed for client in clients if client.missed] == []
    assert comments(tmp_path) == sorted(text for c in clients for text in c.acknowledged)
    # Both warn of delays: waitress of a full queue, asyncio of slow callbacks in dev mode.
    slow = {(WARNING, "waitress.queue"), (WARNING, "asyncio")}
    logged = [r.getMessage() for r in caplog.records if (r.levelno, r.name) not in slow]
    assert logged == []
    (engine,) = engines
    assert isinstance(engine.pool, ThreadLocalPool)
    stats = engine.pool.stats()
    assert stats.checkouts >= 4 * CLIENTS
    assert (stats.open, stats.threads) == (0, 0)
    assert open_files(tmp_path) == 0


def test_fastapi_example_passes_driver_check(
    database: str, engines: list[Engine], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def check(_dialect: object, _record: object, _args: object, arguments: dict[str, Any]) -> None:
        arguments["check_same_thread"] = True

    event.listen(Engine, "do_connect", check)
    try:
        with served("fastapi_sessionlocal", database, ThreadLocalPool) as url:
            clients = load(url, times=1)
    finally:
        event.remove(Engine, "do_connect", check)

    assert all_statuses(clients) == {("POST", 303): CLIENTS, ("GET", 200): CLIENTS}
    assert comments(tmp_path) == sorted(text for c in clients for text in c.acknowledged)
    said = {record.getMessage() for record in caplog.records if record.name != "asyncio"}
    assert said
    assert all("returned by a thread other than its own" in message for message in said)
    (engine,) = engines
    assert isinstance(engine.pool, ThreadLocalPool)
    assert engine.pool.stats().open == 0
    assert open_files(tmp_path) == 0


@pytest.mark.parametrize("name", ["flask_scoped", "fastapi_sessionlocal"])
def test_stock_pool_outlives_threads(name: str, database: str, engines: list[Engine]) -> None:
    with served(name, database, QueuePool) as url:
        clients = load(url, times=1)

    assert all_statuses(clients) == {("POST", 303): CLIENTS, ("GET", 200): CLIENTS}
    (engine,) = engines
    assert isinstance(engine.pool, QueuePool)
    assert engine.pool.checkedin() > 0


SCRIPT = """
import importlib, logging, sys
from tests.pool.servers import waitress_threads

example, database, module, poolclass, log = sys.argv[1:]
logging.basicConfig(filename=log, encoding="utf-8")
create_app = importlib.import_module(f"examples.{example}").create_app
application = create_app(database, getattr(importlib.import_module(module), poolclass))
with waitress_threads(application) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def serve_badly(tmp_path: Path) -> Callable[[str, str, type[Pool]], Server]:
    """Return a function that serves an example in a process, as it may crash; `log` is its log."""

    def serve(name: str, database: str, poolclass: type[Pool]) -> Server:
        which = poolclass.__module__, poolclass.__name__
        return Server(
            start([sys.executable, "-c", SCRIPT, name, database, *which, tmp_path / "log"])
        )

    return serve


@pytest.mark.parametrize(
    ("name", "poolclass"),
    [
        ("global_session", QueuePool),
        ("global_session", ThreadLocalPool),
        # The session is right, but the pool returns a connection of another thread.
        ("flask_scoped", QueuePool),
    ],
)
def test_global_session_fails_driver_check(
    serve_badly: Callable[[str, str, type[Pool]], Server],
    name: str,
    poolclass: type[Pool],
    database: str,
    tmp_path: Path,
) -> None:
    with (
        serve_badly(name, f"{database}?check_same_thread=true", poolclass) as server,
        closing(Client(server.url)) as client,
    ):
        answers = [client.ask("GET", "/blog")[0] for _ in range(9)]

    assert answers[0] == 200
    assert 500 in answers
    assert SENTENCE in (tmp_path / "log").read_text(encoding="utf-8")


@pytest.mark.parametrize("poolclass", [QueuePool, ThreadLocalPool])
def test_global_session_breaks_under_load(
    serve_badly: Callable[[str, str, type[Pool]], Server],
    poolclass: type[Pool],
    database: str,
    tmp_path: Path,
) -> None:
    with serve_badly("global_session", database, poolclass) as server:
        for _ in range(20):
            load(server.url)
            with closing(Client(server.url)) as alone:
                alone.comment_and_read(8)
            if not {("GET", 200), ("POST", 303)} & alone.statuses.keys():
                break
        else:
            pytest.fail("the session still works")

    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert "PendingRollbackError" in log or "IllegalStateChangeError" in log


def note_steps(session: Session | scoped_session[Session]) -> int:
    """Store a comment in one thread while another reads and rolls back in between.

    Return the number of comments that the other thread saw.
    """

    def add() -> None:
        session.add(Comment(entry_id=1, text="Kept?", name="Reader"))
        session.flush()

    def read() -> int:
        return session.query(Comment).count()

    with Worker() as writer, Worker() as other:
        writer.run(add)
        seen = other.run(read)
        other.run(session.rollback)
        writer.run(session.commit)
        writer.run(session.close)
        other.run(session.close)
    return seen


@pytest.mark.parametrize("poolclass", [QueuePool, ThreadLocalPool])
def test_global_session_commit_stores_nothing(
    poolclass: type[Pool], database: str, tmp_path: Path
) -> None:
    engine = create_engine(database, poolclass=poolclass)
    create_tables(engine)

    seen = note_steps(sessionmaker(engine)())
    engine.dispose()

    assert (seen, comments(tmp_path)) == (1, [])


@pytest.mark.parametrize("poolclass", [QueuePool, ThreadLocalPool])
def test_thread_session_stores_comment(
    poolclass: type[Pool], database: str, tmp_path: Path
) -> None:
    engine = create_engine(database, poolclass=poolclass)
    create_tables(engine)

    seen = note_steps(scoped_session(sessionmaker(engine)))
    engine.dispose()

    assert (seen, comments(tmp_path)) == (0, ["Kept?"])


@pytest.mark.parametrize("name", [*WSGI, "fastapi_sessionlocal"])
def test_example_runs_by_readme_command(name: str, tmp_path: Path) -> None:
    readme = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert f"]({name}.py)" in readme
    commands = re.findall(r"^(waitress-serve|uvicorn) (.*)$", readme, re.MULTILINE)
    (options,) = (o for c, o in commands if (c == "waitress-serve") == (name in WSGI))
    module = "waitress" if name in WSGI else "uvicorn"
    options = re.sub(r"examples\.\w+", f"examples.{name}", options.replace("8080", "0"))
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", module, *options.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        cwd=tmp_path,
        env=environment(),
    )
    with Server(process) as server, closing(Client(server.url)) as client:
        client.comment_and_read(1)

    assert client.statuses == {("POST", 303): 1, ("GET", 200): 1}
    assert comments(tmp_path) == client.acknowledged
