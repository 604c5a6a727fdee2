"""What happens to the pools when the process forks.

Idle connections are closed before the fork. Those in use stay with the parent: in the child they
are invalidated and never closed, because a close would do harm. SQLite would roll back the parent's
transaction, and a server would end the parent's session.

https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_
"""

import atexit
import ctypes
import os
import sqlite3
import sys
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from . import _threadstate

if TYPE_CHECKING:
    from ._record import Record
    from .pool import ThreadLocalPool

_pools: "weakref.WeakSet[ThreadLocalPool]" = weakref.WeakSet()

# What is in use at a fork, referenced from just before it. Otherwise the child would return
# connections merely because the parent's other threads do not exist in it.
_in_use: "list[tuple[Record, Any]]" = []

# The parent processes' connections.
_connections: list[Any] = []

_process = os.getpid()


class Inherited:
    """What a pool, and those recreated from it, inherited from the parent process."""

    def __init__(self) -> None:
        #: SQLite connections that were in use at the fork.
        self.sqlite = 0

    def add(self, connection: Any) -> None:
        """Keep the parent's connection for ever, neither used nor closed."""
        _connections.append(connection)
        if sys.implementation.name == "cpython":
            # Interpreter exit clears every list, which would close what is in it.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
        self.sqlite += isinstance(connection, sqlite3.Connection)


def watch(pool: "ThreadLocalPool") -> None:
    """Handle `pool` at forks and at interpreter exit."""
    _pools.add(pool)


def in_unhandled_child() -> bool:
    """True in a forked child until `_after_in_child` has run.

    Before any callback the interpreter clears the thread-local storage of the parent's other
    threads, and with it connections that they took after `_before`.
    """
    return os.getpid() != _process


def _dispose_all() -> None:
    for pool in list(_pools):
        pool.dispose()


def _before() -> None:
    _dispose_all()
    _in_use.extend(_records())


def _after_in_parent() -> None:
    _in_use.clear()


def _after_in_child() -> None:
    global _process
    # Other threads went on until the fork itself.
    for record, _ in [*_in_use, *_records()]:
        record.leave_to_parent()
    _in_use.clear()
    for pool in list(_pools):
        pool._start_empty()
    _threadstate.forget_other_threads()
    _process = os.getpid()


def _records() -> "Iterator[tuple[Record, Any]]":
    """Yield each record that has a connection or is opening one, and its fairy if it is in use."""
    for pool in list(_pools):
        for permit in pool._permits.snapshot():
            record = permit.record() if permit.record is not None else None
            if record is not None:
                yield record, record.fairy_ref() if record.fairy_ref is not None else None


# Windows cannot fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )

# Python 3.13 in development mode reports each SQLite connection that is still open after this.
atexit.register(_dispose_all)
