"""Closing idle connections: `max_idle`, `evict_idle()` and `release_thread()`."""

import time
from pathlib import Path

import pytest

from tests.pool.watched import (
    Watch,
    Worker,
    in_thread,
    make_engine,
    open_files,
    opened,
    pool_of,
    write,
)

checked_or_not = pytest.mark.parametrize("check_same_thread", [False, True])


@pytest.fixture
def watch() -> Watch:
    return Watch()


# max_idle


@checked_or_not
def test_max_idle_in_any_thread(
    tmp_path: Path, watch: Watch, check_same_thread: bool, caplog: pytest.LogCaptureFixture
) -> None:
    engine = make_engine(tmp_path, watch, check_same_thread=check_same_thread, max_idle=0.05)
    with Worker() as one, Worker() as other:
        one.run(lambda: opened(engine))
        other.run(lambda: opened(engine))
        time.sleep(0.1)

        connection = engine.raw_connection()

        assert (watch.made, watch.open()) == (3, 1)
        assert pool_of(engine).stats().closed == {"idle": 2}
        connection.close()
    assert caplog.records == []
    engine.dispose()
    assert open_files(tmp_path) == 0


def test_max_idle_in_own_thread(tmp_path: Path, watch: Watch) -> None:
    engine = make_engine(tmp_path, watch, max_idle=0.05)
    opened(engine)
    time.sleep(0.1)
    opened(engine)

    assert (watch.made, watch.open()) == (2, 1)
    engine.dispose()


def test_max_idle_spares_connections_in_use(tmp_path: Path, watch: Watch) -> None:
    engine = make_engine(tmp_path, watch, max_idle=0.05)
    with Worker() as worker:
        held = worker.run(engine.raw_connection)
        time.sleep(0.1)
        opened(engine)

        assert watch.open() == 2
        worker.run(held.close)
    engine.dispose()


@pytest.mark.parametrize("max_idle", [-1, 3600])
def test_max_idle_keeps_younger(tmp_path: Path, watch: Watch, max_idle: float) -> None:
    engine = make_engine(tmp_path, watch, max_idle=max_idle)
    with Worker() as worker:
        theirs = worker.run(lambda: opened(engine))
        time.sleep(0.02)

        assert opened(engine) is opened(engine)
        assert worker.run(lambda: opened(engine)) is theirs
    engine.dispose()


# evict_idle()


@checked_or_not
def test_evict_idle(
    tmp_path: Path, watch: Watch, check_same_thread: bool, caplog: pytest.LogCaptureFixture
) -> None:
    engine = make_engine(tmp_path, watch, check_same_thread=check_same_thread)
    pool = pool_of(engine)
    with Worker() as one, Worker() as other:
        one.run(lambda: opened(engine))
        held = other.run(engine.raw_connection)
        opened(engine)

        assert pool.evict_idle() == 2
        assert pool.evict_idle() == 0
        assert (watch.open(), pool.checkedin(), pool.checkedout()) == (1, 0, 1)

        other.run(lambda: write(held, "still there"))
        other.run(held.close)
        one.run(lambda: opened(engine))
        assert (pool.stats().threads, pool.checkedin()) == (3, 2)
    assert caplog.records == []


def test_evict_idle_by_age(tmp_path: Path, watch: Watch) -> None:
    engine = make_engine(tmp_path, watch)
    pool = pool_of(engine)
    old, young = engine.raw_connection(), engine.raw_connection()
    kept = young.dbapi_connection
    old.close()
    returned = time.monotonic()
    time.sleep(0.6)
    young.close()

    assert pool.evict_idle(older_than=3600) == 0
    # Whatever came in between, `young` was returned 0.6 s after `old`.
    assert pool.evict_idle(older_than=time.monotonic() - returned) == 1
    assert opened(engine) is kept
    assert watch.made == 2
    engine.dispose()


# release_thread()


@checked_or_not
def test_release_thread(tmp_path: Path, watch: Watch, check_same_thread: bool) -> None:
    engine = make_engine(tmp_path, watch, check_same_thread=check_same_thread)
    pool = pool_of(engine)
    with Worker() as worker:
        worker.run(lambda: opened(engine))
        held, idle = engine.raw_connection(), engine.raw_connection()
        idle.close()

        pool.release_thread()

        assert (pool.checkedin(), pool.checkedout(), watch.open()) == (1, 1, 2)
        write(held, "still there")
        held.close()
        assert pool.checkedin() == 2  # and stays open again
        pool.release_thread()
        assert watch.strays == []
    assert watch.open() == 0


def test_release_thread_without_connections(tmp_path: Path, watch: Watch) -> None:
    pool = pool_of(make_engine(tmp_path, watch))

    in_thread(pool.release_thread)

    assert (watch.made, pool.stats().threads) == (0, 0)
