"""What a pool tells of itself."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PoolStats:
    """A pool at one moment, and what has happened in it since it was made.

    `open` is always `idle` + `in_use`. A connection that is being opened counts as in use.
    """

    #: The most connections that may be open at once; 0 for any number.
    size: int
    #: Connections that are open now.
    open: int
    #: Connections that wait for the next checkout.
    idle: int
    #: Connections that are checked out.
    in_use: int
    #: Checkouts that wait for their turn, because `size` is reached.
    waiting: int
    #: Threads that have a place for idle connections.
    threads: int

    #: Checkouts that got a connection, be it one that a ping or a listener then refused.
    checkouts: int
    #: Seconds from checkout to return, all together; without those still in use.
    use_seconds: float
    #: Connections that were opened, in the place of recycled ones too.
    connects: int
    #: Seconds that checkouts spent opening connections, listeners included.
    connect_seconds: float
    #: Connections that could not be opened.
    connect_errors: int
    #: Checkouts that had to wait for their turn, and the seconds that took all together.
    waits: int
    wait_seconds: float
    #: Checkouts that waited in vain.
    timeouts: int
    #: Connections that were returned by a thread other than their own.
    returned_abroad: int
    #: Connections that nobody returned, so that the garbage collector had to.
    collected: int
    #: Connections that were closed or let go, by cause; with those that are open they are all that
    #: were ever opened. `thread end`; `limit`, to make room at `size`; `idle`, for too long or by
    #: request; `dispose`, at a fork too; `recycle`, replaced because of age or a failed ping;
    #: `invalid`, or detached; `error`, in a listener while connecting; `lost`, for which an
    #: exception amid the pool's own steps is to blame.
    closed: Mapping[str, int]


@dataclass(frozen=True)
class ThreadUse:
    """What one thread has of a pool."""

    #: As :mod:`threading` has it; empty for a thread that it does not know, or that is gone.
    name: str
    #: As :func:`threading.get_ident` and :func:`threading.get_native_id` have them.
    ident: int
    native_id: int
    #: Connections that wait for this thread.
    idle: int
    #: Connections of this thread that are checked out, whoever uses them now.
    in_use: int
    #: Seconds since the oldest of those was checked out; None without any.
    oldest: float | None
