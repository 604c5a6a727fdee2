"""The pool's numbers, each changed by what it counts."""

import dataclasses
import gc
import json
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, exc
from sqlalchemy.pool import QueuePool

from pool import PoolStats, ThreadLocalPool
from tests.pool.waiting import waiters
from tests.pool.watched import Watch, Worker, creator, in_thread, make_engine, pool_of, write

pytestmark = pytest.mark.timeout(60)

#: Seconds of a sleep, and how many of them are counted at least: Windows' clock ticks every 16 ms.
SLEPT, COUNTED = 0.04, 0.02


def _use(pool: ThreadLocalPool) -> None:
    pool.connect().close()


def _balanced(stats: PoolStats) -> bool:
    """Whether every connection that was opened is accounted for."""
    opened = stats.open == stats.idle + stats.in_use
    return opened and stats.connects == stats.open + sum(stats.closed.values())


# Current numbers


def test_stats_of_new_pool(tmp_path: Path) -> None:
    numbers = vars(pool_of(make_engine(tmp_path, pool_size=7)).stats()).copy()

    assert numbers.pop("size") == 7
    assert numbers.pop("closed") == {}
    assert set(numbers.values()) == {0}


def test_open_is_idle_plus_in_use(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path))
    with Worker() as worker:
        held = worker.run(pool.connect)
        _use(pool)
        stats = pool.stats()
        assert (stats.open, stats.idle, stats.in_use, stats.threads) == (2, 1, 1, 2)
        worker.run(held.close)
        assert (pool.stats().idle, pool.stats().in_use) == (2, 0)

    assert (pool.stats().open, pool.stats().threads) == (1, 1)
    pool.dispose()
    assert (pool.stats().open, pool.stats().threads) == (0, 0)


def test_opening_counts_as_in_use(tmp_path: Path) -> None:
    seen: list[PoolStats] = []

    def connect() -> Any:
        seen.append(pool.stats())
        return creator(tmp_path)()

    pool = ThreadLocalPool(connect)
    _use(pool)

    assert (seen[0].open, seen[0].in_use) == (1, 1)
    pool.dispose()


def test_waiting_count(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path, pool_size=1))
    held = pool.connect()
    with waiters(pool, 2) as line:
        line.send(lambda: _use(pool))
        line.send(lambda: _use(pool))
        assert (pool.stats().waiting, pool.stats().open) == (2, 1)
        time.sleep(SLEPT)
        held.close()

    stats = pool.stats()
    assert (stats.waiting, stats.waits, stats.timeouts) == (0, 2, 0)
    assert stats.wait_seconds >= COUNTED


# Totals


def test_checkout_count_and_time(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path))
    connection = pool.connect()
    assert (pool.stats().checkouts, pool.stats().use_seconds) == (1, 0)
    time.sleep(SLEPT)
    connection.close()
    _use(pool)

    stats = pool.stats()
    assert (stats.checkouts, stats.connects) == (2, 1)
    assert stats.use_seconds >= COUNTED
    pool.dispose()


def test_connect_count_and_time(tmp_path: Path) -> None:
    def slowly() -> Any:
        time.sleep(SLEPT)
        return creator(tmp_path)()

    pool = ThreadLocalPool(slowly)
    _use(pool)
    _use(pool)

    assert pool.stats().connects == 1
    assert pool.stats().connect_seconds >= COUNTED
    pool.dispose()


def test_failed_connect_count(tmp_path: Path) -> None:
    pool = ThreadLocalPool(creator(tmp_path / "missing"))
    with pytest.raises(sqlite3.OperationalError):
        pool.connect()

    stats = pool.stats()
    assert (stats.connect_errors, stats.connects, stats.checkouts, stats.open) == (1, 0, 0, 0)
    assert stats.closed == {}


def test_timeout_count(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path, pool_size=1, pool_timeout=0.01))
    held = pool.connect()
    with pytest.raises(exc.TimeoutError):
        pool.connect()

    stats = pool.stats()
    assert (stats.timeouts, stats.waits, stats.checkouts) == (1, 1, 1)
    assert stats.wait_seconds >= 0.01
    held.close()
    pool.dispose()


def test_eviction_is_no_wait(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path, pool_size=1))
    with Worker() as worker:
        worker.run(lambda: _use(pool))
        _use(pool)

        assert pool.stats().waits == 0
    pool.dispose()


def test_foreign_return_count(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path))
    connection = pool.connect()
    in_thread(connection.close)
    _use(pool)

    assert (pool.stats().foreign_returns, pool.stats().collected) == (1, 0)
    pool.dispose()


def test_collected_count(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path))
    pool.connect()
    gc.collect()
    _use(pool)

    assert (pool.stats().collected, pool.stats().foreign_returns) == (1, 0)
    pool.dispose()


def _end_thread(pool: ThreadLocalPool) -> None:
    in_thread(lambda: _use(pool))


def _make_room(pool: ThreadLocalPool) -> None:
    with Worker() as worker:
        worker.run(lambda: _use(pool))
        held = [pool.connect(), pool.connect()]
        held[0].detach()  # which is another cause
        held[0].close()
        held[1].close()


def _recycle(pool: ThreadLocalPool) -> None:
    _use(pool)
    time.sleep(0.05)
    _use(pool)


def _fail_to_configure(pool: ThreadLocalPool) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no")

    event.listen(pool, "connect", fail)
    with pytest.raises(ValueError, match="no"):
        pool.connect()


def _dispose(pool: ThreadLocalPool) -> None:
    held = pool.connect()
    _use(pool)
    pool.dispose()
    held.close()


def _evict(pool: ThreadLocalPool) -> None:
    _use(pool)
    pool.evict_idle()


def _release(pool: ThreadLocalPool) -> None:
    _use(pool)
    pool.release_thread()


def _stay_idle(pool: ThreadLocalPool) -> None:
    _use(pool)
    time.sleep(0.05)
    pool.connect().invalidate()


def _detach(pool: ThreadLocalPool) -> None:
    connection = pool.connect()
    connection.detach()
    connection.close()


@pytest.mark.parametrize(
    ("act", "options", "closed"),
    [
        (_end_thread, {}, {"thread end": 1}),
        (_make_room, {"pool_size": 2}, {"limit": 1, "invalid": 1}),
        (_evict, {}, {"idle": 1}),
        (_release, {}, {"idle": 1}),
        (_stay_idle, {"max_idle": 0.01}, {"idle": 1, "invalid": 1}),
        (_dispose, {}, {"dispose": 2}),
        (_recycle, {"pool_recycle": 0.01}, {"recycle": 1}),
        (lambda pool: pool.connect().invalidate(), {}, {"invalid": 1}),
        (_detach, {}, {"invalid": 1}),
        (_fail_to_configure, {}, {"error": 1}),
    ],
)
def test_closed_by_cause(
    tmp_path: Path,
    act: Callable[[ThreadLocalPool], None],
    options: dict[str, Any],
    closed: dict[str, int],
) -> None:
    watch = Watch()
    pool = pool_of(make_engine(tmp_path, watch, **options))
    act(pool)

    stats = pool.stats()
    assert stats.closed == closed
    assert _balanced(stats)
    assert (watch.made, watch.open()) == (stats.connects, stats.open)
    pool.dispose()


def test_counters_outlive_thread(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path))
    for _ in range(3):
        in_thread(lambda: _use(pool))
    pool.dispose()

    stats = pool.stats()
    assert (stats.checkouts, stats.connects, stats.closed) == (3, 3, {"thread end": 3})
    assert (stats.open, stats.threads) == (0, 0)


def test_stats_are_frozen(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path))
    stats = pool.stats()
    _use(pool)
    pool.dispose()

    assert (stats.checkouts, stats.closed) == (0, {})
    with pytest.raises(dataclasses.FrozenInstanceError):
        stats.checkouts = 5  # type: ignore[misc]


def test_stats_are_picklable(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path))
    _use(pool)
    pool.dispose()

    sent = json.loads(json.dumps(dataclasses.asdict(pool.stats())))
    assert PoolStats(**sent) == pool.stats()
    assert sent["closed"] == {"dispose": 1}


def test_stats_from_any_thread(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    over = threading.Event()
    wrong: list[PoolStats] = []
    pool = ThreadLocalPool(creator(tmp_path, check_same_thread=False), pool_size=3)

    def work() -> None:
        for number in range(150):
            connection = pool.connect()
            if number % 5 == 0:
                connection.invalidate()
            else:
                connection.close()
            if number % 7 == 0:
                pool.evict_idle()

    def ask() -> None:
        while not over.is_set():
            stats = pool.stats()
            if stats.open != stats.idle + stats.in_use or stats.open > 3:
                wrong.append(stats)
            pool.threads()
            pool.status()

    asking = threading.Thread(target=ask)
    asking.start()
    workers = [threading.Thread(target=work) for _ in range(5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    over.set()
    asking.join()

    assert wrong == []
    stats = pool.stats()
    assert (stats.checkouts, stats.open, stats.waiting) == (750, 0, 0)
    assert _balanced(stats)
    assert capfd.readouterr().err == ""


# Threads


def test_threads(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path))
    told: list[tuple[int, int]] = []
    has_both, end = threading.Event(), threading.Event()

    def work() -> None:
        held, idle = pool.connect(), pool.connect()
        idle.close()
        told.append((threading.get_ident(), threading.get_native_id()))
        has_both.set()
        end.wait()
        held.close()

    thread = threading.Thread(target=work, name="reader")
    thread.start()
    has_both.wait()
    time.sleep(SLEPT)
    (use,) = pool.threads()
    end.set()
    thread.join()

    assert (use.name, use.ident, use.native_id) == ("reader", *told[0])
    assert (use.idle, use.in_use) == (1, 1)
    assert use.oldest is not None
    assert use.oldest >= COUNTED
    assert pool.threads() == ()


def test_thread_without_oldest(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path))
    _use(pool)

    (use,) = pool.threads()
    assert (use.name, use.idle, use.in_use, use.oldest) == ("MainThread", 1, 0, None)
    pool.dispose()


def test_oldest_checkout(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path))
    first = pool.connect()
    time.sleep(SLEPT)
    second = pool.connect()
    (both,) = pool.threads()
    second.close()
    (one,) = pool.threads()

    assert both.oldest is not None
    assert one.oldest is not None
    assert COUNTED <= both.oldest <= one.oldest
    first.close()
    pool.dispose()


def test_ended_thread_is_listed(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path))
    held = in_thread(pool.connect)

    (use,) = pool.threads()
    assert (use.name, use.idle, use.in_use) == ("", 0, 1)
    held.close()
    assert pool.threads() == ()


def test_thread_listed_once_after_dispose(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path))
    held = pool.connect()
    pool.dispose()
    _use(pool)

    (use,) = pool.threads()
    assert (use.idle, use.in_use) == (1, 1)
    held.close()
    pool.dispose()


# QueuePool's readers


def test_status(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path))
    held = pool.connect()
    _use(pool)

    assert pool.status() == "Threads: 1  Connections in pool: 1  Checked out connections: 1"
    held.close()
    pool.dispose()


def test_status_with_limit(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path, pool_size=3))
    held = pool.connect()

    assert pool.status() == (
        "Pool size: 3  Threads: 1  Connections in pool: 0  Checked out connections: 1  Waiting: 0"
    )
    held.close()
    pool.dispose()


@pytest.mark.parametrize("size", [0, 3])
def test_queuepool_readers(tmp_path: Path, size: int) -> None:
    make_engine(tmp_path)
    pools: list[ThreadLocalPool | QueuePool] = [
        ThreadLocalPool(creator(tmp_path), pool_size=size, timeout=12.5),
        QueuePool(creator(tmp_path), pool_size=size, max_overflow=0 if size else -1, timeout=12.5),
    ]

    def told(pool: ThreadLocalPool | QueuePool) -> list[tuple[float, ...]]:
        seen: list[tuple[float, ...]] = []

        def look() -> None:
            seen.append(
                (
                    pool.size(),
                    pool.checkedin(),
                    pool.checkedout(),
                    pool.overflow(),
                    pool.timeout(),
                )
            )

        look()
        first, second = pool.connect(), pool.connect()
        look()
        write(first, "not committed")
        first.close()
        look()
        third, fourth = pool.connect(), pool.connect()
        look()
        for connection in (second, third, fourth):
            connection.close()
            look()
        pool.dispose()
        look()
        return seen

    assert told(pools[0]) == told(pools[1])


def test_recreated_pool_starts_empty(tmp_path: Path) -> None:
    pool = pool_of(make_engine(tmp_path, pool_size=2, pool_timeout=1.5, max_idle=0.02))
    _use(pool)
    again = pool.recreate()
    pool.dispose()

    assert (again.size(), again.timeout()) == (2, 1.5)
    assert (again.stats().checkouts, again.stats().open) == (0, 0)
    _use(again)
    time.sleep(0.1)
    _use(again)
    assert again.stats().closed == {"idle": 1}
    again.dispose()
