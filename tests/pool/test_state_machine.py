"""Random steps of threads in random order: what the pool reports is what is really open."""

import gc
import queue
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import exc
from sqlalchemy.pool import PoolProxiedConnection

from pool import ThreadLocalPool
from tests.pool.recording import ConnectError, Driver, RecordingConnection, recorded, token

Result = TypeVar("Result")

Held = tuple[PoolProxiedConnection, RecordingConnection]


@pytest.fixture(autouse=True, scope="module")
def _quick_collections() -> Iterator[None]:
    """Exclude existing objects from the collections of the tests."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@dataclass(eq=False)
class Thread:
    """A controlled thread and its idle connections, the last returned at the end."""

    worker: ThreadPoolExecutor
    idle: list[RecordingConnection]
    known: bool = False

    def run(self, function: Callable[[], Result]) -> Result:
        return self.worker.submit(function).result()

    def end(self) -> None:
        self.worker.shutdown()


@dataclass(eq=False)
class Checkout:
    """A checkout and its thread, which may have ended."""

    proxy: PoolProxiedConnection
    connection: RecordingConnection
    thread: Thread
    stack: list[RecordingConnection]


class Threads(RuleBasedStateMachine):
    """A few threads, of which one acts at a time, beside a model of what each of them has."""

    @initialize(size=st.sampled_from([0, 1, 2, 3]))
    def begin(self, size: int) -> None:
        self.driver = Driver()
        self.size = size
        self.pool = ThreadLocalPool(self.driver.connect, pool_size=size, timeout=0)
        self.threads = [self._thread()]
        self.checkouts: list[Checkout] = []
        self.detached: list[PoolProxiedConnection] = []
        # Those that the next checkout has to replace.
        self.stale: set[RecordingConnection] = set()
        self.refused = self.timeouts = self.collected = self.got = 0

    def _thread(self) -> Thread:
        return Thread(ThreadPoolExecutor(1), [])

    def _some_thread(self, data: st.DataObject) -> Thread:
        return data.draw(st.sampled_from(self.threads), "thread")

    def _some_checkout(self, data: st.DataObject) -> Checkout:
        index = data.draw(st.integers(0, len(self.checkouts) - 1), "checkout")
        return self.checkouts.pop(index)

    def some_are_out(self) -> bool:
        return bool(self.checkouts)

    # What a thread can do

    @rule(data=st.data(), refuses=st.booleans())
    def check_out(self, data: st.DataObject, refuses: bool) -> None:
        thread = self._some_thread(data)
        thread.known = True
        expected = thread.idle.pop() if thread.idle else None
        self.driver.refuses = lambda: refuses
        full = bool(self.size) and len(self.checkouts) == self.size

        def get() -> Checkout:
            proxy = self.pool.connect()
            connection = recorded(proxy)
            connection.hold(token())
            return Checkout(proxy, connection, thread, thread.idle)

        try:
            checkout = thread.run(get)
        except exc.TimeoutError:
            assert full
            assert expected is None
            self.timeouts += 1
            return
        except ConnectError:
            assert refuses
            assert expected is None or expected in self.stale
            self.refused += 1
            return
        finally:
            self._forget_closed()
        assert not full
        if expected is not None and expected is not checkout.connection:
            assert expected in self.stale
            assert not expected.is_open
        self.got += 1
        self.checkouts.append(checkout)

    def _forget_closed(self) -> None:
        """What made room for another one; of other threads only."""
        for thread in self.threads:
            thread.idle[:] = [connection for connection in thread.idle if connection.is_open]

    @precondition(some_are_out)
    @rule(data=st.data())
    def write(self, data: st.DataObject) -> None:
        checkout = data.draw(st.sampled_from(self.checkouts), "checkout")
        if checkout.thread in self.threads:
            checkout.thread.run(lambda: checkout.proxy.cursor().execute("INSERT"))

    def _end(self, data: st.DataObject, end: Callable[[Checkout], object]) -> Checkout:
        """Let go of some checkout, in its own thread or in another one."""
        checkout = self._some_checkout(data)
        checkout.connection.let_go()
        self._some_thread(data).run(lambda: end(checkout))
        return checkout

    def _is_returned(self, checkout: Checkout) -> None:
        # The stack is closed with its thread, and when the pool is disposed of.
        if checkout.thread in self.threads and checkout.thread.idle is checkout.stack:
            checkout.stack.append(checkout.connection)
        else:
            assert not checkout.connection.is_open

    @precondition(some_are_out)
    @rule(data=st.data(), rolled_back=st.booleans())
    def give_back(self, data: st.DataObject, rolled_back: bool) -> None:
        def end(checkout: Checkout) -> None:
            if rolled_back:  # as Connection.close() of an engine does
                checkout.proxy.rollback()
                checkout.proxy._close_special(transaction_reset=True)
            else:
                checkout.proxy.close()

        self._is_returned(self._end(data, end))

    @precondition(some_are_out)
    @rule(data=st.data(), in_a_cycle=st.booleans())
    def drop(self, data: st.DataObject, in_a_cycle: bool) -> None:
        def end(checkout: Checkout) -> None:
            held: list[object] = [checkout.proxy]
            del checkout.proxy
            if in_a_cycle:
                held.append(held)
                del held
                gc.collect()

        self.collected += 1
        self._is_returned(self._end(data, end))

    @precondition(some_are_out)
    @rule(data=st.data())
    def invalidate(self, data: st.DataObject) -> None:
        checkout = self._end(data, lambda checkout: checkout.proxy.invalidate())
        assert not checkout.connection.is_open

    @precondition(some_are_out)
    @rule(data=st.data())
    def invalidate_softly(self, data: st.DataObject) -> None:
        checkout = data.draw(st.sampled_from(self.checkouts), "checkout")
        checkout.proxy.invalidate(soft=True)
        self.stale.add(checkout.connection)

    @precondition(some_are_out)
    @rule(data=st.data())
    def detach(self, data: st.DataObject) -> None:
        checkout = self._end(data, lambda checkout: checkout.proxy.detach())
        assert checkout.connection.is_open
        self.detached.append(checkout.proxy)

    @precondition(lambda self: self.detached)
    @rule()
    def close_detached(self) -> None:
        self.detached.pop().close()

    @rule(data=st.data())
    def dispose(self, data: st.DataObject) -> None:
        self._some_thread(data).run(self.pool.dispose)
        for thread in self.threads:
            self._are_closed(thread.idle)
            thread.idle = []
            thread.known = False

    @rule(data=st.data())
    def evict_idle(self, data: st.DataObject) -> None:
        idle = sum(len(thread.idle) for thread in self.threads)
        assert self._some_thread(data).run(self.pool.evict_idle) == idle
        for thread in self.threads:
            self._are_closed(thread.idle)
            thread.idle.clear()

    @rule(data=st.data())
    def release_thread(self, data: st.DataObject) -> None:
        thread = self._some_thread(data)
        thread.run(self.pool.release_thread)
        thread.known = True
        self._are_closed(thread.idle)
        thread.idle.clear()

    def _are_closed(self, connections: list[RecordingConnection]) -> None:
        assert not [connection for connection in connections if connection.is_open]

    @precondition(lambda self: len(self.threads) < 3)
    @rule()
    def start_thread(self) -> None:
        self.threads.append(self._thread())

    @precondition(lambda self: len(self.threads) > 1)
    @rule(data=st.data())
    def end_thread(self, data: st.DataObject) -> None:
        thread = self._some_thread(data)
        self.threads.remove(thread)
        thread.end()
        self._are_closed(thread.idle)

    # What is true after each step

    @invariant()
    def all_figures_are_right(self) -> None:
        idle = {connection for thread in self.threads for connection in thread.idle}
        in_use = {checkout.connection for checkout in self.checkouts}
        detached = {recorded(proxy) for proxy in self.detached}
        stats = self.pool.stats()

        assert self.driver.violations == []
        assert self.driver.open() == idle | in_use | detached
        assert (stats.idle, stats.in_use) == (len(idle), len(in_use))
        assert stats.open == stats.idle + stats.in_use
        assert stats.open <= self.size or not self.size
        assert stats.waiting == 0
        assert stats.checkouts == self.got
        assert stats.timeouts == self.timeouts
        assert stats.collected == self.collected
        assert stats.connects == len(self.driver.opened)
        assert stats.connect_errors == self.refused
        assert stats.connects == stats.open + sum(stats.closed.values())
        assert self.driver.dropped == []
        shown = self.pool.threads()
        assert sum(thread.idle for thread in shown) == stats.idle
        assert sum(thread.in_use for thread in shown) == stats.in_use
        assert stats.threads == sum(thread.known for thread in self.threads)

    def teardown(self) -> None:
        if not hasattr(self, "pool"):
            return
        for proxy in self.detached:
            proxy.close()
        for checkout in self.checkouts:
            checkout.connection.let_go()
            checkout.proxy.close()
        for thread in self.threads:
            thread.end()
        assert self.driver.open() == set()
        assert self.driver.violations == []
        stats = self.pool.stats()
        assert (stats.open, stats.idle, stats.in_use, stats.threads) == (0, 0, 0, 0)


TestThreads = Threads.TestCase
TestThreads.settings = settings(deadline=None, max_examples=100, stateful_step_count=50)


def _act(pool: ThreadLocalPool, chance: random.Random, passed: "queue.SimpleQueue[Held]") -> None:
    """Check out, use, and let go in one of many ways; now and then what another thread has."""
    acts: list[Callable[[], object]]
    acts = [pool.dispose, pool.evict_idle, pool.release_thread, pool.stats]
    held: list[Held] = []
    for _ in range(60):
        if len(held) < 2 and chance.random() < 0.5:
            try:
                proxy = pool.connect()
            except (ConnectError, exc.TimeoutError):
                continue
            connection = recorded(proxy)
            connection.hold(token())
            proxy.cursor().execute("INSERT")
            held.append((proxy, connection))
            del proxy
            continue
        what = chance.choice(["return", "return", "drop", "invalidate", "detach", "pass", "all"])
        if what == "all":
            chance.choice(acts)()
            continue
        if what == "pass" and held:
            passed.put(held.pop())
        try:
            proxy, connection = held.pop() if held else passed.get_nowait()
        except queue.Empty:
            continue
        connection.let_go()
        if what == "invalidate":
            proxy.invalidate()
        elif what == "detach":
            proxy.detach()
            proxy.close()
        elif what != "drop":
            proxy.close()
        del proxy
    while held:  # a frame kept by SQLAlchemy's exceptions must not keep these
        passed.put(held.pop())


@pytest.mark.parametrize("size", [0, 1, 3])
@pytest.mark.parametrize("seed", range(2))
def test_concurrent_threads_leave_nothing(size: int, seed: int) -> None:
    driver = Driver()
    refusing = random.Random(seed)
    driver.refuses = lambda: refusing.random() < 0.1
    pool = ThreadLocalPool(driver.connect, pool_size=size, timeout=0.01)
    passed: queue.SimpleQueue[Held] = queue.SimpleQueue()
    for generation in range(4):
        with ThreadPoolExecutor(8) as threads:
            chances = [random.Random(f"{seed} {generation} {thread}") for thread in range(8)]
            for future in [threads.submit(_act, pool, chance, passed) for chance in chances]:
                future.result()
        assert driver.violations == []
        gc.collect()
        stats = pool.stats()
        assert (stats.idle, stats.in_use) == (0, passed.qsize())
    while passed.qsize():
        proxy, connection = passed.get()
        connection.let_go()
        proxy.close()
    stats = pool.stats()

    assert (stats.open, stats.waiting, stats.threads) == (0, 0, 0)
    assert driver.open() == set()
    assert driver.dropped == []
    assert driver.violations == []
    assert stats.connects == len(driver.opened) == sum(stats.closed.values())
