"""The fourteen guarantees of the pool, one section each; G7 is in `test_guarantees_fork.py`.

The other files of this directory test the details. `benchmarks/pool.py` measures G11, speed; here
is the part of it that holds on any machine.
"""

import gc
import itertools
import random
import sqlite3
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, cast

import pytest
from sqlalchemy import Connection, Engine, event, exc, text
from sqlalchemy.pool import Pool, QueuePool

from pool import ThreadLocalPool, _fairy
from tests.pool.scripts import output_of
from tests.pool.watched import (
    Watch,
    Worker,
    creator,
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


def _together(works: list[Callable[[], None]]) -> None:
    """Run each of `works` in its own thread, and raise what one of them raises."""
    with ThreadPoolExecutor(len(works)) as executor:
        for future in [executor.submit(work) for work in works]:
            future.result()


# G1 Every call on a connection is made in the thread that opened it.


@checked_or_not
def test_g01_affinity(tmp_path: Path, watch: Watch, check_same_thread: bool) -> None:
    engine = make_engine(
        tmp_path, watch, check_same_thread=check_same_thread, pool_pre_ping=True, pool_recycle=0.01
    )

    def work() -> None:
        for number in range(50):
            with engine.connect() as outer, engine.connect() as inner:
                outer.execute(text("SELECT * FROM note"))
                inner.execute(text("SELECT * FROM note"))
                if number % 10 == 0:
                    inner.invalidate()
        pool_of(engine).release_thread()
        _read(engine)

    _together([work] * 8)

    assert watch.strays == []
    assert watch.open() == 0


# G2 Two checkouts never have the same connection, not even nested ones of one thread.


def test_g02_no_sharing(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    in_use: set[object] = set()
    shared: list[object] = []

    def work() -> None:
        for _ in range(100):
            held = [engine.raw_connection() for _ in range(3)]
            for connection in held:
                if connection.dbapi_connection in in_use:
                    shared.append(connection.dbapi_connection)
                in_use.add(connection.dbapi_connection)
            random.shuffle(held)
            while held:
                in_use.discard(held[-1].dbapi_connection)
                held.pop().close()

    _together([work] * 8)

    assert shared == []
    assert pool_of(engine).checkedout() == 0


def test_g02_no_sharing_of_transactions(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)

    with engine.begin() as outer:
        outer.execute(text("INSERT INTO note VALUES ('outer')"))
        with engine.connect() as inner:
            inner.rollback()

    assert notes(tmp_path) == ["outer"]
    engine.dispose()


# G3 A connection is never closed in use.


def _make_room(pool: ThreadLocalPool) -> None:
    with pytest.raises(exc.TimeoutError):
        pool.connect()


def _let_sweep(pool: ThreadLocalPool) -> None:
    time.sleep(0.02)
    pool.connect().close()


def _recycle_all(pool: ThreadLocalPool) -> None:
    connection = pool.connect()
    pool._invalidate(connection)  # what an engine does when the server has closed the connection
    connection.close()


@pytest.mark.parametrize(
    ("act", "options"),
    [
        (ThreadLocalPool.dispose, {}),
        (ThreadLocalPool.evict_idle, {}),
        (ThreadLocalPool.release_thread, {}),
        (_make_room, {"pool_size": 1, "pool_timeout": 0.01}),
        (_let_sweep, {"max_idle": 0.01}),
        (_let_sweep, {"pool_recycle": 0.01}),
        (_recycle_all, {}),
    ],
)
def test_g03_never_closed_in_use(
    tmp_path: Path,
    watch: Watch,
    act: Callable[[ThreadLocalPool], object],
    options: dict[str, Any],
) -> None:
    pool = pool_of(make_engine(tmp_path, watch, **options))
    with Worker() as worker:
        held = worker.run(pool.connect)
        worker.run(lambda: write(held, "before"))

        act(pool)
        worker.run(lambda: act(pool))

        worker.run(lambda: write(held, "after"))
        worker.run(held.commit)
        worker.run(held.close)

    assert notes(tmp_path) == ["before", "after"]
    pool.dispose()
    assert watch.open() == 0


# G4 An ended thread leaves nothing open.


@checked_or_not
@pytest.mark.parametrize("at_once", [1, 100])
def test_g04_no_leak_of_files(
    tmp_path: Path, watch: Watch, at_once: int, check_same_thread: bool
) -> None:
    engine = make_engine(tmp_path, watch, check_same_thread=check_same_thread)
    pool = pool_of(engine)
    together = threading.Barrier(at_once, timeout=60)
    served: list[None] = []

    def work() -> None:
        with engine.connect() as connection:
            connection.execute(text("SELECT * FROM note"))
            together.wait()
        served.append(None)

    for _ in range(1000 // at_once):
        threads = [threading.Thread(target=work) for _ in range(at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert (len(served), watch.made) == (1000, 1000)
    assert (watch.open(), open_files(tmp_path), watch.strays) == (0, 0, [])
    assert (pool.checkedin(), pool.checkedout(), pool.stats().threads) == (0, 0, 0)


# G5 No more than `pool_size` connections are open, and every thread is served.


class _Peak:
    """The most connections that were open at once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = 0

    def connect(self, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection = _Counted(*args, **kwargs)
        connection.peak = self
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        return connection


class _Counted(sqlite3.Connection):
    peak: _Peak

    def close(self) -> None:
        super().close()
        with self.peak.lock:
            self.peak.now -= 1


@pytest.mark.timeout(120)
def test_g05_bounded_and_fair(tmp_path: Path) -> None:
    peak = _Peak()
    pool = ThreadLocalPool(
        creator(tmp_path, factory=peak.connect, check_same_thread=False),
        pool_size=5,
        timeout=60,
    )
    served: Counter[int] = Counter()
    orders = itertools.count()
    start = threading.Barrier(20, timeout=60)

    def work(number: int) -> None:
        start.wait()
        while next(orders) < 3000:
            connection = pool.connect()
            connection.cursor().execute("SELECT 1").fetchone()
            # Otherwise a thread could finish before the others start.
            time.sleep(0.001)
            connection.close()
            served[number] += 1

    _together([lambda number=number: work(number) for number in range(20)])  # type: ignore[misc]

    assert served.total() == 3000
    assert min(served[number] for number in range(20)) >= 3000 / 20 / 4
    assert peak.most == 5
    assert peak.now == pool.stats().open == 0


# G6 A connection is checked out without a transaction or lock.


@pytest.mark.parametrize("foreign", [False, True], ids=["own thread", "foreign thread"])
@pytest.mark.parametrize("way", ["close", "collect"])
def test_g06_clean_checkout(tmp_path: Path, watch: Watch, way: str, foreign: bool) -> None:
    engine = make_engine(tmp_path, watch)
    with Worker() as owner, Worker() as stranger:
        held = [owner.run(engine.connect)]
        owner.run(lambda: held[0].execute(text("INSERT INTO note VALUES ('not committed')")))

        def collect() -> None:
            held.clear()
            gc.collect()

        (stranger if foreign else owner).run(held[0].close if way == "close" else collect)

        assert notes(tmp_path) == []  # the database is not locked
        again = cast("sqlite3.Connection", owner.run(lambda: opened(engine)))
        assert watch.made == 1
        assert not again.in_transaction


# G8 dispose() closes idle connections and interrupts no work; the pool stays usable.


@checked_or_not
def test_g08_dispose_under_load(
    tmp_path: Path, watch: Watch, check_same_thread: bool, caplog: pytest.LogCaptureFixture
) -> None:
    engine = make_engine(tmp_path, watch, check_same_thread=check_same_thread)
    pool = pool_of(engine)
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            with engine.connect() as connection:
                connection.execute(text("BEGIN"))
                assert connection.scalar(text("SELECT 1")) == 1
                connection.commit()

    def dispose() -> None:
        for _ in range(200):
            pool.dispose()
            pool.dispose()
        over.set()

    _together([work] * 6 + [dispose])

    assert caplog.records == []
    assert (pool.checkedout(), pool.checkedin()) == (0, 0)
    assert (watch.open(), open_files(tmp_path)) == (0, 0)
    _read(engine)
    assert pool.checkedin() == 1
    pool.dispose()


# G9 Whatever fails, the counts are right and no permit is lost.


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize(
    "name", ["first_connect", "connect", "checkout", "reset", "checkin", "close", "invalidate"]
)
# Python 3.13 warns of connections that a failing listener left open.
@pytest.mark.filterwarnings("ignore:unclosed database")
def test_g09_exact_counters(
    tmp_path: Path,
    watch: Watch,
    name: str,
    error: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The listener also fails in finalizers, which can only print the error.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    pool = pool_of(make_engine(tmp_path, watch, pool_size=2, pool_timeout=10))
    failing = True

    def fail(*_: Any) -> None:
        if failing:
            raise error

    def use() -> None:
        for end in ("close", "invalidate"):
            connection = pool.connect()
            write(connection, "not committed")
            getattr(connection, end)()

    event.listen(pool, name, fail)
    for act in (use, pool.dispose, use, pool.evict_idle):
        with suppress(error):
            act()
        gc.collect()
        stats = pool.stats()
        assert stats.open == stats.idle + stats.in_use == watch.open()
        assert (stats.in_use, stats.waiting) == (0, 0)
    failing = False

    held = [pool.connect(), pool.connect()]
    assert (pool.checkedout(), pool.checkedin(), watch.open()) == (2, 0, 2)
    for connection in held:
        connection.close()
    pool.dispose()
    assert (pool.stats().open, watch.open()) == (0, 0)
    assert notes(tmp_path) == []


# G10 The garbage collector may return a connection at any moment, in any thread.


@pytest.fixture
def eager_collector() -> Iterator[None]:
    """A garbage collector that runs as often as possible."""
    threshold = gc.get_threshold()
    gc.set_threshold(3)
    yield
    gc.set_threshold(*threshold)


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("eager_collector")
@pytest.mark.parametrize("options", [{}, {"pool_size": 3}], ids=["unlimited", "limited"])
def test_g10_safe_in_gc(tmp_path: Path, watch: Watch, options: dict[str, Any]) -> None:
    engine = make_engine(tmp_path, watch, **options)
    pool = pool_of(engine)

    def abandon() -> None:
        for _ in range(100):
            cycle: list[Connection | list[object]] = [engine.connect()]
            cycle.append([cycle])
            del cycle
            # Other threads may wait for connections in this thread's cycles.
            gc.collect(0)
            _read(engine)

    _together([abandon] * 5)
    gc.collect()

    assert (pool.checkedout(), pool.checkedin()) == (0, 0)
    assert (watch.open(), open_files(tmp_path)) == (0, 0)
    stats = pool.stats()
    assert stats.checkouts == 1000
    assert stats.collected == 500


# G11 A checkout and its return are short: the times are in the documentation.


def _calls(pool: Pool) -> Counter[str]:
    """The functions called by the checkout of an idle connection and its return."""
    pool.connect().close()
    called: Counter[str] = Counter()

    def note(frame: FrameType, kind: str, function: Any) -> None:
        if kind == "call":
            called[frame.f_code.co_name] += 1
        elif kind == "c_call":
            called[function.__name__] += 1

    sys.setprofile(note)
    try:
        pool.connect().close()
    finally:
        sys.setprofile(None)
    return called


@pytest.mark.skipif(not _fairy.SQLALCHEMY_IS_KNOWN, reason="the fast path is for SQLAlchemy 2")
def test_g11_speed(
    tmp_path: Path,
) -> None:
    pool, others = ThreadLocalPool(creator(tmp_path)), QueuePool(creator(tmp_path))
    ours, theirs = _calls(pool), _calls(others)

    assert ours.total() < 0.7 * theirs.total()
    assert ours.keys().isdisjoint({"acquire", "__enter__", "rollback", "finalize", "_reset"})
    pool.dispose()
    others.dispose()


# G12 Listeners get the same events as from a QueuePool.


def _events_of_a_life(pool: Pool) -> list[str]:
    seen: list[str] = []

    def listen(name: str) -> None:
        def note(*args: Any) -> None:
            seen.append(name)

        event.listen(pool, name, note)

    for name in ("first_connect", "connect", "checkout", "reset", "checkin", "close"):
        listen(name)
    for name in ("invalidate", "soft_invalidate", "detach", "close_detached"):
        listen(name)

    pool.connect().close()
    pool.connect().invalidate()
    pool.connect().invalidate(soft=True)
    detached = pool.connect()
    detached.detach()
    detached.close()
    pool.connect().close()
    pool.dispose()
    return seen


def test_g12_event_order(tmp_path: Path) -> None:
    ours, theirs = ThreadLocalPool(creator(tmp_path)), QueuePool(creator(tmp_path))

    assert _events_of_a_life(ours) == _events_of_a_life(theirs)


# G13 The pool is silent when the interpreter exits.


@checked_or_not
def test_g13_silent_exit(tmp_path: Path, check_same_thread: bool) -> None:
    script = """
        def idle():
            pool.connect().close()

        def wait():
            idle()
            started.set()
            time.sleep(60)

        def work():
            while True:
                idle()

        started = threading.Event()
        idle()
        in_flight = pool.connect()
        threading.Thread(target=idle).start()
        threading.Thread(target=wait, daemon=True).start()
        threading.Thread(target=work, daemon=True).start()
        started.wait()
        in_flight.close()
    """

    assert output_of(tmp_path, script, check_same_thread=check_same_thread) == ""


# G14 An engine without dispose() is garbage-collected with its connections.


# Python 3.13 warns of connections that are collected before the pool is.
@pytest.mark.filterwarnings("ignore:unclosed database")
@checked_or_not
def test_g14_collectable(
    tmp_path: Path, check_same_thread: bool, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Watch()
    engines = [make_engine(tmp_path, watch, check_same_thread=check_same_thread)]
    dropped = weakref.ref(pool_of(engines[0]))
    with Worker() as worker:
        opened(engines[0])
        worker.run(lambda: opened(engines[0]))
        engines.clear()
        gc.collect()

        assert dropped() is None
        assert (watch.open(), open_files(tmp_path)) == (0, 0)
    assert caplog.records == []
