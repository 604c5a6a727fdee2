"""Many threads: they share nothing, an ended one leaves nothing open, any may return another's."""

import gc
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import PoolProxiedConnection

from pool import ThreadLocalPool
from tests.pool.thread_kinds import eventually, kinds_of_thread
from tests.pool.watched import (
    Watch,
    Worker,
    creator,
    in_thread,
    make_engine,
    notes,
    open_files,
    opened,
    pool_of,
    write,
)

checked_or_not = pytest.mark.parametrize("check_same_thread", [False, True])


@pytest.fixture
def watch() -> Watch:
    return Watch()


def _read(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1


# Threads that end


@checked_or_not
@kinds_of_thread
def test_ending_thread_closes_idle(
    tmp_path: Path, watch: Watch, run: Callable[[Callable[[], None]], None], check_same_thread: bool
) -> None:
    engine = make_engine(tmp_path, watch, check_same_thread=check_same_thread)

    def work() -> None:
        outer, inner = engine.raw_connection(), engine.raw_connection()
        inner.close()
        outer.close()

    run(work)

    assert eventually(lambda: pool_of(engine).stats().open == 0)
    assert (watch.made, watch.open()) == (2, 0)
    assert watch.strays == []
    assert open_files(tmp_path) == 0
    assert pool_of(engine).status().startswith("Threads: 0  Connections in pool: 0")


def test_connection_outlives_thread(tmp_path: Path, watch: Watch) -> None:
    engine = make_engine(tmp_path, watch)
    connection = in_thread(engine.raw_connection)
    assert pool_of(engine).checkedout() == 1

    write(connection, "from the grave")
    connection.commit()
    connection.close()

    assert notes(tmp_path) == ["from the grave"]
    assert (pool_of(engine).checkedout(), pool_of(engine).checkedin()) == (0, 0)
    assert (watch.open(), open_files(tmp_path)) == (0, 0)


@checked_or_not
def test_collected_after_thread_end(tmp_path: Path, watch: Watch, check_same_thread: bool) -> None:
    engine = make_engine(tmp_path, watch, check_same_thread=check_same_thread)
    kept = [in_thread(engine.raw_connection)]
    assert pool_of(engine).checkedout() == 1

    kept.clear()

    assert (pool_of(engine).checkedout(), pool_of(engine).checkedin()) == (0, 0)
    assert (watch.open(), open_files(tmp_path)) == (0, 0)


# Returns by a foreign thread


def _close_raw(engine: Engine) -> Callable[[], None]:
    connection = engine.raw_connection()
    write(connection, "not committed")
    return connection.close


def _close_connection(engine: Engine) -> Callable[[], None]:
    connection = engine.connect()
    connection.execute(text("INSERT INTO note VALUES ('not committed')"))
    return connection.close


def _close_session(engine: Engine) -> Callable[[], None]:
    session = Session(engine)
    session.execute(text("INSERT INTO note VALUES ('not committed')"))
    return session.close


def _forget(engine: Engine) -> Callable[[], None]:
    connection = engine.raw_connection()
    write(connection, "not committed")
    kept = [connection]
    return kept.clear


def _collect(engine: Engine) -> Callable[[], None]:
    connection = engine.connect()
    connection.execute(text("INSERT INTO note VALUES ('not committed')"))
    kept: list[object] = [connection]
    kept.append(kept)

    def collect() -> None:
        kept.clear()
        gc.collect()

    return collect


def _abandon(engine: Engine) -> Callable[[], None]:
    """A generator that is not read to its end, as a streamed response may be."""

    def lines() -> Iterator[str]:
        with engine.connect() as connection:
            connection.execute(text("INSERT INTO note VALUES ('not committed')"))
            yield "one"
            yield "two"

    kept = [lines()]
    assert next(kept[0]) == "one"
    return kept.clear


ways_to_return = pytest.mark.parametrize(
    "check_out", [_close_raw, _close_connection, _close_session, _forget, _collect, _abandon]
)


@ways_to_return
def test_foreign_return(
    tmp_path: Path,
    watch: Watch,
    check_out: Callable[[Engine], Callable[[], None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = make_engine(tmp_path, watch)
    with Worker() as owner, Worker() as stranger:
        give_back = owner.run(lambda: check_out(engine))
        stranger.run(give_back)
        assert (pool_of(engine).checkedout(), pool_of(engine).checkedin()) == (0, 1)
        assert notes(tmp_path) == []  # and the lock is released

        theirs = stranger.run(lambda: opened(engine))
        assert watch.made == 2
        ours = owner.run(lambda: opened(engine))
        assert watch.made == 2
        assert ours is not theirs

    assert caplog.records == []
    assert watch.open() == 0


@ways_to_return
def test_foreign_return_without_reset(
    tmp_path: Path,
    watch: Watch,
    check_out: Callable[[Engine], Callable[[], None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = make_engine(tmp_path, watch, check_same_thread=True)
    with Worker() as owner, Worker() as stranger:
        give_back = owner.run(lambda: check_out(engine))
        stranger.run(give_back)
        del give_back

        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert caplog.records[0].exc_info is None
        assert (pool_of(engine).checkedout(), pool_of(engine).checkedin()) == (0, 0)
        assert (watch.open(), open_files(tmp_path)) == (0, 0)
        assert notes(tmp_path) == []  # and the lock is released

        owner.run(lambda: _read(engine))
        assert watch.made == 2


def test_foreign_return_without_commit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = make_engine(tmp_path, check_same_thread=True, pool_reset_on_return="commit")
    with Worker() as owner:
        connection = owner.run(engine.raw_connection)
        owner.run(lambda: write(connection, "to be committed"))
        connection.close()

    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert notes(tmp_path) == []
    assert pool_of(engine).checkedout() == 0


def test_database_error_is_no_refusal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(sqlite3.Connection):
        def rollback(self) -> None:
            raise sqlite3.OperationalError("disk I/O error")

    pool = ThreadLocalPool(creator(tmp_path, factory=Broken))
    connection = pool.connect()
    connection.cursor().execute("BEGIN")
    with pytest.raises(sqlite3.OperationalError):
        connection.rollback()
    connection.close()

    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert (pool.checkedout(), pool.checkedin()) == (0, 0)


def test_return_during_thread_end(tmp_path: Path, watch: Watch) -> None:
    engine = make_engine(tmp_path, watch)
    handed_over: list[PoolProxiedConnection] = []
    over = threading.Event()

    def give_back() -> None:
        while not over.is_set() or handed_over:
            if handed_over:
                handed_over.pop().close()

    def check_out() -> None:
        handed_over.append(engine.raw_connection())

    stranger = threading.Thread(target=give_back)
    stranger.start()
    try:
        for _ in range(100):
            threads = [threading.Thread(target=check_out) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        over.set()
        stranger.join()

    assert watch.made == 300
    assert (pool_of(engine).checkedout(), pool_of(engine).checkedin()) == (0, 0)
    assert (watch.open(), open_files(tmp_path)) == (0, 0)


# Dispose with several threads


@checked_or_not
def test_dispose_from_any_thread(
    tmp_path: Path, watch: Watch, check_same_thread: bool, caplog: pytest.LogCaptureFixture
) -> None:
    engine = make_engine(tmp_path, watch, check_same_thread=check_same_thread)
    with Worker() as one, Worker() as other:
        one.run(lambda: _read(engine))
        held = other.run(engine.raw_connection)
        assert watch.open() == 2

        pool_of(engine).dispose()
        assert (watch.open(), pool_of(engine).checkedout()) == (1, 1)

        other.run(lambda: write(held, "kept"))
        other.run(held.commit)
        other.run(held.close)
        assert (watch.open(), open_files(tmp_path)) == (0, 0)

        one.run(lambda: _read(engine))
        assert pool_of(engine).checkedin() == 1

    assert notes(tmp_path) == ["kept"]
    assert caplog.records == []
