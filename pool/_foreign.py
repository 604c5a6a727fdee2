"""What a driver allows only in the thread that opened the connection, and what to do elsewhere.

A connection made with `check_same_thread=True`, the default of `sqlite3`, refuses every call from
another thread, `rollback()` and `close()` too. Where the pool cannot tidy up a connection, it
drops it: SQLite rolls back what was not committed, frees the locks and closes the file.

https://docs.python.org/3/library/sqlite3.html#sqlite3.connect
"""

import sqlite3
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.pool import PoolProxiedConnection, _ConnectionFairy
from sqlalchemy.pool.base import _ConnDialect

from ._reset import close_cursors, end_statements

if TYPE_CHECKING:
    from ._record import Record


def is_refusal(error: Exception) -> bool:
    """Whether a driver raised `error` only because this is not the connection's own thread.

    The sentence is all there is to go by: the class, ProgrammingError, has many other causes.
    """
    return "created in a thread can only be used in that same thread" in str(error)


def _drop(connection: DBAPIConnection, *, is_returned: bool = False) -> None:
    """Close the database under a connection that refuses to be closed.

    Forgetting it would not do: it forms a cycle with its own statement cache, so that its locks
    would last until the garbage collector comes by. Initialising it anew is not checked for the
    thread, closes the database that was open, and takes back the refusal.

    :param is_returned: whether its user may have left statements open.
    """
    if isinstance(connection, sqlite3.Connection):
        sqlite3.Connection.__init__(connection, ":memory:", check_same_thread=False)
        if is_returned:
            close_cursors(connection)
        # A subclass must not be asked: this also emptied its attributes.
        sqlite3.Connection.close(connection)


def drop_unreset(checkout: "PoolProxiedConnection | Record", error: Exception) -> None:
    """Let go of a connection that cannot be reset here, and say so once.

    :param checkout: what has the connection.
    :param error: how the driver refused.
    """
    connection = checkout.dbapi_connection
    # At the end of the interpreter everything is returned by its main thread.
    if not sys.is_finalizing():
        cast("_ConnectionFairy | Record", checkout)._pool.logger.warning(
            "Connection %r was returned by a thread other than its own, where it cannot be reset; "
            "it is dropped, and what it had not committed is rolled back",
            connection,
        )
    checkout.invalidate(error)
    if connection is not None:
        _drop(connection, is_returned=True)


def end_or_drop(checkout: PoolProxiedConnection, end: Callable[[], object]) -> bool:
    """End a transaction, or drop the connection where its driver refuses; return whether it ended.

    :param checkout: what has the connection.
    :param end: commits or rolls back.
    :raises Exception: what else the driver raises.
    """
    try:
        end()
    except Exception as error:
        if not is_refusal(error):
            raise
        drop_unreset(checkout, error)
        return False
    return True


def _close(connection: DBAPIConnection, close: Callable[[DBAPIConnection], object]) -> None:
    """Close a connection, and the file that an open statement would keep open."""
    if isinstance(connection, sqlite3.Connection):
        # What cannot be ended here is ended below, or is no longer in use.
        with suppress(sqlite3.Error, InvalidRequestError):
            end_statements(connection)
    try:
        close(connection)
    except Exception as error:
        if not is_refusal(error):
            raise
        _drop(connection)


class AffineDialect(_ConnDialect):
    """The part of a dialect that a pool calls, so that any thread can call it.

    The garbage collector returns a connection in whatever thread it runs, and through a plain
    `_ConnectionFairy` made for the purpose, so a reset can be refused here as well.
    """

    def __init__(self, dialect: _ConnDialect | Dialect) -> None:
        self._dialect = dialect

    def do_rollback(self, dbapi_connection: PoolProxiedConnection) -> None:
        end_or_drop(dbapi_connection, partial(self._dialect.do_rollback, dbapi_connection))

    def do_commit(self, dbapi_connection: PoolProxiedConnection) -> None:
        end_or_drop(dbapi_connection, partial(self._dialect.do_commit, dbapi_connection))

    def do_close(self, dbapi_connection: DBAPIConnection) -> None:
        _close(dbapi_connection, self._dialect.do_close)

    def do_terminate(self, dbapi_connection: DBAPIConnection) -> None:
        _close(dbapi_connection, self._dialect.do_terminate)

    def _do_ping_w_event(self, dbapi_connection: DBAPIConnection) -> bool:
        return self._dialect._do_ping_w_event(dbapi_connection)

    def get_driver_connection(self, connection: DBAPIConnection) -> Any:
        return self._dialect.get_driver_connection(connection)
