"""The pool in a single thread: checkouts, counts, failures, and the base class's contract."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from pool import ThreadLocalPool
from tests.pool.watched import Watch, creator, in_thread, make_engine, notes, opened, pool_of, write


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_thread_reuses_connection(tmp_path: Path, watch: Watch) -> None:
    engine = make_engine(tmp_path, watch)

    assert opened(engine) is opened(engine)
    assert watch.made == 1
    engine.dispose()


def test_other_thread_other_connection(tmp_path: Path, watch: Watch) -> None:
    engine = make_engine(tmp_path, watch)
    ours = opened(engine)

    assert in_thread(lambda: opened(engine)) is not ours
    assert opened(engine) is ours
    engine.dispose()


def test_last_used_first(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    first, second = engine.raw_connection(), engine.raw_connection()
    used_last = first.dbapi_connection
    second.close()
    first.close()

    assert opened(engine) is used_last
    engine.dispose()


def test_counts_after_every_return(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    pool = pool_of(engine)
    closed, invalidated, detached, collected = (engine.raw_connection() for _ in range(4))
    assert (pool.checkedout(), pool.checkedin()) == (4, 0)

    closed.close()
    assert (pool.checkedout(), pool.checkedin()) == (3, 1)
    invalidated.invalidate()
    assert (pool.checkedout(), pool.checkedin()) == (2, 1)
    detached.detach()
    assert (pool.checkedout(), pool.checkedin()) == (1, 1)
    del collected
    assert (pool.checkedout(), pool.checkedin()) == (0, 2)

    detached.close()
    assert pool.status() == "Threads: 1  Connections in pool: 2  Checked out connections: 0"
    engine.dispose()


def test_closing_twice_returns_once(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    connection = engine.raw_connection()
    connection.close()
    connection.close()

    assert (pool_of(engine).checkedout(), pool_of(engine).checkedin()) == (0, 1)
    engine.dispose()


def test_failed_connect(tmp_path: Path) -> None:
    pool = ThreadLocalPool(creator(tmp_path / "missing"))

    with pytest.raises(sqlite3.OperationalError) as failure:
        pool.connect()

    assert failure.value.__context__ is None
    assert (pool.checkedout(), pool.checkedin()) == (0, 0)


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_failed_connect_event(tmp_path: Path, watch: Watch, error: BaseException) -> None:
    engine = make_engine(tmp_path, watch)

    @event.listens_for(engine, "connect")
    def refuse(connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
        raise error

    with pytest.raises(type(error)) as failure:
        engine.connect()

    assert failure.value.__context__ is None
    assert (pool_of(engine).checkedout(), pool_of(engine).checkedin()) == (0, 0)
    assert watch.open() == 0


def test_failed_reconnect(tmp_path: Path) -> None:
    creators = [creator(tmp_path / "missing"), creator(tmp_path)]
    pool = ThreadLocalPool(lambda: creators.pop()())
    connection = pool.connect()
    connection.invalidate(soft=True)
    connection.close()
    time.sleep(0.02)

    with pytest.raises(sqlite3.OperationalError):
        pool.connect()

    assert (pool.checkedout(), pool.checkedin()) == (0, 0)


@pytest.mark.parametrize("end", ["invalidate", "detach"])
def test_record_info_of_next_connection(tmp_path: Path, end: str) -> None:
    engine = make_engine(tmp_path)
    heard: list[object] = []
    event.listen(engine, "connect", lambda _, entry: heard.append(dict(entry.record_info)))
    first = engine.raw_connection()
    assert first.record_info == {}
    first.record_info["noted"] = True
    getattr(first, end)()

    with closing(engine.raw_connection()) as second, closing(engine.raw_connection()) as third:
        assert second.record_info == {"noted": True}
        assert third.record_info == {}
        assert in_thread(lambda: engine.raw_connection().record_info) == {}
    assert heard == [{}, {"noted": True}, {}, {}]
    first.close()
    engine.dispose()


def test_record_info_after_failed_connect(tmp_path: Path) -> None:
    creators = [creator(tmp_path), creator(tmp_path / "missing"), creator(tmp_path)]
    pool = ThreadLocalPool(lambda: creators.pop(0)())
    first = pool.connect()
    assert first.record_info is not None
    first.record_info["noted"] = True
    first.invalidate()

    with pytest.raises(sqlite3.OperationalError):
        pool.connect()
    assert pool.connect().record_info == {"noted": True}
    pool.dispose()


def test_invalidated_is_replaced(tmp_path: Path, watch: Watch) -> None:
    engine = make_engine(tmp_path, watch)
    with engine.connect() as connection:
        connection.invalidate()

    opened(engine)

    assert (watch.made, watch.open()) == (2, 1)
    engine.dispose()


def test_recycle(tmp_path: Path, watch: Watch) -> None:
    engine = make_engine(tmp_path, watch, pool_recycle=0.05)
    opened(engine)
    time.sleep(0.1)
    opened(engine)

    assert (watch.made, watch.open()) == (2, 1)
    engine.dispose()


@pytest.mark.parametrize("disposed", [False, True])
def test_pre_ping(tmp_path: Path, disposed: bool) -> None:
    engine = make_engine(tmp_path, pool_pre_ping=True)
    if disposed:
        engine.dispose()
    dead = opened(engine)
    assert isinstance(dead, sqlite3.Connection)
    dead.close()
    time.sleep(0.02)

    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()


@pytest.mark.parametrize(("style", "kept"), [("rollback", []), ("commit", ["open"])])
def test_reset_on_return(tmp_path: Path, style: str, kept: list[str]) -> None:
    engine = make_engine(tmp_path, pool_reset_on_return=style)
    connection = engine.raw_connection()
    write(connection, "open")
    connection.close()

    assert notes(tmp_path) == kept
    engine.dispose()


def test_pool_created_before_engine(tmp_path: Path) -> None:
    pool = ThreadLocalPool(creator(tmp_path), pre_ping=True)
    engine = create_engine("sqlite://", pool=pool)

    for _ in range(2):
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()


def test_dispose_twice(tmp_path: Path, watch: Watch) -> None:
    pool = pool_of(make_engine(tmp_path, watch))
    pool.connect().close()

    pool.dispose()
    pool.dispose()

    assert (pool.checkedin(), watch.open()) == (0, 0)


def test_use_after_dispose(tmp_path: Path, watch: Watch) -> None:
    pool = pool_of(make_engine(tmp_path, watch))
    pool.dispose()
    pool.connect().close()
    pool.connect().close()

    assert (watch.made, pool.checkedin()) == (1, 1)
    pool.dispose()


def test_dispose_spares_connection_in_use(tmp_path: Path, watch: Watch) -> None:
    pool = pool_of(make_engine(tmp_path, watch))
    connection = pool.connect()
    write(connection, "before")

    pool.dispose()
    write(connection, "after")
    connection.commit()
    assert pool.checkedout() == 1
    connection.close()

    assert notes(tmp_path) == ["before", "after"]
    assert (pool.checkedout(), pool.checkedin(), watch.open()) == (0, 0, 0)


def test_engine_dispose(tmp_path: Path, watch: Watch) -> None:
    engine = make_engine(tmp_path, watch)
    held = engine.connect()
    held.execute(text("SELECT 1"))
    engine.dispose()
    held.close()

    opened(engine)

    assert (watch.made, watch.open()) == (2, 1)
    engine.dispose()


def test_recreate(tmp_path: Path, watch: Watch) -> None:
    engine = make_engine(tmp_path, watch, pool_recycle=0.05, pool_reset_on_return="commit")
    checkouts: list[PoolProxiedConnection] = []

    @event.listens_for(engine, "checkout")
    def note(
        connection: sqlite3.Connection, entry: ConnectionPoolEntry, proxy: PoolProxiedConnection
    ) -> None:
        checkouts.append(proxy)

    pool = pool_of(engine).recreate()
    connection = pool.connect()
    assert checkouts == [connection]
    checkouts.clear()
    write(connection, "committed on return")
    connection.close()
    time.sleep(0.1)
    pool.connect().close()

    assert type(pool) is ThreadLocalPool
    assert notes(tmp_path) == ["committed on return"]
    assert watch.made == 2
    pool.dispose()


def test_recreate_keeps_logging_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pool = pool_of(make_engine(tmp_path, pool_logging_name="reader", echo_pool=True)).recreate()
    caplog.clear()
    pool.dispose()

    assert [record.name.rpartition(".")[2] for record in caplog.records] == ["reader"]
