"""`pool.sqlite` without faults: settings, transactions, locks."""

import sqlite3
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, Pool, StaticPool, create_engine, event, text
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from pool import SettingError, ThreadLocalPool
from pool.sqlite import WRITING, WRITING_NOWAIT, configure, use_wal
from tests.pool.configured import (
    POOLS,
    add,
    both_pools,
    configured,
    driver_of,
    make_database,
    notes,
    notes_in,
    notes_of,
    setting,
    writing,
)
from tests.pool.watched import in_thread


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_database(tmp_path / "app.db")


@pytest.fixture(params=POOLS)
def engine(path: Path, request: pytest.FixtureRequest) -> Iterator[Engine]:
    with configured(path, request.param, busy_timeout=0.2) as engine:
        yield engine


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("busy_timeout", 200),
        ("foreign_keys", 1),
        ("trusted_schema", 0),
        ("journal_mode", "wal"),
        ("synchronous", 1),
        ("cache_size", -2000),
        ("journal_size_limit", 8 * 1024 * 1024),
        ("temp_store", 2),
    ],
)
def test_connection_settings(engine: Engine, pragma: str, value: object) -> None:
    with engine.connect() as first, engine.connect() as second:
        assert first.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value
        assert second.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value


def test_other_journal_keeps_synchronous_full(tmp_path: Path) -> None:
    with configured(make_database(tmp_path / "app.db", journal="delete")) as engine:
        assert setting(engine, "synchronous") == 2


def test_use_wal(tmp_path: Path) -> None:
    path = make_database(tmp_path / "app.db", journal="delete")
    with configured(path) as engine:
        assert setting(engine, "journal_mode") == "delete"
        use_wal(engine)
        use_wal(engine)
        assert setting(engine, "journal_mode") == "wal"
        assert setting(engine, "synchronous") == 1
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA journal_mode").fetchall() == [("wal",)]


def test_use_wal_in_memory() -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    configure(engine)
    with pytest.raises(SettingError, match="SQLite keeps 'memory': a write-ahead log needs"):
        use_wal(engine)
    engine.dispose()


def test_use_wal_on_busy_database(tmp_path: Path) -> None:
    path = make_database(tmp_path / "app.db", journal="delete")
    with closing(sqlite3.connect(path)) as other, configured(path, busy_timeout=0) as engine:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match="database is locked"):
            use_wal(engine)


@pytest.mark.parametrize("poolclass", [*POOLS, NullPool])
def test_missing_setting_is_refused(path: Path, poolclass: type[Pool]) -> None:
    engine = create_engine(f"sqlite:///{path}", poolclass=poolclass)

    @event.listens_for(engine, "connect")
    def ignore_foreign_keys(connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
        def authorize(_action: int, pragma: str | None, value: str | None, *_: object) -> int:
            ignored = (pragma, value) == ("foreign_keys", "1")
            return sqlite3.SQLITE_IGNORE if ignored else sqlite3.SQLITE_OK

        connection.set_authorizer(authorize)

    configure(engine)
    with pytest.raises(
        SettingError, match=r"PRAGMA foreign_keys = 1 had no effect: SQLite [\d.]+ answers 0\. Use "
    ):
        engine.connect()
    assert poolclass is NullPool or engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    engine.dispose()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the driver has no autocommit before 3.12")
@pytest.mark.parametrize("autocommit", [True, False])
def test_driver_transactions_are_off(path: Path, autocommit: bool) -> None:
    with configured(path, connect_args={"autocommit": autocommit}) as engine:
        assert setting(engine, "foreign_keys") == 1
        with engine.begin() as connection:
            add(connection, "committed")
        with engine.connect() as connection:
            add(connection, "rolled back")
    assert notes_in(path) == ["committed"]


def test_other_database_is_refused() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(ArgumentError, match=r"for sqlite\+pysqlite, not postgresql\+psycopg"):
        configure(create_engine("postgresql+psycopg://"))


@pytest.mark.parametrize("value", [-0.5, float("nan"), float("inf"), 2_147_484, "5", None, True])
def test_invalid_busy_timeout(value: Any) -> None:
    message = rf"busy_timeout is {value!r}; expected seconds, from 0 to 2147483"
    with pytest.raises(ArgumentError, match=message):
        configure(create_engine("sqlite://"), busy_timeout=value)


def test_longest_busy_timeout(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    configure(engine, busy_timeout=2_147_483)
    assert setting(engine, "busy_timeout") == 2_147_483_000
    engine.dispose()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///file:app?mode=memory&uri=true"])
def test_in_memory_settings(url: str) -> None:
    engine = create_engine(url, poolclass=StaticPool)
    configure(engine)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE note (text)"))
        add(connection, "kept")
    assert notes_of(engine) == ["kept"]
    assert setting(engine, "foreign_keys") == 1
    engine.dispose()


def test_skip_autocommit_rollback_is_refused(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}", skip_autocommit_rollback=True)
    with pytest.raises(ArgumentError, match="skip_autocommit_rollback would skip each rollback"):
        configure(engine)


@pytest.mark.parametrize("query", ["mode=ro", "immutable=1"])
def test_read_only_database(path: Path, query: str) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("INSERT INTO note VALUES ('old')")
        other.commit()

    with configured(path, query=query) as engine:
        assert notes_of(engine) == ["old"]
        with engine.connect() as connection:
            with pytest.raises(OperationalError, match="readonly"):
                add(connection, "new")
            connection.rollback()
            assert notes(connection) == ["old"]
    assert notes_in(path) == ["old"]


def test_reader_sees_one_snapshot(engine: Engine, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other, engine.connect() as reader:
        assert notes(reader) == []
        other.execute("INSERT INTO note VALUES ('new')")
        assert notes(reader) == []
        reader.rollback()
        assert notes(reader) == ["new"]


def test_reader_does_not_block_writer(engine: Engine, path: Path) -> None:
    with closing(sqlite3.connect(path, timeout=0)) as other, engine.begin():
        other.execute("BEGIN IMMEDIATE")
        assert other.in_transaction


def test_writing_locks_at_begin(engine: Engine, path: Path) -> None:
    with closing(sqlite3.connect(path, timeout=0)) as other:
        with (
            writing(engine) as connection,
            connection.begin(),
            pytest.raises(sqlite3.OperationalError, match="database is locked"),
        ):
            other.execute("BEGIN IMMEDIATE")
        other.execute("BEGIN IMMEDIATE")


def test_session_with_writing(engine: Engine, path: Path) -> None:
    with closing(sqlite3.connect(path, timeout=0)) as other, Session(engine) as session:
        session.connection(execution_options=WRITING)
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            other.execute("BEGIN IMMEDIATE")
        session.commit()
        session.execute(text("SELECT 1"))
        other.execute("BEGIN IMMEDIATE")


def test_writing_nowait(path: Path) -> None:
    with (
        configured(path, busy_timeout=3600) as engine,
        closing(sqlite3.connect(path, timeout=0)) as other,
        engine.connect().execution_options(**WRITING_NOWAIT) as connection,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match="database is locked"):
            connection.begin()
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 3_600_000
        connection.rollback()
        other.rollback()
        with connection.begin(), pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")


def test_savepoint_rollback(engine: Engine, path: Path) -> None:
    with writing(engine) as connection, connection.begin():
        add(connection, "before")
        savepoint = connection.begin_nested()
        add(connection, "undone")
        savepoint.rollback()
        with connection.begin_nested():
            add(connection, "after")
    assert notes_in(path) == ["before", "after"]


def test_schema_change_rollback(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE other (id)"))
        connection.rollback()
        with pytest.raises(OperationalError, match="no such table"):
            connection.execute(text("SELECT * FROM other"))


def test_foreign_keys(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE parent (id INTEGER PRIMARY KEY)"))
        connection.execute(text("CREATE TABLE child (parent REFERENCES parent)"))
        with pytest.raises(IntegrityError, match="FOREIGN KEY"):
            connection.execute(text("INSERT INTO child VALUES (1)"))


@pytest.mark.timeout(60)
@both_pools
def test_no_lost_updates(path: Path, poolclass: type[Pool]) -> None:
    with configured(make_database(path.with_name("n.db"), "0"), poolclass) as engine:

        def count(_: int) -> None:
            with writing(engine) as connection, connection.begin():
                (number,) = notes(connection)
                connection.execute(text("UPDATE note SET text = :n"), {"n": str(int(number) + 1)})

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(count, range(200)))
        assert notes_of(engine) == ["200"]


def test_locked_past_busy_timeout(engine: Engine, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other, writing(engine) as held:
        ours = driver_of(held)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match="database is locked") as failure:
            held.begin()
        assert not failure.value.connection_invalidated
        other.execute("ROLLBACK")
        with held.begin():
            add(held, "later")
        assert driver_of(held) is ours
    assert notes_in(path) == ["later"]


def test_stale_snapshot_write_is_refused(engine: Engine, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other, engine.connect() as held:
        assert notes(held) == []
        ours = driver_of(held)
        other.execute("INSERT INTO note VALUES ('theirs')")
        with pytest.raises(OperationalError, match="database is locked"):
            add(held, "ours")
        held.rollback()
        add(held, "ours")
        held.commit()
        assert driver_of(held) is ours
    assert notes_in(path) == ["theirs", "ours"]


@pytest.mark.timeout(60)
def test_busy_timeout_waits(path: Path) -> None:
    def write(engine: Engine) -> None:
        with writing(engine) as connection, connection.begin():
            add(connection, "waited")

    with (
        closing(sqlite3.connect(path)) as other,
        configured(path, busy_timeout=30) as engine,
        ThreadPoolExecutor(1) as threads,
    ):
        other.execute("BEGIN IMMEDIATE")
        waiting = threads.submit(write, engine)
        with pytest.raises(TimeoutError):
            waiting.result(0.3)
        other.rollback()
        waiting.result()
    assert notes_in(path) == ["waited"]


def test_autocommit_of_connection(engine: Engine, path: Path) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        add(connection, "at once")
        assert notes_in(path) == ["at once"]
    with engine.connect() as connection:
        add(connection, "rolled back")
    assert notes_in(path) == ["at once"]


@pytest.mark.parametrize("level", ["AUTOCOMMIT", "SERIALIZABLE", "READ UNCOMMITTED"])
def test_driver_transactions_stay_off(engine: Engine, level: str) -> None:
    with engine.connect().execution_options(isolation_level=level) as connection:
        ours = driver_of(connection)
        notes(connection)
    with engine.execution_options(isolation_level=level).connect() as connection:
        notes(connection)
    with engine.connect() as connection:
        assert driver_of(connection) is ours
        assert ours.isolation_level is None
        assert connection.exec_driver_sql("PRAGMA read_uncommitted").scalar() == 0
    if isinstance(engine.pool, ThreadLocalPool):
        with closing(engine.raw_connection()) as raw:
            assert raw.isolation_level is None


@both_pools
def test_autocommit_of_engine(path: Path, poolclass: type[Pool]) -> None:
    with (
        configured(path, poolclass, isolation_level="AUTOCOMMIT") as engine,
        engine.connect() as held,
    ):
        add(held, "at once")
    assert notes_in(path) == ["at once"]


def test_autocommit_error(engine: Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        ours = driver_of(connection)
        with pytest.raises(OperationalError, match="no such table"):
            connection.execute(text("SELECT * FROM other"))
        assert driver_of(connection) is ours
        connection.rollback()


@pytest.mark.timeout(60)
def test_log_restarts_under_readers(path: Path, engine: Engine) -> None:
    log = path.with_name("app.db-wal")
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            with engine.connect() as connection:
                notes(connection)
                over.wait(0.005)

    def write() -> None:
        with writing(engine) as connection, connection.begin():
            connection.execute(text("UPDATE note SET text = randomblob(1000000)"))

    with engine.begin() as connection:
        add(connection, "large")
    with ThreadPoolExecutor(5) as readers:
        reading = [readers.submit(read) for _ in range(5)]
        try:
            lengths = []
            for _ in range(40):
                write()
                lengths.append(log.stat().st_size)
            # On a busy machine the readers may be slow to leave.
            for _ in range(100):
                if log.stat().st_size <= 8 * 1024 * 1024:
                    break
                write()
            last = log.stat().st_size
        finally:
            over.set()
        for reader in reading:
            reader.result()
    assert last <= 8 * 1024 * 1024 < max(lengths)


def test_long_reader_grows_log(path: Path, engine: Engine) -> None:
    log = path.with_name("app.db-wal")
    with engine.begin() as connection:
        add(connection, "large")
    with engine.connect() as reader:
        assert notes(reader) == ["large"]
        for _ in range(10):
            with writing(engine) as connection, connection.begin():
                connection.execute(text("UPDATE note SET text = randomblob(1000000)"))
        assert notes(reader) == ["large"]
        assert setting(engine, "busy_timeout") == 200
        assert log.stat().st_size > 8 * 1024 * 1024
    for _ in range(2):
        with writing(engine) as connection, connection.begin():
            connection.execute(text("UPDATE note SET text = 'small'"))
    assert notes_of(engine) == ["small"]


def indexed_database(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE INDEX note_text ON note (text)")
    return path


def write_and_search(engine: Engine) -> None:
    """Give SQLite a reason to collect statistics."""
    with engine.begin() as connection:
        add(connection, *map(str, range(100)))
        connection.execute(text("SELECT * FROM note WHERE text = '7'")).all()


def statistics(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute(
            "SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_stat1'"
        )
        return int(tables.fetchone()[0])


def test_optimize_after_write(path: Path) -> None:
    with configured(indexed_database(path)) as engine:
        write_and_search(engine)
    assert statistics(path) == 1


def test_no_optimize_after_read(path: Path) -> None:
    with closing(sqlite3.connect(indexed_database(path))) as other:
        other.executemany("INSERT INTO note VALUES (?)", [(str(n),) for n in range(100)])
        other.commit()
    with configured(path) as engine, engine.connect() as connection:
        connection.execute(text("SELECT * FROM note WHERE text = '7'")).all()
    assert statistics(path) == 0


@pytest.mark.timeout(10)
def test_close_does_not_wait(tmp_path: Path) -> None:
    # With a write-ahead log readers never wait anyway.
    path = make_database(tmp_path / "app.db", journal="delete")
    with (
        closing(sqlite3.connect(indexed_database(path))) as other,
        configured(path, busy_timeout=30) as engine,
    ):
        write_and_search(engine)
        other.execute("BEGIN EXCLUSIVE")
        engine.dispose()
    assert len(notes_in(path)) == 100


def test_thread_end_after_write(path: Path) -> None:
    with configured(indexed_database(path), connect_args={"check_same_thread": True}) as engine:
        in_thread(lambda: write_and_search(engine))
        assert isinstance(engine.pool, ThreadLocalPool)
        assert engine.pool.checkedin() == 0
        assert statistics(path) == 1
