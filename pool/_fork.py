"""What happens to the pools of a process that forks.

Before the fork idle connections are closed. Those in use stay the parent's: in the child they are
invalid to whoever holds them, and are kept for ever, because even closing them would harm: SQLite
would play back the parent's transaction, and a server would end the parent's session.

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

# What is in use at a fork, held from just before it, so that nothing is returned in the child only
# because the threads of the parent are gone there.
_in_use: "list[tuple[Record, Any]]" = []

# The connections of parents.
_inherited: list[Any] = []

_process = os.getpid()


class Inheritance:
    """What a pool, and all that were recreated from it, have of the parent process."""

    def __init__(self) -> None:
        #: SQLite connections that were in use at the fork.
        self.sqlite = 0

    def add(self, connection: Any) -> None:
        """Keep a connection of the parent for ever, unused and not closed."""
        _inherited.append(connection)
        if sys.implementation.name == "cpython":
            # The end of the interpreter empties every list, and closes what was in it.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
        self.sqlite += isinstance(connection, sqlite3.Connection)


def watch(pool: "ThreadLocalPool") -> None:
    """Look after `pool` at forks, and at the end of the interpreter."""
    _pools.add(pool)


def is_unprepared_child() -> bool:
    """Whether this process was forked, and what is below has not happened in it.

    The interpreter empties the thread-local storage of the threads that are gone before it calls
    anybody, and with it go connections that these threads took after our last look.
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
        record.inherit()
    _in_use.clear()
    for pool in list(_pools):
        pool._begin()
    _threadstate.forget_other_threads()
    _process = os.getpid()


def _records() -> "Iterator[tuple[Record, Any]]":
    """What has a connection or is about to, and the proxy of it that somebody holds."""
    for pool in list(_pools):
        for slot in pool._slots.now():
            record = slot.record() if slot.record is not None else None
            if record is not None:
                yield record, record.fairy_ref() if record.fairy_ref is not None else None


# Windows cannot fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )

# Python 3.13 in developer mode reports each SQLite connection that outlives this moment.
atexit.register(_dispose_all)
