"""Helpers for tests in which a thread waits for another."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from pool import ThreadLocalPool

Result = TypeVar("Result")


def until(condition: Callable[[], bool]) -> None:
    """Wait until another thread makes `condition` true."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)


class Waiters:
    """Threads that wait for a pool's connection, in the order of the calls."""

    def __init__(self, pool: ThreadLocalPool, executor: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._executor = executor

    def send(self, work: Callable[[], Result]) -> Future[Result]:
        """Start `work` in another thread; return when its checkout waits."""
        before = self._pool.stats().waiting
        future = self._executor.submit(work)
        until(lambda: self._pool.stats().waiting > before)
        return future


@contextmanager
def waiters(pool: ThreadLocalPool, threads: int = 1) -> Iterator[Waiters]:
    with ThreadPoolExecutor(threads) as executor:
        # Each its own thread: the executor starts another only while all are busy.
        together = threading.Barrier(threads, timeout=30)
        for started in [executor.submit(together.wait) for _ in range(threads)]:
            started.result()
        yield Waiters(pool, executor)
