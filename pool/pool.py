"""ThreadLocalPool: connections stay with the thread that opened them."""

import atexit
import os
import weakref
from typing import Any, Self

from sqlalchemy.pool import (
    ConnectionPoolEntry,
    Pool,
    PoolProxiedConnection,
    _CreatorFnType,
    _CreatorWRecFnType,
)

from pool.affinity import AffineDialect, AffineFairy
from pool.homes import Home, Homes


class ThreadLocalPool(Pool):
    """A connection pool with a stack of idle connections for each thread.

    A thread takes its own connection that it used last, or opens one. Two checkouts never share a
    connection, not even nested ones of one thread. There is no limit and no waiting: a thread has
    as many connections as it ever held at once.

    A thread's idle connections are closed as it ends, in that thread. One that is still checked
    out then is closed when it is returned or collected.

    A connection may be returned by another thread, or by the garbage collector running there. It
    is reset there and goes back to its owner. Where the driver refuses that (`sqlite3` with
    `check_same_thread=True`) it is dropped instead, with one warning in the log.

    Idle connections are closed before `os.fork()`, as SQLite demands, and the child opens its own.
    One that is checked out at the fork must not be used by the child; nothing checks that yet.
    https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_

    The parameters are those of :class:`sqlalchemy.pool.Pool`. Greenlets of one thread share its
    stack; asyncio engines are refused.
    """

    # create_engine() refuses an asyncio dialect by this; the base class would follow the dialect.
    _is_asyncio = False

    def __init__(self, creator: _CreatorFnType | _CreatorWRecFnType, **options: Any) -> None:
        super().__init__(creator, **options)
        self._homes = Homes()
        # Whose connection each one in flight is. Adding and popping are single steps, so the
        # number is exact and nobody needs a lock.
        self._in_flight: dict[ConnectionPoolEntry, Home] = {}
        _pools.add(self)

    def connect(self) -> PoolProxiedConnection:
        """Check out a connection; its `close()` returns it.

        Raises what the creator raises, and what the listeners raise.
        """
        connection = super().connect()
        connection.__class__ = AffineFairy
        return connection

    def _do_get(self) -> ConnectionPoolEntry:
        home = self._homes.mine()
        entry = home.take()
        if entry is None:
            entry = self._create_connection()
        self._in_flight[entry] = home
        return entry

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        home = self._in_flight.pop(record, None)
        # Invalidated or detached entries are empty; a new one costs less than a stack of those.
        if home is not None and record.dbapi_connection is not None:
            home.give(record)

    def _create_connection(self) -> ConnectionPoolEntry:
        # create_engine(pool=...) assigns its own dialect to a pool that is already made.
        if not isinstance(self._dialect, AffineDialect):
            self._dialect = AffineDialect(self._dialect)
        return super()._create_connection()

    def recreate(self) -> Self:
        """A new, empty pool with the same parameters and listeners."""
        self.logger.info("Pool recreating")
        return self.__class__(
            self._creator,
            recycle=self._recycle,
            echo=self.echo,
            logging_name=self._orig_logging_name,
            reset_on_return=self._reset_on_return,
            pre_ping=self._pre_ping,
            _dispatch=self.dispatch,
            dialect=self._dialect,
        )

    def dispose(self) -> None:
        """Close the idle connections of all threads.

        Those in use go on working and are closed when they are returned. The pool stays usable,
        and any thread may call this at any time, repeatedly.
        """
        # First the new homes, so that nobody moves into one that is not abandoned.
        homes, self._homes = self._homes, Homes()
        homes.abandon()
        self.logger.info("Pool disposed. %s", self.status())

    def status(self) -> str:
        """One line for people: threads with a place here, idle connections, checked-out ones."""
        return (
            f"Threads: {len(self._homes)}  Connections in pool: {self.checkedin()}  "
            f"Checked out connections: {self.checkedout()}"
        )

    def checkedin(self) -> int:
        """How many connections are idle, in all threads together."""
        return self._homes.idle()

    def checkedout(self) -> int:
        """How many connections are in use, whoever uses them and whether or not it still runs."""
        return len(self._in_flight)


_pools: weakref.WeakSet[ThreadLocalPool] = weakref.WeakSet()


def _dispose_all() -> None:
    for pool in list(_pools):
        pool.dispose()


# An open SQLite connection must not cross a fork: the child would inherit the file and lose the
# locks, those of its own new connections included. Windows cannot fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_dispose_all)

# Python 3.13 in developer mode reports each SQLite connection that outlives this moment.
atexit.register(_dispose_all)
