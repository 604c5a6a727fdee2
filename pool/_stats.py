"""What `ThreadLocalPool.stats()` and `threads()` return."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PoolStats:
    """A pool at one moment, and its totals since it was created.

    `open` is always `idle` + `in_use`. A connection that is being opened counts as in use.
    """

    #: The most connections open at once; 0 for no limit.
    size: int
    #: Open connections.
    open: int
    #: Connections that are not checked out.
    idle: int
    #: Connections that are checked out.
    in_use: int
    #: Checkouts that wait because `size` is reached.
    waiting: int
    #: Live threads that have used the pool since it was last disposed of.
    threads: int

    #: Checkouts that got a connection, including one that a ping or a listener then rejected.
    checkouts: int
    #: Seconds from checkout to return, in total, without those still in use.
    use_seconds: float
    #: Connections that were opened, including replacements of recycled ones.
    connects: int
    #: Seconds spent opening connections, including listeners.
    connect_seconds: float
    #: Connections that could not be opened.
    connect_errors: int
    #: Checkouts that had to wait, and the seconds they waited in total.
    waits: int
    wait_seconds: float
    #: Checkouts that timed out.
    timeouts: int
    #: Connections that were returned by a foreign thread, not by their own.
    foreign_returns: int
    #: Connections that were never returned, until the garbage collector did it.
    collected: int
    #: Connections that were closed or given up, by cause; `connects` is their sum plus `open`.
    #: `thread end`; `limit`, to make room at `size`; `idle`, for too long or on request; `dispose`,
    #: also at a fork; `recycle`, replaced because of age or a failed ping; `invalid`, also
    #: detached; `error`, in a listener while connecting; `lost`, through an exception between the
    #: pool's own steps.
    closed: Mapping[str, int]


@dataclass(frozen=True)
class ThreadUse:
    """What one thread has of a pool."""

    #: The name in :mod:`threading`; empty for a thread that it does not know, or that has ended.
    name: str
    #: From :func:`threading.get_ident` and :func:`threading.get_native_id`.
    ident: int
    native_id: int
    #: Idle connections of this thread.
    idle: int
    #: Connections of this thread that are checked out, in whichever thread they are used.
    in_use: int
    #: Seconds since the oldest of them was checked out; None without any.
    oldest: float | None
