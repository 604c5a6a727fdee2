"""`pool_size` and `timeout`: eviction, the order of waiters, and the timeout error."""

import gc
import math
import signal
import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, exc, text
from sqlalchemy.pool import PoolProxiedConnection

from pool import ThreadLocalPool
from tests.pool.waiting import until, waiters
from tests.pool.watched import (
    Watch,
    Worker,
    creator,
    in_thread,
    make_engine,
    open_files,
    opened,
    pool_of,
)

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def watch() -> Watch:
    return Watch()


def _use(pool: ThreadLocalPool) -> None:
    connection = pool.connect()
    connection.cursor().execute("SELECT 1")
    connection.close()


def test_pool_size_zero_is_no_limit(tmp_path: Path, watch: Watch) -> None:
    pool = pool_of(make_engine(tmp_path, watch, pool_timeout=0))
    held = [pool.connect() for _ in range(30)]

    assert (pool.size(), watch.open()) == (0, 30)
    held.clear()
    pool.dispose()


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        *[("pool_size", value, "an integer") for value in (None, "5", 2.5, -1, True)],
        *[
            ("pool_timeout", value, "0 seconds or more")
            for value in (None, "10", -0.5, math.nan, True)
        ],
        *[
            (name, value, "0 seconds or more, or -1 for no limit")
            for name in ("max_idle", "pool_recycle")
            for value in (None, "60", -2, math.nan, False)
        ],
    ],
)
def test_invalid_parameter(tmp_path: Path, name: str, value: object, taken: str) -> None:
    with pytest.raises(exc.ArgumentError) as refused:
        make_engine(tmp_path, **{name: value})  # type: ignore[arg-type]

    assert f"{name} is {value!r}; expected {taken}" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("max_overflow", 10, "Set pool_size to the sum of both, or to 0 for no limit"),
        ("max_overflow", -1, "Set pool_size to the sum of both, or to 0 for no limit"),
        ("pool_use_lifo", True, "Remove this argument"),
        ("pool_use_lifo", False, "Remove this argument"),
    ],
)
def test_queuepool_parameter(tmp_path: Path, name: str, value: object, remedy: str) -> None:
    with pytest.raises(exc.ArgumentError) as refused:
        make_engine(tmp_path, **{name: value})  # type: ignore[arg-type]

    assert f"{name} is {value!r}; " in str(refused.value)
    assert remedy in str(refused.value)


@pytest.mark.parametrize("name", ["pool_timeout", "max_idle", "pool_recycle"])
@pytest.mark.parametrize("value", [0, 0.5, 3600, math.inf])
def test_durations(tmp_path: Path, name: str, value: float) -> None:
    engine = make_engine(tmp_path, **{name: value})  # type: ignore[arg-type]
    for _ in range(2):
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()


# Eviction of idle connections


@pytest.mark.parametrize("check_same_thread", [False, True])
def test_limit_closes_longest_idle(
    tmp_path: Path, watch: Watch, check_same_thread: bool, caplog: pytest.LogCaptureFixture
) -> None:
    engine = make_engine(tmp_path, watch, check_same_thread=check_same_thread, pool_size=2)
    with Worker() as first, Worker() as second:
        first.run(lambda: opened(engine))
        theirs = second.run(lambda: opened(engine))

        opened(engine)

        assert (watch.made, watch.open()) == (3, 2)
        assert second.run(lambda: opened(engine)) is theirs
        assert first.run(lambda: opened(engine)) is not None
        assert (watch.made, watch.open()) == (4, 2)
    assert caplog.records == []
    engine.dispose()
    assert open_files(tmp_path) == 0


def test_own_idle_connection_first(tmp_path: Path, watch: Watch) -> None:
    engine = make_engine(tmp_path, watch, pool_size=2)
    with Worker() as worker:
        worker.run(lambda: opened(engine))
        assert opened(engine) is opened(engine)

        assert (watch.made, watch.open()) == (2, 2)
    engine.dispose()


def test_one_thread_takes_all(tmp_path: Path, watch: Watch) -> None:
    pool = pool_of(make_engine(tmp_path, watch, pool_size=3))
    held = [pool.connect() for _ in range(3)]

    assert watch.open() == 3
    for connection in held:
        connection.close()
    pool.dispose()


# The waiter queue


def test_waiters_are_fifo(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path, pool_size=1))
    served: list[int] = []

    def wait(number: int) -> None:
        connection = pool.connect()
        served.append(number)
        connection.close()

    held = pool.connect()
    with waiters(pool, 6) as line:
        for number in range(6):
            line.send(lambda number=number: wait(number))  # type: ignore[misc]
        held.close()

    assert served == [0, 1, 2, 3, 4, 5]
    assert pool.stats().open == 0  # each thread closed its own as it ended


def test_returning_thread_queues_last(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path, pool_size=1))
    served: list[str] = []

    def wait() -> None:
        connection = pool.connect()
        served.append("waiter")
        connection.close()

    held = pool.connect()
    with waiters(pool) as line:
        line.send(wait)
        held.close()
        held = pool.connect()
        served.append("owner")
        held.close()

    assert served == ["waiter", "owner"]
    pool.dispose()


@pytest.mark.parametrize("give_up", ["close", "invalidate", "detach", "collect", "close elsewhere"])
def test_every_return_wakes_waiter(tmp_path: Path, watch: Watch, give_up: str) -> None:
    pool = pool_of(make_engine(tmp_path, watch, pool_size=1))
    held = [pool.connect()]
    with waiters(pool) as line:
        waiter = line.send(lambda: _use(pool))
        if give_up == "collect":
            held.clear()
            gc.collect()
        elif give_up == "close elsewhere":
            in_thread(held[0].close)
        else:
            getattr(held[0], give_up)()
        waiter.result(30)

    assert (pool.stats().waiting, pool.stats().open) == (0, 0)
    if give_up == "detach":
        held[0].close()
    assert watch.open() == 0


def test_thread_end_wakes_waiter(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path, pool_size=1))
    held = in_thread(pool.connect)
    with waiters(pool) as line:
        waiter = line.send(lambda: _use(pool))
        held.close()  # to the stack of an ended thread
        waiter.result(30)

    assert pool.stats().open == 0


def test_failed_connect_wakes_waiter(tmp_path: Path) -> None:
    make_engine(tmp_path)
    good = creator(tmp_path, check_same_thread=False)

    def fail_in_some() -> object:
        if threading.current_thread() is unlucky:
            raise sqlite3.OperationalError("unable to open database file")
        return good()

    unlucky: threading.Thread | None = None
    pool = ThreadLocalPool(fail_in_some, pool_size=1)  # type: ignore[arg-type]

    def fail() -> None:
        nonlocal unlucky
        unlucky = threading.current_thread()
        pool.connect()

    held = pool.connect()
    with waiters(pool, 2) as line:
        first = line.send(fail)
        second = line.send(lambda: _use(pool))
        held.close()
        with pytest.raises(sqlite3.OperationalError):
            first.result(30)
        second.result(30)

    assert (pool.stats().open, pool.stats().connect_errors) == (0, 1)


def test_failed_connect_event_wakes_waiter(tmp_path: Path, watch: Watch) -> None:
    pool = pool_of(make_engine(tmp_path, watch, pool_size=1))
    held = pool.connect()
    failing = [True]

    def fail(*_: object) -> None:
        if failing.pop():
            failing.append(False)
            raise ValueError("no")

    event.listen(pool, "connect", fail)
    with waiters(pool, 2) as line:
        first = line.send(lambda: _use(pool))
        second = line.send(lambda: _use(pool))
        held.close()
        with pytest.raises(ValueError, match="no"):
            first.result(30)
        second.result(30)
        del first

    assert (pool.stats().open, watch.open()) == (0, 0)


def test_dispose_keeps_waiters(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path, pool_size=1))
    held = pool.connect()
    with waiters(pool) as line:
        waiter = line.send(lambda: _use(pool))
        pool.dispose()
        assert pool.stats().waiting == 1
        held.close()
        waiter.result(30)

    assert pool.stats().open == 0


# Timeouts


def test_queue_timeout_names_holders(tmp_path: Path) -> None:
    engine = make_engine(tmp_path, pool_size=1, pool_timeout=0.05)
    has_it, let_go = threading.Event(), threading.Lock()

    def keep_the_connection(engine: Engine) -> None:
        with engine.connect():
            has_it.set()
            let_go.acquire()

    let_go.acquire()
    holder = threading.Thread(target=keep_the_connection, args=(engine,), name="the holder")
    holder.start()
    try:
        has_it.wait()
        with pytest.raises(exc.TimeoutError) as failure:
            engine.connect()
    finally:
        let_go.release()
        holder.join()

    assert failure.value.code == "3o7r"
    message = str(failure.value)
    assert "pool_size is 1" in message
    assert "0.05 s" in message
    assert "the holder for " in message
    assert f"{__file__}:" in message
    assert "in keep_the_connection" in message


def test_queue_timeout_of_only_holder(tmp_path: Path) -> None:
    engine = make_engine(tmp_path, pool_size=2, pool_timeout=0.01)
    with engine.connect(), engine.connect():
        with pytest.raises(exc.TimeoutError) as failure:
            engine.connect()

        message = str(failure.value)
        assert message.count("MainThread for ") == 2
        assert f"{__file__}:" in message
    engine.dispose()


def test_queue_timeout_with_ended_holder(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path, pool_size=1, pool_timeout=0.01))
    held = in_thread(pool.connect)
    # It gets the ident of the ended thread.
    end = threading.Event()
    other = threading.Thread(target=end.wait, name="not guilty")
    other.start()
    try:
        with pytest.raises(exc.TimeoutError) as failure:
            pool.connect()
    finally:
        end.set()
        other.join()

    assert "not guilty" not in str(failure.value)
    held.close()


def test_queue_timeout_zero(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path, pool_size=1, pool_timeout=0))
    held = pool.connect()
    for _ in range(3):
        with pytest.raises(exc.TimeoutError):
            pool.connect()
    held.close()

    _use(pool)
    assert (pool.stats().timeouts, pool.stats().open) == (3, 1)
    pool.dispose()


def test_queue_timeout_zero_evicts_idle(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path, pool_size=1, pool_timeout=0))
    with Worker() as worker:
        worker.run(lambda: _use(pool))
        _use(pool)

        assert (pool.stats().open, pool.stats().timeouts) == (1, 0)
    pool.dispose()


def _next_gets_it(pool: ThreadLocalPool, held: PoolProxiedConnection) -> None:
    assert (pool.stats().waiting, pool.stats().in_use) == (0, 1)
    with waiters(pool) as line:
        waiter = line.send(lambda: _use(pool))
        held.close()
        waiter.result(30)
    assert pool.stats().open == 0


def test_queue_timeout_leaves_nothing(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path, pool_size=1, pool_timeout=1))
    held = pool.connect()
    with pytest.raises(exc.TimeoutError):
        pool.connect()

    _next_gets_it(pool, held)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals go to the process here")
def test_interrupted_waiter_leaves_nothing(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path, pool_size=1))
    served: list[str] = []

    def wait(name: str) -> None:
        connection = pool.connect()
        served.append(name)
        connection.close()

    with Worker() as worker, waiters(pool, 2) as line:
        held = worker.run(pool.connect)
        main = threading.get_ident()
        line.send(lambda: wait("before"))

        def interrupt() -> None:
            until(lambda: pool.stats().waiting == 2)
            line.send(lambda: wait("after"))
            signal.pthread_kill(main, signal.SIGINT)

        interrupter = threading.Thread(target=interrupt)
        interrupter.start()
        with pytest.raises(KeyboardInterrupt):
            pool.connect()
        interrupter.join()
        assert pool.stats().waiting == 2
        held.close()

    assert served == ["before", "after"]
    assert pool.stats().open == 0
