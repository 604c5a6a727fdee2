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

if TYPE_CHECKING:
    from pool.pool import ThreadLocalPool
    from pool.records import Record

_pools: "weakref.WeakSet[ThreadLocalPool]" = weakref.WeakSet()

# What is in use at a fork, held from just before it, so that nothing is returned in the child only
# because the threads of the parent are gone there.
_in_use: "list[tuple[ThreadLocalPool, Record, Any]]" = []

# The parent's connections, in the child.
_inherited: list[Any] = []


class Inheritance:
    """What a pool, and all that were recreated from it, have of the parent process."""

    def __init__(self) -> None:
        #: SQLite connections that were in use at the fork.
        self.sqlite_in_use = 0


def watch(pool: "ThreadLocalPool") -> None:
    """Look after `pool` at forks, and at the end of the interpreter."""
    _pools.add(pool)


def _dispose_all() -> None:
    for pool in list(_pools):
        pool.dispose()


def _before() -> None:
    _dispose_all()
    for pool in list(_pools):
        _in_use.extend(_used(pool))


def _after_in_parent() -> None:
    _in_use.clear()


def _after_in_child() -> None:
    # Other threads went on until the fork itself.
    late = [used for pool in list(_pools) for used in _used(pool)]
    for pool, record, holder in [*_in_use, *late]:
        connection = record.dbapi_connection
        if connection is None:
            continue
        _keep(connection)
        # The words of SQLAlchemy for a connection that was invalidated.
        record.dbapi_connection = None
        if holder is not None:
            holder.dbapi_connection = None
        if isinstance(connection, sqlite3.Connection):
            pool._inheritance.sqlite_in_use += 1
    _in_use.clear()
    for pool in list(_pools):
        pool._begin()


def _used(pool: "ThreadLocalPool") -> "Iterator[tuple[ThreadLocalPool, Record, Any]]":
    for slot in pool._slots.now():
        record = slot.record() if slot.record is not None else None
        if record is not None:
            yield pool, record, record.fairy_ref() if record.fairy_ref is not None else None


def _keep(connection: Any) -> None:
    _inherited.append(connection)
    if sys.implementation.name == "cpython":
        # The end of the interpreter empties every list, and closes what was in it.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


# Windows cannot fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )

# Python 3.13 in developer mode reports each SQLite connection that outlives this moment.
atexit.register(_dispose_all)
