"""Connections returned with an open transaction, an open statement or another mode, on SQLite.

Whatever failed before, no lock remains, and the thread's next commit stores its own work and
nothing else. `test_postgres.py` has the same for PostgreSQL.
"""

import gc
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, CursorResult, Engine, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.pool import PoolProxiedConnection

from pool import ThreadLocalPool, _fairy
from pool.sqlite import configure
from tests.pool.watched import Worker, in_thread

REFUSED = "refused"
WRITE = f"INSERT INTO note VALUES ('{REFUSED}', 1)"


def unfinished(connection: Connection) -> CursorResult[Any]:
    """Return a result of several rows of which one was read: its statement is open."""
    result = connection.execute(text("SELECT * FROM note"))
    result.fetchone()
    return result


class RefusedError(Exception):
    """A listener's."""


@pytest.fixture(scope="module", params=["delete", "wal"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without and one with a write-ahead log."""
    path = tmp_path_factory.mktemp("database") / "app.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {request.param}")
        connection.execute("CREATE TABLE note (text, parent)")
        connection.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
        connection.execute(
            "CREATE TABLE child (id REFERENCES parent DEFERRABLE INITIALLY DEFERRED)"
        )
        notes = [(f"note {number}",) for number in range(200)]
        connection.executemany("INSERT INTO note VALUES (?, 0)", notes)
        connection.commit()
    return path


@pytest.fixture
def path(tmp_path: Path, database: Path) -> Path:
    return Path(shutil.copy(database, tmp_path / "app.db"))


def make_engine(path: Path, *, check_same_thread: bool = False, **options: Any) -> Engine:
    return create_engine(
        f"sqlite:///{path.as_posix()}",
        poolclass=ThreadLocalPool,
        connect_args={"timeout": 0, "check_same_thread": check_same_thread},
        **options,
    )


def stored(path: Path) -> list[str]:
    """What another program finds beside the 200 notes; it fails if it cannot write at once."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        return [note for (note,) in other.execute("SELECT text FROM note WHERE parent = 1")]


def use_again(engine: Engine) -> None:
    """The thread's next work: it must not find anything of the work before."""
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO note VALUES ('next', 1)"))


# Failed commits


class Refusal:
    """One way in which the end of a transaction can fail."""

    def prepare(self, engine: Engine, path: Path) -> None:
        """Before the first connection is opened."""

    def provoke(self, connection: Any) -> None:
        """In the transaction; `connection` is the driver's."""

    def end(self) -> None:
        """After the return."""


class AnotherReader(Refusal):
    """Without a write-ahead log no commit is possible while another connection reads."""

    def prepare(self, engine: Engine, path: Path) -> None:
        self.reader = sqlite3.connect(path)

    def provoke(self, connection: Any) -> None:
        self.cursor = self.reader.execute("SELECT * FROM note")

    def end(self) -> None:
        self.cursor.close()
        self.reader.close()


class ForeignKey(Refusal):
    """It is checked at the end of the transaction, which stays open."""

    def prepare(self, engine: Engine, path: Path) -> None:
        event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys = ON"))

    def provoke(self, connection: Any) -> None:
        connection.execute("INSERT INTO child VALUES (7)")


class Listener(Refusal):
    """It raises before the driver is asked; an engine's listener hears of no raw connection."""

    def prepare(self, engine: Engine, path: Path) -> None:
        self.raises = True

        def refuse(_: Connection) -> None:
            if self.raises:
                self.raises = False
                raise RefusedError

        event.listen(engine, "commit", refuse)

    def end(self) -> None:
        self.raises = False


class Authorizer(Refusal):
    """The driver's authorizer denies one COMMIT."""

    def prepare(self, engine: Engine, path: Path) -> None:
        self.forbids = False

        def authorize(action: int, argument: str | None, *_: object) -> int:
            if self.forbids and (action, argument) == (sqlite3.SQLITE_TRANSACTION, "COMMIT"):
                self.forbids = False
                return sqlite3.SQLITE_DENY
            return sqlite3.SQLITE_OK

        event.listen(engine, "connect", lambda raw, _: raw.set_authorizer(authorize))

    def provoke(self, connection: Any) -> None:
        self.forbids = True


class HalfReadInsert(Refusal):
    """SQLite cannot commit in the middle of a statement that writes."""

    def provoke(self, connection: Any) -> None:
        self.rows = connection.execute(
            "INSERT INTO note VALUES ('refused', 1), ('refused', 1) RETURNING text"
        )
        self.rows.fetchone()


def by_session(engine: Engine, refusal: Refusal) -> None:
    with Session(engine) as session:
        session.execute(text(WRITE))
        refusal.provoke(session.connection().connection.dbapi_connection)
        session.commit()


def by_connection(engine: Engine, refusal: Refusal) -> None:
    with engine.connect() as connection:
        connection.execute(text(WRITE))
        refusal.provoke(connection.connection.dbapi_connection)
        connection.commit()


def by_begin(engine: Engine, refusal: Refusal) -> None:
    with engine.begin() as connection:
        connection.execute(text(WRITE))
        refusal.provoke(connection.connection.dbapi_connection)


def by_raw_connection(engine: Engine, refusal: Refusal) -> None:
    with closing(engine.raw_connection()) as raw:
        raw.cursor().execute(WRITE)
        refusal.provoke(raw.dbapi_connection)
        raw.commit()


def silent(engine: Engine) -> None:
    """A return without listeners."""


def listened(engine: Engine) -> None:
    """SQLAlchemy's return, with its events."""
    event.listen(engine, "checkin", lambda *_: None)


@pytest.mark.parametrize("way", [silent, listened])
@pytest.mark.parametrize("use", [by_session, by_connection, by_begin, by_raw_connection])
@pytest.mark.parametrize(
    "refusal", [AnotherReader, ForeignKey, Listener, Authorizer, HalfReadInsert]
)
def test_next_commit_excludes_refused(
    path: Path,
    refusal: Callable[[], Refusal],
    use: Callable[[Engine, Refusal], None],
    way: Callable[[Engine], None],
) -> None:
    engine = make_engine(path)
    how = refusal()
    how.prepare(engine, path)
    way(engine)

    try:
        use(engine, how)
        expected = [REFUSED]  # with a log a reader blocks no commit, for example
    except (SQLAlchemyError, sqlite3.Error, RefusedError):
        expected = []
    how.end()

    assert stored(path) == expected
    use_again(engine)
    assert stored(path) == [*expected, "next"]
    engine.dispose()


@pytest.mark.parametrize("foreign", [False, True], ids=["own thread", "foreign thread"])
@pytest.mark.parametrize("check_same_thread", [False, True])
@pytest.mark.parametrize("end", ["close", "collect"])
def test_refused_commit_is_undone(
    path: Path, end: str, check_same_thread: bool, foreign: bool
) -> None:
    engine = make_engine(path, check_same_thread=check_same_thread)
    ForeignKey().prepare(engine, path)
    with Worker() as owner, Worker() as stranger:
        held = [owner.run(engine.connect)]

        def commit() -> None:
            held[0].execute(text(WRITE))
            held[0].execute(text("INSERT INTO child VALUES (7)"))
            with suppress(SQLAlchemyError):
                held[0].commit()

        def give_back() -> None:
            if end == "close":
                held[0].close()
            held.clear()
            gc.collect()

        owner.run(commit)
        (stranger if foreign else owner).run(give_back)

        assert stored(path) == []
        owner.run(lambda: use_again(engine))
        assert stored(path) == ["next"]


@pytest.mark.parametrize("way", [silent, listened])
@pytest.mark.parametrize("reset", ["rollback", "commit", None])
def test_driver_transaction_ends_at_return(
    path: Path, reset: str | None, way: Callable[[Engine], None]
) -> None:
    engine = make_engine(
        path,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        pool_reset_on_return=reset,
    )
    way(engine)
    with engine.connect() as connection:
        connection.execute(text("BEGIN"))
        connection.execute(text(WRITE))

    assert stored(path) == ([REFUSED] if reset == "commit" else [])
    use_again(engine)
    engine.dispose()


def test_isolation_reset_commits_nothing(path: Path) -> None:
    # sqlite3 commits when `isolation_level` becomes None, as the engine's AUTOCOMMIT makes it.
    engine = make_engine(path, isolation_level="AUTOCOMMIT")
    refusal = ForeignKey()
    refusal.prepare(engine, path)
    with (
        suppress(SQLAlchemyError),
        engine.connect().execution_options(isolation_level="SERIALIZABLE") as connection,
    ):
        connection.execute(text(WRITE))
        connection.execute(text("INSERT INTO child VALUES (7)"))
        connection.commit()

    assert stored(path) == []
    engine.dispose()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the driver has no autocommit before 3.12")
def test_autocommit_false_is_rolled_back(path: Path) -> None:
    engine = create_engine(
        f"sqlite:///{path.as_posix()}",
        poolclass=ThreadLocalPool,
        connect_args={"timeout": 0, "autocommit": False},
    )
    with engine.connect() as connection:
        driver = connection.connection.dbapi_connection
        connection.execute(text(WRITE))
        _held = unfinished(connection)

    assert stored(path) == []
    use_again(engine)
    assert stored(path) == ["next"]
    with engine.connect() as connection:
        assert connection.connection.dbapi_connection is driver
        assert driver.autocommit is False  # type: ignore[union-attr]
    engine.dispose()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the driver has no autocommit before 3.12")
@pytest.mark.parametrize("reads", [False, True])
@pytest.mark.parametrize("is_mode_of_the_engine", [False, True])
def test_explicit_begin_is_rolled_back(
    path: Path, is_mode_of_the_engine: bool, reads: bool
) -> None:
    options = {"timeout": 0} | ({"autocommit": True} if is_mode_of_the_engine else {})
    engine = create_engine(
        f"sqlite:///{path.as_posix()}", poolclass=ThreadLocalPool, connect_args=options
    )
    with engine.connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        was = driver.autocommit
        driver.autocommit = True
        connection.exec_driver_sql("BEGIN")
        connection.execute(text(WRITE))
        if reads:
            _held = unfinished(connection)

    assert stored(path) == []
    use_again(engine)
    assert stored(path) == ["next"]
    with engine.connect() as connection:
        assert driver.autocommit == was
        assert connection.connection.dbapi_connection is driver
    engine.dispose()


# Unread statements


def _result(engine: Engine) -> object:
    with engine.connect() as connection:
        return unfinished(connection)


def _autocommit_result(engine: Engine) -> object:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        return unfinished(connection)


def _invalidated(engine: Engine) -> object:
    with engine.connect() as connection:
        result = unfinished(connection)
        connection.invalidate()
    return result


def _committed(engine: Engine) -> object:
    with engine.begin() as connection:
        return unfinished(connection)


def _yield_per(engine: Engine) -> object:
    with engine.connect() as connection:
        rows = iter(connection.execution_options(yield_per=10).execute(text("SELECT * FROM note")))
        next(rows)
    return rows


def _session_rows(engine: Engine) -> object:
    with Session(engine) as session:
        rows = iter(session.execute(text("SELECT * FROM note").execution_options(yield_per=2)))
        next(rows)
    return rows


def _cursor(engine: Engine) -> object:
    with closing(engine.raw_connection()) as raw:
        cursor = raw.cursor()
        cursor.execute("SELECT * FROM note")
        cursor.fetchone()
    return cursor


def _shortcut(engine: Engine) -> object:
    with closing(engine.raw_connection()) as raw:
        cursor = raw.execute("SELECT * FROM note")
        cursor.fetchone()
    return cursor


def _behind_the_proxy(engine: Engine) -> object:
    with closing(engine.raw_connection()) as raw:
        driver: Any = raw.driver_connection
        cursors = [driver.execute("SELECT * FROM note") for _ in range(3)]
    return cursors, driver


def _old_cursor(engine: Engine) -> object:
    with closing(engine.raw_connection()) as raw:
        cursor = raw.cursor()
        cursor.execute("SELECT * FROM note")
        cursor.fetchone()
        gc.collect()
        gc.collect()
    return cursor


def _half_read_insert(engine: Engine) -> object:
    with closing(engine.raw_connection()) as raw:
        driver: Any = raw.driver_connection
        cursor = driver.execute("INSERT INTO note VALUES (1, 2), (1, 2) RETURNING text")
        cursor.fetchone()
    return cursor


def _blob(engine: Engine) -> object:
    with closing(engine.raw_connection()) as raw:
        driver: Any = raw.driver_connection
        return driver.blobopen("note", "text", 1, readonly=True)


def _traceback(engine: Engine) -> object:
    def work() -> None:
        with engine.connect() as connection:
            for row in connection.execute(text("SELECT * FROM note")):
                raise RefusedError(row)

    try:
        work()
    except RefusedError as error:
        return error
    return None


def _thread(engine: Engine) -> object:
    return in_thread(lambda: _result(engine))


def _thread_with_a_checkout(engine: Engine) -> object:
    """A thread that ends with a connection checked out."""

    def work() -> object:
        connection = engine.connect()
        result = unfinished(connection)
        cursor: Any = result.cursor
        return cursor

    cursor = in_thread(work)
    gc.collect()
    return cursor


def _disposed(engine: Engine) -> object:
    with engine.connect() as connection:
        result = unfinished(connection)
        engine.dispose()
    return result


def _disposed_later(engine: Engine) -> object:
    """The statement is opened on an idle connection, by a cursor that outlived its checkout."""
    with closing(engine.raw_connection()) as raw:
        cursor = raw.cursor()
    cursor.execute("SELECT * FROM note")
    engine.dispose()
    return cursor


KINDS = [
    _result,
    _autocommit_result,
    _invalidated,
    _committed,
    _yield_per,
    _session_rows,
    _cursor,
    _shortcut,
    _behind_the_proxy,
    _old_cursor,
    _half_read_insert,
    _blob,
    _traceback,
    _thread,
    _thread_with_a_checkout,
    _disposed,
    _disposed_later,
]


@pytest.mark.parametrize("check_same_thread", [False, True])
@pytest.mark.parametrize("leave_open", KINDS)
@pytest.mark.parametrize("way", [silent, listened])
def test_statement_ends_at_return(
    path: Path,
    leave_open: Callable[[Engine], object],
    way: Callable[[Engine], None],
    check_same_thread: bool,
) -> None:
    engine = make_engine(path, check_same_thread=check_same_thread)
    configure(engine, busy_timeout=0)
    way(engine)

    kept = leave_open(engine)

    # Others can write, and empty the log.
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        other.execute("INSERT INTO note VALUES ('theirs', 1)")
        other.execute("COMMIT")
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    # This thread sees what they wrote, and can write.
    with engine.connect().execution_options(sqlite_begin="BEGIN IMMEDIATE") as connection:
        assert connection.scalar(text("SELECT count(*) FROM note WHERE text = 'theirs'")) == 1
    del kept
    engine.dispose()


@pytest.mark.parametrize("end", ["close", "collect"])
def test_statement_ends_at_foreign_return(path: Path, end: str) -> None:
    engine = make_engine(path, check_same_thread=True)
    with Worker() as owner:
        held = [owner.run(engine.raw_connection)]
        cursor: Any = owner.run(lambda: held[0].cursor())
        owner.run(lambda: cursor.execute("SELECT * FROM note"))

        if end == "close":
            held[0].close()
        held.clear()

        assert stored(path) == []
        owner.run(lambda: use_again(engine))


def test_read_result_keeps_connection(path: Path) -> None:
    engine = make_engine(path)
    with engine.connect() as connection:
        driver = connection.connection.dbapi_connection
        results = [connection.execute(text("SELECT 1")) for _ in range(3)]
        for result in results:
            result.all()
    with engine.connect() as connection:
        assert connection.connection.dbapi_connection is driver
        assert results
    del driver
    engine.dispose()


@pytest.mark.skipif(not _fairy.SQLALCHEMY_IS_KNOWN, reason="the fast path is for SQLAlchemy 2")
def test_idle_return_runs_no_statement(path: Path) -> None:
    engine = make_engine(path)
    configure(engine)
    asked: list[str] = []
    event.listen(engine, "connect", lambda raw, _: raw.set_trace_callback(asked.append))
    with engine.connect() as connection:
        connection.execute(text("SELECT 1")).all()
    asked.clear()

    with engine.connect() as connection, connection.begin():
        connection.execute(text("SELECT 1")).all()
    with Session(engine) as session:
        session.execute(text("SELECT 1")).all()
    engine.raw_connection().close()

    assert asked == ["BEGIN", "SELECT 1", "COMMIT", "BEGIN", "SELECT 1", "ROLLBACK"]
    engine.dispose()


# Changed modes


@pytest.mark.parametrize("before", ["", "IMMEDIATE", None])
@pytest.mark.parametrize("mode", ["", "DEFERRED", "EXCLUSIVE", None])
def test_driver_mode_is_restored(path: Path, before: str | None, mode: str | None) -> None:
    engine = create_engine(
        f"sqlite:///{path.as_posix()}",
        poolclass=ThreadLocalPool,
        connect_args={"isolation_level": before},
    )
    with closing(engine.raw_connection()) as raw:
        driver: Any = raw.driver_connection
        driver.isolation_level = mode
        raw.cursor().execute("BEGIN")
        raw.cursor().execute(WRITE)

    with closing(engine.raw_connection()) as raw:
        assert (raw.driver_connection, driver.isolation_level) == (driver, before)
    assert stored(path) == []
    engine.dispose()


def test_connection_closed_by_user(path: Path) -> None:
    engine = make_engine(path)
    raw: PoolProxiedConnection
    with closing(engine.raw_connection()) as raw:
        driver: Any = raw.driver_connection
        driver.close()
    use_again(engine)
    assert stored(path) == ["next"]
    engine.dispose()
