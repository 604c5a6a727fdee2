"""Rollback and close in a foreign thread, one that did not open the connection.

A connection opened with `check_same_thread=True`, the default of `sqlite3`, refuses every call from
a foreign thread, including `rollback()` and `close()`. The pool drops a connection that it cannot
reset there: SQLite rolls back what was not committed, releases the locks and closes the file.

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
    """Whether a driver raised `error` only because this is a foreign thread.

    Only the message tells: ProgrammingError has many other causes.
    """
    return "created in a thread can only be used in that same thread" in str(error)


def _drop(connection: DBAPIConnection, *, is_returned: bool = False) -> None:
    """Close the database of a connection that refuses `close()`.

    Dropping the reference is not enough: the connection forms a cycle with its statement cache, so
    its locks would last until the garbage collector runs. A second `__init__()` is not checked for
    the thread, closes the open database, and turns the check off.

    :param is_returned: whether its user may have left statements open.
    """
    if isinstance(connection, sqlite3.Connection):
        sqlite3.Connection.__init__(connection, ":memory:", check_same_thread=False)
        if is_returned:
            close_cursors(connection)
        # Not through a subclass, whose attributes `__init__()` may have reset.
        sqlite3.Connection.close(connection)


def drop_unreset(checkout: "PoolProxiedConnection | Record", error: Exception) -> None:
    """Drop a connection that cannot be reset in this thread, with one warning.

    :param checkout: the fairy or record of the connection.
    :param error: the driver's refusal.
    """
    connection = checkout.dbapi_connection
    # At interpreter exit the main thread returns all connections.
    if not sys.is_finalizing():
        cast("_ConnectionFairy | Record", checkout)._pool.logger.warning(
            "Connection %r was returned by a thread other than its own, where it cannot be reset; "
            "it is closed, and uncommitted changes are rolled back",
            connection,
        )
    checkout.invalidate(error)
    if connection is not None:
        _drop(connection, is_returned=True)


def end_or_drop(checkout: PoolProxiedConnection, end: Callable[[], object]) -> bool:
    """End a transaction, or drop the connection if its driver refuses; return whether it ended.

    :param checkout: the fairy of the connection.
    :param end: commits or rolls back.
    :raises Exception: any other error of the driver.
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
    """Close a connection, and its file, which an open statement would keep open."""
    if isinstance(connection, sqlite3.Connection):
        # A statement that cannot be ended here is ended below, or is no longer in use.
        with suppress(sqlite3.Error, InvalidRequestError):
            end_statements(connection)
    try:
        close(connection)
    except Exception as error:
        if not is_refusal(error):
            raise
        _drop(connection)


class AnyThreadDialect(_ConnDialect):
    """The part of a dialect that a pool calls, callable in any thread.

    The garbage collector returns a connection in the thread in which it happens to run, and through
    a plain `_ConnectionFairy`, so a reset can be refused here as well.
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
