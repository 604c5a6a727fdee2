"""ThreadLocalPool: connections stay with the thread that opened them."""

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
from ._foreign import AffineDialect
from ._permits import Cause, Slot, Slots
from ._record import Record, counting
from ._stacks import Home, Homes
from ._stats import PoolStats, ThreadUse


def _check(pool_size: object, timeout: object, max_idle: object, recycle: object) -> None:
    if type(pool_size) is not int or pool_size < 0:
        raise exc.ArgumentError(
            f"pool_size is {pool_size!r}; it takes an integer: 1 or more, or 0 for no limit"
        )
    if not _is_duration(timeout):
        raise exc.ArgumentError(f"pool_timeout is {timeout!r}; it takes 0 seconds or more")
    for name, value in (("max_idle", max_idle), ("pool_recycle", recycle)):
        if not _is_duration(value) and value != -1:
            raise exc.ArgumentError(
                f"{name} is {value!r}; it takes 0 seconds or more, or -1 for no limit"
            )


def _is_duration(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


class ThreadLocalPool(Pool):
    """A connection pool with a stack of idle connections for each thread.

    A thread takes its own connection that it used last, or opens one. Two checkouts never share a
    connection, not even nested ones of one thread. A thread's idle connections are closed as it
    ends, in that thread; one that is still checked out then is closed when it is returned or
    collected.

    Where `pool_size` connections are open, a checkout closes the one of another thread that has
    been idle longest, and opens its own. With none idle it waits its turn: first come, first
    served.

    A connection may be returned by another thread, or by the garbage collector running there. It
    is reset there and goes back to its owner. Where the driver refuses that (`sqlite3` with
    `check_same_thread=True`) it is dropped instead, with one warning in the log.

    Idle connections are closed before :func:`os.fork`. Those in use at a fork stay the parent's:
    the child neither uses nor closes them. It opens its own, except with SQLite.

    Greenlets of one thread share its stack; asyncio engines are refused. ``docs/pool.md`` tells
    what is promised, and which test holds it.

    :param creator: opens a connection; :func:`sqlalchemy.create_engine` gives it.
    :param pool_size: the most connections open at once, in all threads together; 0 for any
        number. A size below the number of threads that use the pool at a time costs them
        reopened connections.
    :param timeout: how long a checkout waits at `pool_size`, in seconds; `pool_timeout` in
        :func:`sqlalchemy.create_engine`.
    :param max_idle: close connections that were idle for this many seconds, of whatever thread,
        when some thread checks one out; -1 keeps them.
    :param options: those of :class:`sqlalchemy.pool.Pool`: `recycle`, `pre_ping`, `echo`,
        `reset_on_return`, `logging_name`, `events`, `dialect`.
    :param max_overflow: refused: `pool_size` is the only limit.
    :param use_lifo: refused: the connection used last is taken first; `pool_use_lifo` in
        :func:`sqlalchemy.create_engine`.
    :raises sqlalchemy.exc.ArgumentError: an argument has a value that it does not take.
    """

    # Beside the other pools, so that logging.getLogger("sqlalchemy.pool") speaks for it, too.
    _sqla_logger_namespace = "sqlalchemy.pool.ThreadLocalPool"

    # create_engine() refuses an asyncio dialect by this; the base class would follow the dialect.
    _is_asyncio = False

    def __init__(
        self,
        creator: _CreatorFnType | _CreatorWRecFnType,
        # By position too, because create_engine() does not see those that are by name only.
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
                f"max_overflow is {max_overflow!r}; this pool has one limit. Give pool_size the "
                "sum of both, or 0 for no limit, and max_idle to close idle connections"
            )
        if use_lifo is not None:
            raise exc.ArgumentError(
                f"pool_use_lifo is {use_lifo!r}; a thread always takes the connection that it "
                "used last. Leave it out"
            )
        self._size = pool_size
        self._timeout = timeout
        self._max_idle = max_idle
        self._sweep_at = time.monotonic() + max_idle
        self._inheritance = _fork.Inheritance()
        self._begin()
        super().__init__(creator, **options)
        _fork.watch(self)

    def _begin(self) -> None:
        """Have no connections and know no threads: at first, and in the child of a fork."""
        self._homes = Homes()
        self._slots = Slots(self._size)

    def connect(self) -> PoolProxiedConnection:
        """Check out a connection; its `close()` returns it.

        :raises sqlalchemy.exc.TimeoutError: `pool_size` connections are in use, and none came
            back in time.
        :raises ForkedInUseError: this is a forked process, and the parent was using SQLite.
        :raises Exception: what the creator or a listener raises.
        """
        return checkout(self)

    def _do_get(self) -> Record:
        home = self._homes.mine()
        record = home.take()
        if self._max_idle >= 0:
            record = self._unless_stale(record)
        if record is None:
            record = self._open(home)
        slot = record.slot
        slot.state = "in use"
        slot.since = time.monotonic()
        return record

    def _do_return_conn(self, record: Record) -> None:  # type: ignore[override]
        record.settle()
        slot = record.slot
        now = time.monotonic()
        slot.counts.use_seconds += now - slot.since
        if threading.get_ident() != slot.home.ident:
            slot.counts.returned_abroad += 1
        if record.dbapi_connection is None:
            # Invalidated or detached. A new record costs less than a stack of empty ones.
            if record.record_info:
                slot.home.record_infos.append(record.record_info)
            self._slots.leave(slot, "invalid")
        elif self._size and self._slots.crowded():
            record.end("limit")
        else:
            slot.since = now
            slot.state = "idle"
            slot.home.give(record)
            # Asked again, now that it can be found: somebody may have looked before, in vain.
            if self._size and self._slots.crowded():
                self._make_room()

    def _open(self, home: Home) -> Record:
        """Open a connection, when the limit allows it."""
        if forked_in_use := self._inheritance.sqlite:
            raise ForkedInUseError(
                f"This process was forked while {forked_in_use} SQLite connection(s) of "
                "this pool were in use, and would read and write without locks. Return them "
                "before the fork, or start the process in another way: the `spawn` method of "
                "multiprocessing, or subprocess."
            )
        slots = self._slots
        slot = slots.enter(home)
        info: dict[Any, Any] | None = None
        try:
            if not slots.may_use(slot):
                self._await_turn(slot)
            slot.state = "in use"
            # create_engine(pool=...) assigns its own dialect to a pool that is already made.
            if not isinstance(self._dialect, AffineDialect):
                self._dialect = AffineDialect(self._dialect)
            if home.record_infos:
                info = home.record_infos.pop()
            started = time.monotonic()
            record = Record(self, slots, slot, self._inheritance, info)
            slot.counts.connect_seconds += time.monotonic() - started
        except BaseException:
            # Not left to the end of the slot: the exception's traceback may keep it.
            slots.leave(slot, "error")
            if info:
                home.record_infos.append(info)
            raise
        return record

    def _await_turn(self, slot: Slot) -> None:
        self._make_room()
        if not self._slots.wait(slot, self._timeout):
            who = ", ".join(_usage.describe(self._slots.now()))
            raise exc.TimeoutError(
                f"All connections are in use (pool_size is {self._size}), and none came back "
                f"within {self._timeout:g} s. They are held by "
                f"{who or 'threads that let go just now'}. "
                "Return them sooner, or allow more with pool_size.",
                code="3o7r",
            )

    def _make_room(self) -> None:
        """Close the connection that has been idle longest, for whoever is first in line."""
        if (record := self._homes.take_oldest()) is not None:
            record.end("limit")

    def _unless_stale(self, record: Record | None) -> Record | None:
        """Close what has been idle for too long, in all threads from time to time."""
        now = time.monotonic()
        if now >= self._sweep_at:
            self._sweep_at = now + self._max_idle / 2
            self.evict_idle(self._max_idle)
        if record is not None and now - record.slot.since >= self._max_idle:
            record.end("idle")
            return None
        return record

    def _should_wrap_creator(self, creator: Any) -> Any:
        return counting(super()._should_wrap_creator(creator))

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
        # Engine.dispose() does not give a forked child its locks.
        pool._inheritance = self._inheritance
        return pool

    def dispose(self) -> None:
        """Close the idle connections of all threads.

        Those in use go on working and are closed when they are returned. The pool stays usable,
        and any thread may call this at any time, repeatedly.
        """
        # First the new homes, so that nobody moves into one that is not abandoned.
        homes, self._homes = self._homes, Homes()
        homes.abandon("dispose")
        self.logger.info("Pool disposed. %s", self.status())

    def release_thread(self) -> None:
        """Close the idle connections of the calling thread, as its end would do."""
        self._homes.mine().clear("idle")

    def evict_idle(self, older_than: float = 0.0) -> int:
        """Close the connections that have been idle for at least `older_than` seconds.

        Of all threads; return how many that were. Each thread keeps its place and opens another
        connection when it needs one.
        """
        latest = time.monotonic() - older_than
        evicted = 0
        for home in self._homes.all():
            while home.oldest() <= latest and (record := home.take_oldest()) is not None:
                record.end("idle")
                evicted += 1
        return evicted

    def status(self) -> str:
        """One line for people."""
        stats = self.stats()
        line = (
            f"Threads: {stats.threads}  Connections in pool: {stats.idle}  "
            f"Checked out connections: {stats.in_use}"
        )
        return f"Pool size: {self._size}  {line}  Waiting: {stats.waiting}" if self._size else line

    def stats(self) -> PoolStats:
        """What is now, and what has happened. Any thread may ask at any time."""
        states = Counter(self._slots.states())
        counts = self._slots.counts()
        closed: Counter[Cause] = Counter()
        for count in counts:
            # A copy, which is one step: others go on counting.
            closed.update(dict(count.closed))

        def total(name: str) -> Any:
            return sum(getattr(count, name) for count in counts)

        return PoolStats(
            size=self._size,
            open=states["idle"] + states["in use"],
            idle=states["idle"],
            in_use=states["in use"],
            waiting=states["waiting"],
            threads=len(self._homes),
            checkouts=total("checkouts"),
            use_seconds=total("use_seconds"),
            connects=total("connects"),
            connect_seconds=total("connect_seconds"),
            connect_errors=total("connect_errors"),
            waits=total("waits"),
            wait_seconds=total("wait_seconds"),
            timeouts=total("timeouts"),
            returned_abroad=total("returned_abroad"),
            collected=total("collected"),
            closed={str(cause): number for cause, number in closed.items()},
        )

    def threads(self) -> tuple[ThreadUse, ...]:
        """What each thread has, the gone included whose connections are still in use."""
        return _usage.uses(self._homes.all(), self._slots.now())

    def size(self) -> int:
        """The most connections that may be open at once; 0 for any number."""
        return self._size

    def checkedin(self) -> int:
        """How many connections are idle, in all threads together."""
        return self._slots.states().count("idle")

    def checkedout(self) -> int:
        """How many connections are in use, whoever uses them and whether or not it still runs."""
        return self._slots.states().count("in use")

    def overflow(self) -> int:
        """How many connections are open beyond `pool_size`: negative while more may be opened."""
        return self.stats().open - self._size if self._size else 0

    def timeout(self) -> float:
        """How long a checkout waits at `pool_size`, in seconds."""
        return self._timeout
