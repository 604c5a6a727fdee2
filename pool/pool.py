"""ThreadLocalPool: each connection stays with the thread that opened it.

How it works:

* Each thread has a stack of idle connections (`_stacks.py`). A checkout pops the top one and a
  return pushes it back; each is a single step of the interpreter, so there is no lock.
* With an empty stack the checkout opens a connection. It needs a permit first (`_permits.py`).
  Permits are queued in the order of the requests: the first `pool_size` are granted, the others
  wait. A waiter closes the connection of another thread that has been idle longest, or sleeps until
  a permit is released.
* The connection is wrapped in SQLAlchemy's record (`_record.py`), which holds the permit, and in
  its fairy, the proxy that the user gets (`_fairy.py`).
* A return checks that the connection is in its initial state, and resets it if not (`_reset.py`).
  It may happen in a foreign thread, where a driver can refuse the reset (`_foreign.py`).
* At the end of a thread the destructor of an object in thread-local storage closes its stack, in
  that thread. A connection that is returned to a closed stack is closed.
* Before a fork the idle connections are closed; those in use stay with the parent (`_fork.py`).

Below: connect, get, return, then the rest.
"""

import threading
import time
from collections import Counter
from typing import Any, Self

from sqlalchemy import exc
from sqlalchemy.pool import (
    Pool,
    PoolProxiedConnection,
    _CreatorFnType,
    _CreatorWRecFnType,
)

from . import _fork, _usage
from ._errors import ForkedInUseError
from ._fairy import checkout
from ._foreign import AnyThreadDialect
from ._permits import Cause, Permit, Permits
from ._record import Record, counting
from ._stacks import Stacks, ThreadStack
from ._stats import PoolStats, ThreadUse


class ThreadLocalPool(Pool):
    """A connection pool with a stack of idle connections per thread.

    A checkout takes the connection that its thread used last, or opens one. Two checkouts never
    share a connection, not even nested ones in one thread. When a thread ends, its idle connections
    are closed in that thread. One that is still checked out is closed when it is returned or
    garbage-collected.

    At `pool_size` a checkout closes the connection of another thread that has been idle longest
    and opens its own. If none is idle it waits, first come, first served.

    A connection may be returned by a foreign thread, or by the garbage collector running in one. It
    is reset there and goes back to its own thread's stack. Where the driver refuses the reset
    (`sqlite3` with `check_same_thread=True`) it is closed, with one warning in the log.

    Idle connections are closed before :func:`os.fork`. Those in use stay with the parent: the child
    neither uses nor closes them. It opens its own, except with SQLite.

    Greenlets of one thread share its stack. asyncio engines are refused. ``docs/pool.md`` is the
    manual; ``docs/pool-promises.md`` lists the guarantees and their tests.

    :param creator: opens a connection; passed by :func:`sqlalchemy.create_engine`.
    :param pool_size: the most connections open at once, in all threads together; 0 for no limit.
        If more threads than this use the pool at a time, they reopen connections.
    :param timeout: how long a checkout waits at `pool_size`, in seconds; `pool_timeout` in
        :func:`sqlalchemy.create_engine`.
    :param max_idle: close connections of any thread that have been idle for this many seconds;
        checked at checkouts; -1 for no limit.
    :param options: those of :class:`sqlalchemy.pool.Pool`: `recycle`, `pre_ping`, `echo`,
        `reset_on_return`, `logging_name`, `events`, `dialect`.
    :param max_overflow: refused: `pool_size` is the only limit.
    :param use_lifo: refused: the connection used last is always taken first; `pool_use_lifo` in
        :func:`sqlalchemy.create_engine`.
    :raises sqlalchemy.exc.ArgumentError: an argument has an invalid value.
    """

    # With the other pools, so that logging.getLogger("sqlalchemy.pool") covers it.
    _sqla_logger_namespace = "sqlalchemy.pool.ThreadLocalPool"

    # Makes create_engine() refuse an asyncio dialect; the base class follows the dialect.
    _is_asyncio = False

    def __init__(
        self,
        creator: _CreatorFnType | _CreatorWRecFnType,
        # Not keyword-only, because create_engine() does not see those.
        pool_size: int = 0,
        timeout: float = 30.0,
        max_idle: float = -1,
        max_overflow: object = None,
        use_lifo: object = None,
        **options: Any,
    ) -> None:
        _check(pool_size, timeout, max_idle, options.get("recycle", -1))
        if max_overflow is not None:
            raise exc.ArgumentError(
                f"max_overflow is {max_overflow!r}; this pool has one limit. Set pool_size to the "
                "sum of both, or to 0 for no limit, and max_idle to close idle connections"
            )
        if use_lifo is not None:
            raise exc.ArgumentError(
                f"pool_use_lifo is {use_lifo!r}; a thread always takes the connection that it "
                "used last. Remove this argument"
            )
        self._size = pool_size
        self._timeout = timeout
        self._max_idle = max_idle
        self._sweep_at = time.monotonic() + max_idle
        self._inherited = _fork.Inherited()
        self._start_empty()
        super().__init__(creator, **options)
        _fork.watch(self)

    def _start_empty(self) -> None:
        """Forget all threads and connections, in a new pool and in the child of a fork."""
        self._stacks = Stacks()
        self._permits = Permits(self._size)

    def connect(self) -> PoolProxiedConnection:
        """Check out a connection. Its `close()` returns it.

        :raises sqlalchemy.exc.TimeoutError: `pool_size` connections are in use, and none was
            returned in time.
        :raises ForkedInUseError: this process was forked while SQLite connections were in use.
        :raises Exception: what the creator or a listener raises.
        """
        return checkout(self)

    def _do_get(self) -> Record:
        stack = self._stacks.current()
        record = stack.pop()
        if self._max_idle >= 0:
            record = self._unless_stale(record)
        if record is None:
            record = self._open(stack)
        permit = record.permit
        permit.state = "in use"
        permit.since = time.monotonic()
        return record

    def _unless_stale(self, record: Record | None) -> Record | None:
        """Return `record`, or None after closing it if it was idle for `max_idle`.

        Every `max_idle` / 2 seconds this also closes those of the other threads.
        """
        now = time.monotonic()
        if now >= self._sweep_at:
            self._sweep_at = now + self._max_idle / 2
            self.evict_idle(self._max_idle)
        if record is not None and now - record.permit.since >= self._max_idle:
            record.discard("idle")
            return None
        return record

    def _open(self, stack: ThreadStack) -> Record:
        """Open a connection as soon as the limit permits it."""
        if forked_in_use := self._inherited.sqlite:
            raise ForkedInUseError(
                f"This process was forked while {forked_in_use} SQLite connection(s) of "
                "this pool were in use, and would read and write without locks. Return them "
                "before the fork, or start the process without one: by the `spawn` method of "
                "multiprocessing, or by subprocess."
            )
        permits = self._permits
        permit = permits.request(stack)
        info: dict[Any, Any] | None = None
        try:
            if not permits.is_granted(permit):
                self._wait_for(permit)
            permit.state = "in use"
            # create_engine(pool=...) assigns its dialect to an existing pool.
            if not isinstance(self._dialect, AnyThreadDialect):
                self._dialect = AnyThreadDialect(self._dialect)
            if stack.record_infos:
                info = stack.record_infos.pop()
            started = time.monotonic()
            record = Record(self, permits, permit, self._inherited, info)
            permit.counters.connect_seconds += time.monotonic() - started
        except BaseException:
            # Now, because the exception's traceback may keep the permit alive.
            permits.release(permit, "error")
            if info:
                stack.record_infos.append(info)
            raise
        return record

    def _should_wrap_creator(self, creator: Any) -> Any:
        return counting(super()._should_wrap_creator(creator))

    def _wait_for(self, permit: Permit) -> None:
        self._close_longest_idle()
        if not self._permits.wait(permit, self._timeout):
            who = ", ".join(_usage.describe(self._permits.snapshot()))
            raise exc.TimeoutError(
                f"All connections are in use (pool_size is {self._size}), and none was returned "
                f"within {self._timeout:g} s. They are held by "
                f"{who or 'threads that have just returned them'}. "
                "Return them sooner, or raise pool_size.",
                code="3o7r",
            )

    def _do_return_conn(self, record: Record) -> None:  # type: ignore[override]
        record.restore_state()
        permit = record.permit
        now = time.monotonic()
        permit.counters.use_seconds += now - permit.since
        if threading.get_ident() != permit.stack.ident:
            permit.counters.foreign_returns += 1
        if record.dbapi_connection is None:
            # Invalidated or detached. A new record costs less than a stack of empty ones.
            if record.record_info:
                permit.stack.record_infos.append(record.record_info)
            self._permits.release(permit, "invalid")
        elif self._size and self._permits.has_waiters():
            record.discard("limit")
        else:
            permit.since = now
            permit.state = "idle"
            permit.stack.push(record)
            # Checked again after the push: a waiter may have found no idle connection before it.
            if self._size and self._permits.has_waiters():
                self._close_longest_idle()

    def _close_longest_idle(self) -> None:
        """Close the connection that has been idle longest, to grant the first waiter's permit."""
        if (record := self._stacks.pop_oldest()) is not None:
            record.discard("limit")

    def dispose(self) -> None:
        """Close the idle connections of all threads.

        Those in use continue to work and are closed when they are returned. The pool stays usable.
        Any thread may call this at any time and any number of times.
        """
        # Replaced first: no thread may get a stack that this does not close.
        stacks, self._stacks = self._stacks, Stacks()
        stacks.close("dispose")
        self.logger.info("Pool disposed. %s", self.status())

    def recreate(self) -> Self:
        """A new, empty pool with the same parameters and listeners."""
        self.logger.info("Pool recreating")
        pool = self.__class__(
            self._creator,
            pool_size=self._size,
            timeout=self._timeout,
            max_idle=self._max_idle,
            recycle=self._recycle,
            echo=self.echo,
            logging_name=self._orig_logging_name,
            reset_on_return=self._reset_on_return,
            pre_ping=self._pre_ping,
            _dispatch=self.dispatch,
            dialect=self._dialect,
        )
        # Engine.dispose() recreates the pool, and gives a forked child no SQLite locks.
        pool._inherited = self._inherited
        return pool

    def release_thread(self) -> None:
        """Close the idle connections of the calling thread, as the end of the thread does."""
        self._stacks.current().clear("idle")

    def evict_idle(self, older_than: float = 0.0) -> int:
        """Close the connections of all threads that have been idle for a time.

        :param older_than: the least time idle, in seconds.
        :return: how many were closed.
        """
        latest = time.monotonic() - older_than
        evicted = 0
        for stack in self._stacks.all():
            while stack.idle_since() <= latest and (record := stack.pop_oldest()) is not None:
                record.discard("idle")
                evicted += 1
        return evicted

    def status(self) -> str:
        """The current numbers, in one line."""
        stats = self.stats()
        line = (
            f"Threads: {stats.threads}  Connections in pool: {stats.idle}  "
            f"Checked out connections: {stats.in_use}"
        )
        return f"Pool size: {self._size}  {line}  Waiting: {stats.waiting}" if self._size else line

    def stats(self) -> PoolStats:
        """The current numbers and the totals so far. Any thread may call this at any time."""
        states = Counter(self._permits.states())
        counters = self._permits.counters()
        closed: Counter[Cause] = Counter()
        for one in counters:
            # A copy, in a single step: other threads continue to count.
            closed.update(dict(one.closed))

        def total(name: str) -> Any:
            return sum(getattr(one, name) for one in counters)

        return PoolStats(
            size=self._size,
            open=states["idle"] + states["in use"],
            idle=states["idle"],
            in_use=states["in use"],
            waiting=states["waiting"],
            threads=len(self._stacks),
            checkouts=total("checkouts"),
            use_seconds=total("use_seconds"),
            connects=total("connects"),
            connect_seconds=total("connect_seconds"),
            connect_errors=total("connect_errors"),
            waits=total("waits"),
            wait_seconds=total("wait_seconds"),
            timeouts=total("timeouts"),
            foreign_returns=total("foreign_returns"),
            collected=total("collected"),
            closed={str(cause): number for cause, number in closed.items()},
        )

    def threads(self) -> tuple[ThreadUse, ...]:
        """What each thread has, including ended ones whose connections are still in use."""
        return _usage.uses(self._stacks.all(), self._permits.snapshot())

    def size(self) -> int:
        """The most connections open at once; 0 for no limit."""
        return self._size

    def checkedin(self) -> int:
        """How many connections are idle, in all threads."""
        return self._permits.states().count("idle")

    def checkedout(self) -> int:
        """How many connections are in use, including those of ended threads."""
        return self._permits.states().count("in use")

    def overflow(self) -> int:
        """Open connections minus `pool_size`; 0 without a limit."""
        return self.stats().open - self._size if self._size else 0

    def timeout(self) -> float:
        """How long a checkout waits at `pool_size`, in seconds."""
        return self._timeout


def _check(pool_size: object, timeout: object, max_idle: object, recycle: object) -> None:
    if type(pool_size) is not int or pool_size < 0:
        raise exc.ArgumentError(
            f"pool_size is {pool_size!r}; expected an integer: 1 or more, or 0 for no limit"
        )
    if not _is_duration(timeout):
        raise exc.ArgumentError(f"pool_timeout is {timeout!r}; expected 0 seconds or more")
    for name, value in (("max_idle", max_idle), ("pool_recycle", recycle)):
        if not _is_duration(value) and value != -1:
            raise exc.ArgumentError(
                f"{name} is {value!r}; expected 0 seconds or more, or -1 for no limit"
            )


def _is_duration(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
